//! `generationConfig`: sampling, limits, the answer's form, thinking.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::Generation;
use super::request::BODY_OPTIONS;
use crate::dialect::json::{Object, raw};
use crate::dialect::lost::{Lost, shown};

/// What is told under another name, or under the same.
const RENAMED: [(&str, &str); 6] = [
    ("temperature", "temperature"),
    ("top_p", "topP"),
    ("top_k", "topK"),
    ("seed", "seed"),
    ("presence_penalty", "presencePenalty"),
    ("frequency_penalty", "frequencyPenalty"),
];

fn stated<'a>(given: &'a Object, name: &str) -> Option<&'a RawValue> {
    given.get(name).filter(|value| value.get() != "null")
}

/// The settings of a request to `model`; `defaults` are configured, the request's own win.
pub(super) fn read(
    given: &Object,
    model: &str,
    defaults: &BTreeMap<String, Value>,
    lost: &mut Lost,
) -> Object {
    let mut settings = Object::default();
    for (name, value) in defaults {
        if !BODY_OPTIONS.contains(&name.as_str()) {
            settings.set(name, raw(value));
        }
    }
    for (ours, theirs) in RENAMED {
        if let Some(value) = stated(given, ours) {
            settings.set(theirs, value.to_owned());
        }
    }
    let limit = stated(given, "max_completion_tokens").or_else(|| stated(given, "max_tokens"));
    if let Some(limit) = limit {
        settings.set("maxOutputTokens", limit.to_owned());
    }
    match stated(given, "stop") {
        Some(stop) if stop.get().starts_with('"') => settings.set("stopSequences", raw(&[stop])),
        Some(stop) => settings.set("stopSequences", stop.to_owned()),
        None => {}
    }
    format(given, &mut settings, lost);
    if let Some(thinking) = thinking(given, model, lost) {
        settings.set("thinkingConfig", raw(&thinking));
    }
    settings
}

fn format(given: &Object, settings: &mut Object, lost: &mut Lost) {
    #[derive(Deserialize)]
    struct ResponseFormat<'a> {
        #[serde(rename = "type")]
        kind: String,
        #[serde(default, borrow)]
        json_schema: Option<JsonSchema<'a>>,
    }
    #[derive(Deserialize)]
    struct JsonSchema<'a> {
        #[serde(default, borrow)]
        schema: Option<&'a RawValue>,
    }
    let Some(text) = stated(given, "response_format") else {
        return;
    };
    let read: Option<ResponseFormat<'_>> = serde_json::from_str(text.get()).ok();
    let json = raw("application/json");
    match read.as_ref().map(|format| format.kind.as_str()) {
        Some("text") => {}
        Some("json_object") => settings.set("responseMimeType", json),
        Some("json_schema") => {
            settings.set("responseMimeType", json);
            let schema = read.and_then(|format| format.json_schema?.schema);
            if let Some(schema) = schema {
                settings.set("responseJsonSchema", schema.to_owned());
            }
        }
        Some(_) | None => lost.droppable("response_format"),
    }
}

/// `thinkingConfig`: Google's own under `extra_body`, else OpenAI's `reasoning_effort`, else
/// Anthropic's `thinking`.
fn thinking(given: &Object, model: &str, lost: &mut Lost) -> Option<Value> {
    let own = given
        .read::<Value>("extra_body")
        .and_then(|extra| extra.pointer("/google/thinking_config").cloned());
    if let Some(Value::Object(own)) = own {
        return Some(Value::Object(own.into_iter().map(camel).collect()));
    }
    if let Some(effort) = given.read::<String>("reasoning_effort") {
        let config = effort_of(&effort, model);
        if config.is_none() {
            lost.droppable("reasoning_effort");
        }
        return config;
    }
    let thinking: Value = given.read("thinking")?;
    match (
        thinking["type"].as_str(),
        thinking["budget_tokens"].as_u64(),
    ) {
        (Some("disabled"), _) => effort_of("none", model),
        (Some("enabled"), Some(budget)) => {
            Some(json!({"thinkingBudget": budget, "includeThoughts": true}))
        }
        (Some("enabled" | "adaptive"), None) => Some(json!({"includeThoughts": true})),
        _ => {
            lost.droppable("thinking");
            None
        }
    }
}

/// An effort in Gemini's terms. Models that cannot stop thinking are told to think least.
fn effort_of(effort: &str, model: &str) -> Option<Value> {
    let pro = model.contains("pro");
    let told = match Generation::of(model) {
        Generation::Early => {
            let budget = match effort {
                "none" if pro => 128,
                "none" => 0,
                "minimal" | "low" => 1024,
                "medium" => 8192,
                "high" | "xhigh" | "max" => 24_576,
                _ => return None,
            };
            ("thinkingBudget", json!(budget))
        }
        Generation::Later | Generation::Other => {
            let level = match effort {
                "none" | "minimal" if pro => "low",
                "none" | "minimal" => "minimal",
                "low" => "low",
                "medium" => "medium",
                "high" | "xhigh" | "max" => "high",
                _ => return None,
            };
            ("thinkingLevel", json!(level))
        }
    };
    let mut config = Map::new();
    config.insert(told.0.to_owned(), told.1);
    config.insert("includeThoughts".to_owned(), json!(effort != "none"));
    Some(Value::Object(config))
}

/// `thinking_budget` → `thinkingBudget`.
fn camel((name, value): (String, Value)) -> (String, Value) {
    let mut words = name.split('_');
    let mut out = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        out.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        out.push_str(letters.as_str());
    }
    (out, value)
}

/// What else Google's own OpenAI-shaped API takes under `extra_body`, as fields of the body.
pub(super) fn extra(given: &Object, body: &mut Object, lost: &mut Lost) {
    let Some(Value::Object(extra)) = given.read::<Value>("extra_body") else {
        return;
    };
    for (name, value) in extra {
        match (name.as_str(), value) {
            ("google", Value::Object(google)) => {
                for (name, value) in google {
                    match name.as_str() {
                        "thinking_config" => {}
                        "cached_content" => body.set("cachedContent", raw(&value)),
                        "safety_settings" => body.set("safetySettings", raw(&value)),
                        name => lost.droppable(format!("extra_body.google.{}", shown(name))),
                    }
                }
            }
            (name, _) => lost.droppable(format!("extra_body.{}", shown(name))),
        }
    }
}
