//! A chat request as Gemini wants it.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

use super::{Generation, fields, messages, settings, tools};
use crate::dialect::carry::Uncarried;
use crate::dialect::json::{Object, raw};
use crate::dialect::lost::Lost;
use crate::dialect::openai::ChatBody;

/// Configured options that are fields of the body; every other is one of `generationConfig`.
pub(super) const BODY_OPTIONS: [&str; 4] =
    ["cachedContent", "labels", "safetySettings", "serviceTier"];

/// The body for `:generateContent` and `:streamGenerateContent`. `defaults` are configured options:
/// fields of `generationConfig`, and `safetySettings`, `cachedContent`, `labels`, `serviceTier`; the
/// request's own parameters win over them.
///
/// # Errors
/// The part without which the question would be another one.
pub fn to_native(
    body: &ChatBody,
    model: &str,
    defaults: &BTreeMap<String, Value>,
) -> Result<Vec<u8>, Uncarried> {
    let mut lost = Lost::default();
    let native = translated(body, model, defaults, &mut lost);
    match lost.parts().iter().find(|part| part.essential) {
        Some(part) => Err(part.clone()),
        None => Ok(native.to_bytes()),
    }
}

/// What of a request Gemini cannot be told.
pub fn uncarried(body: &ChatBody) -> Vec<Uncarried> {
    let mut lost = body.lost();
    let given = body.object();
    asked(body, &mut lost);
    messages::read(given, Generation::Other, &mut lost);
    tools::read(given, &mut lost);
    settings::read(given, "", &BTreeMap::new(), &mut lost);
    settings::extra(given, &mut Object::default(), &mut lost);
    lost.told()
}

fn asked(body: &ChatBody, lost: &mut Lost) {
    if body.choices() > 1 {
        lost.essential("n");
    }
    fields::read(body, lost);
}

fn translated(
    body: &ChatBody,
    model: &str,
    defaults: &BTreeMap<String, Value>,
    lost: &mut Lost,
) -> Object {
    let given = body.object();
    asked(body, lost);
    let told = messages::read(given, Generation::of(model), lost);
    let mut native = Object::default();
    native.set("contents", raw(&told.contents));
    if let Some(system) = told.system {
        native.set("systemInstruction", raw(&system));
    }
    let (tools, config) = tools::read(given, lost);
    for (name, value) in [("tools", tools), ("toolConfig", config)] {
        if let Some(value) = value {
            native.set(name, value);
        }
    }
    let settings = settings::read(given, model, defaults, lost);
    if settings.iter().next().is_some() {
        native.set("generationConfig", nested(&settings));
    }
    for name in BODY_OPTIONS {
        if let Some(value) = defaults.get(name) {
            native.set(name, raw(value));
        }
    }
    settings::extra(given, &mut native, lost);
    native
}

fn nested(object: &Object) -> Box<RawValue> {
    String::from_utf8(object.to_bytes())
        .ok()
        .and_then(|text| RawValue::from_string(text).ok())
        .unwrap_or_else(|| RawValue::NULL.to_owned())
}
