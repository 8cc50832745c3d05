//! The conversation: OpenAI's messages as turns, which take turns.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::content::{self, Said};
use super::{Untranslatable, cannot};
use crate::dialect::json::{Object, raw};
use crate::dialect::seal::is_anthropic;

/// A message as OpenAI writes it.
#[derive(Deserialize)]
struct Given<'a> {
    role: String,
    #[serde(default, borrow)]
    content: Option<&'a RawValue>,
    #[serde(default)]
    tool_call_id: Option<String>,
    #[serde(default, borrow)]
    tool_calls: Option<Vec<Call<'a>>>,
    #[serde(default, borrow)]
    thinking_blocks: Option<Vec<&'a RawValue>>,
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default)]
    is_error: Option<bool>,
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(default)]
    id: String,
    #[serde(default, borrow)]
    function: Option<Function<'a>>,
}

#[derive(Deserialize)]
struct Function<'a> {
    name: String,
    #[serde(default, borrow)]
    arguments: Option<&'a RawValue>,
}

/// One turn, of as many messages as one role said in a row.
pub(super) struct Turn {
    role: &'static str,
    said: Vec<Said>,
}

impl Serialize for Turn {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Written<'a, C> {
            role: &'a str,
            content: C,
        }
        let role = self.role;
        if let [Said::Plain(text)] = &self.said[..] {
            return Written {
                role,
                content: text,
            }
            .serialize(serializer);
        }
        let content: Vec<Box<RawValue>> = self.said.iter().map(Said::block).collect();
        Written { role, content }.serialize(serializer)
    }
}

/// A conversation in this dialect.
pub(super) struct Conversation {
    /// The system prompt.
    pub(super) system: Option<Box<RawValue>>,
    /// The turns.
    pub(super) turns: Vec<Turn>,
    /// The upstream would let the model think: no answer has been started, and tools were called
    /// with sealed thinking or not at all since the last question.
    pub(super) thinks: bool,
}

/// Reads the messages of a body.
pub(super) fn conversation(given: &Object) -> Result<Conversation, Untranslatable> {
    let text = given.get("messages").map_or("[]", RawValue::get);
    let list: Vec<Given<'_>> = serde_json::from_str(text)
        .map_err(|_| cannot("messages", "holds a message this upstream cannot be told"))?;
    let (mut system, mut turns) = (Vec::new(), Vec::<Turn>::new());
    let mut thinks = true;
    for message in list {
        let (role, said) = match message.role.as_str() {
            "system" | "developer" => {
                system.extend(content::parts(message.content)?);
                continue;
            }
            "user" => {
                thinks = true;
                ("user", content::parts(message.content)?)
            }
            "tool" => ("user", vec![result(&message)?]),
            "assistant" => {
                let said = assistant(&message)?;
                thinks &= message.tool_calls.is_none() || is_sealed(&message);
                ("assistant", said)
            }
            _ => {
                let problem = "holds a role this upstream does not know";
                return Err(cannot("messages", problem));
            }
        };
        match turns.last_mut().filter(|turn| turn.role == role) {
            Some(turn) => turn.said.extend(said),
            None => turns.push(Turn { role, said }),
        }
    }
    turns.retain(|turn| turn.role == "user" || !turn.said.is_empty());
    let started = end_cleanly(&mut turns);
    Ok(Conversation {
        system: written_system(&system),
        turns,
        thinks: thinks && !started,
    })
}

fn is_sealed(message: &Given<'_>) -> bool {
    message
        .thinking_blocks
        .iter()
        .flatten()
        .any(|block| sealed(block))
}

/// The upstream made this block itself.
fn sealed(block: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Block {
        #[serde(rename = "type")]
        kind: String,
        #[serde(default)]
        signature: Option<String>,
    }
    serde_json::from_str::<Block>(block.get()).is_ok_and(|block| match block.kind.as_str() {
        "thinking" => block.signature.is_some_and(|seal| is_anthropic(&seal)),
        kind => kind == "redacted_thinking",
    })
}

fn assistant(message: &Given<'_>) -> Result<Vec<Said>, Untranslatable> {
    let blocks = message.thinking_blocks.iter().flatten();
    let mut said: Vec<Said> = blocks
        .filter(|block| sealed(block))
        .map(|block| Said::Block((*block).to_owned()))
        .collect();
    // an empty text would be refused
    let texts = content::parts(message.content)?.into_iter();
    said.extend(texts.filter(|text| !text.is_empty()));
    let refusal = message.refusal.clone().map(Said::Plain);
    said.extend(refusal.filter(|text| !text.is_empty()));
    for call in message.tool_calls.iter().flatten() {
        said.push(tool_use(call)?);
    }
    Ok(said)
}

#[derive(Serialize)]
struct ToolUse<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: String,
    name: &'a str,
    input: Box<RawValue>,
}

/// OpenAI's arguments are JSON in a string, here they are the object itself.
fn tool_use(call: &Call<'_>) -> Result<Said, Untranslatable> {
    let no_function = cannot("messages", "holds a tool call that is no function's");
    let function = call.function.as_ref().ok_or(no_function)?;
    let no_object = cannot(
        "messages[].tool_calls[].function.arguments",
        "must be a JSON object in a string",
    );
    let given = function.arguments.map_or("\"\"", RawValue::get);
    let text = match given.starts_with('"') {
        true => serde_json::from_str(given).map_err(|_| no_object.clone())?,
        false => given.to_owned(),
    };
    let text = match text.trim() {
        "" | "null" => "{}".to_owned(),
        text => text.to_owned(),
    };
    let input = RawValue::from_string(text).ok();
    let input = input.filter(|input| input.get().starts_with('{'));
    Ok(Said::Block(raw(&ToolUse {
        kind: "tool_use",
        id: plain_id(&call.id),
        name: &function.name,
        input: input.ok_or(no_object)?,
    })))
}

fn result(message: &Given<'_>) -> Result<Said, Untranslatable> {
    let missing = cannot("messages", "holds a tool message without tool_call_id");
    let id = message.tool_call_id.as_deref().ok_or(missing)?;
    let mut block = json!({"type": "tool_result", "tool_use_id": plain_id(id)});
    let parts = content::parts(message.content)?;
    block["content"] = match &parts[..] {
        [Said::Plain(text)] => Value::from(text.as_str()),
        parts => parts
            .iter()
            .filter_map(|part| serde_json::from_str::<Value>(part.block().get()).ok())
            .collect(),
    };
    if message.is_error == Some(true) {
        block["is_error"] = Value::from(true);
    }
    Ok(Said::Block(raw(&block)))
}

/// Ids of other dialects may hold characters that this one refuses.
fn plain_id(id: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    id.chars().map(|c| if plain(c) { c } else { '_' }).collect()
}

/// Cuts white space that an answer already started ends in. Whether one was started.
fn end_cleanly(turns: &mut Vec<Turn>) -> bool {
    let Some(last) = turns.last_mut().filter(|turn| turn.role == "assistant") else {
        return false;
    };
    if let Some(Said::Plain(text) | Said::Text(text)) = last.said.last_mut() {
        text.truncate(text.trim_end().len());
        if text.is_empty() {
            last.said.pop();
        }
    }
    if last.said.is_empty() {
        turns.pop();
        return false;
    }
    true
}

fn written_system(system: &[Said]) -> Option<Box<RawValue>> {
    let filled: Vec<&Said> = system.iter().filter(|said| !said.is_empty()).collect();
    match &filled[..] {
        [] => None,
        [Said::Plain(text)] => Some(raw(text)),
        said => {
            let blocks: Vec<Box<RawValue>> = said.iter().map(|said| said.block()).collect();
            Some(raw(&blocks))
        }
    }
}
