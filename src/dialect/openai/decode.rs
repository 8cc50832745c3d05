//! OpenAI-shaped answers as [`Event`]s. Only choice 0 is read.

use serde::Deserialize;
use serde_json::Value;

use super::tap::Garbled;
use crate::types::{Event, Finish, Usage};

#[derive(Deserialize)]
struct Envelope {
    #[serde(default)]
    id: String,
    #[serde(default)]
    model: String,
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Usage>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: u64,
    #[serde(default, alias = "message")]
    delta: Option<Said>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
struct Said {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default, alias = "reasoning")]
    reasoning_content: Option<String>,
    #[serde(default)]
    thinking_blocks: Option<Vec<Block>>,
    #[serde(default)]
    tool_calls: Option<Vec<Fragment>>,
}

#[derive(Deserialize)]
struct Block {
    #[serde(default)]
    thinking: String,
    #[serde(default)]
    signature: Option<String>,
    #[serde(default)]
    data: Option<String>,
}

#[derive(Deserialize)]
struct Fragment {
    #[serde(default)]
    index: Option<u32>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    function: Option<Function>,
    #[serde(default)]
    extra_content: Option<Value>,
}

#[derive(Default, Deserialize)]
struct Function {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    arguments: Option<String>,
}

/// Turns the chunks of one stream, or one whole answer, into events.
#[derive(Debug, Default)]
pub struct Decoder {
    started: bool,
    /// Calls announced so far; the next fragment with a higher index begins one.
    calls: Vec<u32>,
}

impl Decoder {
    /// What one chunk says. Choices beyond the first say nothing here.
    ///
    /// # Errors
    /// [`Garbled`] when it is not a chunk, an error object included.
    pub fn chunk(&mut self, raw: &[u8]) -> Result<Vec<Event>, Garbled> {
        let read: Envelope = serde_json::from_slice(raw).map_err(Garbled::Shape)?;
        if let Some(error) = read.error.filter(|error| !error.is_null()) {
            return Err(Garbled::Error(
                error.to_string().chars().take(500).collect(),
            ));
        }
        let mut events = Vec::with_capacity(2);
        if !std::mem::replace(&mut self.started, true) {
            events.push(Event::Start {
                id: read.id,
                model: read.model,
            });
        }
        for choice in read.choices.into_iter().filter(|choice| choice.index == 0) {
            if let Some(said) = choice.delta {
                self.said(said, &mut events);
            }
            let reason = choice.finish_reason.filter(|reason| !reason.is_empty());
            events.extend(reason.map(|reason| Event::Finish(self.finish(&reason))));
        }
        events.extend(read.usage.map(Event::Usage));
        Ok(events)
    }

    /// Some servers say `stop` after calls too; a client that then looks for none would not act.
    fn finish(&self, reason: &str) -> Finish {
        let finish = Finish::from_openai(reason);
        if finish == Finish::Stop && !self.calls.is_empty() {
            Finish::ToolCalls
        } else {
            finish
        }
    }

    fn said(&mut self, said: Said, events: &mut Vec<Event>) {
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        // sealed blocks repeat the plain thinking of a whole answer
        let sealed = said.thinking_blocks.unwrap_or_default();
        let repeated = sealed.iter().any(|block| !block.thinking.is_empty());
        let plain = filled(said.reasoning_content).filter(|_| !repeated);
        events.extend(plain.map(Event::Thinking));
        for block in sealed {
            events.extend(block.data.map(Event::Redacted));
            events.extend(filled(Some(block.thinking)).map(Event::Thinking));
            events.extend(block.signature.map(Event::Signature));
        }
        events.extend(filled(said.content).map(Event::Text));
        events.extend(filled(said.refusal).map(Event::Refusal));
        for (at, fragment) in (0..).zip(said.tool_calls.unwrap_or_default()) {
            self.fragment(fragment.index.unwrap_or(at), fragment, events);
        }
    }

    fn fragment(&mut self, given: u32, fragment: Fragment, events: &mut Vec<Event>) {
        let function = fragment.function.unwrap_or_default();
        let known = self.calls.iter().position(|call| *call == given);
        let at = known.unwrap_or_else(|| {
            self.calls.push(given);
            self.calls.len() - 1
        });
        let index = u32::try_from(at).unwrap_or(u32::MAX);
        if known.is_none() {
            let made_up = || format!("call_{}", uuid::Uuid::now_v7().simple());
            let seal = fragment
                .extra_content
                .as_ref()
                .and_then(|extra| extra.pointer("/google/thought_signature"))
                .and_then(Value::as_str);
            events.push(Event::ToolCall {
                index,
                id: fragment
                    .id
                    .filter(|id| !id.is_empty())
                    .unwrap_or_else(made_up),
                name: function.name.unwrap_or_default(),
                signature: seal.map(str::to_owned),
            });
        }
        let json = function.arguments.filter(|json| !json.is_empty());
        events.extend(json.map(|json| Event::Arguments { index, json }));
    }
}

/// What a whole answer says.
///
/// # Errors
/// As [`Decoder::chunk`].
pub fn whole(raw: &[u8]) -> Result<Vec<Event>, Garbled> {
    Decoder::default().chunk(raw)
}

#[cfg(test)]
mod tests {
    use super::{Decoder, whole};
    use crate::dialect::openai::build::Head;
    use crate::dialect::whole::{Call, Thought, Whole};
    use crate::types::{Event, Finish, Usage};

    fn answer() -> Whole {
        Whole {
            id: "chatcmpl-1".into(),
            model: "m".into(),
            text: "hi".into(),
            thoughts: vec![
                Thought::Plain {
                    text: "hm".into(),
                    signature: Some("seal".into()),
                },
                Thought::Redacted("opaque".into()),
            ],
            calls: vec![
                Call {
                    id: "c1".into(),
                    name: "f".into(),
                    arguments: r#"{"a":1}"#.into(),
                    signature: Some("s".into()),
                },
                Call {
                    id: "c2".into(),
                    name: "g".into(),
                    ..Call::default()
                },
            ],
            finish: Some(Finish::ToolCalls),
            usage: Some(Usage::new(3, 4)),
            ..Whole::default()
        }
    }

    #[test]
    fn every_event_survives_as_a_chunk() {
        let mut head = Head::new("m");
        head.id = "chatcmpl-1".into();
        let mut decoder = Decoder::default();
        let events = answer().into_events();
        let back: Vec<Event> = events
            .iter()
            .flat_map(|event| decoder.chunk(&head.said(event).raw).unwrap())
            .collect();
        assert_eq!(back, events);
    }

    #[test]
    fn a_whole_answer_survives() {
        let raw = Head::new("x").whole(&answer()).raw;
        assert_eq!(Whole::of(whole(&raw).unwrap()), answer());
    }

    #[test]
    fn a_fragment_without_id_or_name_belongs_to_the_call_of_its_index() {
        let mut decoder = Decoder::default();
        let chunk =
            |calls: &str| format!(r#"{{"choices":[{{"delta":{{"tool_calls":[{calls}]}}}}]}}"#);
        let mut events = Vec::new();
        for calls in [
            r#"{"index":4,"id":"a","function":{"name":"f","arguments":""}}"#,
            r#"{"index":7,"id":"b","function":{"name":"g","arguments":"{"}}"#,
            r#"{"index":4,"function":{"arguments":"{}"}}"#,
            r#"{"index":7,"id":"b","function":{"arguments":"}"}}"#,
        ] {
            events.extend(decoder.chunk(chunk(calls).as_bytes()).unwrap());
        }
        let calls = Whole::of(events).calls;
        let told: Vec<_> = calls
            .iter()
            .map(|c| (&*c.id, &*c.name, &*c.arguments))
            .collect();
        assert_eq!(told, [("a", "f", "{}"), ("b", "g", "{}")]);
    }

    #[test]
    fn other_choices_say_nothing() {
        let raw = br#"{"choices":[{"index":1,"delta":{"content":"x"},"finish_reason":"stop"}]}"#;
        let events = Decoder::default().chunk(raw).unwrap();
        assert!(matches!(events[..], [Event::Start { .. }]));
    }
}
