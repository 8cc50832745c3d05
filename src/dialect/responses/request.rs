//! A request, as a chat request with itself beside it.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::items::Conversation;
use super::object::Echo;
use crate::dialect::carry::{Native, Uncarried};
use crate::dialect::json::{Object, raw};
use crate::dialect::openai::{BadRequest, ChatBody};
use crate::types::Dialect;

/// Most items of `input`.
const MAX_ITEMS: usize = 4096;

/// Fields that mean the same, and are called the same, in a chat request.
const SAME: [&str; 9] = [
    "model",
    "temperature",
    "top_p",
    "parallel_tool_calls",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "service_tier",
];
/// Fields read in a way of their own, and those that say nothing to a model: `store` is never done,
/// `metadata` is told back in the answer.
const READ: [&str; 13] = [
    "input",
    "instructions",
    "tools",
    "tool_choice",
    "max_output_tokens",
    "reasoning",
    "text",
    "include",
    "stream",
    "stream_options",
    "store",
    "metadata",
    "truncation",
];
/// Fields that only a server that remembers, or works on its own, can honour.
const REMEMBERED: [&str; 3] = ["previous_response_id", "conversation", "prompt"];

/// A request that was read.
#[derive(Clone, Debug)]
pub struct Inbound {
    /// The chat request, with the form it came in beside it.
    pub chat: ChatBody,
    /// What the answer repeats of it.
    pub echo: Echo,
}

/// Reads and checks a body.
///
/// # Errors
/// [`BadRequest`] names the field at fault.
pub fn read(bytes: &[u8]) -> Result<Inbound, BadRequest> {
    let object = Object::parse(bytes)?;
    let mut chat = Object::default();
    let mut conversation = Conversation::default();
    conversation.system(text(&object, "instructions")?);
    input(&object, &mut conversation)?;
    let (messages, mut uncarried) = conversation.end();
    for name in SAME {
        if let Some(value) = stated(&object, name) {
            chat.set(name, value.to_owned());
        }
    }
    tools(&object, &mut chat, &mut uncarried)?;
    limits(&object, &mut chat)?;
    reasoning(&object, &mut chat, &mut uncarried)?;
    format(&object, &mut chat, &mut uncarried)?;
    rest(&object, &mut uncarried)?;
    let remembers = uncarried.iter().any(|part| part.essential);
    if messages.is_empty() && !remembers {
        return Err(BadRequest::Missing("input"));
    }
    chat.set("messages", shown(&messages));
    if flag(&object, "stream")? {
        chat.set("stream", raw(&true));
    }
    let echo = Echo::of(&object);
    let native = Native {
        dialect: Dialect::Responses,
        object,
        headers: Arc::from([]),
        uncarried: uncarried.into(),
    };
    let chat = ChatBody::from_object(chat).map_err(in_its_words)?;
    Ok(Inbound {
        chat: chat.with_native(native),
        echo,
    })
}

/// The messages; a request whose whole matter is remembered elsewhere shows an empty one.
fn shown(messages: &[Object]) -> Box<RawValue> {
    if messages.is_empty() {
        return raw(&[serde_json::json!({"role": "user", "content": ""})]);
    }
    list(messages)
}

fn input(object: &Object, conversation: &mut Conversation) -> Result<(), BadRequest> {
    let Some(given) = stated(object, "input") else {
        return Ok(());
    };
    if given.get().starts_with('"') {
        conversation.user(given);
        return Ok(());
    }
    let items: Vec<Object> = serde_json::from_str(given.get())
        .map_err(|_| field("input", "must be a string or an array of items"))?;
    if items.len() > MAX_ITEMS {
        return Err(field("input", format!("holds more than {MAX_ITEMS} items")));
    }
    items.iter().try_for_each(|item| conversation.item(item))
}

fn tools(
    object: &Object,
    chat: &mut Object,
    uncarried: &mut Vec<Uncarried>,
) -> Result<(), BadRequest> {
    let tools: Vec<Object> = value(object, "tools", "an array of tools")?.unwrap_or_default();
    let mut functions = Vec::with_capacity(tools.len());
    for tool in &tools {
        match kind(tool).as_str() {
            "function" => functions.push(function(tool)?),
            other => uncarried.push(Uncarried::essential(format!("tools[type={}]", clip(other)))),
        }
    }
    if !functions.is_empty() {
        chat.set("tools", list(&functions));
    }
    let Some(choice) = stated(object, "tool_choice") else {
        return Ok(());
    };
    if choice.get().starts_with('"') {
        chat.set("tool_choice", choice.to_owned());
        return Ok(());
    }
    let named: Object = serde_json::from_str(choice.get())
        .map_err(|_| field("tool_choice", "must be a string or an object"))?;
    match (kind(&named).as_str(), named.get("name")) {
        ("function", Some(name)) => {
            let name: Object = object_of([("name", name.to_owned())]);
            let choice = object_of([("type", raw("function")), ("function", one(&name))]);
            chat.set("tool_choice", one(&choice));
        }
        (other, _) => {
            let param = format!("tool_choice[type={}]", clip(other));
            uncarried.push(Uncarried::essential(param));
        }
    }
    Ok(())
}

/// A function, the way a chat request has it.
fn function(tool: &Object) -> Result<Object, BadRequest> {
    if tool.read::<String>("name").is_none() {
        return Err(field("tools", "holds a function without a name"));
    }
    let parts = ["name", "description", "parameters", "strict"];
    let parts = parts.into_iter().filter_map(|name| {
        let value = stated(tool, name)?;
        Some((name, value.to_owned()))
    });
    let function = object_of(parts);
    Ok(object_of([
        ("type", raw("function")),
        ("function", one(&function)),
    ]))
}

fn limits(object: &Object, chat: &mut Object) -> Result<(), BadRequest> {
    let most: Option<u64> = value(object, "max_output_tokens", "a positive integer")?;
    match most {
        Some(0) => Err(field("max_output_tokens", "must be a positive integer")),
        Some(most) => {
            chat.set("max_completion_tokens", raw(&most));
            Ok(())
        }
        None => Ok(()),
    }
}

fn reasoning(
    object: &Object,
    chat: &mut Object,
    uncarried: &mut Vec<Uncarried>,
) -> Result<(), BadRequest> {
    let wanted: Object = value(object, "reasoning", "an object")?.unwrap_or_default();
    for (name, given) in wanted.iter().filter(|(_, given)| given.get() != "null") {
        match name {
            "effort" => chat.set("reasoning_effort", given.to_owned()),
            other => uncarried.push(Uncarried::droppable(format!("reasoning.{}", clip(other)))),
        }
    }
    Ok(())
}

fn format(
    object: &Object,
    chat: &mut Object,
    uncarried: &mut Vec<Uncarried>,
) -> Result<(), BadRequest> {
    let text: Object = value(object, "text", "an object")?.unwrap_or_default();
    for (name, given) in text.iter().filter(|(_, given)| given.get() != "null") {
        match name {
            "verbosity" => chat.set("verbosity", given.to_owned()),
            "format" => {
                let format: Object = serde_json::from_str(given.get())
                    .map_err(|_| field("text.format", "must be an object"))?;
                response_format(&format, chat, uncarried);
            }
            other => uncarried.push(Uncarried::droppable(format!("text.{}", clip(other)))),
        }
    }
    Ok(())
}

fn response_format(format: &Object, chat: &mut Object, uncarried: &mut Vec<Uncarried>) {
    match kind(format).as_str() {
        "text" => {}
        "json_object" => chat.set("response_format", one(format)),
        "json_schema" => {
            let mut schema = format.clone();
            schema.remove("type");
            let wanted = [("type", raw("json_schema")), ("json_schema", one(&schema))];
            chat.set("response_format", one(&object_of(wanted)));
        }
        other => {
            let param = format!("text.format[type={}]", clip(other));
            uncarried.push(Uncarried::essential(param));
        }
    }
}

/// Everything else the body says.
fn rest(object: &Object, uncarried: &mut Vec<Uncarried>) -> Result<(), BadRequest> {
    let include: Vec<String> = value(object, "include", "an array of strings")?.unwrap_or_default();
    // sealed thinking is always in the answer
    let further = include
        .iter()
        .filter(|one| *one != "reasoning.encrypted_content");
    uncarried.extend(further.map(|one| Uncarried::droppable(format!("include[{}]", clip(one)))));
    let cuts: Option<String> = value(object, "truncation", "`auto` or `disabled`")?;
    if cuts.is_some_and(|cuts| cuts != "disabled") {
        uncarried.push(Uncarried::droppable("truncation"));
    }
    if flag(object, "background")? {
        uncarried.push(Uncarried::essential("background"));
    }
    for (name, given) in object.iter() {
        let known = SAME.contains(&name) || READ.contains(&name) || name == "background";
        if known || given.get() == "null" {
            continue;
        }
        uncarried.push(match REMEMBERED.contains(&name) {
            true => Uncarried::essential(clip(name)),
            false => Uncarried::droppable(clip(name)),
        });
    }
    Ok(())
}

/// What is wrong with a translated field, told about the field it came from.
fn in_its_words(bad: BadRequest) -> BadRequest {
    match bad {
        BadRequest::Field {
            param: "messages",
            problem,
        } => BadRequest::Field {
            param: "input",
            problem,
        },
        BadRequest::Missing("messages") => BadRequest::Missing("input"),
        BadRequest::Json(_) | BadRequest::Missing(_) | BadRequest::Field { .. } => bad,
    }
}

pub(super) fn field(param: &'static str, problem: impl Into<String>) -> BadRequest {
    BadRequest::Field {
        param,
        problem: problem.into(),
    }
}

/// A field that is there and not null.
pub(super) fn stated<'a>(object: &'a Object, name: &str) -> Option<&'a RawValue> {
    object.get(name).filter(|value| value.get() != "null")
}

/// A field read as `T`; `None` when absent or null.
fn value<T: serde::de::DeserializeOwned>(
    object: &Object,
    param: &'static str,
    expected: &str,
) -> Result<Option<T>, BadRequest> {
    let Some(given) = stated(object, param) else {
        return Ok(None);
    };
    let read = serde_json::from_str(given.get());
    read.map(Some)
        .map_err(|_| field(param, format!("must be {expected}")))
}

fn flag(object: &Object, param: &'static str) -> Result<bool, BadRequest> {
    Ok(value(object, param, "true or false")?.unwrap_or(false))
}

fn text<'a>(object: &'a Object, param: &'static str) -> Result<Option<&'a RawValue>, BadRequest> {
    match stated(object, param) {
        Some(given) if !given.get().starts_with('"') => Err(field(param, "must be a string")),
        given => Ok(given),
    }
}

/// The `type` of a tool, an item or a part; empty for none.
pub(super) fn kind(object: &Object) -> String {
    object.read("type").unwrap_or_default()
}

/// A client's word, short enough to be told back.
pub(super) fn clip(word: &str) -> String {
    word.chars().take(64).collect()
}

/// An object of these fields.
pub(super) fn object_of<'a>(fields: impl IntoIterator<Item = (&'a str, Box<RawValue>)>) -> Object {
    let mut object = Object::default();
    for (name, value) in fields {
        object.set(name, value);
    }
    object
}

/// An object as a raw value.
pub(super) fn one(object: &Object) -> Box<RawValue> {
    written(object.to_bytes())
}

/// Objects as a raw array.
pub(super) fn list(objects: &[Object]) -> Box<RawValue> {
    let mut out = vec![b'['];
    for (at, object) in objects.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        object.write(&mut out);
    }
    out.push(b']');
    written(out)
}

/// Text that was put together from JSON and is JSON.
fn written(bytes: Vec<u8>) -> Box<RawValue> {
    let text = String::from_utf8(bytes).ok();
    let value = text.and_then(|text| RawValue::from_string(text).ok());
    value.unwrap_or_else(|| RawValue::NULL.to_owned())
}
