//! A Gemini request, read as strictly as Gemini reads it: names it does not know, calls without
//! results and seals that were changed or lost are refused.

use serde_json::{Map, Value, json};

use crate::dialect::openai::ChatBody;
use crate::provider::demo::script;

const FIELDS: [&str; 10] = [
    "contents",
    "systemInstruction",
    "tools",
    "toolConfig",
    "safetySettings",
    "generationConfig",
    "cachedContent",
    "labels",
    "serviceTier",
    "store",
];

const GENERATION: [&str; 21] = [
    "temperature",
    "topP",
    "topK",
    "maxOutputTokens",
    "stopSequences",
    "candidateCount",
    "seed",
    "responseMimeType",
    "responseSchema",
    "responseJsonSchema",
    "thinkingConfig",
    "presencePenalty",
    "frequencyPenalty",
    "responseLogprobs",
    "logprobs",
    "responseModalities",
    "speechConfig",
    "imageConfig",
    "mediaResolution",
    "audioTimestamp",
    "enableEnhancedCivicAnswers",
];

/// The request as a chat to `model`, or what is wrong with it.
pub(in super::super::super) fn read(body: &[u8], model: &str) -> Result<ChatBody, String> {
    let given: Map<String, Value> = serde_json::from_slice(body)
        .map_err(|bad| format!("Invalid JSON payload received. {bad}"))?;
    let given = camel(given);
    known(given.keys(), &FIELDS)?;
    let generation = given.get("generationConfig").and_then(Value::as_object);
    let generation = camel(generation.cloned().unwrap_or_default());
    known(generation.keys(), &GENERATION)?;
    let contents = given.get("contents").and_then(Value::as_array);
    let contents = contents.filter(|contents| !contents.is_empty());
    let contents =
        contents.ok_or("* GenerateContentRequest.contents: contents is not specified")?;
    let mut list = Vec::new();
    let system = parts(given.get("systemInstruction").unwrap_or(&Value::Null));
    if !texts(&system).is_empty() {
        list.push(json!({"role": "system", "content": texts(&system)}));
    }
    let (mut asked, mut calls) = (String::new(), 0);
    for content in contents {
        let turn = Turn {
            model,
            asked,
            calls,
        };
        (asked, calls) = turn.read(content, &mut list)?;
    }
    if calls > 0 {
        return Err(UNEQUAL.to_owned());
    }
    let mut chat = json!({"model": model, "messages": list});
    for (theirs, ours) in [("maxOutputTokens", "max_tokens"), ("seed", "seed")] {
        if let Some(value) = generation.get(theirs) {
            chat[ours] = value.clone();
        }
    }
    read_tools(&given, &mut chat)?;
    ChatBody::parse(chat.to_string().as_bytes()).map_err(|bad| bad.to_string())
}

const UNEQUAL: &str = "Please ensure that the number of function response parts is equal to the \
    number of function call parts of the function call turn.";

/// Both spellings are taken, as Google's JSON takes both.
fn camel(given: Map<String, Value>) -> Map<String, Value> {
    let renamed = |name: String| {
        let mut words = name.split('_');
        let mut camel = words.next().unwrap_or("").to_owned();
        for word in words {
            camel.extend(word.chars().take(1).flat_map(char::to_uppercase));
            camel.extend(word.chars().skip(1));
        }
        camel
    };
    given
        .into_iter()
        .map(|(name, value)| (renamed(name), value))
        .collect()
}

fn known<'a>(names: impl Iterator<Item = &'a String>, known: &[&str]) -> Result<(), String> {
    for name in names {
        if !known.contains(&name.as_str()) {
            return Err(format!(
                "Invalid JSON payload received. Unknown name \"{name}\": Cannot find field."
            ));
        }
    }
    Ok(())
}

/// What is known when a turn begins: what was asked, how many calls wait for their results.
struct Turn<'a> {
    model: &'a str,
    asked: String,
    calls: usize,
}

impl Turn<'_> {
    fn read(self, content: &Value, list: &mut Vec<Value>) -> Result<(String, usize), String> {
        let role = match content["role"].as_str() {
            Some("model") => "assistant",
            Some("user" | "function") | None => "user",
            Some(_) => return Err("Please use a valid role: user, model.".to_owned()),
        };
        let parts = parts(content);
        if parts.is_empty() {
            return Err("* contents.parts must not be empty.".to_owned());
        }
        let results: Vec<&Value> = parts
            .iter()
            .map(|part| &part["functionResponse"])
            .filter(|result| !result.is_null())
            .collect();
        if results.len() != self.calls {
            return Err(UNEQUAL.to_owned());
        }
        for result in results {
            if !result["response"].is_object() || !result["name"].is_string() {
                return Err("functionResponse needs a name and an object `response`".to_owned());
            }
            list.push(json!({"role": "tool", "tool_call_id": result["name"],
                "content": plain(&result["response"])}));
        }
        let calls: Vec<Value> = parts.iter().filter_map(written_call).collect();
        self.check_seals(&parts, !calls.is_empty())?;
        let text = texts(&parts);
        let asked = if role == "user" && !text.is_empty() {
            text.clone()
        } else {
            self.asked
        };
        let waiting = calls.len();
        if !text.is_empty() || waiting > 0 {
            let mut message = json!({"role": role, "content": text});
            if waiting > 0 {
                message["tool_calls"] = Value::Array(calls);
            }
            list.push(message);
        }
        Ok((asked, waiting))
    }

    /// A seal must be the one this upstream made; a model that thinks wants it back with its call.
    fn check_seals(&self, parts: &[Value], called: bool) -> Result<(), String> {
        let quote: String = self.asked.chars().take(200).collect();
        let own = script::seal(&format!("They ask: {quote}"));
        let mut sealed = parts.iter().filter_map(|part| {
            part.get("thoughtSignature")
                .or_else(|| part.get("thought_signature"))
        });
        // bytes in base64, and Google's own client writes its other alphabet
        let first = sealed.next().and_then(Value::as_str);
        let first = first.map(|seal| seal.replace('-', "+").replace('_', "/"));
        match first {
            Some(seal) if seal != own => Err("Corrupted thought signature.".to_owned()),
            None if called && self.model == "thinking" => Err(
                "Function call is missing a thought_signature in functionCall parts.".to_owned(),
            ),
            Some(_) | None => Ok(()),
        }
    }
}

/// A content's parts; a lone part or string counts as one.
fn parts(content: &Value) -> Vec<Value> {
    match &content["parts"] {
        Value::Array(parts) => parts.clone(),
        Value::Object(part) => vec![Value::Object(part.clone())],
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

/// What the parts say aloud.
fn texts(parts: &[Value]) -> String {
    let aloud = parts.iter().filter(|part| part["thought"] != true);
    let texts: Vec<&str> = aloud.filter_map(|part| part["text"].as_str()).collect();
    texts.join("\n")
}

/// A result as one would say it: its only text, else all of it as JSON.
fn plain(response: &Value) -> String {
    let fields = response.as_object();
    let only = fields.filter(|fields| fields.len() == 1);
    let text = only
        .and_then(|fields| fields.values().next())
        .and_then(Value::as_str);
    text.map_or_else(|| response.to_string(), str::to_owned)
}

fn written_call(part: &Value) -> Option<Value> {
    let call = part.get("functionCall")?;
    Some(json!({"id": call["name"], "type": "function",
        "function": {"name": call["name"], "arguments": call["args"].to_string()}}))
}

fn read_tools(given: &Map<String, Value>, chat: &mut Value) -> Result<(), String> {
    let tools = given.get("tools").and_then(Value::as_array);
    let mut written = Vec::new();
    for tool in tools.into_iter().flatten() {
        let declared = tool
            .get("functionDeclarations")
            .or_else(|| tool.get("function_declarations"));
        for function in declared.and_then(Value::as_array).into_iter().flatten() {
            if !function["name"].is_string() {
                return Err("* tools.function_declarations.name: must not be empty".to_owned());
            }
            let schema = [
                "parameters",
                "parametersJsonSchema",
                "parameters_json_schema",
            ];
            let schema = schema.iter().find_map(|name| function.get(*name));
            written.push(
                json!({"type": "function", "function": {"name": function["name"],
                "parameters": lowered(schema.unwrap_or(&Value::Null))}}),
            );
        }
    }
    if written.is_empty() {
        return Ok(());
    }
    chat["tools"] = Value::Array(written);
    let config = given.get("toolConfig").unwrap_or(&Value::Null);
    let config = config
        .get("functionCallingConfig")
        .or_else(|| config.get("function_calling_config"));
    let config = config.unwrap_or(&Value::Null);
    let named = config
        .get("allowedFunctionNames")
        .or_else(|| config.get("allowed_function_names"));
    chat["tool_choice"] = match (
        config["mode"].as_str(),
        named.and_then(|names| names.get(0)),
    ) {
        (Some("NONE"), _) => json!("none"),
        (Some("ANY" | "VALIDATED"), Some(name)) => {
            json!({"type": "function", "function": {"name": name}})
        }
        (Some("ANY"), None) => json!("required"),
        (Some("AUTO" | "VALIDATED") | None, _) => json!("auto"),
        (Some(other), _) => return Err(format!("unknown mode {other}")),
    };
    Ok(())
}

/// Google's schemas shout their types.
fn lowered(schema: &Value) -> Value {
    match schema {
        Value::Object(fields) => {
            let lowered_field = |(name, value): (&String, &Value)| match (name.as_str(), value) {
                ("type", Value::String(kind)) => (name.clone(), Value::from(kind.to_lowercase())),
                (_, value) => (name.clone(), lowered(value)),
            };
            Value::Object(fields.iter().map(lowered_field).collect())
        }
        Value::Array(list) => Value::Array(list.iter().map(lowered).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => schema.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(text: &str) -> Value {
        json!({"role": "user", "parts": [{"text": text}]})
    }

    fn refused(model: &str, body: &Value) -> String {
        read(body.to_string().as_bytes(), model).unwrap_err()
    }

    #[test]
    fn what_gemini_refuses_is_refused() {
        let unknown = json!({"contents": [user("x")], "messages": []});
        assert!(refused("m", &unknown).contains("Unknown name \"messages\""));
        let unknown = json!({"contents": [user("x")], "generationConfig": {"max_tokens": 1}});
        assert!(refused("m", &unknown).contains("maxTokens"));
        let call = json!({"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]});
        let lost = json!({"contents": [user("x"), call, user("y")]});
        assert!(refused("m", &lost).contains("equal"));
        let result = json!({"role": "user", "parts": [
            {"functionResponse": {"name": "f", "response": {"result": "1"}}}]});
        let unsealed = json!({"contents": [user("x"), call, result]});
        assert!(refused("thinking", &unsealed).contains("missing"));
        assert!(read(unsealed.to_string().as_bytes(), "m").is_ok());
        let mut forged = unsealed.clone();
        forged["contents"][1]["parts"][0]["thoughtSignature"] = json!("forged");
        assert!(refused("m", &forged).contains("Corrupted"));
        forged["contents"][1]["parts"][0]["thoughtSignature"] = json!(script::seal("They ask: x"));
        let chat = read(forged.to_string().as_bytes(), "thinking").unwrap();
        assert_eq!(chat.messages()[2].text(), "1");
    }
}
