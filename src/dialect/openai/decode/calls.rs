//! Calls put together from their fragments.
//!
//! A call is told once its name is known, and its id or the first of its arguments. What comes
//! before that is held, for an event cannot be taken back.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::dialect::openai::calls::{Calls, Told};
use crate::dialect::openai::tap::Garbled;
use crate::types::Event;

#[derive(Deserialize)]
pub(super) struct Fragment<'a> {
    #[serde(default)]
    index: Option<u64>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default, borrow)]
    function: Option<Function<'a>>,
    #[serde(default)]
    extra_content: Option<Value>,
}

#[derive(Default, Deserialize)]
struct Function<'a> {
    #[serde(default)]
    name: Option<String>,
    #[serde(default, borrow)]
    arguments: Option<&'a RawValue>,
}

/// The calls of one answer.
#[derive(Debug, Default)]
pub(super) struct Joined {
    calls: Calls,
    /// What is not told yet, by the call's place.
    held: Vec<Held>,
    told: u32,
}

#[derive(Debug, Default)]
struct Held {
    seal: Option<String>,
    arguments: String,
    /// The number it was told under.
    index: Option<u32>,
}

impl Joined {
    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Reads the fragments of one chunk.
    ///
    /// # Errors
    /// [`Garbled::Shape`] for arguments that are no text, and for more calls than are taken.
    pub(super) fn add(
        &mut self,
        fragments: Vec<Fragment<'_>>,
        events: &mut Vec<Event>,
    ) -> Result<(), Garbled> {
        for (at, fragment) in (0..).zip(fragments) {
            self.fragment(at, fragment, events)?;
        }
        Ok(())
    }

    /// The answer ends: what is held is told as it is.
    pub(super) fn settle(&mut self, events: &mut Vec<Event>) {
        for place in 0..self.held.len() {
            self.tell(place, events);
        }
    }

    fn fragment(
        &mut self,
        at: u64,
        fragment: Fragment<'_>,
        events: &mut Vec<Event>,
    ) -> Result<(), Garbled> {
        let function = fragment.function.unwrap_or_default();
        let told = Told {
            index: fragment.index,
            place: at,
            id: fragment.id.as_deref().unwrap_or_default(),
            name: function.name.as_deref().unwrap_or_default(),
        };
        let place = self.calls.place(&told).ok_or_else(too_many)?;
        if self.held.len() <= place {
            self.held.resize_with(place + 1, Held::default);
        }
        let (held, arguments) = (&mut self.held[place], text(function.arguments)?);
        let extra = fragment.extra_content.as_ref();
        let seal = extra.and_then(|extra| extra.pointer("/google/thought_signature"));
        let seal = seal.and_then(Value::as_str).map(str::to_owned);
        held.seal = seal.or(held.seal.take());
        held.arguments.push_str(&arguments);
        let ready = self.calls.get(place).is_some_and(|call| {
            let is_told_apart = !call.id.is_empty() || !held.arguments.is_empty();
            is_told_apart && !call.name.is_empty()
        });
        if ready || held.index.is_some() {
            self.tell(place, events);
        }
        Ok(())
    }

    fn tell(&mut self, place: usize, events: &mut Vec<Event>) {
        let (Some(call), Some(held)) = (self.calls.get(place), self.held.get_mut(place)) else {
            return;
        };
        let index = *held.index.get_or_insert_with(|| {
            let made_up = || format!("call_{}", uuid::Uuid::now_v7().simple());
            let id = Some(call.id.clone()).filter(|id| !id.is_empty());
            events.push(Event::ToolCall {
                index: self.told,
                id: id.unwrap_or_else(made_up),
                name: call.name.clone(),
                signature: held.seal.take(),
            });
            self.told += 1;
            self.told - 1
        });
        let json = std::mem::take(&mut held.arguments);
        events.extend((!json.is_empty()).then_some(Event::Arguments { index, json }));
    }
}

/// Arguments are a text that holds JSON; some servers send the JSON itself.
fn text(arguments: Option<&RawValue>) -> Result<String, Garbled> {
    match arguments.map(RawValue::get) {
        None | Some("null") => Ok(String::new()),
        Some(text) if text.starts_with('"') => serde_json::from_str(text).map_err(Garbled::Shape),
        Some(json) => Ok(json.to_owned()),
    }
}

fn too_many() -> Garbled {
    Garbled::Shape(serde::de::Error::custom("more tool calls than are taken"))
}
