//! An Anthropic request, read as strictly as Anthropic reads it: fields it does not know, calls
//! without results and thoughts whose seal is broken are refused.

use serde_json::{Map, Value, json};

use super::super::text_of;
use crate::dialect::openai::ChatBody;
use crate::provider::demo::script;

/// From this version on sampling is the server's business.
const WITHOUT_SAMPLING: &str = "2026-10-21";

const FIELDS: [&str; 24] = [
    "model",
    "max_tokens",
    "messages",
    "system",
    "stop_sequences",
    "stream",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
    "output_format",
    "cache_control",
    "container",
    "context_management",
    "diagnostics",
    "inference_geo",
    "mcp_servers",
    "metadata",
    "service_tier",
    "speed",
    "temperature",
    "top_p",
    "top_k",
    "betas",
];

/// The request as a chat, or what is wrong with it. `counted` alone needs no `max_tokens`.
pub(in super::super::super) fn read(
    body: &[u8],
    version: &str,
    counted: bool,
) -> Result<ChatBody, String> {
    let given: Map<String, Value> =
        serde_json::from_slice(body).map_err(|bad| format!("invalid JSON: {bad}"))?;
    check_fields(&given, version, counted)?;
    let messages = given
        .get("messages")
        .and_then(Value::as_array)
        .ok_or("messages: Field required")?;
    let mut chat = json!({"model": given["model"], "messages": []});
    let list = &mut Vec::new();
    let system = text_of(given.get("system").unwrap_or(&Value::Null));
    if !system.is_empty() {
        list.push(json!({"role": "system", "content": system}));
    }
    let mut awaited: Vec<String> = Vec::new();
    for (at, message) in messages.iter().enumerate() {
        awaited = read_message(at, message, &awaited, list)?;
    }
    if !awaited.is_empty() {
        return Err(unanswered(&awaited));
    }
    chat["messages"] = Value::Array(std::mem::take(list));
    for (theirs, ours) in [("max_tokens", "max_tokens"), ("stream", "stream")] {
        if let Some(value) = given.get(theirs) {
            chat[ours] = value.clone();
        }
    }
    read_tools(&given, &mut chat)?;
    ChatBody::parse(chat.to_string().as_bytes()).map_err(|bad| bad.to_string())
}

fn check_fields(given: &Map<String, Value>, version: &str, counted: bool) -> Result<(), String> {
    if let Some(name) = given.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        return Err(format!("{name}: Extra inputs are not permitted"));
    }
    if !given.get("model").is_some_and(Value::is_string) {
        return Err("model: Field required".to_owned());
    }
    let limit = given.get("max_tokens").and_then(Value::as_u64);
    if limit.is_none() && !counted {
        return Err("max_tokens: Field required".to_owned());
    }
    let sampled = ["temperature", "top_p", "top_k"];
    if version >= WITHOUT_SAMPLING
        && let Some(name) = sampled.iter().find(|name| given.contains_key(**name))
    {
        return Err(format!("{name}: not permitted by this version of the API"));
    }
    let budget = given
        .get("thinking")
        .and_then(|thinking| thinking["budget_tokens"].as_u64());
    if budget
        .zip(limit)
        .is_some_and(|(budget, limit)| budget >= limit)
    {
        return Err("`max_tokens` must be greater than `thinking.budget_tokens`".to_owned());
    }
    Ok(())
}

fn unanswered(ids: &[String]) -> String {
    let ids = ids.join(", ");
    format!("`tool_use` ids were found without `tool_result` blocks immediately after: {ids}")
}

/// Adds one message to `list`; the ids of the tools it calls. `awaited` were called just before.
fn read_message(
    at: usize,
    message: &Value,
    awaited: &[String],
    list: &mut Vec<Value>,
) -> Result<Vec<String>, String> {
    let role = message["role"].as_str().unwrap_or("");
    if !["user", "assistant", "system"].contains(&role) {
        return Err(format!(
            "messages.{at}.role: Input should be 'user' or 'assistant'"
        ));
    }
    let content = match &message["content"] {
        Value::String(text) => vec![json!({"type": "text", "text": text})],
        Value::Array(blocks) => blocks.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            return Err(format!("messages.{at}.content: Field required"));
        }
    };
    let (mut texts, mut calls, mut results) = (Vec::new(), Vec::new(), Vec::new());
    for block in &content {
        match block["type"].as_str().unwrap_or("") {
            "text" => {
                let text = block["text"].as_str().unwrap_or("");
                if text.is_empty() {
                    return Err("messages: text content blocks must be non-empty".to_owned());
                }
                texts.push(text.to_owned());
            }
            "thinking" => check_seal(at, block)?,
            "tool_use" if role == "assistant" => calls.push(call(at, block)?),
            "tool_result" if role == "user" => results.push(block.clone()),
            "image" | "document" | "redacted_thinking" | "search_result" => {}
            other => return Err(format!("messages.{at}.content: unexpected block `{other}`")),
        }
    }
    let given: Vec<&str> = results
        .iter()
        .filter_map(|r| r["tool_use_id"].as_str())
        .collect();
    let missing: Vec<String> = awaited
        .iter()
        .filter(|id| !given.contains(&id.as_str()))
        .cloned()
        .collect();
    if !missing.is_empty() {
        return Err(unanswered(&missing));
    }
    for result in &results {
        let id = result["tool_use_id"].as_str().unwrap_or("");
        if !awaited.iter().any(|awaited| awaited == id) {
            return Err(format!(
                "unexpected `tool_use_id` found in `tool_result` blocks: {id}"
            ));
        }
        list.push(json!({"role": "tool", "tool_call_id": id,
            "content": text_of(&result["content"])}));
    }
    let called = calls.iter().filter_map(|call: &Value| call["id"].as_str());
    let called = called.map(str::to_owned).collect();
    if !texts.is_empty() || !calls.is_empty() || results.is_empty() {
        let mut written = json!({"role": role, "content": texts.join("\n")});
        if !calls.is_empty() {
            written["tool_calls"] = Value::Array(calls);
        }
        list.push(written);
    }
    Ok(called)
}

fn call(at: usize, block: &Value) -> Result<Value, String> {
    if !block["input"].is_object() {
        return Err(format!(
            "messages.{at}.content.tool_use.input: Input should be an object"
        ));
    }
    let (id, name) = (block["id"].as_str(), block["name"].as_str());
    let (Some(id), Some(name)) = (id, name) else {
        return Err(format!(
            "messages.{at}.content.tool_use: id and name are required"
        ));
    };
    Ok(json!({"id": id, "type": "function",
        "function": {"name": name, "arguments": block["input"].to_string()}}))
}

/// A thought must come back as it was, down to the byte.
fn check_seal(at: usize, block: &Value) -> Result<(), String> {
    let text = block["thinking"].as_str().unwrap_or("");
    if block["signature"].as_str() == Some(script::seal(text).as_str()) {
        return Ok(());
    }
    Err(format!(
        "messages.{at}.content: Invalid `signature` in `thinking` block"
    ))
}

fn read_tools(given: &Map<String, Value>, chat: &mut Value) -> Result<(), String> {
    let Some(tools) = given.get("tools").and_then(Value::as_array) else {
        return match given.get("tool_choice") {
            Some(choice) if choice["type"] != "none" => {
                Err("tool_choice may only be specified while providing tools".to_owned())
            }
            Some(_) | None => Ok(()),
        };
    };
    let mut written = Vec::new();
    for (at, tool) in tools.iter().enumerate() {
        if tool.get("type").is_some_and(|kind| kind != "custom") {
            continue; // a tool of the server's own
        }
        if !tool["name"].is_string() || tool["input_schema"]["type"] != "object" {
            return Err(format!(
                "tools.{at}.custom.input_schema.type: Field required"
            ));
        }
        written.push(
            json!({"type": "function", "function": {"name": tool["name"],
            "parameters": tool["input_schema"]}}),
        );
    }
    chat["tools"] = Value::Array(written);
    let choice = given.get("tool_choice").unwrap_or(&Value::Null);
    chat["tool_choice"] = match choice["type"].as_str() {
        Some("none") => json!("none"),
        Some("any") => json!("required"),
        Some("tool") => json!({"type": "function", "function": {"name": choice["name"]}}),
        Some("auto") | None => json!("auto"),
        Some(other) => return Err(format!("tool_choice.type: unexpected `{other}`")),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut Value)) -> String {
        let mut body = json!({"model": "m", "max_tokens": 9,
            "messages": [{"role": "user", "content": "hi"}]});
        change(&mut body);
        read(body.to_string().as_bytes(), "2023-06-01", false).unwrap_err()
    }

    #[test]
    fn what_anthropic_refuses_is_refused() {
        assert!(refused(|b| b["stream_options"] = json!({})).contains("Extra inputs"));
        assert!(refused(|b| b["max_tokens"] = Value::Null).contains("max_tokens"));
        assert!(
            refused(|b| b["tool_choice"] = json!({"type": "auto"})).contains("providing tools")
        );
        let called = json!({"role": "assistant", "content": [
            {"type": "tool_use", "id": "t1", "name": "f", "input": {}}]});
        let lost =
            |b: &mut Value| b["messages"] = json!([called, {"role": "user", "content": "x"}]);
        assert!(refused(lost).contains("t1"));
        let forged = json!([{"type": "thinking", "thinking": "hm", "signature": "forged"}]);
        let broken =
            |b: &mut Value| b["messages"] = json!([{"role": "assistant", "content": forged}]);
        assert!(refused(broken).contains("signature"));
    }

    #[test]
    fn sampling_is_refused_by_the_newer_version_alone() {
        let body = json!({"model": "m", "max_tokens": 9, "temperature": 1,
            "messages": [{"role": "user", "content": "hi"}]});
        let body = body.to_string();
        assert!(read(body.as_bytes(), "2023-06-01", false).is_ok());
        assert!(read(body.as_bytes(), "2026-10-21", false).is_err());
    }

    #[test]
    fn results_become_tool_messages() {
        let body = json!({"model": "m", "max_tokens": 9, "messages": [
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
                {"type": "tool_use", "id": "b", "name": "f", "input": {}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "a", "content": "one"},
                {"type": "tool_result", "tool_use_id": "b", "content": [{"type": "text", "text": "two"}]}]},
        ]});
        let chat = read(body.to_string().as_bytes(), "2023-06-01", false).unwrap();
        let roles: Vec<&str> = chat.messages().iter().map(|m| m.role.as_str()).collect();
        assert_eq!(roles, ["user", "assistant", "tool", "tool"]);
        assert_eq!(chat.messages()[3].text(), "two");
    }
}
