//! What chunks say, however their servers write them.

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
    let chunk = |calls: &str| format!(r#"{{"choices":[{{"delta":{{"tool_calls":[{calls}]}}}}]}}"#);
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

fn calls_of(chunks: &[&str]) -> Vec<(String, String, String)> {
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    for calls in chunks {
        let chunk = format!(r#"{{"choices":[{{"delta":{{"tool_calls":[{calls}]}}}}]}}"#);
        events.extend(decoder.chunk(chunk.as_bytes()).unwrap());
    }
    let end = br#"{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}"#;
    events.extend(decoder.chunk(end).unwrap());
    let calls = Whole::of(events).calls;
    let told = calls
        .into_iter()
        .map(|call| (call.id, call.name, call.arguments));
    told.collect()
}

fn told(calls: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
    let told = calls
        .iter()
        .map(|(id, name, json)| ((*id).into(), (*name).into(), (*json).into()));
    told.collect()
}

#[test]
fn a_call_whose_id_and_name_come_apart_has_both() {
    let one = told(&[("c1", "f", r#"{"a":1}"#)]);
    for chunks in [
        &[
            r#"{"index":0,"id":"c1"}"#,
            r#"{"index":0,"function":{"name":"f","arguments":"{\"a\":1}"}}"#,
        ][..],
        &[
            r#"{"index":0,"function":{"name":"f","arguments":""}}"#,
            r#"{"index":0,"id":"c1","function":{"arguments":"{\"a\":1}"}}"#,
        ],
        &[
            r#"{"index":0,"id":"c1","function":{"arguments":"{\"a\""}}"#,
            r#"{"index":0,"function":{"arguments":":1}"}}"#,
            r#"{"index":0,"function":{"name":"f"}}"#,
        ],
    ] {
        assert_eq!(calls_of(chunks), one, "{chunks:?}");
    }
}

#[test]
fn a_call_that_never_gets_a_name_is_told_at_the_end() {
    let chunks = [r#"{"index":0,"id":"c1","function":{"arguments":"{}"}}"#];
    assert_eq!(calls_of(&chunks), told(&[("c1", "", "{}")]));
}

#[test]
fn calls_that_all_have_the_same_index_or_none_stay_apart() {
    let two = told(&[("a", "f", "{}"), ("b", "g", r#"{"x":2}"#)]);
    for index in ["", r#""index":0,"#] {
        let chunks = [
            format!(r#"{{{index}"id":"a","function":{{"name":"f","arguments":"{{}}"}}}}"#),
            format!(r#"{{{index}"id":"b","function":{{"name":"g","arguments":"{{\"x\""}}}}"#),
            format!(r#"{{{index}"function":{{"arguments":":2}}"}}}}"#),
        ];
        let chunks: Vec<&str> = chunks.iter().map(String::as_str).collect();
        assert_eq!(calls_of(&chunks), two, "{index}");
    }
    let together = r#"{"id":"a","function":{"name":"f","arguments":"{}"}},
        {"id":"b","function":{"name":"g","arguments":{"x":2}}}"#;
    assert_eq!(calls_of(&[together]), two);
}

#[test]
fn a_call_that_repeats_its_id_and_name_is_one() {
    let chunks = [
        r#"{"index":0,"id":"a","function":{"name":"f","arguments":"{"}}"#,
        r#"{"index":0,"id":"a","function":{"name":"f","arguments":"}"}}"#,
        r#"{"index":0,"id":"z","function":{"arguments":" "}}"#,
    ];
    assert_eq!(calls_of(&chunks), told(&[("a", "f", "{} ")]));
}

#[test]
fn more_calls_than_are_taken_are_an_error_not_a_loss() {
    let mut decoder = Decoder::default();
    let chunk = |n: usize| {
        let call = format!(r#"{{"index":{n},"id":"c{n}","function":{{"name":"f"}}}}"#);
        format!(r#"{{"choices":[{{"delta":{{"tool_calls":[{call}]}}}}]}}"#)
    };
    for n in 0..128 {
        decoder.chunk(chunk(n).as_bytes()).unwrap();
    }
    assert!(decoder.chunk(chunk(128).as_bytes()).is_err());
}

fn said(chunk: &str) -> Vec<Event> {
    let mut events = Decoder::default().chunk(chunk.as_bytes()).unwrap();
    events.remove(0);
    events
}

#[test]
fn thinking_under_two_names_is_said_once() {
    let both = r#"{"choices":[{"index":0,"delta":{"reasoning":"hm","reasoning_content":"hm"}}]}"#;
    assert_eq!(said(both), [Event::Thinking("hm".into())]);
    let old = r#"{"choices":[{"delta":{"reasoning":"hm","reasoning_content":null}}]}"#;
    assert_eq!(said(old), [Event::Thinking("hm".into())]);
    let twice = r#"{"choices":[{"delta":{"content":"a"},"message":{"content":"a"}}]}"#;
    assert_eq!(said(twice), [Event::Text("a".into())]);
}

#[test]
fn content_in_parts_is_text_and_thinking() {
    let parts = r#"{"choices":[{"delta":{"content":[
        {"type":"thinking","thinking":[{"type":"text","text":"hm"}]},
        {"type":"text","text":"hi"},{"type":"reference","reference_ids":[1]}]}}]}"#;
    let told = [Event::Thinking("hm".into()), Event::Text("hi".into())];
    assert_eq!(said(parts), told);
}

#[test]
fn chunks_without_choices_say_no_more_than_their_counts() {
    let counts = r#"{"id":null,"model":null,"choices":null,"usage":{"prompt_tokens":3,"completion_tokens":4}}"#;
    assert!(matches!(said(counts)[..], [Event::Usage(_)]));
    assert_eq!(said(r#"{"choices":[]}"#), []);
}

#[test]
fn a_whole_answer_with_calls_ends_because_of_them() {
    let raw = br#"{"choices":[{"message":{"content":null,"tool_calls":[
        {"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"stop"}]}"#;
    let whole = Whole::of(whole(raw).unwrap());
    assert_eq!(whole.finish, Some(Finish::ToolCalls));
}
