//! The parts of a message, as OpenAI writes them and as Gemini does.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::dialect::lost::{Lost, shown};

/// A piece of a turn.
#[derive(Serialize)]
pub(super) struct Part<'a> {
    #[serde(flatten)]
    pub(super) data: Held<'a>,
    #[serde(rename = "thoughtSignature", skip_serializing_if = "Option::is_none")]
    pub(super) seal: Option<String>,
}

impl<'a> From<Held<'a>> for Part<'a> {
    fn from(data: Held<'a>) -> Self {
        Part { data, seal: None }
    }
}

/// What a piece holds.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Held<'a> {
    Text(Cow<'a, str>),
    InlineData(Blob<'a>),
    FileData(Place<'a>),
    FunctionCall(Called<'a>),
    FunctionResponse(Answered<'a>),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Blob<'a> {
    mime_type: Cow<'a, str>,
    data: Cow<'a, str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Place<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    mime_type: Option<&'static str>,
    file_uri: Cow<'a, str>,
}

#[derive(Serialize)]
pub(super) struct Called<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<Cow<'a, str>>,
    pub(super) name: Cow<'a, str>,
    pub(super) args: Box<RawValue>,
}

#[derive(Serialize)]
pub(super) struct Answered<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<Cow<'a, str>>,
    pub(super) name: Cow<'a, str>,
    pub(super) response: Box<RawValue>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) parts: Vec<Part<'a>>,
}

/// A string, borrowed from the body where it holds no escapes.
#[derive(Clone, Deserialize)]
pub(super) struct Str<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

#[derive(Deserialize)]
struct Given<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default, borrow)]
    text: Option<Str<'a>>,
    #[serde(default, borrow)]
    refusal: Option<Str<'a>>,
    #[serde(default, borrow)]
    image_url: Option<&'a RawValue>,
    #[serde(default, borrow)]
    video_url: Option<&'a RawValue>,
    #[serde(default, borrow)]
    input_audio: Option<&'a RawValue>,
    #[serde(default, borrow)]
    file: Option<&'a RawValue>,
}

/// A message's content. Empty texts are left out: they say nothing, and Gemini refuses them.
pub(super) fn read<'a>(content: Option<&'a RawValue>, lost: &mut Lost) -> Vec<Held<'a>> {
    let Some(content) = content else {
        return Vec::new();
    };
    if let Ok(Str(text)) = serde_json::from_str(content.get()) {
        return one_text(text);
    }
    let Ok(given) = serde_json::from_str::<Vec<Given<'_>>>(content.get()) else {
        lost.essential("messages[].content");
        return Vec::new();
    };
    given
        .into_iter()
        .flat_map(|part| translated(part, lost))
        .collect()
}

fn one_text(text: Cow<'_, str>) -> Vec<Held<'_>> {
    let filled = (!text.is_empty()).then_some(Held::Text(text));
    filled.into_iter().collect()
}

fn translated<'a>(part: Given<'a>, lost: &mut Lost) -> Vec<Held<'a>> {
    let media = match part.kind.as_ref() {
        "text" => return part.text.map_or_else(Vec::new, |Str(text)| one_text(text)),
        "refusal" => {
            return part
                .refusal
                .map_or_else(Vec::new, |Str(text)| one_text(text));
        }
        "image_url" => part.image_url.and_then(|given| linked(given, lost)),
        "video_url" => part.video_url.and_then(|given| linked(given, lost)),
        "input_audio" => part.input_audio.and_then(audio),
        "file" => part.file.and_then(file),
        _ => None,
    };
    if media.is_none() {
        lost.essential(format!("messages[].content[type={}]", shown(&part.kind)));
    }
    media.into_iter().collect()
}

/// An address, alone or in an object.
fn linked<'a>(given: &'a RawValue, lost: &mut Lost) -> Option<Held<'a>> {
    #[derive(Deserialize)]
    struct Linked<'a> {
        #[serde(borrow)]
        url: Cow<'a, str>,
        #[serde(default, borrow)]
        detail: Option<Str<'a>>,
    }
    if let Ok(Str(url)) = serde_json::from_str(given.get()) {
        return at(url);
    }
    let linked: Linked<'_> = serde_json::from_str(given.get()).ok()?;
    if linked.detail.is_some_and(|Str(detail)| detail != "auto") {
        lost.droppable("messages[].content[].image_url.detail");
    }
    at(linked.url)
}

fn audio(given: &RawValue) -> Option<Held<'_>> {
    #[derive(Deserialize)]
    struct Audio<'a> {
        #[serde(borrow)]
        data: Cow<'a, str>,
        #[serde(borrow)]
        format: Cow<'a, str>,
    }
    let audio: Audio<'_> = serde_json::from_str(given.get()).ok()?;
    let plain = (1..=16).contains(&audio.format.len())
        && audio.format.bytes().all(|b| b.is_ascii_alphanumeric());
    plain.then(|| {
        Held::InlineData(Blob {
            mime_type: format!("audio/{}", audio.format).into(),
            data: audio.data,
        })
    })
}

/// A file that is sent along. One that OpenAI keeps under an id is nothing to Google.
fn file(given: &RawValue) -> Option<Held<'_>> {
    #[derive(Deserialize)]
    struct File<'a> {
        #[serde(borrow)]
        file_data: Cow<'a, str>,
    }
    let file: File<'_> = serde_json::from_str(given.get()).ok()?;
    at(file.file_data)
}

/// What lies at an address: the data in a `data:` URI, else the address for Google to fetch.
fn at(url: Cow<'_, str>) -> Option<Held<'_>> {
    if !url.starts_with("data:") {
        let known = ["https://", "http://", "gs://"];
        return known.iter().any(|way| url.starts_with(way)).then(|| {
            Held::FileData(Place {
                mime_type: mime_of(&url),
                file_uri: url,
            })
        });
    }
    let (head, data) = url.split_once(',')?;
    let kind = head.strip_prefix("data:")?.strip_suffix(";base64")?;
    let kind = kind.split(';').next().filter(|kind| kind.contains('/'))?;
    let (kind_end, data_start) = (5 + kind.len(), url.len() - data.len());
    Some(Held::InlineData(match url {
        Cow::Borrowed(text) => Blob {
            mime_type: Cow::Borrowed(&text[5..kind_end]),
            data: Cow::Borrowed(&text[data_start..]),
        },
        Cow::Owned(text) => Blob {
            mime_type: text[5..kind_end].to_owned().into(),
            data: text[data_start..].to_owned().into(),
        },
    }))
}

/// What an address ends in says what lies there; Google looks for itself where it says nothing.
fn mime_of(url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next()?;
    let (_, ending) = path.rsplit('/').next()?.rsplit_once('.')?;
    Some(match ending.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "heic" => "image/heic",
        "heif" => "image/heif",
        "pdf" => "application/pdf",
        "mp4" => "video/mp4",
        "webm" => "video/webm",
        "mov" => "video/quicktime",
        "mp3" => "audio/mp3",
        "wav" => "audio/wav",
        "ogg" => "audio/ogg",
        "flac" => "audio/flac",
        "txt" => "text/plain",
        _ => return None,
    })
}
