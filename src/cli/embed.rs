//! `embed`: make vectors of texts.

use std::io::IsTerminal as _;
use std::path::Path;

use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use super::chat::{Manner, read_text};
use super::client::{MODEL_PATIENCE, json};
use super::output::table;
use super::{Code, Context};

/// Most bytes read from stdin: what a node takes in one request.
const MAX_INPUT_BYTES: usize = 4 << 20;
/// Numbers of a vector that a table shows.
const SHOWN: usize = 4;
/// Letters of a text that a table shows.
const SHOWN_LETTERS: usize = 40;

/// Make vectors of texts; `--output json` prints them whole.
#[derive(Clone, Debug, Args)]
pub struct Embed {
    /// Model, route or `auto`; the node's own embedder when not said.
    #[arg(short = 'm', long, default_value = "local/all-MiniLM-L6-v2")]
    pub model: String,
    /// How long the vectors are to be, where the model can choose.
    #[arg(long, value_name = "COUNT")]
    pub dimensions: Option<u32>,
    /// How to ask.
    #[command(flatten)]
    pub manner: Manner,
    /// The texts; read from stdin, one a line, when none is given or for `-`.
    pub texts: Vec<String>,
}

/// Asks and prints.
///
/// # Errors
/// The node refuses or is not there.
pub async fn run(verb: Embed, context: &Context) -> anyhow::Result<Code> {
    let texts = match verb.texts.as_slice() {
        [] => lines()?,
        [only] if only == "-" => lines()?,
        given => given.to_vec(),
    };
    let mut body = json!({"model": verb.model, "input": texts, "encoding_format": "float"});
    if let Some(dimensions) = verb.dimensions {
        body["dimensions"] = Value::from(dimensions);
    }
    let node = context.client()?;
    let request = node
        .request(Method::POST, "/v1/embeddings")
        .timeout(MODEL_PATIENCE);
    let answer = node.whole(verb.manner.apply(request.json(&body))).await?;
    let made = json(&answer)?;
    context.out.answer(&answer, || list(&texts, &made))?;
    Ok(Code::Ok)
}

fn lines() -> anyhow::Result<Vec<String>> {
    anyhow::ensure!(
        !std::io::stdin().is_terminal(),
        "say something: llm-router embed \"hello\", or pipe texts in, one a line"
    );
    let text = read_text(Path::new("-"), MAX_INPUT_BYTES)?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    Ok(lines.map(str::to_owned).collect())
}

fn list(texts: &[String], made: &Value) -> String {
    let data = made["data"].as_array().into_iter().flatten();
    let rows = texts.iter().zip(data).map(|(text, one)| {
        let vector = one["embedding"].as_array().map_or(&[][..], Vec::as_slice);
        let shown: Vec<String> = vector
            .iter()
            .take(SHOWN)
            .map(|number| format!("{:.4}", number.as_f64().unwrap_or_default()))
            .collect();
        let mut beginning: String = text.chars().take(SHOWN_LETTERS).collect();
        if beginning.len() < text.len() {
            beginning.push('…');
        }
        [
            beginning,
            vector.len().to_string(),
            format!("{} …", shown.join(" ")),
        ]
    });
    table(["TEXT", "NUMBERS", "VECTOR"], rows)
}
