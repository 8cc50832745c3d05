//! Vectors from `:batchEmbedContents`.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{path, refused};
use crate::dialect::json::raw;
use crate::provider::limits::Watch;
use crate::provider::vectors;
use crate::provider::wire::body::Body;
use crate::provider::wire::{Post, Wire};
use crate::provider::{EmbedCall, Failure};
use crate::types::{Embeddings, Inputs, Usage};

/// Most texts in one request; Google refuses more.
const MAX_BATCH: usize = 100;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Asked<'a> {
    model: &'a str,
    content: Content<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_dimensionality: Option<u32>,
}

#[derive(Serialize)]
struct Content<'a> {
    parts: [Text<'a>; 1],
}

#[derive(Serialize)]
struct Text<'a> {
    text: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answered {
    embeddings: Vec<Values>,
    #[serde(default)]
    usage_metadata: Option<Counts>,
}

#[derive(Deserialize)]
struct Values {
    values: Vec<f32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Counts {
    #[serde(default)]
    prompt_token_count: Option<u64>,
}

/// One try at all inputs, as many requests as it takes, one after another under the same limits.
pub(super) async fn embed(
    wire: &Wire,
    model: &str,
    call: &EmbedCall,
) -> Result<Embeddings, Failure> {
    let Inputs::Texts(texts) = call.inputs.as_ref() else {
        let message = "this upstream embeds texts, not token ids";
        return Err(refused(message.to_owned(), "input"));
    };
    let watch = Watch::start(call.timeouts, false);
    let (mut all, mut tokens) = (Vec::with_capacity(texts.len()), None);
    for batch in texts.chunks(MAX_BATCH) {
        let post = Post {
            path: path(model, "batchEmbedContents").into(),
            body: body(model, batch, call.dimensions),
            stream: false,
            traceparent: call.traceparent.as_deref(),
            headers: Vec::new(),
        };
        let response = wire.send(post, &watch).await?;
        let raw = Body::of(response, watch.clone()).whole().await?;
        let read: Answered = serde_json::from_slice(&raw)
            .map_err(|error| vectors::garbled(&raw, error).struck(&wire.key))?;
        let given = read.embeddings.into_iter().map(|one| one.values).collect();
        all.extend(vectors::checked(given, batch.len())?);
        if let Some(count) = read.usage_metadata.and_then(|c| c.prompt_token_count) {
            tokens = Some(count.saturating_add(tokens.unwrap_or(0)));
        }
    }
    Ok(Embeddings {
        model: model.to_owned(),
        vectors: all,
        usage: tokens.map(|tokens| Usage::new(tokens, 0)),
    })
}

fn body(model: &str, texts: &[String], dimensions: Option<u32>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Batch<'a> {
        requests: Vec<Asked<'a>>,
    }
    let named = if model.contains('/') {
        model.to_owned()
    } else {
        format!("models/{model}")
    };
    let requests = texts.iter().map(|text| Asked {
        model: &named,
        content: Content {
            parts: [Text { text }],
        },
        output_dimensionality: dimensions,
    });
    let batch: Box<RawValue> = raw(&Batch {
        requests: requests.collect(),
    });
    batch.get().as_bytes().to_vec()
}
