//! Text, thinking and calls in any order.

use proptest::prelude::*;

use super::{ENCODERS, kept};
use crate::dialect::whole::Whole;
use crate::types::{Event, Finish, Usage};

/// Arguments that are hard to find the end of.
const ARGUMENTS: [&str; 4] = [
    r#"{"a":"}\"{","b":[1,{"c":2}]}"#,
    "{}",
    r#"[{"täg":"\\"}]"#,
    "null",
];
const TEXTS: [&str; 4] = ["hi", "\n", "täg ", "{\"a\":"];

/// Each step is a text, a piece of thinking, or the next piece of a call; what is left of the calls
/// comes at the end.
fn interleaved(calls: &[Vec<String>], steps: &[(usize, usize)]) -> Vec<Event> {
    let mut said = vec![Event::Start {
        id: "x".into(),
        model: "up".into(),
    }];
    let mut begun: Vec<Option<u32>> = vec![None; calls.len()];
    let mut next = vec![0; calls.len()];
    let left = (0..calls.len()).flat_map(|call| vec![(call + 2, 0); calls[call].len() + 1]);
    for (source, text) in steps.iter().copied().chain(left) {
        let call = match source {
            0 => {
                said.push(Event::Text(TEXTS[text].into()));
                continue;
            }
            1 => {
                said.push(Event::Thinking(TEXTS[text].into()));
                continue;
            }
            call => call - 2,
        };
        if call >= calls.len() {
            continue;
        }
        let Some(index) = begun[call] else {
            let index = u32::try_from(begun.iter().flatten().count()).unwrap();
            begun[call] = Some(index);
            said.push(Event::ToolCall {
                index,
                id: format!("c{call}"),
                name: format!("f{call}"),
                signature: None,
            });
            continue;
        };
        if let Some(json) = calls[call].get(next[call]) {
            let json = json.clone();
            next[call] += 1;
            said.push(Event::Arguments { index, json });
        }
    }
    let finish = if calls.is_empty() {
        Finish::Stop
    } else {
        Finish::ToolCalls
    };
    said.extend([Event::Finish(finish), Event::Usage(Usage::new(3, 4))]);
    said
}

/// A text in pieces of at most so many letters.
fn pieces(text: &str, most: usize) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    let pieces = letters.chunks(most);
    pieces.map(|piece| piece.iter().collect()).collect()
}

proptest! {
    #[test]
    fn nothing_is_lost_whatever_comes_between_the_pieces_of_a_call(
        calls in prop::collection::vec((0..ARGUMENTS.len(), 1..9_usize), 0..4),
        steps in prop::collection::vec((0..6_usize, 0..TEXTS.len()), 0..40),
    ) {
        let calls: Vec<_> = calls.iter().map(|(json, most)| pieces(ARGUMENTS[*json], *most)).collect();
        let events = interleaved(&calls, &steps);
        let expected = kept(Whole::of(events.clone()));
        for encoder in ENCODERS {
            let back = encoder.stream(events.clone());
            prop_assert_eq!(&kept(back), &expected, "{:?}", encoder);
        }
    }
}

#[test]
fn arguments_that_text_came_between_are_whole() {
    for between in [Event::Text("\n".into()), Event::Thinking("hm".into())] {
        let call = |index, id: &str| Event::ToolCall {
            index,
            id: id.into(),
            name: "f".into(),
            signature: Some("seal".into()),
        };
        let more = |index, json: &str| Event::Arguments {
            index,
            json: json.into(),
        };
        let events = vec![
            call(0, "a"),
            more(0, "{\"a\":"),
            call(1, "b"),
            between.clone(),
            more(1, "{"),
            more(0, "1}"),
            Event::Text("so".into()),
            more(1, "}"),
        ];
        for encoder in ENCODERS {
            let calls = encoder.stream(events.clone()).calls;
            let told: Vec<_> = calls
                .iter()
                .map(|call| (&*call.id, &*call.arguments))
                .collect();
            assert_eq!(told, [("a", "{\"a\":1}"), ("b", "{}")], "{encoder:?}");
        }
    }
}
