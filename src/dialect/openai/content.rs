//! The content of a message or delta: a text, or parts of several kinds, as some servers write it.

use serde_json::Value;
use serde_json::value::RawValue;

/// A piece of content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Text(String),
    Thinking(String),
}

/// What `content` says. Parts that are neither text nor thinking say nothing here.
///
/// # Errors
/// A text that is none, such as half a surrogate pair.
pub(crate) fn pieces(content: Option<&RawValue>) -> Result<Vec<Piece>, serde_json::Error> {
    let Some(content) = content.map(RawValue::get) else {
        return Ok(Vec::new());
    };
    if content.starts_with('"') {
        let text: String = serde_json::from_str(content)?;
        return Ok(Vec::from_iter(
            (!text.is_empty()).then_some(Piece::Text(text)),
        ));
    }
    let mut pieces = Vec::new();
    read(&serde_json::from_str(content)?, Piece::Text, &mut pieces);
    Ok(pieces)
}

/// The text of `content` alone.
///
/// # Errors
/// As [`pieces`].
pub(crate) fn text(content: Option<&RawValue>) -> Result<String, serde_json::Error> {
    let texts = pieces(content)?
        .into_iter()
        .filter_map(|piece| match piece {
            Piece::Text(text) => Some(text),
            Piece::Thinking(_) => None,
        });
    Ok(texts.collect())
}

/// Thinking holds a text, or parts of its own.
fn read(given: &Value, kind: fn(String) -> Piece, pieces: &mut Vec<Piece>) {
    match given {
        Value::String(text) if text.is_empty() => {}
        Value::String(text) => pieces.push(kind(text.clone())),
        Value::Array(parts) => parts.iter().for_each(|part| read(part, kind, pieces)),
        Value::Object(part) => match (part.get("thinking"), part.get("text")) {
            (Some(thinking), _) => read(thinking, Piece::Thinking, pieces),
            (None, Some(text)) => read(text, kind, pieces),
            (None, None) => {}
        },
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
