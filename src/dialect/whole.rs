//! Everything one answer says, put together: how streams become whole answers and back.

use crate::types::{Event, Finish, Tap, Usage};

/// Most tool calls of one answer; what goes beyond is left out.
pub(super) const MAX_CALLS: u32 = 128;

/// A piece of the model's thinking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Thought {
    /// Readable, with the provider's seal where it has one.
    Plain {
        /// The text; may be empty under a seal.
        text: String,
        /// The seal.
        signature: Option<String>,
    },
    /// Readable for the provider alone.
    Redacted(String),
}

impl Thought {
    /// The provider wants it back as it is.
    pub fn is_sealed(&self) -> bool {
        match self {
            Thought::Plain { signature, .. } => signature.is_some(),
            Thought::Redacted(_) => true,
        }
    }
}

/// A tool the model asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// The call's id.
    pub id: String,
    /// The tool.
    pub name: String,
    /// JSON text; empty for none.
    pub arguments: String,
    /// The provider's seal.
    pub signature: Option<String>,
}

/// One whole answer in no dialect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whole {
    /// The upstream's id; empty for none.
    pub id: String,
    /// The model as the upstream names it; empty for none.
    pub model: String,
    /// Its text.
    pub text: String,
    /// Its refusal; empty for none.
    pub refusal: String,
    /// Its thinking, in order.
    pub thoughts: Vec<Thought>,
    /// The tools it asks for, in order.
    pub calls: Vec<Call>,
    /// Why it ended; `None` when it has not.
    pub finish: Option<Finish>,
    /// Token counts, where they came.
    pub usage: Option<Usage>,
}

impl Whole {
    /// All of `events`.
    pub fn of(events: impl IntoIterator<Item = Event>) -> Self {
        let mut whole = Whole::default();
        events.into_iter().for_each(|event| whole.add(event));
        whole
    }

    /// Appends what was said next.
    pub fn add(&mut self, event: Event) {
        match event {
            Event::Start { id, model } => (self.id, self.model) = (id, model),
            Event::Text(text) => self.text.push_str(&text),
            Event::Refusal(text) => self.refusal.push_str(&text),
            Event::Thinking(more) => match self.thoughts.last_mut() {
                Some(Thought::Plain {
                    text,
                    signature: None,
                }) => text.push_str(&more),
                Some(Thought::Plain { .. } | Thought::Redacted(_)) | None => {
                    self.thoughts.push(Thought::Plain {
                        text: more,
                        signature: None,
                    });
                }
            },
            Event::Signature(seal) => match self.thoughts.last_mut() {
                Some(Thought::Plain {
                    signature: signature @ None,
                    ..
                }) => *signature = Some(seal),
                Some(Thought::Plain { .. } | Thought::Redacted(_)) | None => {
                    self.thoughts.push(Thought::Plain {
                        text: String::new(),
                        signature: Some(seal),
                    });
                }
            },
            Event::Redacted(data) => self.thoughts.push(Thought::Redacted(data)),
            Event::ToolCall {
                index,
                id,
                name,
                signature,
            } => {
                if let Some(call) = self.call(index) {
                    (call.id, call.name, call.signature) = (id, name, signature);
                }
            }
            Event::Arguments { index, json } => {
                if let Some(call) = self.call(index) {
                    call.arguments.push_str(&json);
                }
            }
            Event::Usage(usage) => self.usage = Some(usage),
            Event::Finish(finish) => self.finish = Some(finish),
        }
    }

    fn call(&mut self, index: u32) -> Option<&mut Call> {
        let at = usize::try_from(index).ok().filter(|_| index < MAX_CALLS)?;
        if self.calls.len() <= at {
            self.calls.resize(at + 1, Call::default());
        }
        self.calls.get_mut(at)
    }

    /// All readable thinking.
    pub fn thinking(&self) -> String {
        let texts = self.thoughts.iter().filter_map(|thought| match thought {
            Thought::Plain { text, .. } => Some(text.as_str()),
            Thought::Redacted(_) => None,
        });
        texts.collect()
    }

    /// The facts the node itself needs.
    pub fn tap(&self) -> Tap {
        Tap {
            text: self.text.clone(),
            beyond_text: !(self.refusal.is_empty()
                && self.thoughts.is_empty()
                && self.calls.is_empty()),
            real: true,
            finish: self.finish,
            usage: self.usage,
        }
    }

    /// The answer as a stream: start, thinking, text, refusal, calls, finish, usage.
    pub fn into_events(self) -> Vec<Event> {
        let mut events = vec![Event::Start {
            id: self.id,
            model: self.model,
        }];
        for thought in self.thoughts {
            match thought {
                Thought::Redacted(data) => events.push(Event::Redacted(data)),
                Thought::Plain { text, signature } => {
                    events.extend((!text.is_empty()).then_some(Event::Thinking(text)));
                    events.extend(signature.map(Event::Signature));
                }
            }
        }
        events.extend((!self.text.is_empty()).then_some(Event::Text(self.text)));
        events.extend((!self.refusal.is_empty()).then_some(Event::Refusal(self.refusal)));
        for (index, call) in (0..).zip(self.calls) {
            events.push(Event::ToolCall {
                index,
                id: call.id,
                name: call.name,
                signature: call.signature,
            });
            let json = call.arguments;
            events.extend((!json.is_empty()).then_some(Event::Arguments { index, json }));
        }
        events.extend(self.finish.map(Event::Finish));
        events.extend(self.usage.map(Event::Usage));
        events
    }
}

#[cfg(test)]
mod tests {
    use super::{Call, Thought, Whole};
    use crate::types::{Finish, Usage};

    #[test]
    fn a_whole_answer_survives_as_a_stream() {
        let whole = Whole {
            id: "m1".into(),
            model: "m".into(),
            text: "hi".into(),
            refusal: String::new(),
            thoughts: vec![
                Thought::Plain {
                    text: "hm".into(),
                    signature: Some("s".into()),
                },
                Thought::Redacted("r".into()),
                Thought::Plain {
                    text: "so".into(),
                    signature: None,
                },
            ],
            calls: vec![Call {
                id: "c".into(),
                name: "f".into(),
                arguments: "{}".into(),
                signature: None,
            }],
            finish: Some(Finish::ToolCalls),
            usage: Some(Usage::new(1, 2)),
        };
        assert_eq!(Whole::of(whole.clone().into_events()), whole);
    }
}
