//! The conversation: turns of this dialect as OpenAI's messages.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::content::{Block, Results, blocks};
use super::{Version, field, stated};
use crate::dialect::json::{Object, raw};
use crate::dialect::lost::{Lost, shown};
use crate::dialect::openai::BadRequest;
use crate::dialect::seal::{is_anthropic, of_call};

#[derive(Deserialize)]
struct Turn<'a> {
    role: String,
    #[serde(borrow)]
    content: &'a RawValue,
}

/// Reads a conversation, turn by turn.
pub(super) struct Reading {
    version: Version,
    /// OpenAI's messages.
    pub(super) written: Vec<Box<RawValue>>,
    /// What they could not be told.
    pub(super) lost: Lost,
    /// Thinking was among it that no model of this dialect sealed.
    pub(super) unsealed: bool,
}

/// One assistant's turn.
#[derive(Default)]
struct Said {
    text: String,
    thinking: String,
    blocks: Vec<Box<RawValue>>,
    calls: Vec<Value>,
}

impl Reading {
    pub(super) fn new(version: Version) -> Self {
        Reading {
            version,
            written: Vec::new(),
            lost: Lost::default(),
            unsealed: false,
        }
    }

    /// The system prompt, where there is one.
    pub(super) fn system(&mut self, given: &Object) -> Result<(), BadRequest> {
        let Some(system) = stated(given, "system") else {
            return Ok(());
        };
        self.system_turn("system", system)
    }

    fn system_turn(&mut self, param: &'static str, given: &RawValue) -> Result<(), BadRequest> {
        if let Ok(text) = serde_json::from_str::<String>(given.get()) {
            self.write(&json!({"role": "system", "content": text}));
            return Ok(());
        }
        let mut parts = Vec::new();
        for block in blocks(param, given)? {
            match block.kind.as_ref() {
                "text" => parts.push(json!({"type": "text", "text": block.text})),
                kind => self.cannot(format!("{param}[type={}]", shown(kind))),
            }
        }
        if !parts.is_empty() {
            self.write(&json!({"role": "system", "content": parts}));
        }
        Ok(())
    }

    /// All turns.
    pub(super) fn messages(&mut self, given: &Object) -> Result<(), BadRequest> {
        let messages = stated(given, "messages").ok_or(BadRequest::Missing("messages"))?;
        let turns: Vec<Turn<'_>> = serde_json::from_str(messages.get())
            .map_err(|error| field("messages", format!("must be a list of messages: {error}")))?;
        if turns.is_empty() {
            return Err(field("messages", "must not be empty"));
        }
        for turn in turns {
            match turn.role.as_str() {
                "user" => self.user(turn.content)?,
                "assistant" => self.assistant(turn.content)?,
                "system" => self.system_turn("messages", turn.content)?,
                _ => {
                    let problem = "holds a role other than user, assistant or system";
                    return Err(field("messages", problem));
                }
            }
        }
        Ok(())
    }

    fn user(&mut self, content: &RawValue) -> Result<(), BadRequest> {
        if let Ok(text) = serde_json::from_str::<String>(content.get()) {
            self.write(&json!({"role": "user", "content": text}));
            return Ok(());
        }
        let before = self.written.len();
        let mut parts: Vec<Value> = Vec::new();
        for block in blocks("messages", content)? {
            match block.kind.as_ref() {
                "tool_result" => {
                    self.flush(&mut parts);
                    self.result(&block)?;
                }
                "text" => {
                    self.citations(&block)?;
                    parts.push(json!({"type": "text", "text": block.text}));
                }
                "image" => match block.image() {
                    Some(url) => {
                        parts.push(json!({"type": "image_url", "image_url": {"url": url}}));
                    }
                    None => self.cannot("messages[].content[type=image].source".to_owned()),
                },
                kind => self.cannot(format!("messages[].content[type={}]", shown(kind))),
            }
        }
        if parts.is_empty() && self.written.len() == before {
            // the place of what could not be carried
            self.write(&json!({"role": "user", "content": parts}));
        }
        self.flush(&mut parts);
        Ok(())
    }

    fn flush(&mut self, parts: &mut Vec<Value>) {
        if !parts.is_empty() {
            self.write(&json!({"role": "user", "content": std::mem::take(parts)}));
        }
    }

    fn result(&mut self, block: &Block<'_>) -> Result<(), BadRequest> {
        let id = block
            .tool_use_id
            .as_deref()
            .ok_or_else(|| field("messages", "holds a tool_result without tool_use_id"))?;
        let Results { content, others } = block.results()?;
        for kind in others {
            let kind = shown(&kind);
            self.cannot(format!(
                "messages[].content[type=tool_result].content[type={kind}]"
            ));
        }
        let mut message = json!({"role": "tool", "tool_call_id": id, "content": content});
        if block.is_error == Some(true) {
            message["is_error"] = Value::from(true);
            self.lost
                .droppable("messages[].content[type=tool_result].is_error");
        }
        self.write(&message);
        Ok(())
    }

    /// The version of 2026 refuses what says where a user's text was taken from.
    fn citations(&mut self, block: &Block<'_>) -> Result<(), BadRequest> {
        if block.cites() {
            if !self.version.samples() {
                let problem = "holds citations on a user's text, which this version refuses";
                return Err(field("messages", problem));
            }
            self.lost.droppable("messages[].content[].citations");
        }
        Ok(())
    }

    fn assistant(&mut self, content: &RawValue) -> Result<(), BadRequest> {
        if let Ok(text) = serde_json::from_str::<String>(content.get()) {
            self.write(&json!({"role": "assistant", "content": text}));
            return Ok(());
        }
        let mut said = Said::default();
        let given: Vec<&RawValue> = serde_json::from_str(content.get())
            .map_err(|_| field("messages", "holds content that is no text and no list"))?;
        let mut seal = None;
        for (block, raw_block) in blocks("messages", content)?.into_iter().zip(given) {
            let signature = block.signature.as_deref().unwrap_or_default();
            match block.kind.as_ref() {
                "text" => {
                    if block.cites() {
                        self.lost.droppable("messages[].content[].citations");
                    }
                    said.text.push_str(&block.text);
                }
                "thinking" => {
                    said.thinking.push_str(&block.thinking);
                    self.unsealed |= !is_anthropic(signature);
                    match of_call(signature) {
                        Some(its) => seal = Some(its.to_owned()),
                        None if signature.is_empty() => {}
                        None => said.blocks.push(raw_block.to_owned()),
                    }
                }
                "redacted_thinking" => said.blocks.push(raw_block.to_owned()),
                "tool_use" => said.calls.push(call(&block, seal.take())?),
                "document" if !self.version.samples() => {
                    let problem =
                        "holds a document in an assistant's message, which this version refuses";
                    return Err(field("messages", problem));
                }
                kind => self.cannot(format!("messages[].content[type={}]", shown(kind))),
            }
        }
        self.write_assistant(said);
        Ok(())
    }

    fn write_assistant(&mut self, said: Said) {
        let mut message = Object::default();
        message.set("role", raw("assistant"));
        let silent = said.text.is_empty() && !said.calls.is_empty();
        message.set("content", raw(&(!silent).then_some(said.text)));
        if !said.thinking.is_empty() {
            message.set("reasoning_content", raw(&said.thinking));
        }
        if !said.blocks.is_empty() {
            message.set("thinking_blocks", raw(&said.blocks));
        }
        if !said.calls.is_empty() {
            message.set("tool_calls", raw(&said.calls));
        }
        self.written.push(super::raw_object(&message));
    }

    fn write(&mut self, message: &Value) {
        self.written.push(raw(message));
    }

    fn cannot(&mut self, param: String) {
        self.lost.essential(param);
    }
}

/// A call, with the seal that stood in front of it.
fn call(block: &Block<'_>, seal: Option<String>) -> Result<Value, BadRequest> {
    let (Some(id), Some(name)) = (&block.id, &block.name) else {
        return Err(field("messages", "holds a tool_use without id or name"));
    };
    let arguments = block.input.map_or("{}", RawValue::get);
    let mut call = json!({"id": id, "type": "function",
        "function": {"name": name, "arguments": arguments}});
    if let Some(seal) = seal {
        call["extra_content"] = json!({"google": {"thought_signature": seal}});
    }
    Ok(call)
}

/// Takes thinking that no model of this dialect sealed out of a request that goes upstream as it
/// came: an answer of another model shown to this client, which the upstream would refuse.
pub(super) fn leave_out_unsealed(given: &mut Object) {
    #[derive(Deserialize)]
    struct Kind {
        #[serde(default, rename = "type")]
        kind: String,
        #[serde(default)]
        signature: Option<String>,
    }
    let turns: Vec<Object> = given.read("messages").unwrap_or_default();
    let cleaned = turns.into_iter().map(|mut turn| {
        let content: Option<Vec<Box<RawValue>>> = turn.read("content");
        if let Some(mut content) = content {
            content.retain(|block| {
                let read = serde_json::from_str::<Kind>(block.get());
                !read.is_ok_and(|block| {
                    let signature = block.signature.as_deref().unwrap_or_default();
                    block.kind == "thinking" && !is_anthropic(signature)
                })
            });
            turn.set("content", raw(&content));
        }
        super::raw_object(&turn)
    });
    let cleaned: Vec<Box<RawValue>> = cleaned.collect();
    given.set("messages", raw(&cleaned));
}
