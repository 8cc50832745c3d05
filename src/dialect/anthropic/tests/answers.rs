//! Golden streams, whole answers, and what survives the way there and back.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::dialect::anthropic::{Bad, Decoder, Encoder, decode, message};
use crate::dialect::sse::Splitter;
use crate::dialect::whole::{Call, Thought, Whole};
use crate::types::{Event, Finish, Usage};

/// Thinking with its seal, text, two calls (one without arguments), a search of the upstream's own,
/// a ping, and a kind of block that nobody knows.
const GOLDEN: &str = r#"event: message_start
data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"c-1","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":3,"cache_creation_input_tokens":10,"cache_read_input_tokens":20,"output_tokens":1}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}

event: ping
data: {"type":"ping"}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"let me"}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":" see"}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"EqQB+/=="}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: content_block_start
data: {"type":"content_block_start","index":1,"content_block":{"type":"redacted_thinking","data":"opaque=="}}

event: content_block_stop
data: {"type":"content_block_stop","index":1}

event: content_block_start
data: {"type":"content_block_start","index":2,"content_block":{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{}}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"query\":\"x\"}"}}

event: content_block_stop
data: {"type":"content_block_stop","index":2}

event: content_block_start
data: {"type":"content_block_start","index":3,"content_block":{"type":"novelty","text":3}}

event: content_block_stop
data: {"type":"content_block_stop","index":3}

event: content_block_start
data: {"type":"content_block_start","index":4,"content_block":{"type":"text","text":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":4,"delta":{"type":"text_delta","text":"täg"}}

event: content_block_delta
data: {"type":"content_block_delta","index":4,"delta":{"type":"citations_delta","citation":{"url":"u"}}}

event: content_block_delta
data: {"type":"content_block_delta","index":4,"delta":{"type":"text_delta","text":"lich"}}

event: content_block_stop
data: {"type":"content_block_stop","index":4}

event: content_block_start
data: {"type":"content_block_start","index":5,"content_block":{"type":"tool_use","id":"toolu_1","name":"find","input":{}}}

event: content_block_delta
data: {"type":"content_block_delta","index":5,"delta":{"type":"input_json_delta","partial_json":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":5,"delta":{"type":"input_json_delta","partial_json":"{\"q\": "}}

event: content_block_delta
data: {"type":"content_block_delta","index":5,"delta":{"type":"input_json_delta","partial_json":"1}"}}

event: content_block_stop
data: {"type":"content_block_stop","index":5}

event: content_block_start
data: {"type":"content_block_start","index":6,"content_block":{"type":"tool_use","id":"toolu_2","name":"now","input":{}}}

event: content_block_stop
data: {"type":"content_block_stop","index":6}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":50}}

event: message_stop
data: {"type":"message_stop"}

"#;

fn golden() -> Whole {
    let call = |id: &str, name: &str, arguments: &str| Call {
        id: id.into(),
        name: name.into(),
        arguments: arguments.into(),
        signature: None,
    };
    Whole {
        id: "msg_1".into(),
        model: "c-1".into(),
        text: "täglich".into(),
        thoughts: vec![
            Thought::Plain {
                text: "let me see".into(),
                signature: Some("EqQB+/==".into()),
            },
            Thought::Redacted("opaque==".into()),
        ],
        calls: vec![
            call("toolu_1", "find", "{\"q\": 1}"),
            call("toolu_2", "now", "{}"),
        ],
        finish: Some(Finish::ToolCalls),
        usage: Some(Usage {
            cached_tokens: 20,
            cache_write_tokens: 10,
            ..Usage::new(33, 50)
        }),
        ..Whole::default()
    }
}

/// The events of a stream cut into these pieces.
fn events(pieces: &[&[u8]]) -> (Vec<Event>, bool) {
    let (mut splitter, mut decoder, mut said) =
        (Splitter::default(), Decoder::default(), Vec::new());
    for piece in pieces {
        splitter.push(Bytes::copy_from_slice(piece));
        while let Some(event) = splitter.next_event() {
            decoder.message(&event.unwrap().data, &mut said).unwrap();
        }
    }
    (said, decoder.is_done())
}

#[test]
fn a_stream_says_all_that_translates_and_skips_what_does_not() {
    let (said, done) = events(&[GOLDEN.as_bytes()]);
    assert!(done);
    assert_eq!(Whole::of(said), golden());
}

proptest! {
    #[test]
    fn where_the_network_cuts_a_stream_changes_nothing(cuts in prop::collection::vec(0..GOLDEN.len(), 0..40)) {
        let bytes = GOLDEN.as_bytes();
        let mut cuts = cuts;
        cuts.sort_unstable();
        let (mut pieces, mut from) = (Vec::new(), 0);
        for cut in cuts {
            pieces.push(&bytes[from..cut]);
            from = cut;
        }
        pieces.push(&bytes[from..]);
        prop_assert_eq!(events(&pieces), events(&[bytes]));
    }
}

fn decoded(lines: &[Value]) -> Whole {
    let (mut decoder, mut said) = (Decoder::default(), Vec::new());
    for line in lines {
        decoder
            .message(line.to_string().as_bytes(), &mut said)
            .unwrap();
    }
    Whole::of(said)
}

#[test]
fn each_stop_reason_has_its_finish() {
    for (reason, finish) in [
        ("end_turn", Finish::Stop),
        ("stop_sequence", Finish::Stop),
        ("max_tokens", Finish::Length),
        ("model_context_window_exceeded", Finish::Length),
        ("tool_use", Finish::ToolCalls),
        ("refusal", Finish::ContentFilter),
        ("pause_turn", Finish::Other),
        ("novelty", Finish::Other),
    ] {
        let end = json!({"type": "message_delta", "delta": {"stop_reason": reason}});
        assert_eq!(decoded(&[end]).finish, Some(finish), "{reason}");
    }
}

#[test]
fn counts_that_come_late_overwrite_and_those_left_out_keep_their_value() {
    let usage = |start: Value, end: Value| {
        decoded(&[
            json!({"type": "message_start", "message": {"usage": start}}),
            json!({"type": "message_delta", "delta": {}, "usage": end}),
        ])
        .usage
    };
    let kept = usage(
        json!({"input_tokens": 7, "output_tokens": 1}),
        json!({"output_tokens": 9}),
    );
    assert_eq!(kept, Some(Usage::new(7, 9)));
    let late = usage(
        json!({"input_tokens": 0}),
        json!({"input_tokens": 7, "output_tokens": 9}),
    );
    assert_eq!(late, Some(Usage::new(7, 9)));
}

#[test]
fn an_error_inside_a_stream_and_what_is_no_message_are_not_an_answer() {
    let mut decoder = Decoder::default();
    let error = br#"{"type":"error","error":{"type":"overloaded_error","message":"busy"}}"#;
    let bad = decoder.message(error, &mut Vec::new()).unwrap_err();
    assert!(matches!(bad, Bad::Reported { kind, .. } if kind == "overloaded_error"));
    let bad = decoder.message(b"{\"type\":", &mut Vec::new()).unwrap_err();
    assert!(matches!(bad, Bad::Shape(_)));
    for (whole, words) in [
        (
            r#"{"type":"error","error":{"type":"api_error","message":"x"}}"#,
            "api_error",
        ),
        (
            r#"{"type":"message","content":[],"stop_reason":null}"#,
            "not ended",
        ),
        ("<html>", "not an anthropic answer"),
    ] {
        let bad = decode::whole(whole.as_bytes()).unwrap_err().to_string();
        assert!(bad.contains(words), "{bad}");
    }
}

#[test]
fn a_stream_is_complete_after_its_stop_or_once_it_has_said_why_it_ends() {
    let mut decoder = Decoder::default();
    decoder.ended();
    assert!(!decoder.is_done());
    let end = br#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#;
    decoder.message(end, &mut Vec::new()).unwrap();
    assert!(!decoder.is_done());
    decoder.ended();
    assert!(decoder.is_done());
}

/// The messages of a stream as it was written, each under its name.
fn written(encoder: &mut Encoder) -> Vec<Value> {
    let mut splitter = Splitter::default();
    let bytes = encoder.take();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    splitter.push(bytes);
    let mut messages = Vec::new();
    while let Some(event) = splitter.next_event() {
        messages.push(serde_json::from_slice::<Value>(&event.unwrap().data).unwrap());
    }
    let names: Vec<&str> = text
        .lines()
        .filter_map(|l| l.strip_prefix("event: "))
        .collect();
    let kinds: Vec<&str> = messages
        .iter()
        .map(|m| m["type"].as_str().unwrap())
        .collect();
    assert_eq!(names, kinds);
    messages
}

fn encoded(events: Vec<Event>) -> Vec<Value> {
    let mut encoder = Encoder::new("shown");
    events.into_iter().for_each(|event| encoder.say(event));
    encoder.end();
    written(&mut encoder)
}

/// Blocks open one at a time, in order, and close before the next.
fn check_blocks(messages: &[Value]) {
    let (mut open, mut next) = (None, 0);
    for message in messages {
        let index = message["index"].as_u64();
        match message["type"].as_str().unwrap() {
            "content_block_start" => {
                assert_eq!((open, index), (None, Some(next)));
                (open, next) = (index, next + 1);
            }
            "content_block_delta" => assert_eq!(index, open),
            "content_block_stop" => {
                assert_eq!(index, open);
                open = None;
            }
            _ => assert_eq!(open, None),
        }
    }
    assert_eq!(open, None);
    assert_eq!(messages[0]["type"], "message_start");
    assert_eq!(messages.last().unwrap()["type"], "message_stop");
}

#[test]
fn whatever_is_said_reads_back_the_same() {
    let messages = encoded(golden().into_events());
    check_blocks(&messages);
    assert_eq!(decoded(&messages), golden());
    let seal = messages
        .iter()
        .position(|m| m["delta"]["type"] == "signature_delta");
    assert_eq!(messages[seal.unwrap() + 1]["type"], "content_block_stop");
    let end = &messages[messages.len() - 2];
    assert_eq!(end["usage"]["input_tokens"], 3);
    assert_eq!(end["usage"]["cache_read_input_tokens"], 20);
    let whole = message(&golden(), "shown");
    assert_eq!(Whole::of(decode::whole(&whole).unwrap()), golden());
}

#[test]
fn the_real_prompt_count_comes_with_the_end_and_ids_become_this_dialects() {
    let start = Event::Start {
        id: "chatcmpl-1".into(),
        model: String::new(),
    };
    let messages = encoded(vec![
        start,
        Event::Text("hi".into()),
        Event::Finish(Finish::Length),
        Event::Usage(Usage::new(11, 2)),
    ]);
    check_blocks(&messages);
    let head = &messages[0]["message"];
    assert!(head["id"].as_str().unwrap().starts_with("msg_"));
    assert_eq!(head["model"], "shown");
    let end = &messages[messages.len() - 2];
    assert_eq!(end["delta"]["stop_reason"], "max_tokens");
    assert_eq!(
        (
            &end["usage"]["input_tokens"],
            &end["usage"]["output_tokens"]
        ),
        (&json!(11), &json!(2))
    );
}

fn begun(index: u32, name: &str) -> Event {
    Event::ToolCall {
        index,
        id: format!("call_{index}"),
        name: name.into(),
        signature: None,
    }
}

fn more(index: u32, json: &str) -> Event {
    Event::Arguments {
        index,
        json: json.into(),
    }
}

#[test]
fn the_seal_of_a_call_stands_in_front_of_it() {
    let call = |index, signature: Option<&str>| Event::ToolCall {
        index,
        id: format!("call_{index}"),
        name: "f".into(),
        signature: signature.map(str::to_owned),
    };
    let said = vec![
        call(0, Some("Y2Fs")),
        more(0, "{}"),
        call(1, None),
        more(1, "{}"),
        Event::Finish(Finish::ToolCalls),
    ];
    let whole: Value = serde_json::from_slice(&message(&Whole::of(said.clone()), "m")).unwrap();
    let kinds: Vec<&Value> = (0..3).map(|at| &whole["content"][at]["type"]).collect();
    assert_eq!(kinds, ["thinking", "tool_use", "tool_use"]);
    assert_eq!(whole["content"][0]["signature"], "google-call:Y2Fs");

    let messages = encoded(said);
    check_blocks(&messages);
    let begun: Vec<&Value> = messages
        .iter()
        .filter(|m| m["type"] == "content_block_start")
        .map(|m| &m["content_block"]["type"])
        .collect();
    assert_eq!(begun, kinds);
    let seal = messages
        .iter()
        .find(|m| m["delta"]["type"] == "signature_delta");
    assert_eq!(seal.unwrap()["delta"]["signature"], "google-call:Y2Fs");
}

#[test]
fn calls_whose_arguments_come_interleaved_are_written_one_after_the_other() {
    let messages = encoded(vec![
        begun(0, "f"),
        more(0, "{\"a\":"),
        begun(1, "g"),
        more(1, "{\"b\":"),
        more(0, "\"}\"}"),
        more(1, "2}"),
        begun(2, "h"),
        Event::Finish(Finish::ToolCalls),
    ]);
    check_blocks(&messages);
    let calls = decoded(&messages).calls;
    let told: Vec<_> = calls.iter().map(|c| (&*c.name, &*c.arguments)).collect();
    assert_eq!(
        told,
        [("f", "{\"a\":\"}\"}"), ("g", "{\"b\":2}"), ("h", "{}")]
    );
}

#[test]
fn a_stream_passed_on_is_byte_for_byte_and_another_upstream_can_go_on_with_it() {
    let mut encoder = Encoder::new("shown");
    let mut splitter = Splitter::default();
    splitter.push(Bytes::from_static(GOLDEN.as_bytes()));
    while let Some(event) = splitter.next_event() {
        encoder.pass(&event.unwrap().data);
    }
    encoder.end();
    assert_eq!(&encoder.take()[..], GOLDEN.as_bytes());

    let mut encoder = Encoder::new("shown");
    for line in [
        r#"{"type":"message_start","message":{"id":"msg_1","content":[]}}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"one "}}"#,
    ] {
        encoder.pass(line.as_bytes());
    }
    encoder.say(Event::Start {
        id: "chatcmpl-2".into(),
        model: "other".into(),
    });
    encoder.say(Event::Text("two".into()));
    encoder.say(begun(0, "f"));
    encoder.say(Event::Finish(Finish::ToolCalls));
    encoder.end();
    let messages = written(&mut encoder);
    check_blocks(&messages);
    let read = decoded(&messages);
    assert_eq!((&*read.text, read.calls.len()), ("one two", 1));
}

#[test]
fn a_refusal_is_text_that_ends_in_a_refusal() {
    let refusal = Whole {
        refusal: "no".into(),
        finish: Some(Finish::Stop),
        ..Whole::default()
    };
    let whole: Value = serde_json::from_slice(&message(&refusal, "m")).unwrap();
    assert_eq!(whole["stop_reason"], "refusal");
    assert_eq!(whole["content"], json!([{"type": "text", "text": "no"}]));
    let end = encoded(refusal.into_events());
    assert_eq!(end[end.len() - 2]["delta"]["stop_reason"], "refusal");
}

#[test]
fn arguments_that_were_cut_off_are_marked_in_a_whole_message() {
    let cut = Whole {
        calls: vec![Call {
            id: "c".into(),
            name: "f".into(),
            arguments: "{\"a\":".into(),
            signature: None,
        }],
        finish: Some(Finish::Length),
        ..Whole::default()
    };
    let whole: Value = serde_json::from_slice(&message(&cut, "m")).unwrap();
    assert_eq!(
        whole["content"][0]["input"],
        json!({"INVALID_JSON": "{\"a\":"})
    );
}
