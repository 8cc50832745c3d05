//! Vectors from `/embeddings`: as numbers or, as some servers answer whatever they are asked for, in
//! base64.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::OpenAi;
use crate::dialect::json::{Object, raw};
use crate::provider::limits::Watch;
use crate::provider::vectors;
use crate::provider::wire::Post;
use crate::provider::wire::body::Body;
use crate::provider::{Class, EmbedCall, Failure};
use crate::types::{Embeddings, Inputs, Usage};

#[derive(Deserialize)]
struct Answered {
    #[serde(default)]
    model: Option<String>,
    data: Vec<Item>,
    #[serde(default)]
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    index: Option<usize>,
    embedding: Vector,
}

struct Vector(Vec<f32>);

impl<'de> Deserialize<'de> for Vector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form<'a> {
            Numbers(Vec<f32>),
            Base64(#[serde(borrow)] Cow<'a, str>),
        }
        match Form::deserialize(deserializer)? {
            Form::Numbers(numbers) => Ok(Vector(numbers)),
            Form::Base64(text) => {
                let bytes = STANDARD.decode(text.as_bytes()).map_err(D::Error::custom)?;
                let (numbers, rest) = bytes.as_chunks::<4>();
                if !rest.is_empty() {
                    return Err(D::Error::custom("base64 that holds no whole numbers"));
                }
                Ok(Vector(
                    numbers.iter().map(|b| f32::from_le_bytes(*b)).collect(),
                ))
            }
        }
    }
}

/// One try.
pub(super) async fn embed(upstream: &OpenAi, call: &EmbedCall) -> Result<Embeddings, Failure> {
    let watch = Watch::start(call.timeouts, false);
    let post = Post {
        path: upstream.manners()?.path("/embeddings"),
        body: body(upstream, call),
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
        vectors: vectors::checked(in_order(read.data)?, call.inputs.len())?,
        usage: read.usage,
    })
}

fn body(upstream: &OpenAi, call: &EmbedCall) -> Vec<u8> {
    let mut body = Object::default();
    body.set("model", raw(upstream.model_of(&call.model)));
    body.set(
        "input",
        match call.inputs.as_ref() {
            Inputs::Texts(texts) => raw(texts),
            Inputs::Tokens(lists) => raw(lists),
        },
    );
    body.set("encoding_format", raw("float"));
    if let Some(dimensions) = call.dimensions {
        body.set("dimensions", raw(&dimensions));
    }
    if let Some(user) = &call.user {
        body.set("user", raw(user.as_ref()));
    }
    for (name, value) in &upstream.options {
        if body.get(name).is_none() {
            body.set(name, raw(value));
        }
    }
    body.to_bytes()
}

/// The vectors by their index; as they came where none says one.
fn in_order(items: Vec<Item>) -> Result<Vec<Vec<f32>>, Failure> {
    let mut items: Vec<(usize, Vec<f32>)> = items
        .into_iter()
        .enumerate()
        .map(|(at, item)| (item.index.unwrap_or(at), item.embedding.0))
        .collect();
    items.sort_by_key(|(index, _)| *index);
    if items
        .iter()
        .enumerate()
        .any(|(at, (index, _))| at != *index)
    {
        let message = "upstream sent vectors whose numbers have gaps or repeat";
        return Err(Failure::new(Class::Hard, message));
    }
    Ok(items.into_iter().map(|(_, vector)| vector).collect())
}
