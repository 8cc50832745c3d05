//! Content blocks, as a client writes them.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::field;
use crate::dialect::openai::BadRequest;

/// A block of any kind.
#[derive(Deserialize)]
pub(super) struct Block<'a> {
    #[serde(rename = "type", borrow)]
    pub(super) kind: Cow<'a, str>,
    #[serde(default)]
    pub(super) text: String,
    #[serde(default)]
    pub(super) thinking: String,
    #[serde(default)]
    pub(super) signature: Option<String>,
    #[serde(default)]
    pub(super) id: Option<String>,
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default, borrow)]
    pub(super) input: Option<&'a RawValue>,
    #[serde(default)]
    pub(super) tool_use_id: Option<String>,
    #[serde(default)]
    pub(super) is_error: Option<bool>,
    #[serde(default, borrow)]
    content: Option<&'a RawValue>,
    #[serde(default, borrow)]
    source: Option<&'a RawValue>,
    #[serde(default, borrow)]
    citations: Option<&'a RawValue>,
}

/// The blocks of a content that is no plain string.
pub(super) fn blocks<'a>(
    param: &'static str,
    given: &'a RawValue,
) -> Result<Vec<Block<'a>>, BadRequest> {
    serde_json::from_str(given.get())
        .map_err(|error| field(param, format!("holds content that cannot be read: {error}")))
}

/// What a tool answered.
pub(super) struct Results {
    /// OpenAI's content: a string or text parts.
    pub(super) content: Value,
    /// Kinds of blocks it has no place for.
    pub(super) others: Vec<String>,
}

impl Block<'_> {
    /// It says where it was taken from.
    pub(super) fn cites(&self) -> bool {
        self.citations
            .is_some_and(|given| !matches!(given.get(), "null" | "[]"))
    }

    /// An image's address: its own, or its data as an address.
    pub(super) fn image(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Source {
            #[serde(rename = "type")]
            kind: String,
            #[serde(default)]
            media_type: String,
            #[serde(default)]
            data: String,
            #[serde(default)]
            url: String,
        }
        let source: Source = serde_json::from_str(self.source?.get()).ok()?;
        match source.kind.as_str() {
            "base64" => Some(format!("data:{};base64,{}", source.media_type, source.data)),
            "url" => Some(source.url),
            _ => None,
        }
    }

    /// A `tool_result`'s content.
    pub(super) fn results(&self) -> Result<Results, BadRequest> {
        let mut results = Results {
            content: Value::from(""),
            others: Vec::new(),
        };
        let Some(given) = self.content.filter(|given| given.get() != "null") else {
            return Ok(results);
        };
        if let Ok(text) = serde_json::from_str::<String>(given.get()) {
            results.content = Value::from(text);
            return Ok(results);
        }
        let mut parts = Vec::new();
        for block in blocks("messages", given)? {
            match block.kind.as_ref() {
                "text" => parts.push(json!({"type": "text", "text": block.text})),
                kind => results.others.push(kind.to_owned()),
            }
        }
        results.content = Value::from(parts);
        Ok(results)
    }
}
