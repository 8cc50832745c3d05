//! Parts of an OpenAI-shaped message as content blocks.

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::{Untranslatable, cannot};
use crate::dialect::json::raw;

/// One thing said.
pub(super) enum Said {
    /// A message's whole text, which may stand without a block.
    Plain(String),
    /// A text among other parts.
    Text(String),
    /// Anything else, written.
    Block(Box<RawValue>),
}

impl Said {
    /// It is a text without any.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Said::Plain(text) | Said::Text(text) => text.is_empty(),
            Said::Block(_) => false,
        }
    }

    /// As a block.
    pub(super) fn block(&self) -> Box<RawValue> {
        match self {
            Said::Plain(text) | Said::Text(text) => raw(&json!({"type": "text", "text": text})),
            Said::Block(block) => block.clone(),
        }
    }
}

#[derive(Deserialize)]
struct Part {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default)]
    image_url: Option<Image>,
    #[serde(default)]
    file: Option<File>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Image {
    Plain(String),
    Object { url: String },
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    filename: Option<String>,
    #[serde(default)]
    file_data: Option<String>,
}

/// What a message's content says.
pub(super) fn parts(given: Option<&RawValue>) -> Result<Vec<Said>, Untranslatable> {
    let Some(given) = given.filter(|given| given.get() != "null") else {
        return Ok(Vec::new());
    };
    if let Ok(text) = serde_json::from_str::<String>(given.get()) {
        return Ok(vec![Said::Plain(text)]);
    }
    let parts: Vec<Part> = serde_json::from_str(given.get()).map_err(|_| {
        cannot(
            "messages",
            "holds content that is neither text nor a list of parts",
        )
    })?;
    parts.into_iter().map(part).collect()
}

fn part(part: Part) -> Result<Said, Untranslatable> {
    match part.kind.as_str() {
        "text" => Ok(Said::Text(part.text.unwrap_or_default())),
        "refusal" => Ok(Said::Text(part.refusal.unwrap_or_default())),
        "image_url" => match part.image_url {
            Some(Image::Plain(url) | Image::Object { url }) => image(&url),
            None => None,
        }
        .ok_or(cannot(
            "messages",
            "holds an image that is neither a base64 `data:` uri nor an http address",
        )),
        "file" => part.file.and_then(|file| document(&file)).ok_or(cannot(
            "messages",
            "holds a file that is not a pdf as a base64 `data:` uri",
        )),
        _ => Err(cannot(
            "messages",
            "holds a part this upstream cannot be told",
        )),
    }
}

/// The media type and the data of a base64 `data:` uri.
fn data(uri: &str) -> Option<(&str, &str)> {
    let (head, data) = uri.strip_prefix("data:")?.split_once(";base64,")?;
    let media = head.split(';').next().unwrap_or(head);
    Some((media, data))
}

fn image(url: &str) -> Option<Said> {
    let source = match data(url) {
        Some((media, data)) => json!({"type": "base64", "media_type": media, "data": data}),
        None if url.starts_with("https://") || url.starts_with("http://") => {
            json!({"type": "url", "url": url})
        }
        None => return None,
    };
    let block = json!({"type": "image", "source": source});
    Some(Said::Block(raw(&block)))
}

fn document(file: &File) -> Option<Said> {
    let (media, data) = data(file.file_data.as_deref()?)?;
    if media != "application/pdf" {
        return None;
    }
    let source = json!({"type": "base64", "media_type": media, "data": data});
    let mut block = json!({"type": "document", "source": source});
    if let Some(name) = &file.filename {
        block["title"] = json!(name);
    }
    Some(Said::Block(raw(&block)))
}
