//! Numbers the tool calls of a stream whose upstream does not. Clients join a call's fragments by
//! their index, and some of them stumble over a fragment without one.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::calls::{Calls, Told};
use super::request::MAX_CHOICES;
use crate::dialect::json::{Object, raw};

/// The calls of each choice.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    choices: Vec<(u64, Calls)>,
}

/// What the calls of one choice of a chunk should be numbered.
#[derive(Debug)]
pub(super) struct Repair {
    /// The choice's place in the chunk.
    pub(super) place: usize,
    numbers: Vec<u64>,
}

#[derive(Deserialize)]
struct Fragment<'a> {
    #[serde(default)]
    index: Option<u64>,
    #[serde(default, borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    function: Option<Function<'a>>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(default, borrow)]
    name: Option<Cow<'a, str>>,
}

impl Numbers {
    /// Reads the fragments of a choice; `None` where they are numbered well, or cannot be read.
    pub(super) fn note(
        &mut self,
        (place, choice): (usize, u64),
        fragments: &RawValue,
    ) -> Option<Repair> {
        let fragments: Vec<Fragment<'_>> = serde_json::from_str(fragments.get()).ok()?;
        let calls = self.calls(choice)?;
        let (mut numbers, mut is_wrong) = (Vec::with_capacity(fragments.len()), false);
        for (at, fragment) in (0..).zip(&fragments) {
            let function = fragment.function.as_ref();
            let place = calls.place(&Told {
                index: fragment.index,
                place: at,
                id: fragment.id.as_deref().unwrap_or_default(),
                name: function.and_then(|f| f.name.as_deref()).unwrap_or_default(),
            })?;
            let number = calls.get(place)?.number;
            is_wrong |= fragment.index != Some(number);
            numbers.push(number);
        }
        is_wrong.then_some(Repair { place, numbers })
    }

    fn calls(&mut self, choice: u64) -> Option<&mut Calls> {
        let known = self.choices.iter().position(|(index, _)| *index == choice);
        let at = match known {
            Some(at) => at,
            None if self.choices.len() as u64 >= MAX_CHOICES => return None,
            None => {
                self.choices.push((choice, Calls::default()));
                self.choices.len() - 1
            }
        };
        self.choices.get_mut(at).map(|(_, calls)| calls)
    }
}

/// The chunk with its calls numbered so; as it came where it cannot be rewritten.
pub(super) fn numbered(chunk: Bytes, repairs: &[Repair]) -> Bytes {
    rewritten(&chunk, repairs).unwrap_or(chunk)
}

fn rewritten(chunk: &[u8], repairs: &[Repair]) -> Option<Bytes> {
    let mut chunk: Object = serde_json::from_slice(chunk).ok()?;
    let mut choices: Vec<Box<RawValue>> = chunk.read("choices")?;
    for repair in repairs {
        let mut choice: Object = serde_json::from_str(choices.get(repair.place)?.get()).ok()?;
        let mut delta: Object = choice.read("delta")?;
        let mut calls: Vec<Object> = delta.read("tool_calls")?;
        for (call, number) in calls.iter_mut().zip(&repair.numbers) {
            call.set("index", raw(number));
        }
        let calls: Vec<Box<RawValue>> = calls.iter().filter_map(as_raw).collect();
        delta.set("tool_calls", raw(&calls));
        choice.set("delta", as_raw(&delta)?);
        choices[repair.place] = as_raw(&choice)?;
    }
    chunk.set("choices", raw(&choices));
    Some(Bytes::from(chunk.to_bytes()))
}

fn as_raw(object: &Object) -> Option<Box<RawValue>> {
    RawValue::from_string(String::from_utf8(object.to_bytes()).ok()?).ok()
}
