//! A chat request: validated where we must, opaque everywhere else.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::dialect::carry::{Native, Uncarried};
use crate::dialect::json::{JsonError, Object, raw};
use crate::dialect::lost::Lost;
use crate::types::{Dialect, Features};

/// Most messages in one request.
pub const MAX_MESSAGES: usize = 2048;
/// Most answers one request may ask for.
pub const MAX_CHOICES: u64 = 128;

/// The two names of the limit on an answer; OpenAI refuses a request that states both.
const LIMITS: [&str; 2] = ["max_completion_tokens", "max_tokens"];

/// Fields of a translated message that OpenAI's own messages do not have.
const MESSAGE_EXTRAS: [&str; 3] = ["reasoning_content", "thinking_blocks", "is_error"];

/// A request the client must change, with the field at fault in OpenAI's `param`.
#[derive(Debug, thiserror::Error)]
pub enum BadRequest {
    /// Not acceptable JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A field is missing.
    #[error("missing required field `{0}`")]
    Missing(&'static str),
    /// A field has the wrong type or an impossible value.
    #[error("field `{param}` {problem}")]
    Field {
        /// The field.
        param: &'static str,
        /// What is wrong, continuing the sentence.
        problem: String,
    },
}

impl BadRequest {
    /// The field at fault.
    pub fn param(&self) -> Option<&'static str> {
        match self {
            BadRequest::Json(_) => None,
            BadRequest::Missing(param) | BadRequest::Field { param, .. } => Some(param),
        }
    }
}

/// One message, read for routing and caching; forwarded from the raw body, never from here.
#[derive(Clone, Debug, Deserialize)]
pub struct Message {
    /// `system`, `developer`, `user`, `assistant`, `tool`, `function`.
    pub role: String,
    /// A string, an array of parts, or null.
    #[serde(default)]
    pub content: Option<Box<RawValue>>,
    /// The assistant's tool calls, raw.
    #[serde(default)]
    pub tool_calls: Option<Box<RawValue>>,
}

impl Message {
    /// Text of the content: the string, or the `text` parts joined by newlines.
    pub fn text(&self) -> String {
        #[derive(Deserialize)]
        struct Part {
            #[serde(default)]
            text: Option<String>,
        }
        let Some(content) = &self.content else {
            return String::new();
        };
        if let Ok(text) = serde_json::from_str::<String>(content.get()) {
            return text;
        }
        let parts: Vec<Part> = serde_json::from_str(content.get()).unwrap_or_default();
        let texts: Vec<String> = parts.into_iter().filter_map(|part| part.text).collect();
        texts.join("\n")
    }

    /// The content is a string, or consists of `text` parts alone.
    pub fn is_plain_text(&self) -> bool {
        let Some(content) = &self.content else {
            return false;
        };
        content.get().starts_with('"')
            || self
                .parts()
                .is_some_and(|parts| parts.iter().all(|part| part.kind == "text"))
    }

    /// The content has an image among its parts.
    pub fn has_image(&self) -> bool {
        self.parts()
            .is_some_and(|parts| parts.iter().any(|part| part.kind == "image_url"))
    }

    fn parts(&self) -> Option<Vec<Part>> {
        let content = self.content.as_ref()?.get();
        let listed = content.starts_with('[');
        listed.then(|| serde_json::from_str(content).ok()).flatten()
    }
}

#[derive(Deserialize)]
struct Part {
    #[serde(default, rename = "type")]
    kind: String,
}

/// A chat request as it came, fields in order and values raw.
#[derive(Clone, Debug)]
pub struct ChatBody {
    object: Object,
    messages: Vec<Message>,
    native: Option<Arc<Native>>,
    translated: bool,
}

/// How an OpenAI-compatible upstream is asked.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// Its name for the model.
    pub model: &'a str,
    /// The answer is to come as a stream, whatever the client said.
    pub stream: bool,
    /// It may be sent `stream_options`: without, nobody counts the tokens of a stream.
    pub counts: bool,
    /// Fields added where the request leaves them out.
    pub defaults: &'a BTreeMap<String, serde_json::Value>,
    /// What it calls the limit on an answer; said of a request that we wrote.
    pub limit: &'static str,
    /// Fields that it would refuse, of a request that we wrote.
    pub without: &'a [&'static str],
}

impl ChatBody {
    /// Parses and checks what we rely on; everything else passes through unread.
    ///
    /// # Errors
    /// [`BadRequest`] names the field at fault.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadRequest> {
        Self::from_object(Object::parse(bytes)?)
    }

    /// The same from an object already parsed or built.
    ///
    /// # Errors
    /// [`BadRequest`] names the field at fault.
    pub fn from_object(object: Object) -> Result<Self, BadRequest> {
        let given = object
            .get("messages")
            .ok_or(BadRequest::Missing("messages"))?;
        let messages: Vec<Message> = serde_json::from_str(given.get())
            .map_err(|e| field("messages", format!("must be an array of messages: {e}")))?;
        if messages.is_empty() {
            return Err(field("messages", "must not be empty".to_owned()));
        }
        if messages.len() > MAX_MESSAGES {
            return Err(field(
                "messages",
                format!("holds more than {MAX_MESSAGES} messages"),
            ));
        }
        check_scalars(&object)?;
        Ok(ChatBody {
            object,
            messages,
            native: None,
            translated: false,
        })
    }

    /// A request built from `(role, text)` pairs.
    pub fn from_messages(model: &str, messages: &[(String, String)]) -> Result<Self, BadRequest> {
        #[derive(serde::Serialize)]
        struct Plain<'a> {
            role: &'a str,
            content: &'a str,
        }
        let list: Vec<Plain<'_>> = messages
            .iter()
            .map(|(role, content)| Plain { role, content })
            .collect();
        let mut object = Object::default();
        object.set("model", raw(model));
        object.set("messages", raw(&list));
        Self::from_object(object)
    }

    /// The same request with the form it came in beside it. The OpenAI-shaped fields and what stands
    /// beside them must hold whatever tells two requests apart: the cache reads nothing else, and the
    /// rules read the fields alone.
    pub fn with_native(mut self, native: Native) -> Self {
        self.native = Some(Arc::new(native));
        self.as_translated()
    }

    /// The same request, whose OpenAI-shaped fields we wrote from another form: they are put as
    /// each upstream wants them. Those of a client that wrote them itself are sent as they came.
    pub fn as_translated(mut self) -> Self {
        self.translated = true;
        self
    }

    /// We wrote the OpenAI-shaped fields from another form.
    pub fn is_translated(&self) -> bool {
        self.translated
    }

    /// The form it came in, when that was not OpenAI Chat Completions.
    pub fn native(&self) -> Option<&Native> {
        self.native.as_deref()
    }

    /// The form it came in, when that was `dialect`.
    pub fn native_in(&self, dialect: Dialect) -> Option<&Native> {
        self.native().filter(|native| native.dialect == dialect)
    }

    /// What its translation could not carry; nothing where it needed none.
    pub fn untranslated(&self) -> &[Uncarried] {
        self.native().map_or(&[], |native| native.uncarried.parts())
    }

    /// The same, for what an upstream loses besides.
    pub fn lost(&self) -> Lost {
        let native = self.native();
        native
            .map(|native| native.uncarried.clone())
            .unwrap_or_default()
    }

    /// Raw top-level fields.
    pub fn object(&self) -> &Object {
        &self.object
    }

    /// The same request with a field set or replaced.
    pub fn with(mut self, name: &str, value: Box<RawValue>) -> Result<Self, BadRequest> {
        self.object.set(name, value);
        let (native, translated) = (self.native, self.translated);
        let body = Self::from_object(self.object)?;
        Ok(ChatBody {
            native,
            translated,
            ..body
        })
    }

    /// The messages, read.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// The `model` field; `auto` when absent.
    pub fn model(&self) -> String {
        self.object
            .read("model")
            .unwrap_or_else(|| "auto".to_owned())
    }

    /// The client wants a stream.
    pub fn wants_stream(&self) -> bool {
        self.object.read("stream").unwrap_or(false)
    }

    /// The client asked for usage in the stream.
    pub fn wants_usage(&self) -> bool {
        #[derive(Deserialize)]
        struct StreamOptions {
            #[serde(default)]
            include_usage: bool,
        }
        self.object
            .read::<StreamOptions>("stream_options")
            .is_some_and(|o| o.include_usage)
    }

    /// Sampling temperature, when stated.
    pub fn temperature(&self) -> Option<f64> {
        self.object.read("temperature")
    }

    /// `max_completion_tokens`, else `max_tokens`.
    pub fn max_tokens(&self) -> Option<u64> {
        self.object
            .read("max_completion_tokens")
            .or_else(|| self.object.read("max_tokens"))
    }

    /// How many answers are asked for; 1 when not stated.
    pub fn choices(&self) -> u64 {
        self.object.read("n").unwrap_or(1)
    }

    /// Tools (or the older functions) are offered.
    pub fn has_tools(&self) -> bool {
        let filled = |name| {
            self.object
                .get(name)
                .is_some_and(|v: &RawValue| v.get() != "null" && v.get() != "[]")
        };
        filled("tools") || filled("functions")
    }

    /// The answer is to follow a JSON schema.
    pub fn wants_json_schema(&self) -> bool {
        #[derive(Deserialize)]
        struct Format {
            #[serde(default, rename = "type")]
            kind: String,
        }
        self.object
            .read::<Format>("response_format")
            .is_some_and(|format| format.kind == "json_schema")
    }

    /// What routing reads.
    pub fn features(&self) -> Features {
        let texts: Vec<String> = self.messages.iter().map(Message::text).collect();
        let opaque: usize = ["tools", "functions", "response_format"]
            .into_iter()
            .filter_map(|name| self.object.get(name))
            .map(|value| value.get().len())
            .sum();
        let bytes: usize = texts.iter().map(|text| text.len() + 16).sum::<usize>() + opaque;
        Features {
            prompt_tokens: (bytes as u64).div_ceil(4),
            max_output_tokens: self.max_tokens(),
            text: texts.join("\n").into(),
            has_tools: self.has_tools(),
            has_images: self.messages.iter().any(Message::has_image),
            wants_json_schema: self.wants_json_schema(),
            user: self.object.read("user"),
        }
    }

    /// The body for an OpenAI-compatible upstream: our fields rewritten, the rest byte for byte.
    ///
    /// We own `model` and, on a stream, `stream_options.include_usage` (accounting needs it).
    pub fn to_upstream(&self, model: &str) -> Vec<u8> {
        self.to_upstream_as(model, self.wants_stream(), &BTreeMap::new())
    }

    /// The same, streamed or whole whatever the client said, with `defaults` added where the
    /// request leaves a field out.
    pub fn to_upstream_as(
        &self,
        model: &str,
        stream: bool,
        defaults: &BTreeMap<String, serde_json::Value>,
    ) -> Vec<u8> {
        self.to_upstream_with(&Asking {
            model,
            stream,
            counts: true,
            defaults,
            limit: "max_tokens",
            without: &[],
        })
    }

    /// The same as this upstream wants to be asked.
    pub fn to_upstream_with(&self, asking: &Asking<'_>) -> Vec<u8> {
        let mut changes: Vec<(&str, Option<Box<RawValue>>)> =
            vec![("model", Some(raw(asking.model)))];
        if asking.stream != self.wants_stream() {
            changes.push(("stream", Some(raw(&asking.stream))));
        }
        // outside a stream upstreams refuse it
        let options = (asking.stream && asking.counts).then(|| self.stream_options_with_usage());
        changes.push(("stream_options", options.flatten()));
        if self.native.is_some() {
            let plain = self.messages_without_thinking();
            changes.extend(plain.map(|messages| ("messages", Some(messages))));
        }
        if self.translated {
            changes.extend(self.limited(asking.limit));
            changes.extend(asking.without.iter().map(|name| (*name, None)));
        }
        changes.extend(self.missing(asking.defaults));
        self.object.to_bytes_with(&changes)
    }

    /// The limit on the answer under the one name that the upstream knows.
    fn limited(&self, known: &str) -> Vec<(&'static str, Option<Box<RawValue>>)> {
        let stated = |name: &&str| {
            let value = self.object.get(name)?;
            (value.get() != "null").then(|| value.to_owned())
        };
        let limit = LIMITS.iter().find_map(stated);
        let renamed = LIMITS.into_iter().map(|name| match name == known {
            true => (name, limit.clone()),
            false => (name, None),
        });
        renamed.collect()
    }

    /// Defaults for what the request leaves out.
    fn missing<'a>(
        &self,
        defaults: &'a BTreeMap<String, serde_json::Value>,
    ) -> impl Iterator<Item = (&'a str, Option<Box<RawValue>>)> {
        let owned = ["model", "stream", "stream_options", "messages"];
        let is_limited = LIMITS.iter().any(|name| self.object.get(name).is_some());
        defaults.iter().filter_map(move |(name, value)| {
            let name = name.as_str();
            let said = self.object.get(name).is_some() || (is_limited && LIMITS.contains(&name));
            (!said && !owned.contains(&name)).then(|| (name, Some(raw(value))))
        })
    }

    /// The messages of a translated request without the fields that OpenAI's own do not have, which
    /// strict upstreams refuse; `None` where no message has one.
    fn messages_without_thinking(&self) -> Option<Box<RawValue>> {
        let given = self.object.get("messages")?;
        if !MESSAGE_EXTRAS.iter().any(|name| given.get().contains(name)) {
            return None;
        }
        let messages: Vec<Object> = serde_json::from_str(given.get()).ok()?;
        let plain = messages.iter().map(|message| {
            let without: Vec<_> = MESSAGE_EXTRAS.iter().map(|name| (*name, None)).collect();
            String::from_utf8(message.to_bytes_with(&without))
                .ok()
                .and_then(|text| RawValue::from_string(text).ok())
        });
        plain.collect::<Option<Vec<_>>>().map(|plain| raw(&plain))
    }

    /// Earlier turns of a translated request hold a model's thinking.
    pub fn recalls_thinking(&self) -> bool {
        let recalls = |text: &str| {
            text.contains("\"reasoning_content\":") || text.contains("\"thinking_blocks\":")
        };
        self.native.is_some()
            && self
                .object
                .get("messages")
                .is_some_and(|m| recalls(m.get()))
    }

    fn stream_options_with_usage(&self) -> Option<Box<RawValue>> {
        let given: Option<Object> = self.object.read("stream_options");
        let options = given
            .unwrap_or_default()
            .to_bytes_with(&[("include_usage", Some(raw(&true)))]);
        String::from_utf8(options)
            .ok()
            .and_then(|text| RawValue::from_string(text).ok())
    }
}

fn field(param: &'static str, problem: String) -> BadRequest {
    BadRequest::Field { param, problem }
}

/// Checks the scalars we read; absent and null are fine.
fn check_scalars(object: &Object) -> Result<(), BadRequest> {
    fn check<T: serde::de::DeserializeOwned>(
        object: &Object,
        param: &'static str,
        expected: &str,
    ) -> Result<Option<T>, BadRequest> {
        match object.get(param) {
            None => Ok(None),
            Some(value) if value.get() == "null" => Ok(None),
            Some(value) => serde_json::from_str(value.get())
                .map(Some)
                .map_err(|_| field(param, format!("must be {expected}"))),
        }
    }
    check::<String>(object, "model", "a string")?;
    check::<bool>(object, "stream", "true or false")?;
    for param in ["max_tokens", "max_completion_tokens"] {
        check::<u64>(object, param, "a non-negative integer")?;
    }
    let temperature: Option<f64> = check(object, "temperature", "a number")?;
    if temperature.is_some_and(|t| !(0.0..=2.0).contains(&t)) {
        return Err(field("temperature", "must lie between 0 and 2".to_owned()));
    }
    let choices: Option<u64> = check(object, "n", "a positive integer")?;
    if choices.is_some_and(|n| n == 0 || n > MAX_CHOICES) {
        return Err(field("n", format!("must lie between 1 and {MAX_CHOICES}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
