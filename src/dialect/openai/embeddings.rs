//! OpenAI embeddings: the request, read whole, and the answer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::request::BadRequest;
use crate::dialect::json::Object;
use crate::types::{Embeddings, Inputs};

/// Most inputs of one request, as OpenAI has it.
pub const MAX_INPUTS: usize = 2048;
/// Most token ids of one request, as OpenAI has it.
pub const MAX_TOKENS: usize = 300_000;
/// Longest vector that can be asked for.
pub const MAX_DIMENSIONS: u32 = 65_536;
/// Most values in the body: every token id is one, and so is every input.
const MAX_NODES: usize = MAX_TOKENS + 2 * MAX_INPUTS + 1000;
/// Fields that are read; any other is named in the answer as left out.
const KNOWN: [&str; 5] = ["input", "model", "encoding_format", "dimensions", "user"];

/// How vectors are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// As arrays of numbers.
    #[default]
    Float,
    /// As base64 of little-endian 32-bit floats.
    Base64,
}

/// A request for vectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The name asked for; `auto` when absent.
    pub model: String,
    /// What to embed.
    pub inputs: Inputs,
    /// How to write the vectors.
    pub encoding: Encoding,
    /// How long they are to be.
    pub dimensions: Option<u32>,
    /// The end user.
    pub user: Option<String>,
    /// Fields of the body that nobody reads.
    pub left_out: Vec<String>,
}

impl Asked {
    /// Reads and checks a body.
    ///
    /// # Errors
    /// [`BadRequest`] names the field at fault.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadRequest> {
        let object = Object::parse_within(bytes, MAX_NODES)?;
        let given = object.get("input").ok_or(BadRequest::Missing("input"))?;
        let given: Given = serde_json::from_str(given.get()).map_err(|_| {
            let problem = "must be a string, an array of strings, an array of token ids, or an \
                           array of arrays of token ids";
            field("input", problem)
        })?;
        let inputs = Inputs::from(given);
        check(&inputs)?;
        let dimensions: Option<u32> = read(&object, "dimensions", "a positive integer")?;
        if dimensions.is_some_and(|wanted| !(1..=MAX_DIMENSIONS).contains(&wanted)) {
            let problem = format!("must lie between 1 and {MAX_DIMENSIONS}");
            return Err(field("dimensions", problem));
        }
        let encoding: Option<Encoding> = read(&object, "encoding_format", "`float` or `base64`")?;
        let model: Option<String> = read(&object, "model", "a string")?;
        let unread = object
            .iter()
            .map(|(name, _)| name)
            .filter(|name| !KNOWN.contains(name));
        Ok(Asked {
            model: model.unwrap_or_else(|| "auto".to_owned()),
            inputs,
            encoding: encoding.unwrap_or_default(),
            dimensions,
            user: read(&object, "user", "a string")?,
            left_out: unread.map(str::to_owned).collect(),
        })
    }
}

/// Counts and lengths of what is to be embedded.
///
/// # Errors
/// [`BadRequest`] about `input`.
pub fn check(inputs: &Inputs) -> Result<(), BadRequest> {
    if inputs.is_empty() {
        return Err(field("input", "must not be empty"));
    }
    if inputs.len() > MAX_INPUTS {
        let problem = format!(
            "holds {} inputs, at most {MAX_INPUTS} are taken",
            inputs.len()
        );
        return Err(field("input", problem));
    }
    let empty = match inputs {
        Inputs::Texts(texts) => texts.iter().position(String::is_empty),
        Inputs::Tokens(lists) => lists.iter().position(Vec::is_empty),
    };
    if let Some(at) = empty {
        return Err(field("input", format!("[{at}] must not be empty")));
    }
    match inputs {
        Inputs::Tokens(lists) if lists.iter().map(Vec::len).sum::<usize>() > MAX_TOKENS => Err(
            field("input", format!("holds more than {MAX_TOKENS} token ids")),
        ),
        Inputs::Texts(_) | Inputs::Tokens(_) => Ok(()),
    }
}

/// The answer's body. `model` is shown where the upstream named none.
pub fn answer(made: &Embeddings, model: &str, encoding: Encoding) -> Vec<u8> {
    let shown = match made.model.as_str() {
        "" => model,
        own => own,
    };
    let data: Vec<Value> = (0u64..)
        .zip(&made.vectors)
        .map(|(index, vector)| {
            let embedding = match encoding {
                Encoding::Float => json!(vector),
                Encoding::Base64 => Value::from(base64_of(vector)),
            };
            json!({"object": "embedding", "index": index, "embedding": embedding})
        })
        .collect();
    let usage = made.usage.unwrap_or_default();
    json!({
        "object": "list", "model": shown, "data": data,
        "usage": {"prompt_tokens": usage.prompt_tokens, "total_tokens": usage.prompt_tokens},
    })
    .to_string()
    .into_bytes()
}

/// Little-endian 32-bit floats as base64.
pub fn base64_of(vector: &[f32]) -> String {
    let bytes: Vec<u8> = vector
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect();
    STANDARD.encode(bytes)
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Given {
    Text(String),
    Texts(Vec<String>),
    Tokens(Vec<u32>),
    TokenLists(Vec<Vec<u32>>),
}

impl From<Given> for Inputs {
    fn from(given: Given) -> Self {
        match given {
            Given::Text(text) => Inputs::Texts(vec![text]),
            Given::Texts(texts) => Inputs::Texts(texts),
            Given::Tokens(tokens) => Inputs::Tokens(vec![tokens]),
            Given::TokenLists(lists) => Inputs::Tokens(lists),
        }
    }
}

fn field(param: &'static str, problem: impl Into<String>) -> BadRequest {
    BadRequest::Field {
        param,
        problem: problem.into(),
    }
}

/// A field's value; `None` when absent or null.
fn read<T: serde::de::DeserializeOwned>(
    object: &Object,
    param: &'static str,
    expected: &str,
) -> Result<Option<T>, BadRequest> {
    let Some(value) = object.get(param) else {
        return Ok(None);
    };
    serde_json::from_str(value.get()).map_err(|_| field(param, format!("must be {expected}")))
}

#[cfg(test)]
mod tests;
