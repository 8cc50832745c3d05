//! Recorded answers, and inputs that once broke something.

use anyhow::Context;
use http::Method;
use llm_router::provider::demo::trouble::{Trouble, Wait};
use serde_json::{Value, json};

use super::{Target, folder};
use crate::client::Client;
use crate::upstream::Upstream;

/// Most files of one target.
const MOST_FILES: usize = 500;

/// One file.
pub(super) struct Kept {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
    /// An answer recorded as a stream, or as a whole one; `None` for anything else.
    pub(super) stream: Option<bool>,
}

/// Everything recorded for a target; targets of the same bytes share them.
pub(super) fn read(target: Target) -> anyhow::Result<Vec<Kept>> {
    let folders: &[Target] = match target {
        Target::Sse => &[
            Target::Sse,
            Target::OpenAi,
            Target::Responses,
            Target::Anthropic,
            Target::Gemini,
        ],
        Target::Lines => &[Target::Lines, Target::Ollama],
        Target::Json => &[Target::Json, Target::OpenAi, Target::Gemini],
        Target::Events => &[Target::Events, Target::OpenAi],
        Target::OpenAi => &[Target::OpenAi],
        Target::Responses => &[Target::Responses],
        Target::Anthropic => &[Target::Anthropic],
        Target::Gemini => &[Target::Gemini],
        Target::Ollama => &[Target::Ollama],
        Target::Errors => &[Target::Errors],
        Target::Vectors => &[Target::Vectors],
    };
    let mut corpus = Vec::new();
    for folder_of in folders {
        let folder = folder().join(folder_of.name());
        let Ok(files) = std::fs::read_dir(&folder) else {
            continue;
        };
        let mut paths: Vec<_> = files.flatten().map(|file| file.path()).collect();
        paths.sort();
        for path in paths.into_iter().take(MOST_FILES) {
            let name = path.display().to_string();
            let bytes = std::fs::read(&path).with_context(|| name.clone())?;
            let stream = match path.extension().and_then(|form| form.to_str()) {
                Some("stream") => Some(true),
                Some("whole") => Some(false),
                _ => None,
            };
            corpus.push(Kept {
                name,
                bytes,
                stream,
            });
        }
    }
    anyhow::ensure!(!corpus.is_empty(), "no corpus for {}", target.name());
    Ok(corpus)
}

/// A short name for an input.
pub(super) fn digest(input: &[u8]) -> u64 {
    use std::hash::{Hash, Hasher};
    // the same in every process, for files are named by it
    let mut hasher = std::hash::DefaultHasher::new();
    input.hash(&mut hasher);
    hasher.finish()
}

/// Writes down what the scripted upstream says in every dialect.
///
/// # Errors
/// When it does not answer or a file cannot be written.
pub async fn record() -> anyhow::Result<usize> {
    let upstream = Upstream::start().await?;
    let client = Client::new(&upstream.addr().to_string())?;
    let mut written = 0;
    for target in [
        Target::OpenAi,
        Target::Responses,
        Target::Anthropic,
        Target::Gemini,
        Target::Ollama,
    ] {
        let folder = folder().join(target.name());
        std::fs::create_dir_all(&folder)?;
        for model in ["echo", "parallel", "thinking"] {
            for stream in [false, true] {
                let (path, body) = ask(target, model, stream);
                let request = request(&client, &path, &body);
                let answer = request.send().await?.error_for_status()?;
                let form = if stream { "stream" } else { "whole" };
                let file = folder.join(format!("{model}.{form}"));
                std::fs::write(file, answer.bytes().await?)?;
                written += 1;
            }
        }
    }
    Ok(written + record_errors(&upstream, &client).await? + record_vectors(&client).await?)
}

/// What every dialect says when it refuses.
async fn record_errors(upstream: &Upstream, client: &Client) -> anyhow::Result<usize> {
    let folder = folder().join(Target::Errors.name());
    std::fs::create_dir_all(&folder)?;
    let patience = Trouble::Status {
        status: 429,
        wait: Wait::Body(7),
    };
    let mut written = 0;
    for (name, trouble) in [
        ("patience", patience),
        ("length", Trouble::ContextLength),
        ("refused", Trouble::Refused),
        ("page", Trouble::Page { status: 502 }),
    ] {
        for target in [
            Target::OpenAi,
            Target::Anthropic,
            Target::Gemini,
            Target::Ollama,
        ] {
            upstream.set_fault(trouble);
            let (path, body) = ask(target, "echo", false);
            let answer = request(client, &path, &body).send().await?.bytes().await?;
            std::fs::write(folder.join(format!("{name}.{}", target.name())), answer)?;
            written += 1;
        }
    }
    upstream.heal();
    Ok(written)
}

/// Two vectors in each dialect that has them.
async fn record_vectors(client: &Client) -> anyhow::Result<usize> {
    let folder = folder().join(Target::Vectors.name());
    std::fs::create_dir_all(&folder)?;
    let part = |text: &str| {
        json!({"model": "models/echo", "outputDimensionality": 4,
        "content": {"parts": [{"text": text}]}})
    };
    let asked = [
        (
            Target::OpenAi,
            "/v1/embeddings",
            json!({"model": "echo", "input": ["x", "y"], "dimensions": 4}),
        ),
        (
            Target::Gemini,
            "/v1beta/models/echo:batchEmbedContents",
            json!({"requests": [part("x"), part("y")]}),
        ),
        (
            Target::Ollama,
            "/api/embed",
            json!({"model": "echo", "input": ["x", "y"], "dimensions": 4}),
        ),
    ];
    let written = asked.len();
    for (target, path, body) in asked {
        let request = request(client, path, &body);
        let answer = request.send().await?.error_for_status()?;
        std::fs::write(folder.join(target.name()), answer.bytes().await?)?;
    }
    Ok(written)
}

/// With the headers that any of the dialects asks for.
fn request(client: &Client, path: &str, body: &Value) -> reqwest::RequestBuilder {
    client
        .request(Method::POST, path)
        .header("x-api-key", "k")
        .header("x-goog-api-key", "k")
        .header("anthropic-version", "2023-06-01")
        .json(body)
}

fn ask(target: Target, model: &str, stream: bool) -> (String, Value) {
    let text = "grüß dich, “world” 🌍";
    let said = json!([{"role": "user", "content": text}]);
    let schema =
        json!({"type": "object", "required": ["q"], "properties": {"q": {"type": "string"}}});
    match target {
        Target::Anthropic => (
            "/v1/messages".to_owned(),
            json!({"model": model, "max_tokens": 99, "messages": said, "stream": stream,
                "tools": [{"name": "f", "input_schema": schema}]}),
        ),
        Target::Gemini => {
            let verb = match stream {
                true => "streamGenerateContent?alt=sse",
                false => "generateContent",
            };
            let tools = json!([{"functionDeclarations": [{"name": "f", "parameters": schema}]}]);
            let contents = json!([{"role": "user", "parts": [{"text": text}]}]);
            let body = json!({"contents": contents, "tools": tools});
            (format!("/v1beta/models/{model}:{verb}"), body)
        }
        Target::Responses => {
            let tool = json!({"type": "function", "name": "f", "parameters": schema});
            let body = json!({"model": model, "input": text, "stream": stream, "tools": [tool]});
            ("/v1/responses".to_owned(), body)
        }
        Target::OpenAi
        | Target::Ollama
        | Target::Sse
        | Target::Lines
        | Target::Json
        | Target::Events
        | Target::Errors
        | Target::Vectors => {
            let native = target == Target::Ollama;
            let path = if native {
                "/api/chat"
            } else {
                "/v1/chat/completions"
            };
            let tool = json!({"type": "function", "function": {"name": "f", "parameters": schema}});
            let body = json!({"model": model, "messages": said, "stream": stream, "tools": [tool],
                "stream_options": {"include_usage": true}});
            (path.to_owned(), body)
        }
    }
}
