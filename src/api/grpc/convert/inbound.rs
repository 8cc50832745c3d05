//! A request of ours from the message and the metadata beside it; the message wins.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use llm_router_proto::llm_router::v1;
use serde_json::{Map, Value, json};

use super::json::object as json_object;
use super::{bad, cache_mode, priority};
use crate::api::grpc::deadline::Deadline;
use crate::api::options::{MAX_TAG_BYTES, MAX_TAGS, MAX_TIMEOUT, Options};
use crate::dialect::json::{Object, raw};
use crate::dialect::openai::ChatBody;
use crate::error::Error;
use crate::types::{ChatRequest, Moment, TenantId};

/// What a call says beside its message.
#[derive(Clone, Debug)]
pub(in crate::api::grpc) struct Call<'a> {
    /// Who pays.
    pub(in crate::api::grpc) tenant: TenantId,
    /// Its metadata.
    pub(in crate::api::grpc) headers: &'a HeaderMap,
    /// Its `grpc-timeout`.
    pub(in crate::api::grpc) deadline: Option<Deadline>,
    /// When it arrived.
    pub(in crate::api::grpc) now: Moment,
    /// It wants the answer piece by piece.
    pub(in crate::api::grpc) stream: bool,
}

/// Top-level fields that have their own place in the message, or that would change the shape of
/// the reply.
const OWNED: [&str; 15] = [
    "model",
    "messages",
    "prompt",
    "max_tokens",
    "temperature",
    "top_p",
    "stop",
    "seed",
    "tools",
    "tool_choice",
    "user",
    "n",
    "stream",
    "stream_options",
    "functions",
];

/// Checks a message and makes it a request.
///
/// # Errors
/// [`crate::Kind::InvalidRequest`] naming the field or the header.
pub(in crate::api::grpc) fn chat_request(
    asked: v1::GenerateRequest,
    call: Call<'_>,
) -> Result<ChatRequest, Error> {
    let options = Options::read(call.headers, call.now)?;
    let priority = priority(asked.priority)?.unwrap_or(options.priority);
    let cache = cache_mode(asked.cache)?.unwrap_or(options.cache);
    let deadline = deadline(asked.timeout_ms, &options, &call)?;
    let tags = tags(options.tags, &asked.tags)?;
    let body = body(asked, call.stream)?;
    Ok(ChatRequest {
        id: options.id,
        tenant: call.tenant,
        priority,
        model: body.model().into(),
        tags,
        cache,
        min_similarity: options.min_similarity,
        deadline,
        stream: call.stream,
        // the finish event carries the counts
        include_usage: call.stream,
        features: body.features(),
        body: Arc::new(body),
    })
}

/// The earliest of what the client stated; the default only where it stated nothing.
pub(super) fn deadline(
    timeout_ms: Option<u64>,
    options: &Options,
    call: &Call<'_>,
) -> Result<Moment, Error> {
    let in_metadata = call.headers.contains_key("x-llm-router-timeout-ms");
    let stated = match timeout_ms {
        Some(0) => {
            return Err(bad(
                "timeout_ms",
                "must be a positive number of milliseconds",
            ));
        }
        Some(millis) => Some(call.now + Duration::from_millis(millis).min(MAX_TIMEOUT)),
        None => in_metadata.then_some(options.deadline),
    };
    Ok(match (stated, call.deadline) {
        (Some(stated), Some(Deadline(by))) => stated.min(by),
        (None, Some(Deadline(by))) => by.min(call.now + MAX_TIMEOUT),
        (Some(stated), None) => stated,
        (None, None) => options.deadline,
    })
}

/// The metadata's tags and the message's, which win.
pub(super) fn tags(
    mut tags: Vec<(String, String)>,
    given: &BTreeMap<String, String>,
) -> Result<Vec<(String, String)>, Error> {
    tags.retain(|(name, _)| !given.contains_key(name));
    for (name, value) in given {
        if name.is_empty() || name.len() > MAX_TAG_BYTES || value.len() > MAX_TAG_BYTES {
            return Err(bad(
                "tags",
                format!("has a tag that is empty or over {MAX_TAG_BYTES} bytes"),
            ));
        }
        tags.push((name.clone(), value.clone()));
    }
    if tags.len() > MAX_TAGS {
        return Err(bad("tags", format!("has more than {MAX_TAGS} tags")));
    }
    Ok(tags)
}

fn body(asked: v1::GenerateRequest, stream: bool) -> Result<ChatBody, Error> {
    let mut object = Object::default();
    let model = if asked.model.is_empty() {
        "auto"
    } else {
        asked.model.as_str()
    };
    object.set("model", raw(model));
    object.set("messages", raw(&messages(asked.prompt, asked.messages)?));
    if stream {
        object.set("stream", raw(&true));
    }
    if let Some(tokens) = asked.max_tokens {
        object.set("max_tokens", raw(&tokens));
    }
    for (name, value, most) in [
        ("temperature", asked.temperature, 2.0),
        ("top_p", asked.top_p, 1.0),
    ] {
        let Some(value) = value else { continue };
        if !(0.0..=most).contains(&value) {
            return Err(bad(name, format!("must lie between 0 and {most}")));
        }
        object.set(name, raw(&value));
    }
    if !asked.stop.is_empty() {
        object.set("stop", raw(&asked.stop));
    }
    if let Some(seed) = asked.seed {
        object.set("seed", raw(&seed));
    }
    if !asked.tools.is_empty() {
        object.set("tools", raw(&tools(asked.tools)?));
    }
    if let Some(choice) = tool_choice(asked.tool_choice)? {
        object.set("tool_choice", raw(&choice));
    }
    if !asked.user.is_empty() {
        object.set("user", raw(&asked.user));
    }
    further_fields(&mut object, asked.provider_options)?;
    // read back from bytes, so that this door's requests meet the same limits as any other's
    Ok(ChatBody::parse(&object.to_bytes())?.as_translated())
}

fn further_fields(object: &mut Object, given: Option<prost_types::Struct>) -> Result<(), Error> {
    let Some(given) = given else { return Ok(()) };
    let fields = json_object(given).map_err(|problem| bad("provider_options", problem))?;
    for (name, value) in fields {
        if OWNED.contains(&name.as_str()) {
            return Err(bad(
                format!("provider_options.{name}"),
                "cannot be set here",
            ));
        }
        object.set(&name, raw(&value));
    }
    Ok(())
}

fn messages(prompt: String, messages: Vec<v1::Message>) -> Result<Vec<Value>, Error> {
    match (prompt.is_empty(), messages.is_empty()) {
        (true, true) => Err(bad(
            "prompt",
            "is missing, and so are `messages`: give one of them",
        )),
        (false, false) => Err(bad("prompt", "excludes `messages`: give one of them")),
        (false, true) => Ok(vec![json!({"role": "user", "content": prompt})]),
        (true, false) => messages
            .into_iter()
            .enumerate()
            .map(|(at, one)| message(at, one))
            .collect(),
    }
}

fn message(at: usize, given: v1::Message) -> Result<Value, Error> {
    if given.role.is_empty() {
        return Err(bad(format!("messages[{at}].role"), "is missing"));
    }
    let silent = given.content.is_empty() && !given.tool_calls.is_empty();
    let content = if silent {
        Value::Null
    } else {
        Value::String(given.content)
    };
    let mut message = Map::new();
    message.insert("role".to_owned(), Value::String(given.role));
    message.insert("content".to_owned(), content);
    if let Some(name) = given.name {
        message.insert("name".to_owned(), Value::String(name));
    }
    if !given.tool_calls.is_empty() {
        let calls = given.tool_calls.into_iter().map(|call| {
            let function = json!({"name": call.name, "arguments": call.arguments});
            json!({"id": call.id, "type": "function", "function": function})
        });
        message.insert("tool_calls".to_owned(), Value::Array(calls.collect()));
    }
    if let Some(id) = given.tool_call_id {
        message.insert("tool_call_id".to_owned(), Value::String(id));
    }
    Ok(Value::Object(message))
}

fn tools(given: Vec<v1::Tool>) -> Result<Vec<Value>, Error> {
    given
        .into_iter()
        .enumerate()
        .map(|(at, one)| tool(at, one))
        .collect()
}

fn tool(at: usize, given: v1::Tool) -> Result<Value, Error> {
    if given.name.is_empty() {
        return Err(bad(format!("tools[{at}].name"), "is missing"));
    }
    let mut function = Map::new();
    function.insert("name".to_owned(), Value::String(given.name));
    if let Some(description) = given.description {
        function.insert("description".to_owned(), Value::String(description));
    }
    if let Some(parameters) = given.parameters {
        let field = || format!("tools[{at}].parameters");
        let schema = json_object(parameters).map_err(|problem| bad(field(), problem))?;
        function.insert("parameters".to_owned(), Value::Object(schema));
    }
    Ok(json!({"type": "function", "function": function}))
}

fn tool_choice(given: Option<v1::ToolChoice>) -> Result<Option<Value>, Error> {
    use v1::tool_choice::Choice;
    match given.and_then(|given| given.choice) {
        None => Ok(None),
        Some(Choice::Function(name)) if name.is_empty() => {
            Err(bad("tool_choice.function", "is empty"))
        }
        Some(Choice::Function(name)) => Ok(Some(
            json!({"type": "function", "function": {"name": name}}),
        )),
        Some(Choice::Mode(mode)) => {
            let mode = v1::ToolChoiceMode::try_from(mode)
                .map_err(|_| bad("tool_choice.mode", "must be auto, none or required"))?;
            Ok(match mode {
                v1::ToolChoiceMode::Unspecified => None,
                v1::ToolChoiceMode::Auto => Some(json!("auto")),
                v1::ToolChoiceMode::None => Some(json!("none")),
                v1::ToolChoiceMode::Required => Some(json!("required")),
            })
        }
    }
}

/// The RPCs that carry a chat request have a message each, with the same fields.
macro_rules! same_fields {
    ($(#[$doc:meta])* $name:ident, $from:ty) => {
        $(#[$doc])*
        pub(in crate::api::grpc) fn $name(given: $from) -> v1::GenerateRequest {
            v1::GenerateRequest {
                prompt: given.prompt,
                messages: given.messages,
                model: given.model,
                priority: given.priority,
                max_tokens: given.max_tokens,
                temperature: given.temperature,
                top_p: given.top_p,
                stop: given.stop,
                seed: given.seed,
                tools: given.tools,
                tool_choice: given.tool_choice,
                user: given.user,
                tags: given.tags,
                cache: given.cache,
                timeout_ms: given.timeout_ms,
                provider_options: given.provider_options,
            }
        }
    };
}

same_fields! {
    /// The fields of a streamed request.
    from_stream, v1::StreamGenerateRequest
}
same_fields! {
    /// The fields of a request to explain.
    from_explain, v1::ExplainRequest
}
