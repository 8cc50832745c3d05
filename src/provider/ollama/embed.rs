//! Vectors from `/api/embed`.

use serde::Deserialize;

use super::{Ollama, refused};
use crate::dialect::json::{Object, raw};
use crate::provider::limits::Watch;
use crate::provider::vectors;
use crate::provider::wire::Post;
use crate::provider::wire::body::Body;
use crate::provider::{EmbedCall, Failure};
use crate::types::{Embeddings, Inputs, Usage};

#[derive(Deserialize)]
struct Answered {
    #[serde(default)]
    model: Option<String>,
    embeddings: Vec<Vec<f32>>,
    #[serde(default)]
    prompt_eval_count: Option<u64>,
}

/// One try.
pub(super) async fn embed(upstream: &Ollama, call: &EmbedCall) -> Result<Embeddings, Failure> {
    let Inputs::Texts(texts) = call.inputs.as_ref() else {
        let message = "this upstream embeds texts, not token ids";
        return Err(refused(message.to_owned(), "input"));
    };
    let watch = Watch::start(call.timeouts, false);
    let post = Post {
        path: "/api/embed".into(),
        body: body(upstream, call, texts),
        stream: false,
        traceparent: call.traceparent.as_deref(),
        headers: Vec::new(),
    };
    let response = upstream.wire.send(post, &watch).await?;
    let raw = Body::of(response, watch).whole().await?;
    let read: Answered = serde_json::from_slice(&raw)
        .map_err(|error| vectors::garbled(&raw, error).struck(&upstream.wire.key))?;
    Ok(Embeddings {
        model: read.model.unwrap_or_default(),
        vectors: vectors::checked(read.embeddings, texts.len())?,
        usage: read.prompt_eval_count.map(|count| Usage::new(count, 0)),
    })
}

fn body(upstream: &Ollama, call: &EmbedCall, texts: &[String]) -> Vec<u8> {
    let mut body = Object::default();
    body.set("model", raw(upstream.asked(&call.model)));
    body.set("input", raw(texts));
    // else a text too long for the model is cut, and nobody is told
    body.set("truncate", raw(&false));
    if let Some(dimensions) = call.dimensions {
        body.set("dimensions", raw(&dimensions));
    }
    if !upstream.options.is_empty() {
        body.set("options", raw(&upstream.options));
    }
    body.to_bytes()
}
