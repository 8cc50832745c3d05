//! An OpenAI-shaped request as this dialect's, for an upstream that speaks it.
//!
//! A request that came in this dialect goes out as it came, with only the model's name and
//! `stream` rewritten. Of any other one, what the dialect would refuse is adapted: a temperature
//! above 1 becomes 1, white space at the end of a started answer is cut, and sampling parameters
//! are left out beside thinking and in the version that has none.

mod content;
mod messages;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::super::version::Version;
use crate::dialect::json::{Object, raw};
use crate::dialect::openai::ChatBody;
use crate::types::Dialect;

/// `max_tokens` where neither the request nor the model's options say it.
const MAX_TOKENS: u64 = 4096;
/// Least tokens an upstream lets a model think.
const MIN_BUDGET: u64 = 1024;

/// The dialect cannot carry this request.
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

/// How `reasoning_effort` is told: models differ in what they take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effort {
    /// As `output_config.effort`, with `thinking: adaptive`.
    #[default]
    Adaptive,
    /// As a number of tokens to think with.
    Budget,
    /// Not at all.
    Off,
}

/// What a model's options say about its requests.
#[derive(Clone, Copy, Debug, Default)]
pub struct Defaults {
    /// The version its upstream is asked in.
    pub version: Version,
    /// `max_tokens` where a request does not say it.
    pub max_tokens: Option<u64>,
    /// How effort is told.
    pub effort: Effort,
}

/// The body for `POST /messages`.
///
/// # Errors
/// [`Untranslatable`] where leaving something out would make the answer wrong.
pub fn to_native(
    body: &ChatBody,
    model: &str,
    stream: bool,
    defaults: &Defaults,
) -> Result<Vec<u8>, Untranslatable> {
    if let Some(native) = body.native_in(Dialect::Anthropic) {
        return Ok(as_it_came(&native.object, model, stream));
    }
    if body.choices() > 1 {
        return Err(cannot(
            "n",
            "must be 1: this upstream gives one answer a request",
        ));
    }
    let given = body.object();
    let conversation = messages::conversation(given)?;
    let limit = limit(body, defaults);
    let mut native = Object::default();
    native.set("model", raw(model));
    native.set("max_tokens", raw(&limit));
    if let Some(system) = conversation.system {
        native.set("system", system);
    }
    native.set("messages", raw(&conversation.turns));
    native.set("stream", raw(&stream));
    stops(given, &mut native);
    tools(given, &mut native)?;
    let thinks = thinking(given, &mut native, (defaults, limit, conversation.thinks));
    sampling(given, &mut native, defaults.version.samples() && !thinks);
    format(given, &mut native)?;
    about(given, &mut native);
    Ok(native.to_bytes())
}

fn limit(body: &ChatBody, defaults: &Defaults) -> u64 {
    let limit = body.max_tokens().or(defaults.max_tokens);
    limit.unwrap_or(MAX_TOKENS)
}

/// The model would be asked to think. Nothing is translated for a request that does not ask for it.
pub(in crate::dialect::anthropic) fn thinks(body: &ChatBody, defaults: &Defaults) -> bool {
    let given = body.object();
    let asked = ["thinking", "reasoning_effort"];
    if asked.iter().all(|name| stated(given, name).is_none()) {
        return false;
    }
    let mut native = Object::default();
    let Ok(conversation) = messages::conversation(given) else {
        return false;
    };
    let limit = limit(body, defaults);
    tools(given, &mut native).is_ok()
        && thinking(given, &mut native, (defaults, limit, conversation.thinks))
}

fn as_it_came(object: &Object, model: &str, stream: bool) -> Vec<u8> {
    let mut changes = vec![("model", Some(raw(model)))];
    if stream != object.read("stream").unwrap_or(false) {
        changes.push(("stream", Some(raw(&stream))));
    }
    object.to_bytes_with(&changes)
}

pub(in crate::dialect::anthropic) fn stated<'a>(
    given: &'a Object,
    name: &str,
) -> Option<&'a RawValue> {
    given.get(name).filter(|value| value.get() != "null")
}

fn stops(given: &Object, native: &mut Object) {
    match stated(given, "stop") {
        Some(stop) if stop.get().starts_with('"') => native.set("stop_sequences", raw(&[stop])),
        Some(stop) if stop.get() != "[]" => native.set("stop_sequences", stop.to_owned()),
        Some(_) | None => {}
    }
}

#[derive(Deserialize)]
struct Offered<'a> {
    #[serde(default, rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default, borrow)]
    function: Option<Function<'a>>,
}

#[derive(Deserialize)]
struct Function<'a> {
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default, borrow)]
    parameters: Option<&'a RawValue>,
    #[serde(default)]
    strict: Option<bool>,
}

#[derive(Serialize)]
struct Tool {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    input_schema: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

fn tools(given: &Object, native: &mut Object) -> Result<(), Untranslatable> {
    let Some(tools) = stated(given, "tools").filter(|tools| tools.get() != "[]") else {
        return Ok(());
    };
    let offered: Vec<Offered<'_>> = serde_json::from_str(tools.get())
        .map_err(|_| cannot("tools", "holds a tool that cannot be read"))?;
    let mut written = Vec::with_capacity(offered.len());
    for tool in offered {
        let function = tool
            .function
            .filter(|_| matches!(&*tool.kind, "function" | ""));
        let function = function.ok_or(cannot("tools", "holds a tool that is no function"))?;
        let schema = function.parameters.filter(|schema| schema.get() != "null");
        let none = || raw(&json!({"type": "object", "properties": {}}));
        written.push(Tool {
            name: function.name,
            description: function.description,
            input_schema: schema.map_or_else(none, ToOwned::to_owned),
            strict: function.strict.filter(|strict| *strict),
        });
    }
    native.set("tools", raw(&written));
    if let Some(choice) = tool_choice(given)? {
        native.set("tool_choice", raw(&choice));
    }
    Ok(())
}

fn tool_choice(given: &Object) -> Result<Option<Value>, Untranslatable> {
    let one_at_a_time = given.read("parallel_tool_calls") == Some(false);
    let choice: Option<Value> = given.read("tool_choice");
    let mut native = match choice.as_ref() {
        None if !one_at_a_time => return Ok(None),
        None => json!({"type": "auto"}),
        Some(Value::String(word)) => match word.as_str() {
            "auto" => json!({"type": "auto"}),
            "none" => return Ok(Some(json!({"type": "none"}))),
            "required" => json!({"type": "any"}),
            _ => {
                return Err(cannot(
                    "tool_choice",
                    "must be auto, none, required or a tool",
                ));
            }
        },
        Some(choice) => match choice.pointer("/function/name").and_then(Value::as_str) {
            Some(name) => json!({"type": "tool", "name": name}),
            None => return Err(cannot("tool_choice", "names no function")),
        },
    };
    if one_at_a_time {
        native["disable_parallel_tool_use"] = Value::from(true);
    }
    Ok(Some(native))
}

/// Whether the model is asked to think.
fn thinking(
    given: &Object,
    native: &mut Object,
    (defaults, limit, possible): (&Defaults, u64, bool),
) -> bool {
    let own: Option<Object> = given.read("thinking");
    if let (Some(own), Some(value)) = (own, stated(given, "thinking")) {
        native.set("thinking", value.to_owned());
        return own.read::<String>("type").as_deref() != Some("disabled");
    }
    let Some(effort) = given.read::<String>("reasoning_effort") else {
        return false;
    };
    if defaults.effort == Effort::Off {
        return false;
    }
    if effort == "none" {
        native.set("thinking", raw(&json!({"type": "disabled"})));
        return false;
    }
    // the upstream refuses to think where a tool is forced
    let forced = native
        .read::<Value>("tool_choice")
        .is_some_and(|choice| matches!(choice["type"].as_str(), Some("any" | "tool")));
    let may = possible && !forced;
    match defaults.effort {
        Effort::Off => false,
        Effort::Adaptive => {
            let effort = if effort == "minimal" { "low" } else { &effort };
            native.set("output_config", raw(&json!({"effort": effort})));
            if may {
                native.set("thinking", raw(&json!({"type": "adaptive"})));
            }
            may
        }
        Effort::Budget => {
            let wanted = match effort.as_str() {
                "minimal" => MIN_BUDGET,
                "low" => 2 * MIN_BUDGET,
                "medium" => 8 * MIN_BUDGET,
                _ => 16 * MIN_BUDGET,
            };
            // it counts towards `max_tokens`, and something must be left to say
            let budget = wanted.min(limit / 2);
            let thinks = may && budget >= MIN_BUDGET;
            if thinks {
                let thinking = json!({"type": "enabled", "budget_tokens": budget});
                native.set("thinking", raw(&thinking));
            }
            thinks
        }
    }
}

fn sampling(given: &Object, native: &mut Object, taken: bool) {
    if !taken {
        return;
    }
    if let Some(temperature) = given.read::<f64>("temperature") {
        match stated(given, "temperature") {
            Some(value) if temperature <= 1.0 => native.set("temperature", value.to_owned()),
            Some(_) | None => native.set("temperature", raw(&1)),
        }
    }
    let all = |value: &&RawValue| value.get().parse::<f64>().is_ok_and(|p| p < 1.0);
    if let Some(share) = stated(given, "top_p").filter(all) {
        native.set("top_p", share.to_owned());
    }
    if let Some(top) = stated(given, "top_k") {
        native.set("top_k", top.to_owned());
    }
}

/// A schema for the answer.
fn format(given: &Object, native: &mut Object) -> Result<(), Untranslatable> {
    let Some(format) = stated(given, "response_format") else {
        return Ok(());
    };
    let unreadable = cannot("response_format", "is no schema this upstream can be told");
    let format: Object = serde_json::from_str(format.get()).map_err(|_| unreadable.clone())?;
    match format.read::<String>("type").as_deref() {
        Some("text") => Ok(()),
        Some("json_schema") => {
            let inner: Object = format.read("json_schema").unwrap_or_default();
            let schema = stated(&inner, "schema").ok_or(unreadable)?;
            let mut wanted = Object::default();
            wanted.set("type", raw("json_schema"));
            wanted.set("schema", schema.to_owned());
            let mut config: Object = native.read("output_config").unwrap_or_default();
            config.set("format", nested(&wanted));
            native.set("output_config", nested(&config));
            Ok(())
        }
        Some(_) | None => Err(unreadable),
    }
}

/// Who asks, and how it is scheduled.
fn about(given: &Object, native: &mut Object) {
    let user: Option<String> = given
        .read("user")
        .or_else(|| given.read("safety_identifier"));
    if let Some(user) = user {
        native.set("metadata", raw(&json!({"user_id": user})));
    }
    match given.read::<String>("service_tier").as_deref() {
        Some("auto") => native.set("service_tier", raw("auto")),
        Some("default") => native.set("service_tier", raw("standard_only")),
        Some(_) | None => {}
    }
}

fn nested(object: &Object) -> Box<RawValue> {
    String::from_utf8(object.to_bytes())
        .ok()
        .and_then(|text| RawValue::from_string(text).ok())
        .unwrap_or_else(|| RawValue::NULL.to_owned())
}
