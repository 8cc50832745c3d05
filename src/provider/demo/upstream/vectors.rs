//! Made-up vectors in every dialect that has them: the same text, the same vector.

use base64::Engine;
use serde_json::{Map, Value, json};

use super::place::Vectors;
use crate::provider::demo::words;

/// Numbers of a vector when nobody says how many.
const DIMENSIONS: usize = 8;
/// Most numbers of a vector.
const MOST_DIMENSIONS: usize = 4096;
/// Most texts of one request.
const MOST_TEXTS: usize = 2048;

/// The answer's body, or what is wrong with the request.
pub(super) fn answer(asked: &Vectors, body: &[u8]) -> Result<Value, String> {
    let given: Map<String, Value> = serde_json::from_slice(body).map_err(|bad| bad.to_string())?;
    match asked {
        Vectors::OpenAi | Vectors::Azure(_) => openai(asked, &given),
        Vectors::Ollama => ollama(&given),
        Vectors::Gemini { batch, .. } => gemini(&given, *batch),
    }
}

fn openai(asked: &Vectors, given: &Map<String, Value>) -> Result<Value, String> {
    let texts = texts(given.get("input"))?;
    let long = dimensions(given.get("dimensions"))?;
    let as_base64 = match given.get("encoding_format").and_then(Value::as_str) {
        Some("base64") => true,
        Some("float") | None => false,
        Some(other) => return Err(format!("Invalid value: '{other}' for encoding_format")),
    };
    let data = texts.iter().enumerate().map(|(index, text)| {
        let numbers = vector(text, long);
        let written = if as_base64 {
            let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
            json!(base64::engine::general_purpose::STANDARD.encode(bytes))
        } else {
            json!(numbers)
        };
        json!({"object": "embedding", "index": index, "embedding": written})
    });
    let data: Vec<Value> = data.collect();
    let model = match asked {
        Vectors::Azure(deployment) => json!(deployment),
        Vectors::OpenAi | Vectors::Ollama | Vectors::Gemini { .. } => json!(given.get("model")),
    };
    let count = counted(&texts);
    Ok(json!({"object": "list", "model": model, "data": data,
        "usage": {"prompt_tokens": count, "total_tokens": count}}))
}

fn ollama(given: &Map<String, Value>) -> Result<Value, String> {
    let input = given.get("input");
    let numbers = |value: &Value| value.is_number() || value.is_array();
    if input
        .and_then(Value::as_array)
        .is_some_and(|list| list.iter().any(numbers))
    {
        return Err("invalid input type".to_owned());
    }
    let texts = texts(input)?;
    let long = dimensions(given.get("dimensions"))?;
    let vectors: Vec<Vec<f32>> = texts.iter().map(|text| vector(text, long)).collect();
    Ok(
        json!({"model": given.get("model"), "embeddings": vectors, "total_duration": 1,
        "load_duration": 0, "prompt_eval_count": counted(&texts)}),
    )
}

fn gemini(given: &Map<String, Value>, batch: bool) -> Result<Value, String> {
    let one = |request: &Value| -> Result<Value, String> {
        let parts = request["content"]["parts"].as_array();
        let parts = parts.ok_or("content is not specified")?;
        let texts: Vec<&str> = parts
            .iter()
            .filter_map(|part| part["text"].as_str())
            .collect();
        let long = dimensions(request.get("outputDimensionality"))?;
        Ok(json!({"values": vector(&texts.join("\n"), long)}))
    };
    if !batch {
        return Ok(json!({"embedding": one(&Value::Object(given.clone()))?}));
    }
    let requests = given.get("requests").and_then(Value::as_array);
    let requests = requests.filter(|requests| !requests.is_empty());
    let requests = requests.ok_or("at least one request is required")?;
    if requests.len() > 100 {
        return Err("at most 100 requests can be in one batch".to_owned());
    }
    if let Some(unnamed) = requests
        .iter()
        .position(|request| !request["model"].is_string())
    {
        return Err(format!("requests[{unnamed}].model: must be specified"));
    }
    let vectors: Vec<Value> = requests.iter().map(one).collect::<Result<_, _>>()?;
    Ok(json!({"embeddings": vectors}))
}

/// The texts of an input; token ids count as a text of their own.
fn texts(input: Option<&Value>) -> Result<Vec<String>, String> {
    let texts = match input {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(list)) if list.iter().all(Value::is_number) && !list.is_empty() => {
            vec![Value::Array(list.clone()).to_string()]
        }
        Some(Value::Array(list)) => list
            .iter()
            .map(|item| {
                item.as_str()
                    .map_or_else(|| item.to_string(), str::to_owned)
            })
            .collect(),
        Some(_) | None => return Err("input must be a text or a list".to_owned()),
    };
    match texts.len() {
        0 => Err("input must not be empty".to_owned()),
        1..=MOST_TEXTS => Ok(texts),
        _ => Err(format!("input holds more than {MOST_TEXTS} texts")),
    }
}

fn dimensions(given: Option<&Value>) -> Result<usize, String> {
    let Some(given) = given.filter(|given| !given.is_null()) else {
        return Ok(DIMENSIONS);
    };
    let long = given.as_u64().and_then(|n| usize::try_from(n).ok());
    long.filter(|n| (1..=MOST_DIMENSIONS).contains(n))
        .ok_or_else(|| format!("dimensions must lie between 1 and {MOST_DIMENSIONS}"))
}

fn counted(texts: &[String]) -> u64 {
    texts.iter().map(|text| words::count(text)).sum()
}

/// The vector of a text, of length 1.
pub(super) fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    let seed = blake3::hash(text.as_bytes());
    let seed = seed
        .as_bytes()
        .first_chunk()
        .map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let drawn = (0..)
        .take(dimensions)
        .map(|index| words::draw(seed, index) - 0.5);
    let drawn: Vec<f64> = drawn.collect();
    let length = drawn
        .iter()
        .map(|n| n * n)
        .sum::<f64>()
        .sqrt()
        .max(f64::MIN_POSITIVE);
    #[expect(clippy::cast_possible_truncation, reason = "half the digits will do")]
    let shortened = drawn.iter().map(|n| (n / length) as f32);
    shortened.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(asked: &Vectors, body: &Value) -> Result<Value, String> {
        answer(asked, body.to_string().as_bytes())
    }

    #[test]
    fn the_same_text_has_the_same_vector_everywhere() {
        let openai = asked(&Vectors::OpenAi, &json!({"input": "x", "model": "m"})).unwrap();
        let ollama = asked(&Vectors::Ollama, &json!({"input": ["x"], "model": "m"})).unwrap();
        assert_eq!(openai["data"][0]["embedding"], ollama["embeddings"][0]);
        let batch = Vectors::Gemini {
            model: "m".to_owned(),
            batch: true,
        };
        let request = json!({"model": "models/m", "content": {"parts": [{"text": "x"}]}});
        let gemini = asked(&batch, &json!({"requests": [request]})).unwrap();
        assert_eq!(gemini["embeddings"][0]["values"], ollama["embeddings"][0]);
        let body = json!({"input": "x", "model": "m", "encoding_format": "base64"});
        let coded = asked(&Vectors::OpenAi, &body).unwrap();
        assert!(coded["data"][0]["embedding"].is_string());
    }

    #[test]
    fn what_an_upstream_refuses_is_refused() {
        assert!(asked(&Vectors::OpenAi, &json!({"input": []})).is_err());
        assert!(asked(&Vectors::OpenAi, &json!({"input": "x", "dimensions": 0})).is_err());
        assert!(asked(&Vectors::Ollama, &json!({"input": [[1, 2]]})).is_err());
        assert!(asked(&Vectors::OpenAi, &json!({"input": [[1, 2]]})).is_ok());
    }
}
