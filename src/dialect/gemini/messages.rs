//! OpenAI's messages as Gemini's system instruction and turns.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::parts::{self, Answered, Called, Held, Part, Str};
use super::{Generation, NO_SEAL};
use crate::dialect::json::{Object, raw};
use crate::dialect::lost::Lost;
use crate::dialect::seal::of_turn;

/// One turn.
#[derive(Serialize)]
pub(super) struct Content<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    parts: Vec<Part<'a>>,
}

/// A conversation.
#[derive(Default)]
pub(super) struct Told<'a> {
    pub(super) system: Option<Content<'a>>,
    pub(super) contents: Vec<Content<'a>>,
}

#[derive(Deserialize)]
struct Given<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
    #[serde(default, borrow)]
    content: Option<&'a RawValue>,
    #[serde(default, borrow)]
    name: Option<Str<'a>>,
    #[serde(default, borrow)]
    tool_call_id: Option<Str<'a>>,
    #[serde(default, borrow)]
    tool_calls: Option<Vec<GivenCall<'a>>>,
    #[serde(default, borrow)]
    function_call: Option<GivenFunction<'a>>,
    #[serde(default)]
    thinking_blocks: Option<Vec<Block>>,
    #[serde(default, borrow)]
    audio: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct GivenCall<'a> {
    #[serde(default, borrow)]
    id: Option<Str<'a>>,
    #[serde(default, borrow)]
    function: Option<GivenFunction<'a>>,
    #[serde(default)]
    extra_content: Option<Value>,
}

#[derive(Deserialize)]
struct GivenFunction<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(default, borrow)]
    arguments: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Block {
    #[serde(default)]
    signature: Option<String>,
}

/// Every message of a request for a model of `generation`.
pub(super) fn read<'a>(given: &'a Object, generation: Generation, lost: &mut Lost) -> Told<'a> {
    let text = given.get("messages").map_or("[]", RawValue::get);
    let Ok(list) = serde_json::from_str::<Vec<Given<'a>>>(text) else {
        lost.essential("messages");
        return Told::default();
    };
    let mut walk = Walk {
        generation,
        system: Vec::new(),
        contents: Vec::new(),
        tools: HashMap::new(),
        answering: false,
        lost,
    };
    for message in list {
        walk.message(message);
    }
    walk.end()
}

struct Walk<'a, 'l> {
    generation: Generation,
    system: Vec<Part<'a>>,
    contents: Vec<Content<'a>>,
    /// Call id → tool: a result names its call by id, Gemini wants the tool's name.
    tools: HashMap<Cow<'a, str>, Cow<'a, str>>,
    /// The turn last written holds results of tools; all of one turn belong together.
    answering: bool,
    lost: &'l mut Lost,
}

impl<'a> Walk<'a, '_> {
    fn message(&mut self, given: Given<'a>) {
        match given.role.as_ref() {
            "system" | "developer" => self.system(given),
            "user" => {
                self.named(&given);
                let parts = parts::read(given.content, self.lost);
                self.turn("user", parts.into_iter().map(Part::from).collect());
            }
            "assistant" => self.model(given),
            "tool" | "function" => self.result(given),
            _ => self.lost.essential("messages[].role"),
        }
    }

    fn named(&mut self, given: &Given<'_>) {
        if given.name.is_some() {
            self.lost.droppable("messages[].name");
        }
    }

    fn turn(&mut self, role: &'static str, parts: Vec<Part<'a>>) {
        if !parts.is_empty() {
            self.answering = false;
            let role = Some(role);
            self.contents.push(Content { role, parts });
        }
    }

    fn system(&mut self, given: Given<'a>) {
        self.named(&given);
        for part in parts::read(given.content, self.lost) {
            match part {
                Held::Text(_) => self.system.push(part.into()),
                Held::InlineData(_)
                | Held::FileData(_)
                | Held::FunctionCall(_)
                | Held::FunctionResponse(_) => {
                    self.lost
                        .essential("messages[role=system].content[type!=text]");
                }
            }
        }
    }

    fn model(&mut self, given: Given<'a>) {
        self.named(&given);
        if given.audio.is_some() {
            self.lost.essential("messages[].audio");
        }
        let mut turn: Vec<Part<'a>> = parts::read(given.content, self.lost)
            .into_iter()
            .map(Part::from)
            .collect();
        let blocks = given.thinking_blocks.unwrap_or_default();
        let seals = blocks
            .into_iter()
            .filter_map(|block| Some(of_turn(&block.signature?)?.to_owned()));
        seal(&mut turn, seals.collect());
        let calls = given.tool_calls.unwrap_or_default();
        let old = given.function_call.map(|function| GivenCall {
            id: None,
            function: Some(function),
            extra_content: None,
        });
        for (at, call) in calls.into_iter().chain(old).enumerate() {
            turn.extend(self.call(call, at == 0));
        }
        self.turn("model", turn);
    }

    fn call(&mut self, given: GivenCall<'a>, first: bool) -> Option<Part<'a>> {
        let Some(function) = given.function else {
            self.lost.essential("messages[].tool_calls[type!=function]");
            return None;
        };
        let Some(args) = arguments(function.arguments) else {
            self.lost
                .essential("messages[].tool_calls[].function.arguments");
            return None;
        };
        let id = given.id.map(|Str(id)| id);
        if let Some(id) = &id {
            self.tools.insert(id.clone(), function.name.clone());
        }
        let seal = given
            .extra_content
            .as_ref()
            .and_then(|extra| extra.pointer("/google/thought_signature"))
            .and_then(Value::as_str);
        let stand_in = (first && self.generation == Generation::Later).then_some(NO_SEAL);
        Some(Part {
            data: Held::FunctionCall(Called {
                id,
                name: function.name,
                args,
            }),
            seal: seal.or(stand_in).map(str::to_owned),
        })
    }

    fn result(&mut self, given: Given<'a>) {
        let id = given.tool_call_id.map(|Str(id)| id);
        let called = id.as_ref().and_then(|id| self.tools.get(id)).cloned();
        let Some(name) = called.or(given.name.map(|Str(name)| name)) else {
            self.lost.essential("messages[].tool_call_id");
            return;
        };
        let (mut texts, mut parts) = (Vec::new(), Vec::new());
        for part in parts::read(given.content, self.lost) {
            match part {
                Held::Text(text) => texts.push(text),
                Held::InlineData(_)
                | Held::FileData(_)
                | Held::FunctionCall(_)
                | Held::FunctionResponse(_) => parts.push(part.into()),
            }
        }
        let answered = Answered {
            id,
            name,
            response: response(&texts.join("\n")),
            parts,
        };
        let part = Part::from(Held::FunctionResponse(answered));
        match self.contents.last_mut().filter(|_| self.answering) {
            Some(turn) => turn.parts.push(part),
            None => self.turn("user", vec![part]),
        }
        self.answering = true;
    }

    /// Instructions alone are a question: Gemini refuses a conversation without a turn.
    fn end(mut self) -> Told<'a> {
        let (role, parts) = (None, self.system);
        if parts.is_empty() {
            return Told {
                system: None,
                contents: self.contents,
            };
        }
        if self.contents.is_empty() {
            let role = Some("user");
            self.contents.push(Content { role, parts });
            return Told {
                system: None,
                contents: self.contents,
            };
        }
        Told {
            system: Some(Content { role, parts }),
            contents: self.contents,
        }
    }
}

/// Puts seals on a turn's text: the last on its last part, the others in front, each on its own.
fn seal(turn: &mut Vec<Part<'_>>, mut seals: Vec<String>) {
    let sealed = |seal| Part {
        data: Held::Text("".into()),
        seal: Some(seal),
    };
    let Some(last) = seals.pop() else {
        return;
    };
    match turn.last_mut() {
        Some(part) => part.seal = Some(last),
        None => turn.push(sealed(last)),
    }
    turn.splice(0..0, seals.into_iter().map(sealed));
}

/// OpenAI's arguments are JSON in a string, Gemini's are the object itself.
fn arguments(given: Option<&RawValue>) -> Option<Box<RawValue>> {
    let Some(given) = given else {
        return RawValue::from_string("{}".to_owned()).ok();
    };
    if given.get().starts_with('{') {
        return Some(given.to_owned());
    }
    let Str(text) = serde_json::from_str(given.get()).ok()?;
    let text = match text.trim() {
        "" => "{}",
        text => text,
    };
    let value = RawValue::from_string(text.to_owned()).ok()?;
    value.get().starts_with('{').then_some(value)
}

/// What a tool said, as the object Gemini wants: its own where it is one, else under `output`.
fn response(text: &str) -> Box<RawValue> {
    #[derive(Serialize)]
    struct Output<T> {
        output: T,
    }
    match serde_json::from_str::<&RawValue>(text) {
        Ok(value) if value.get().starts_with('{') => value.to_owned(),
        Ok(value) if value.get().starts_with('[') => raw(&Output { output: value }),
        Ok(_) | Err(_) => raw(&Output { output: text }),
    }
}
