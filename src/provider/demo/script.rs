//! What a demo model says to a request. Pure: the same request and seed, the same words.

use std::fmt::Write;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::settings::Settings;
use super::words;
use crate::dialect::openai::ChatBody;
use crate::types::{Finish, Usage};

/// Most characters of the prompt that a made-up argument quotes.
const MAX_QUOTE: usize = 200;

/// A tool call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Called {
    pub(super) id: String,
    pub(super) name: String,
    /// A JSON object as text.
    pub(super) arguments: String,
}

/// Thinking before an answer, with its maker's seal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Thought {
    pub(super) text: String,
    pub(super) signature: String,
}

/// One answer, before any delay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Script {
    pub(super) thought: Option<Thought>,
    pub(super) text: String,
    pub(super) calls: Vec<Called>,
    pub(super) finish: Finish,
    pub(super) usage: Usage,
}

impl Script {
    /// The answer of `model`; `None` when there is no such model.
    pub(super) fn write(model: &str, body: &ChatBody, settings: &Settings) -> Option<Script> {
        match model {
            "echo" | "flaky" => Some(Script::say(&last_of(body, "user"), body)),
            "lorem" => {
                let seed = body.object().read::<u64>("seed").unwrap_or(settings.seed);
                // one word more than the limit is enough to know that it cut the answer off
                let most = body
                    .max_tokens()
                    .map_or(u64::MAX, |limit| limit.saturating_add(1));
                Some(Script::say(
                    &words::lorem(seed, settings.tokens.min(most)),
                    body,
                ))
            }
            "tools" => Some(Script::call_or_say(body, 1)),
            "parallel" => Some(Script::call_or_say(body, 2)),
            "thinking" => Some(Script::think(body)),
            _ => None,
        }
    }

    fn say(text: &str, body: &ChatBody) -> Script {
        let limit = body.max_tokens().unwrap_or(u64::MAX);
        let text = carried_on(text, body);
        let said = words::first(text, limit);
        let finish = if said.len() < text.trim_end().len() {
            Finish::Length
        } else {
            Finish::Stop
        };
        let usage = Usage::new(prompt_words(body), words::count(said));
        Script {
            thought: None,
            text: said.to_owned(),
            calls: Vec::new(),
            finish,
            usage,
        }
    }

    /// The answer ends here because a filter did not like it.
    pub(super) fn filtered(mut self, after_words: u64) -> Script {
        self.text = words::first(&self.text, after_words).to_owned();
        self.calls.clear();
        self.finish = Finish::ContentFilter;
        self
    }

    /// Thinks aloud under a seal, then calls a tool or speaks as `tools` and `echo` do.
    fn think(body: &ChatBody) -> Script {
        let asked = last_of(body, "user");
        let speaks = !body.has_tools() || was_answered(body).is_some();
        let mut script = if speaks && was_answered(body).is_none() {
            Script::say(&asked, body)
        } else {
            Script::call_or_say(body, 1)
        };
        let quote: String = asked.chars().take(MAX_QUOTE).collect();
        let text = format!("They ask: {quote}");
        script.usage.reasoning_tokens = words::count(&text);
        script.usage.completion_tokens += script.usage.reasoning_tokens;
        script.usage.total_tokens += script.usage.reasoning_tokens;
        let signature = seal(&text);
        script.thought = Some(Thought { text, signature });
        script
    }

    fn call_or_say(body: &ChatBody, most: usize) -> Script {
        if let Some(result) = was_answered(body) {
            return Script::say(&format!("The tool answered: {result}"), body);
        }
        let tools = chosen_tools(body);
        if tools.is_empty() {
            return Script::say("No tool was offered, so here are words instead.", body);
        }
        let prompt = last_of(body, "user");
        // one tool offered twice over is called twice over
        let chosen = tools.iter().cycle().take(most);
        let calls: Vec<Called> = (0..)
            .zip(chosen)
            .map(|(nth, tool)| Called {
                id: call_id(body, &tool.name, nth),
                name: tool.name.clone(),
                arguments: made_up(tool.parameters.as_ref(), &prompt).to_string(),
            })
            .collect();
        let said = calls.iter().map(|call| 1 + words::count(&call.arguments));
        let usage = Usage::new(prompt_words(body), said.sum());
        Script {
            thought: None,
            text: String::new(),
            calls,
            finish: Finish::ToolCalls,
            usage,
        }
    }
}

/// The rest of `text` where the request's last message is the assistant's beginning of it.
fn carried_on<'a>(text: &'a str, body: &ChatBody) -> &'a str {
    let last = body.messages().last();
    let begun = last.filter(|message| message.role == "assistant");
    let rest = begun.and_then(|message| text.strip_prefix(&*message.text()));
    rest.unwrap_or(text)
}

/// The seal on a thought: what its maker knows it again by.
pub(super) fn seal(thought: &str) -> String {
    use base64::Engine;
    let digest = blake3::hash(thought.as_bytes());
    base64::engine::general_purpose::STANDARD.encode(digest.as_bytes())
}

/// The results of the tools called last, when nothing has been said since.
fn was_answered(body: &ChatBody) -> Option<String> {
    let results = body
        .messages()
        .iter()
        .rev()
        .take_while(|message| message.role == "tool");
    let mut texts: Vec<String> = results.map(|message| message.text()).collect();
    texts.reverse();
    (!texts.is_empty()).then(|| texts.join(", "))
}

fn last_of(body: &ChatBody, role: &str) -> String {
    let last = body
        .messages()
        .iter()
        .rev()
        .find(|message| message.role == role);
    last.map(|message| message.text()).unwrap_or_default()
}

fn prompt_words(body: &ChatBody) -> u64 {
    body.messages()
        .iter()
        .map(|message| words::count(&message.text()))
        .sum()
}

#[derive(Deserialize)]
struct Tool {
    name: String,
    #[serde(default)]
    parameters: Option<Value>,
}

/// The tools offered, or the one `tool_choice` names; none when it says `none`.
fn chosen_tools(body: &ChatBody) -> Vec<Tool> {
    #[derive(Deserialize)]
    struct Offered {
        function: Tool,
    }
    let choice: Value = body.object().read("tool_choice").unwrap_or_default();
    if choice == "none" {
        return Vec::new();
    }
    let wanted = choice.pointer("/function/name").and_then(Value::as_str);
    let tools: Vec<Offered> = body.object().read("tools").unwrap_or_default();
    let tools = tools.into_iter().map(|offered| offered.function);
    tools
        .filter(|tool| wanted.is_none_or(|name| tool.name == name))
        .collect()
}

/// The same conversation gets the same ids, a longer one others.
fn call_id(body: &ChatBody, tool: &str, nth: u32) -> String {
    let mut id = String::from("call_demo");
    // writing to a String cannot fail
    let _ = write!(id, "{}_{}", body.messages().len(), tool.len());
    if nth > 0 {
        let _ = write!(id, "_{nth}");
    }
    id
}

/// A value for every required property of a JSON schema's object.
fn made_up(schema: Option<&Value>, prompt: &str) -> Value {
    let properties = schema
        .and_then(|schema| schema.get("properties"))
        .and_then(Value::as_object);
    let required = schema
        .and_then(|schema| schema.get("required"))
        .and_then(Value::as_array);
    let names = required.into_iter().flatten().filter_map(Value::as_str);
    let object: Map<String, Value> = names
        .map(|name| {
            let about = properties.and_then(|properties| properties.get(name));
            (
                name.to_owned(),
                value_for(about.unwrap_or(&Value::Null), prompt),
            )
        })
        .collect();
    Value::Object(object)
}

fn value_for(schema: &Value, prompt: &str) -> Value {
    if let Some(first) = schema.pointer("/enum/0") {
        return first.clone();
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("integer" | "number") => json!(1),
        Some("boolean") => json!(true),
        Some("array") => json!([]),
        Some("object") => json!({}),
        _ => Value::from(prompt.chars().take(MAX_QUOTE).collect::<String>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(value: Value) -> ChatBody {
        ChatBody::parse(value.to_string().as_bytes()).unwrap()
    }

    fn write(model: &str, value: Value) -> Script {
        Script::write(model, &body(value), &Settings::default()).unwrap()
    }

    fn user(text: &str) -> Value {
        json!([{"role": "user", "content": "earlier"}, {"role": "user", "content": text}])
    }

    #[test]
    fn an_answer_that_is_begun_is_carried_on() {
        let begun = |text: &str| {
            json!({"messages": [{"role": "user", "content": "one two three"},
                                {"role": "assistant", "content": text}]})
        };
        assert_eq!(write("echo", begun("one ")).text, "two three");
        assert_eq!(write("echo", begun("ones")).text, "one two three");
    }

    #[test]
    fn an_unknown_model_says_nothing() {
        let settings = Settings::default();
        assert_eq!(
            Script::write("gpt", &body(json!({"messages": user("x")})), &settings),
            None
        );
    }

    #[test]
    fn the_limit_cuts_the_answer_and_says_so() {
        let cut = write(
            "echo",
            json!({"messages": user("one two  three"), "max_tokens": 2}),
        );
        assert_eq!((cut.text.as_str(), cut.finish), ("one two", Finish::Length));
        assert_eq!(cut.usage, Usage::new(4, 2));
        let fits = write(
            "echo",
            json!({"messages": user("one two"), "max_tokens": 2}),
        );
        assert_eq!((fits.text.as_str(), fits.finish), ("one two", Finish::Stop));
        let lorem = write("lorem", json!({"messages": user("x"), "max_tokens": 5}));
        assert_eq!(
            (lorem.usage.completion_tokens, lorem.finish),
            (5, Finish::Length)
        );
    }

    #[test]
    fn lorem_follows_the_requests_seed() {
        let text = |seed: u64| write("lorem", json!({"messages": user("x"), "seed": seed})).text;
        assert_eq!(text(1), text(1));
        assert_ne!(text(1), text(2));
        assert_eq!(words::count(&text(1)), 64);
    }

    #[test]
    fn a_tool_is_called_with_what_its_schema_requires() {
        let parameters = json!({"type": "object", "required": ["city", "unit", "days"], "properties": {
            "city": {"type": "string"}, "unit": {"enum": ["C", "F"]}, "days": {"type": "integer"}, "more": {}}});
        let tools = json!([{"type": "function", "function": {"name": "weather", "parameters": parameters}},
            {"type": "function", "function": {"name": "other"}}]);
        let script = write("tools", json!({"messages": user("Paris"), "tools": tools}));
        let call = &script.calls[0];
        let arguments: Value = serde_json::from_str(&call.arguments).unwrap();
        assert_eq!(call.name, "weather");
        assert_eq!(arguments, json!({"city": "Paris", "unit": "C", "days": 1}));
        assert_eq!(script.finish, Finish::ToolCalls);
        let named = json!({"type": "function", "function": {"name": "other"}});
        let other = write(
            "tools",
            json!({"messages": user("x"), "tools": tools, "tool_choice": named}),
        );
        assert_eq!(other.calls[0].name, "other");
        let none = write(
            "tools",
            json!({"messages": user("x"), "tools": tools, "tool_choice": "none"}),
        );
        assert!(none.calls.is_empty() && none.finish == Finish::Stop);
    }

    #[test]
    fn after_a_tools_result_it_speaks() {
        let messages = json!([{"role": "user", "content": "x"}, {"role": "tool", "tool_call_id": "c", "content": "42"}]);
        let tools = json!([{"type": "function", "function": {"name": "f"}}]);
        let script = write("tools", json!({"messages": messages, "tools": tools}));
        assert_eq!(script.text, "The tool answered: 42");
    }

    #[test]
    fn two_tools_are_called_at_once_under_ids_of_their_own() {
        let tool = |name: &str| json!({"type": "function", "function": {"name": name}});
        let script = write(
            "parallel",
            json!({"messages": user("x"), "tools": [tool("f"), tool("g")]}),
        );
        let names: Vec<&str> = script.calls.iter().map(|call| call.name.as_str()).collect();
        assert_eq!(names, ["f", "g"]);
        let twice = write(
            "parallel",
            json!({"messages": user("x"), "tools": [tool("f")]}),
        );
        assert_eq!(twice.calls.len(), 2);
        assert_ne!(twice.calls[0].id, twice.calls[1].id);
    }

    #[test]
    fn a_thought_is_sealed_and_counted() {
        let script = write("thinking", json!({"messages": user("why")}));
        let thought = script.thought.unwrap();
        assert_eq!(thought.signature, seal(&thought.text));
        assert_eq!(
            (script.text.as_str(), script.usage.reasoning_tokens),
            ("why", 3)
        );
    }
}
