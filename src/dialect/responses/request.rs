//! A request, as a chat request with itself beside it.
//!
//! What a chat has no field for is kept beside its fields ([`Native::beside`]), so that two requests
//! that differ in it are two requests for the cache and for whoever would read a running answer along.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::items::Conversation;
use super::object::Echo;
use crate::dialect::carry::Native;
use crate::dialect::json::{Object, raw};
use crate::dialect::lost::{Lost, shown};
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

/// Fields that change no answer but stand in it: nobody is to read another request's there.
const TOLD_BACK: [&str; 3] = ["metadata", "prompt_cache_key", "service_tier"];
/// Where seals of others' thinking stand beside a chat: no field of a request has this name.
const SEALS: &str = "input[type=reasoning].encrypted_content";

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
    let mut out = Translation::default();
    out.conversation(&object)?;
    out.tools(&object)?;
    out.limits(&object)?;
    out.reasoning(&object)?;
    out.text(&object)?;
    out.rest(&object)?;
    let echo = Echo::of(&object);
    let native = Native {
        dialect: Dialect::Responses,
        object,
        beside: out.beside,
        headers: Arc::from([]),
        uncarried: out.lost,
    };
    let chat = ChatBody::from_object(out.chat).map_err(in_its_words)?;
    Ok(Inbound {
        chat: chat.with_native(native),
        echo,
    })
}

/// The messages; a request whose whole matter is remembered elsewhere shows an empty one.
fn shown_messages(messages: &[Object]) -> Box<RawValue> {
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

/// What has been written so far.
#[derive(Default)]
struct Translation {
    chat: Object,
    /// What tells this request from others and has no field in a chat.
    beside: Object,
    lost: Lost,
}

impl Translation {
    fn keep_beside(&mut self, name: &str, object: &Object) {
        if let Some(value) = stated(object, name) {
            self.beside.set(name, value.to_owned());
        }
    }

    fn conversation(&mut self, object: &Object) -> Result<(), BadRequest> {
        let mut conversation = Conversation::default();
        conversation.system(text(object, "instructions")?);
        input(object, &mut conversation)?;
        let told = conversation.end();
        self.lost = told.lost;
        if !told.seals.is_empty() {
            self.beside.set(SEALS, raw(&told.seals));
        }
        for name in SAME {
            if let Some(value) = stated(object, name) {
                self.chat.set(name, value.to_owned());
            }
        }
        let remembers = |name: &&str| stated(object, name).is_some();
        let elsewhere = self.lost.parts().iter().any(|part| part.essential);
        if told.messages.is_empty() && !elsewhere && !REMEMBERED.iter().any(remembers) {
            return Err(BadRequest::Missing("input"));
        }
        self.chat.set("messages", shown_messages(&told.messages));
        if flag(object, "stream")? {
            self.chat.set("stream", raw(&true));
        }
        Ok(())
    }

    fn tools(&mut self, object: &Object) -> Result<(), BadRequest> {
        let tools: Vec<Object> = value(object, "tools", "an array of tools")?.unwrap_or_default();
        let mut functions = Vec::with_capacity(tools.len());
        for tool in &tools {
            match kind(tool).as_str() {
                "function" => functions.push(function(tool)?),
                other => self.lost.essential(format!("tools[type={}]", shown(other))),
            }
            let said = tool.iter().filter(|(_, given)| given.get() != "null");
            let known = |name: &str| name == "type" || FUNCTION.contains(&name);
            for (name, _) in said.filter(|(name, _)| !known(name)) {
                self.lost.droppable(format!("tools[].{}", shown(name)));
                self.keep_beside("tools", object);
            }
        }
        if !functions.is_empty() {
            self.chat.set("tools", list(&functions));
        }
        self.tool_choice(object)
    }

    fn tool_choice(&mut self, object: &Object) -> Result<(), BadRequest> {
        let Some(choice) = stated(object, "tool_choice") else {
            return Ok(());
        };
        if choice.get().starts_with('"') {
            self.chat.set("tool_choice", choice.to_owned());
            return Ok(());
        }
        let named: Object = serde_json::from_str(choice.get())
            .map_err(|_| field("tool_choice", "must be a string or an object"))?;
        match (kind(&named).as_str(), named.get("name")) {
            ("function", Some(name)) => {
                let name: Object = object_of([("name", name.to_owned())]);
                let choice = object_of([("type", raw("function")), ("function", one(&name))]);
                self.chat.set("tool_choice", one(&choice));
            }
            (other, _) => {
                let param = format!("tool_choice[type={}]", shown(other));
                self.lost.essential(param);
            }
        }
        Ok(())
    }

    fn limits(&mut self, object: &Object) -> Result<(), BadRequest> {
        let most: Option<u64> = value(object, "max_output_tokens", "a positive integer")?;
        match most {
            Some(0) => Err(field("max_output_tokens", "must be a positive integer")),
            Some(most) => {
                self.chat.set("max_completion_tokens", raw(&most));
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn reasoning(&mut self, object: &Object) -> Result<(), BadRequest> {
        let wanted: Object = value(object, "reasoning", "an object")?.unwrap_or_default();
        for (name, given) in wanted.iter().filter(|(_, given)| given.get() != "null") {
            if name == "effort" {
                self.chat.set("reasoning_effort", given.to_owned());
                continue;
            }
            self.lost.droppable(format!("reasoning.{}", shown(name)));
            self.keep_beside("reasoning", object);
        }
        Ok(())
    }

    fn text(&mut self, object: &Object) -> Result<(), BadRequest> {
        let text: Object = value(object, "text", "an object")?.unwrap_or_default();
        for (name, given) in text.iter().filter(|(_, given)| given.get() != "null") {
            match name {
                "verbosity" => self.chat.set("verbosity", given.to_owned()),
                "format" => {
                    let format: Object = serde_json::from_str(given.get())
                        .map_err(|_| field("text.format", "must be an object"))?;
                    self.format(&format);
                }
                other => {
                    self.lost.droppable(format!("text.{}", shown(other)));
                    self.keep_beside("text", object);
                }
            }
        }
        Ok(())
    }

    fn format(&mut self, format: &Object) {
        match kind(format).as_str() {
            "text" => {}
            "json_object" => self.chat.set("response_format", one(format)),
            "json_schema" => {
                let mut schema = format.clone();
                schema.remove("type");
                let wanted = [("type", raw("json_schema")), ("json_schema", one(&schema))];
                self.chat.set("response_format", one(&object_of(wanted)));
            }
            other => {
                let param = format!("text.format[type={}]", shown(other));
                self.lost.essential(param);
            }
        }
    }

    /// Everything else the body says.
    fn rest(&mut self, object: &Object) -> Result<(), BadRequest> {
        let include: Option<Vec<String>> = value(object, "include", "an array of strings")?;
        // an upstream of this dialect seals thinking only where it is asked to
        self.keep_beside("include", object);
        // every other answer of ours has it
        let further = include.unwrap_or_default().into_iter();
        for one in further.filter(|one| one != "reasoning.encrypted_content") {
            self.lost.droppable(format!("include[{}]", shown(&one)));
        }
        let cuts: Option<String> = value(object, "truncation", "`auto` or `disabled`")?;
        if cuts.is_some_and(|cuts| cuts != "disabled") {
            self.lost.droppable("truncation");
            self.keep_beside("truncation", object);
        }
        if flag(object, "background")? {
            self.lost.essential("background");
        }
        for name in TOLD_BACK {
            self.keep_beside(name, object);
        }
        for (name, given) in object.iter() {
            let known = SAME.contains(&name) || READ.contains(&name) || name == "background";
            if known || given.get() == "null" {
                continue;
            }
            match REMEMBERED.contains(&name) {
                true => self.lost.essential(shown(name)),
                false => self.lost.droppable(shown(name)),
            }
            // none of these names is among those that stand there already
            self.beside.append(name, given.to_owned());
        }
        Ok(())
    }
}

/// Fields of a function that a chat has a place for.
const FUNCTION: [&str; 4] = ["name", "description", "parameters", "strict"];

/// A function, the way a chat request has it.
fn function(tool: &Object) -> Result<Object, BadRequest> {
    if tool.read::<String>("name").is_none() {
        return Err(field("tools", "holds a function without a name"));
    }
    let parts = FUNCTION.into_iter().filter_map(|name| {
        let value = stated(tool, name)?;
        Some((name, value.to_owned()))
    });
    let function = object_of(parts);
    Ok(object_of([
        ("type", raw("function")),
        ("function", one(&function)),
    ]))
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
