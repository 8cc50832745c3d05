//! The items of a request's `input`, as the messages of a chat.
//!
//! Neighbouring items of the model's own (thinking, text, function calls) are one assistant turn,
//! as a chat has it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::value::RawValue;

use super::SEALED;
use super::request::{field, kind, list, object_of, one, stated};
use crate::dialect::json::{Object, raw};
use crate::dialect::lost::{Lost, shown};
use crate::dialect::openai::BadRequest;

/// Messages so far.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    messages: Vec<Object>,
    turn: Option<Turn>,
    lost: Lost,
    seals: Vec<(usize, String)>,
}

/// What items came to.
#[derive(Debug)]
pub(super) struct Told {
    /// The messages.
    pub(super) messages: Vec<Object>,
    /// What of the items has no place in them.
    pub(super) lost: Lost,
    /// Sealed thinking that is not ours, and how many messages stood before each.
    pub(super) seals: Vec<(usize, String)>,
}

/// The assistant's turn being put together.
#[derive(Debug, Default)]
struct Turn {
    text: Option<String>,
    refusal: Option<String>,
    calls: Vec<Object>,
    thinking: String,
    /// Sealed thinking, as chat's `thinking_blocks`.
    blocks: Vec<Box<RawValue>>,
}

impl Conversation {
    /// What stands above everything.
    pub(super) fn system(&mut self, text: Option<&RawValue>) {
        if let Some(text) = text {
            self.push([("role", raw("system")), ("content", text.to_owned())]);
        }
    }

    /// A user's message that is a mere string.
    pub(super) fn user(&mut self, text: &RawValue) {
        self.push([("role", raw("user")), ("content", text.to_owned())]);
    }

    /// One item.
    pub(super) fn item(&mut self, item: &Object) -> Result<(), BadRequest> {
        match kind(item).as_str() {
            "message" => self.message(item),
            "" if item.get("role").is_some() => self.message(item),
            "function_call" => self.call(item),
            "function_call_output" => self.output(item),
            "reasoning" => {
                self.reasoning(item);
                Ok(())
            }
            "" => Err(field("input", "holds an item without a type")),
            other => {
                self.lacks(format!("input[type={}]", shown(other)));
                Ok(())
            }
        }
    }

    /// All of them, read.
    pub(super) fn end(mut self) -> Told {
        self.turn_over();
        Told {
            messages: self.messages,
            lost: self.lost,
            seals: self.seals,
        }
    }

    fn push<'a>(&mut self, fields: impl IntoIterator<Item = (&'a str, Box<RawValue>)>) {
        self.messages.push(object_of(fields));
    }

    /// Something without which the question would be another one.
    fn lacks(&mut self, param: String) {
        self.lost.essential(param);
    }

    fn message(&mut self, item: &Object) -> Result<(), BadRequest> {
        let role: String = item.read("role").unwrap_or_default();
        let content = stated(item, "content")
            .ok_or_else(|| field("input", "holds a message without content"))?;
        match role.as_str() {
            "assistant" => self.assistant(content),
            "user" | "system" | "developer" => {
                self.turn_over();
                let content = self.content(content)?;
                self.push([("role", raw(&role)), ("content", content)]);
                Ok(())
            }
            _ => {
                let problem =
                    "holds a message whose role is not user, assistant, system or developer";
                Err(field("input", problem))
            }
        }
    }

    /// What a user or an operator wrote: a string stays one.
    fn content(&mut self, content: &RawValue) -> Result<Box<RawValue>, BadRequest> {
        if content.get().starts_with('"') {
            return Ok(content.to_owned());
        }
        let given = parts(content)?;
        let mut parts = Vec::with_capacity(given.len());
        for part in &given {
            parts.extend(self.part(part)?);
        }
        let alone = parts.iter().all(|part| kind(part) == "text");
        match (alone, parts.as_slice()) {
            (true, [only]) => Ok(only.get("text").map_or_else(|| raw(""), ToOwned::to_owned)),
            _ => Ok(list(&parts)),
        }
    }

    /// One part; `None` for what a chat has no place for.
    fn part(&mut self, part: &Object) -> Result<Option<Object>, BadRequest> {
        let kind = kind(part);
        let said = match kind.as_str() {
            "input_text" | "output_text" | "text" => {
                let text = part.get("text").filter(|text| text.get().starts_with('"'));
                let text = text.ok_or_else(|| field("input", "holds a text part without text"))?;
                Some(object_of([
                    ("type", raw("text")),
                    ("text", text.to_owned()),
                ]))
            }
            "input_image" => image(part),
            "input_file" => file(part),
            "input_audio" => part.get("input_audio").map(|_| part.clone()),
            _ => None,
        };
        if said.is_none() {
            self.lacks(format!("input[].content[type={}]", shown(&kind)));
        }
        Ok(said)
    }

    fn assistant(&mut self, content: &RawValue) -> Result<(), BadRequest> {
        let (mut text, mut refusal) = (String::new(), None);
        if content.get().starts_with('"') {
            text = serde_json::from_str(content.get()).unwrap_or_default();
        } else {
            for part in parts(content)? {
                let word = |name: &str| part.read::<String>(name).unwrap_or_default();
                match kind(&part).as_str() {
                    "output_text" | "input_text" | "text" => text.push_str(&word("text")),
                    "refusal" => refusal = Some(word("refusal")),
                    other => self.lacks(format!("input[].content[type={}]", shown(other))),
                }
            }
        }
        // two answers in a row are two turns
        if self
            .turn
            .as_ref()
            .is_some_and(|turn| turn.text.is_some() && turn.calls.is_empty())
        {
            self.turn_over();
        }
        let turn = self.turn.get_or_insert_default();
        turn.text.get_or_insert_default().push_str(&text);
        turn.refusal = refusal.or(turn.refusal.take());
        Ok(())
    }

    fn call(&mut self, item: &Object) -> Result<(), BadRequest> {
        let part = |name: &str| {
            let value = item.get(name).filter(|value| value.get().starts_with('"'));
            value.map(ToOwned::to_owned)
        };
        let (Some(id), Some(name)) = (part("call_id"), part("name")) else {
            return Err(field(
                "input",
                "holds a function_call without call_id or name",
            ));
        };
        let arguments = part("arguments").unwrap_or_else(|| raw("{}"));
        let function = object_of([("name", name), ("arguments", arguments)]);
        let call = [
            ("id", id),
            ("type", raw("function")),
            ("function", one(&function)),
        ];
        // a seal of the provider's on the call goes back with it
        let seal = stated(item, "extra_content").map(|seal| ("extra_content", seal.to_owned()));
        let call = object_of(call.into_iter().chain(seal));
        self.turn.get_or_insert_default().calls.push(call);
        Ok(())
    }

    fn output(&mut self, item: &Object) -> Result<(), BadRequest> {
        let (Some(id), Some(output)) = (stated(item, "call_id"), stated(item, "output")) else {
            let problem = "holds a function_call_output without call_id or output";
            return Err(field("input", problem));
        };
        self.turn_over();
        let content = self.content(output)?;
        let id = id.to_owned();
        self.push([
            ("role", raw("tool")),
            ("tool_call_id", id),
            ("content", content),
        ]);
        Ok(())
    }

    /// Thinking of an earlier turn: its text, and the seal if it is one of ours.
    fn reasoning(&mut self, item: &Object) {
        let seal: Option<String> = item.read("encrypted_content");
        let ours = |seal: &str| seal.strip_prefix(SEALED).and_then(unsealed);
        let blocks = seal.as_deref().and_then(ours);
        let mut thinking = String::new();
        for name in ["summary", "content"] {
            let parts: Vec<Object> = item.read(name).unwrap_or_default();
            let texts = parts.iter().filter_map(|part| part.read::<String>("text"));
            thinking.extend(texts);
        }
        if let Some(foreign) = seal.filter(|_| blocks.is_none()) {
            self.lost
                .droppable("input[type=reasoning].encrypted_content");
            self.seals.push((self.messages.len(), foreign));
        }
        // thinking opens a turn: what was said before it is one of its own
        if self
            .turn
            .as_ref()
            .is_some_and(|turn| turn.text.is_some() && turn.calls.is_empty())
        {
            self.turn_over();
        }
        let turn = self.turn.get_or_insert_default();
        turn.thinking.push_str(&thinking);
        turn.blocks.extend(blocks.unwrap_or_default());
    }

    fn turn_over(&mut self) {
        let Some(turn) = self.turn.take() else { return };
        if turn.text.is_none() && turn.calls.is_empty() && turn.refusal.is_none() {
            return; // thinking that led to nothing is nobody's turn
        }
        let content = turn
            .text
            .filter(|text| !text.is_empty() || turn.calls.is_empty());
        let mut message = object_of([("role", raw("assistant")), ("content", raw(&content))]);
        if let Some(refusal) = turn.refusal {
            message.set("refusal", raw(&refusal));
        }
        if !turn.thinking.is_empty() {
            message.set("reasoning_content", raw(&turn.thinking));
        }
        if !turn.blocks.is_empty() {
            message.set("thinking_blocks", raw(&turn.blocks));
        }
        if !turn.calls.is_empty() {
            message.set("tool_calls", list(&turn.calls));
        }
        self.messages.push(message);
    }
}

fn parts(content: &RawValue) -> Result<Vec<Object>, BadRequest> {
    serde_json::from_str(content.get()).map_err(|_| {
        field(
            "input",
            "holds content that is neither a string nor an array of parts",
        )
    })
}

/// An image by address; one that is named by a file's id is known to its own server alone.
fn image(part: &Object) -> Option<Object> {
    let mut image = object_of([("url", stated(part, "image_url")?.to_owned())]);
    if let Some(detail) = stated(part, "detail") {
        image.set("detail", detail.to_owned());
    }
    Some(object_of([
        ("type", raw("image_url")),
        ("image_url", one(&image)),
    ]))
}

/// A file by its bytes; one by address or id is known to its own server alone.
fn file(part: &Object) -> Option<Object> {
    let mut file = object_of([("file_data", stated(part, "file_data")?.to_owned())]);
    if let Some(name) = stated(part, "filename") {
        file.set("filename", name.to_owned());
    }
    Some(object_of([("type", raw("file")), ("file", one(&file))]))
}

/// The blocks that [`sealed`] packed.
fn unsealed(text: &str) -> Option<Vec<Box<RawValue>>> {
    let bytes = STANDARD_NO_PAD.decode(text).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Blocks of sealed thinking as `encrypted_content`.
pub(super) fn sealed(blocks: &[serde_json::Value]) -> String {
    let json = raw(blocks);
    format!("{SEALED}{}", STANDARD_NO_PAD.encode(json.get()))
}
