//! A request of this dialect as an OpenAI-shaped one, with the form it came in beside it.
//!
//! What has no OpenAI field of its own is kept beside the others ([`Native::beside`]), so that two
//! requests that differ in it are two requests for the cache. `cache_control` alone is left out: it changes what an
//! upstream keeps, never what it answers.

mod content;
mod messages;

use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use self::messages::Reading;
use super::super::version::{BETA, VERSION, Version};
use crate::dialect::carry::Native;
use crate::dialect::json::{Object, raw};
use crate::dialect::lost::{Lost, shown};
use crate::dialect::openai::{BadRequest, ChatBody};
use crate::types::Dialect;

/// Most stop sequences of one request.
const MAX_STOPS: usize = 8192;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// An answer; `max_tokens` is required.
    Answer,
    /// The number of its tokens alone.
    Count,
}

/// Reads a request. `beta` is its `anthropic-beta` header.
///
/// # Errors
/// [`BadRequest`] names the field at fault.
pub fn to_openai(
    bytes: &[u8],
    purpose: Purpose,
    version: Version,
    beta: Option<String>,
) -> Result<ChatBody, BadRequest> {
    let mut given = Object::parse(bytes)?;
    check(&given, purpose, version)?;
    let mut out = Translation::default();
    out.same(&given);
    out.messages(&mut given, version)?;
    out.tools(&given)?;
    out.tool_choice(&given)?;
    out.shape(&given);
    out.thinking(&given);
    out.rest(&given);
    let mut headers = vec![(VERSION, version.as_str().to_owned())];
    if let Some(beta) = beta.filter(|beta| !beta.trim().is_empty()) {
        out.beside.set(BETA, raw(&beta));
        headers.push((BETA, beta));
    }
    let native = Native {
        dialect: Dialect::Anthropic,
        object: given,
        beside: out.beside,
        headers: headers.into(),
        uncarried: out.lost,
    };
    Ok(ChatBody::from_object(out.object)?.with_native(native))
}

fn field(param: &'static str, problem: impl Into<String>) -> BadRequest {
    BadRequest::Field {
        param,
        problem: problem.into(),
    }
}

/// A field that is there and not null.
fn stated<'a>(given: &'a Object, name: &str) -> Option<&'a RawValue> {
    given.get(name).filter(|value| value.get() != "null")
}

fn typed<'a, T: Deserialize<'a>>(
    given: &'a Object,
    name: &'static str,
    expected: &str,
) -> Result<Option<T>, BadRequest> {
    let read = stated(given, name).map(|value| serde_json::from_str(value.get()));
    read.transpose()
        .map_err(|_| field(name, format!("must be {expected}")))
}

fn check(given: &Object, purpose: Purpose, version: Version) -> Result<(), BadRequest> {
    let model: Option<String> = typed(given, "model", "a string")?;
    model.ok_or(BadRequest::Missing("model"))?;
    let limit: Option<u64> = typed(given, "max_tokens", "a non-negative integer")?;
    if limit.is_none() && purpose == Purpose::Answer {
        return Err(BadRequest::Missing("max_tokens"));
    }
    typed::<bool>(given, "stream", "true or false")?;
    let stops: Option<Vec<String>> = typed(given, "stop_sequences", "a list of strings")?;
    if stops.is_some_and(|stops| stops.len() > MAX_STOPS) {
        return Err(field("stop_sequences", "holds too many sequences"));
    }
    for param in ["temperature", "top_p", "top_k"] {
        let number: Option<f64> = typed(given, param, "a number")?;
        if number.is_some() && !version.samples() {
            let problem = format!("is not taken by {VERSION} {}", version.as_str());
            return Err(field(param, problem));
        }
        if param != "top_k" && number.is_some_and(|n| !(0.0..=1.0).contains(&n)) {
            return Err(field(param, "must lie between 0 and 1"));
        }
    }
    Ok(())
}

fn raw_object(object: &Object) -> Box<RawValue> {
    String::from_utf8(object.to_bytes())
        .ok()
        .and_then(|text| RawValue::from_string(text).ok())
        .unwrap_or_else(|| RawValue::NULL.to_owned())
}

#[derive(Deserialize)]
struct Tool<'a> {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default, borrow)]
    input_schema: Option<&'a RawValue>,
    #[serde(default)]
    strict: Option<bool>,
}

#[derive(Serialize)]
struct Offered<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    parameters: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

/// What has been written so far.
#[derive(Default)]
struct Translation {
    object: Object,
    /// What has no OpenAI field.
    beside: Object,
    lost: Lost,
}

impl Translation {
    /// Fields that only change their name, if that.
    fn same(&mut self, given: &Object) {
        for (theirs, ours) in [
            ("model", "model"),
            ("stream", "stream"),
            ("max_tokens", "max_tokens"),
            ("temperature", "temperature"),
            ("top_p", "top_p"),
            ("top_k", "top_k"),
            ("stop_sequences", "stop"),
        ] {
            let value = stated(given, theirs).filter(|value| value.get() != "[]");
            if let Some(value) = value {
                self.object.set(ours, value.to_owned());
            }
        }
        let metadata: Option<Object> = given.read("metadata");
        let user = metadata.as_ref().and_then(|of| stated(of, "user_id"));
        if let Some(user) = user {
            self.object.set("user", user.to_owned());
        }
        let tier: Option<String> = given.read("service_tier");
        if let Some(tier) = tier {
            let ours = if tier == "standard_only" {
                "default"
            } else {
                "auto"
            };
            self.object.set("service_tier", raw(ours));
        }
    }

    fn messages(&mut self, given: &mut Object, version: Version) -> Result<(), BadRequest> {
        let mut reading = Reading::new(version);
        reading.system(given)?;
        reading.messages(given)?;
        let unsealed = reading.unsealed;
        if !reading.lost.parts().is_empty() {
            for (name, value) in given.iter() {
                if matches!(name, "system" | "messages") {
                    self.beside.set(name, value.to_owned());
                }
            }
        }
        self.object.set("messages", raw(&reading.written));
        // messages are read before anything else is lost
        self.lost = reading.lost;
        if unsealed {
            messages::leave_out_unsealed(given);
        }
        Ok(())
    }

    fn tools(&mut self, given: &Object) -> Result<(), BadRequest> {
        let Some(tools) = typed::<Vec<&RawValue>>(given, "tools", "a list of tools")? else {
            return Ok(());
        };
        let mut offered = Vec::new();
        let mut others = Vec::new();
        for raw_tool in tools {
            let tool: Tool<'_> = serde_json::from_str(raw_tool.get())
                .map_err(|error| field("tools", format!("holds no tool: {error}")))?;
            match tool.kind.as_deref() {
                None | Some("custom") => offered.push(Offered {
                    kind: "function",
                    function: Function {
                        name: tool.name,
                        description: tool.description,
                        parameters: tool
                            .input_schema
                            .ok_or_else(|| field("tools", "holds a tool without input_schema"))?,
                        strict: tool.strict,
                    },
                }),
                Some(kind) => {
                    others.push(raw_tool);
                    self.lost.essential(format!("tools[type={}]", shown(kind)));
                }
            }
        }
        if !offered.is_empty() {
            self.object.set("tools", raw(&offered));
        }
        if !others.is_empty() {
            self.beside.set("tools", raw(&others));
        }
        Ok(())
    }

    fn tool_choice(&mut self, given: &Object) -> Result<(), BadRequest> {
        #[derive(Deserialize)]
        struct Choice {
            #[serde(rename = "type")]
            kind: String,
            #[serde(default)]
            name: Option<String>,
            #[serde(default)]
            disable_parallel_tool_use: bool,
        }
        let Some(choice) = typed::<Choice>(given, "tool_choice", "a tool choice")? else {
            return Ok(());
        };
        let ours = match (choice.kind.as_str(), choice.name) {
            ("auto", _) => json!("auto"),
            ("any", _) => json!("required"),
            ("none", _) => json!("none"),
            ("tool", Some(name)) => json!({"type": "function", "function": {"name": name}}),
            ("tool", None) => return Err(field("tool_choice", "names no tool")),
            _ => {
                return Err(field(
                    "tool_choice",
                    "must be of type auto, any, tool or none",
                ));
            }
        };
        // a tool of the upstream's own is none of those offered here
        if self.object.get("tools").is_some() {
            self.object.set("tool_choice", raw(&ours));
            if choice.disable_parallel_tool_use {
                self.object.set("parallel_tool_calls", raw(&false));
            }
        } else if let Some(value) = stated(given, "tool_choice") {
            self.beside.set("tool_choice", value.to_owned());
        }
        Ok(())
    }

    /// `output_config`, or the `output_format` it grew out of.
    fn shape(&mut self, given: &Object) {
        let config: Object = given.read("output_config").unwrap_or_default();
        let format = stated(&config, "format").or_else(|| stated(given, "output_format"));
        if let Some(format) = format {
            let read: Object = serde_json::from_str(format.get()).unwrap_or_default();
            let kind: Option<String> = read.read("type");
            match (kind.as_deref(), stated(&read, "schema")) {
                (Some("json_schema"), Some(schema)) => {
                    let mut inner = Object::default();
                    inner.set("name", raw("answer"));
                    inner.set("schema", schema.to_owned());
                    inner.set("strict", raw(&true));
                    let mut outer = Object::default();
                    outer.set("type", raw("json_schema"));
                    outer.set("json_schema", raw_object(&inner));
                    self.object.set("response_format", raw_object(&outer));
                }
                _ => self.lost.essential("output_config.format"),
            }
        }
        if let Some(effort) = stated(&config, "effort") {
            self.object.set("reasoning_effort", effort.to_owned());
        }
        let further = config
            .iter()
            .filter(|(name, value)| !matches!(*name, "format" | "effort") && value.get() != "null");
        let mut lossy = false;
        for (name, _) in further {
            lossy = true;
            self.lost
                .droppable(format!("output_config.{}", shown(name)));
        }
        if let Some(config) = stated(given, "output_config").filter(|_| lossy) {
            self.beside.set("output_config", config.to_owned());
        }
    }

    /// How much a model may think, in OpenAI's words where the request says how much.
    fn thinking(&mut self, given: &Object) {
        #[derive(Deserialize)]
        struct Thinking {
            #[serde(default, rename = "type")]
            kind: String,
            #[serde(default)]
            budget_tokens: Option<u64>,
        }
        let Some(value) = stated(given, "thinking") else {
            return;
        };
        self.beside.set("thinking", value.to_owned());
        let said = self.object.get("reasoning_effort").is_some();
        let thinking: Option<Thinking> = serde_json::from_str(value.get()).ok();
        let budget = thinking
            .as_ref()
            .and_then(|thinking| thinking.budget_tokens);
        let effort = match (thinking.as_ref().map(|thinking| &*thinking.kind), budget) {
            (Some("enabled"), Some(..4096)) => "low",
            (Some("enabled"), Some(4096..16384)) => "medium",
            (Some("enabled"), Some(16384..)) => "high",
            // as much as the effort says
            (Some("adaptive"), _) if said => return,
            _ => return self.lost.droppable("thinking"),
        };
        if !said {
            self.object.set("reasoning_effort", raw(effort));
        }
    }

    /// What is left has no place in OpenAI's dialect.
    fn rest(&mut self, given: &Object) {
        for (name, value) in given.iter() {
            if value.get() == "null" || KNOWN.contains(&name) {
                continue;
            }
            match name {
                "container" | "inference_geo" => self.lost.essential(name.to_owned()),
                "mcp_servers" if value.get() != "[]" => self.lost.essential("mcp_servers"),
                _ => self.lost.droppable(shown(name)),
            }
            // none of these names is among those that stand there already
            self.beside.append(name, value.to_owned());
        }
    }
}

/// Fields read elsewhere, and `cache_control`.
const KNOWN: [&str; 17] = [
    "cache_control",
    "max_tokens",
    "messages",
    "metadata",
    "model",
    "output_config",
    "output_format",
    "service_tier",
    "stop_sequences",
    "stream",
    "system",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
];
