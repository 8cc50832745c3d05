//! A chat request as Ollama wants it.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::dialect::json::{Object, raw};
use crate::dialect::openai::ChatBody;

/// The native API cannot carry this request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("field `{param}` {problem}")]
pub struct Untranslatable {
    /// The field at fault.
    pub param: &'static str,
    /// What is wrong, continuing the sentence; quotes nothing the user wrote.
    pub problem: &'static str,
}

const fn cannot(param: &'static str, problem: &'static str) -> Untranslatable {
    Untranslatable { param, problem }
}

/// The body for `POST /api/chat`. `defaults` are configured `options`; the request's own
/// parameters win over them, and its own `options` over both.
///
/// # Errors
/// [`Untranslatable`] where leaving something out would make the answer wrong.
pub fn to_native(
    body: &ChatBody,
    model: &str,
    stream: bool,
    defaults: &BTreeMap<String, Value>,
) -> Result<Vec<u8>, Untranslatable> {
    if body.choices() > 1 {
        return Err(cannot(
            "n",
            "must be 1: this upstream gives one answer a request",
        ));
    }
    let given = body.object();
    let mut native = Object::default();
    native.set("model", raw(model));
    native.set("messages", raw(&messages(given)?));
    native.set("stream", raw(&stream));
    let options = options(given, defaults);
    if options.iter().next().is_some() {
        native.set("options", nested(&options));
    }
    if given
        .get("tool_choice")
        .is_none_or(|choice| choice.get() != "\"none\"")
    {
        keep(given, "tools", &mut native);
    }
    if let Some(format) = format(given) {
        native.set("format", format);
    }
    if let Some(think) = think(given) {
        native.set("think", think);
    }
    keep(given, "keep_alive", &mut native);
    keep(given, "truncate", &mut native);
    Ok(native.to_bytes())
}

fn stated<'a>(given: &'a Object, name: &str) -> Option<&'a RawValue> {
    given.get(name).filter(|value| value.get() != "null")
}

fn keep(given: &Object, name: &str, native: &mut Object) {
    if let Some(value) = stated(given, name) {
        native.set(name, value.to_owned());
    }
}

fn nested(object: &Object) -> Box<RawValue> {
    String::from_utf8(object.to_bytes())
        .ok()
        .and_then(|text| RawValue::from_string(text).ok())
        .unwrap_or_else(|| RawValue::NULL.to_owned())
}

fn options(given: &Object, defaults: &BTreeMap<String, Value>) -> Object {
    let mut options = Object::default();
    for (name, value) in defaults {
        options.set(name, raw(value));
    }
    let same = [
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "seed",
        "frequency_penalty",
        "presence_penalty",
    ];
    for name in same {
        keep(given, name, &mut options);
    }
    let limit = stated(given, "max_completion_tokens").or_else(|| stated(given, "max_tokens"));
    if let Some(limit) = limit {
        options.set("num_predict", limit.to_owned());
    }
    match stated(given, "stop") {
        Some(stop) if stop.get().starts_with('"') => options.set("stop", raw(&[stop])),
        Some(stop) => options.set("stop", stop.to_owned()),
        None => {}
    }
    for (name, value) in given.read::<Object>("options").unwrap_or_default().iter() {
        options.set(name, value.to_owned());
    }
    options
}

/// `response_format`, unless the body has Ollama's own `format`.
pub(super) fn format(given: &Object) -> Option<Box<RawValue>> {
    #[derive(Deserialize)]
    struct ResponseFormat {
        #[serde(rename = "type")]
        kind: String,
        #[serde(default)]
        json_schema: Option<JsonSchema>,
    }
    #[derive(Deserialize)]
    struct JsonSchema {
        #[serde(default)]
        schema: Option<Box<RawValue>>,
    }
    if let Some(own) = stated(given, "format") {
        return Some(own.to_owned());
    }
    let format: ResponseFormat = given.read("response_format")?;
    match format.kind.as_str() {
        "json_schema" => format.json_schema.and_then(|given| given.schema),
        "json_object" => Some(raw("json")),
        _ => None,
    }
}

/// Ollama's own `think`, else OpenAI's `reasoning_effort` in Ollama's words.
fn think(given: &Object) -> Option<Box<RawValue>> {
    if let Some(own) = stated(given, "think") {
        return Some(own.to_owned());
    }
    let effort: String = given.read("reasoning_effort")?;
    Some(match effort.as_str() {
        "none" => raw(&false),
        "minimal" => raw("low"),
        "xhigh" | "max" => raw("high"),
        level => raw(level),
    })
}

/// A message as OpenAI writes it; borrowed from the body.
#[derive(Deserialize)]
struct Given<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
    #[serde(default, borrow)]
    content: Option<&'a RawValue>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    tool_call_id: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<GivenCall>>,
    #[serde(default, alias = "reasoning", alias = "thinking")]
    reasoning_content: Option<String>,
}

#[derive(Deserialize)]
struct GivenCall {
    #[serde(default)]
    id: Option<String>,
    function: GivenFunction,
}

#[derive(Deserialize)]
struct GivenFunction {
    name: String,
    #[serde(default)]
    arguments: String,
}

#[derive(Serialize)]
struct Native<'a> {
    role: &'a str,
    content: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    images: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<NativeCall>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<String>,
}

#[derive(Serialize)]
struct NativeCall {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    function: NativeFunction,
}

#[derive(Serialize)]
struct NativeFunction {
    name: String,
    arguments: Box<RawValue>,
}

fn messages(given: &Object) -> Result<Box<RawValue>, Untranslatable> {
    let text = given.get("messages").map_or("[]", RawValue::get);
    let list: Vec<Given<'_>> = serde_json::from_str(text)
        .map_err(|_| cannot("messages", "holds a message this upstream cannot be told"))?;
    // a tool's result names its call by id, Ollama wants the tool's name
    let mut tools: HashMap<String, String> = HashMap::new();
    let mut out = Vec::with_capacity(list.len());
    for message in &list {
        for call in message.tool_calls.iter().flatten() {
            if let Some(id) = &call.id {
                tools.insert(id.clone(), call.function.name.clone());
            }
        }
        out.push(translate(message, &tools)?);
    }
    Ok(raw(&out))
}

fn translate<'a>(
    given: &'a Given<'_>,
    tools: &HashMap<String, String>,
) -> Result<Native<'a>, Untranslatable> {
    let role = match given.role.as_ref() {
        "developer" => "system",
        "function" => "tool",
        role => role,
    };
    let (content, images) = content(given.content)?;
    let calls = given.tool_calls.iter().flatten();
    let tool_name = (role == "tool")
        .then(|| {
            let called = given.tool_call_id.as_ref().and_then(|id| tools.get(id));
            given.name.clone().or_else(|| called.cloned())
        })
        .flatten();
    Ok(Native {
        role,
        content,
        thinking: given.reasoning_content.clone(),
        images,
        tool_calls: calls.map(call).collect::<Result<_, _>>()?,
        tool_name,
        tool_call_id: given.tool_call_id.clone(),
    })
}

/// OpenAI's arguments are JSON in a string, Ollama's are the object itself.
fn call(given: &GivenCall) -> Result<NativeCall, Untranslatable> {
    let arguments = arguments(&given.function.arguments).ok_or(cannot(
        "messages",
        "holds a tool call whose arguments are not a JSON object",
    ))?;
    let function = NativeFunction {
        name: given.function.name.clone(),
        arguments,
    };
    Ok(NativeCall {
        id: given.id.clone(),
        function,
    })
}

/// A call's arguments, where they are an object.
pub(super) fn arguments(text: &str) -> Option<Box<RawValue>> {
    let text = match text.trim() {
        "" => "{}",
        text => text,
    };
    let value = RawValue::from_string(text.to_owned()).ok()?;
    value.get().starts_with('{').then_some(value)
}

/// Text and base64 images of a message's content.
fn content(given: Option<&RawValue>) -> Result<(String, Vec<String>), Untranslatable> {
    #[derive(Deserialize)]
    struct Part<'a> {
        #[serde(rename = "type")]
        kind: String,
        #[serde(default)]
        text: Option<String>,
        #[serde(default)]
        refusal: Option<String>,
        #[serde(default, borrow)]
        image_url: Option<&'a RawValue>,
    }
    let Some(given) = given else {
        return Ok(Default::default());
    };
    if let Ok(text) = serde_json::from_str::<String>(given.get()) {
        return Ok((text, Vec::new()));
    }
    let parts: Vec<Part<'_>> = serde_json::from_str(given.get()).map_err(|_| {
        cannot(
            "messages",
            "holds content that is neither text nor a list of parts",
        )
    })?;
    let (mut texts, mut images) = (Vec::new(), Vec::new());
    for part in parts {
        match part.kind.as_str() {
            "text" => texts.extend(part.text),
            "refusal" => texts.extend(part.refusal),
            "image_url" => images.push(image(part.image_url)?.into_owned()),
            _ => {
                return Err(cannot(
                    "messages",
                    "holds a part other than text or an image",
                ));
            }
        }
    }
    Ok((texts.join("\n"), images))
}

/// The data of an image, which Ollama takes without its kind.
pub(super) fn image(given: Option<&RawValue>) -> Result<Cow<'_, str>, Untranslatable> {
    #[derive(Deserialize)]
    struct Plain<'a>(#[serde(borrow)] Cow<'a, str>);
    #[derive(Deserialize)]
    struct Image<'a> {
        #[serde(borrow)]
        url: Cow<'a, str>,
    }
    let url = given.and_then(|given| {
        let plain = serde_json::from_str(given.get()).map(|Plain(url)| url);
        plain
            .or_else(|_| serde_json::from_str(given.get()).map(|Image { url }| url))
            .ok()
    });
    let data = |url: &str| {
        let (_, base64) = url.strip_prefix("data:")?.split_once(";base64,")?;
        Some(url.len() - base64.len())
    };
    url.and_then(|url| {
        let start = data(&url)?;
        Some(match url {
            Cow::Borrowed(url) => Cow::Borrowed(&url[start..]),
            Cow::Owned(url) => Cow::Owned(url[start..].to_owned()),
        })
    })
    .ok_or(cannot(
        "messages",
        "holds an image that is not a base64 `data:` uri",
    ))
}
