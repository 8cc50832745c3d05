//! What answers are written as, and read back from.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{chat, parse};
use crate::dialect::openai::build::Head;
use crate::dialect::responses::decode::{Decoder, whole as read_whole};
use crate::dialect::responses::{Echo, Encoder};
use crate::dialect::transcode;
use crate::dialect::whole::{Call, Thought, Whole};
use crate::types::{Event, Finish, Usage};

fn echo() -> Echo {
    parse(&json!({"input": "hi", "metadata": {"a": "b"}, "temperature": 0.5}))
        .unwrap()
        .echo
}

/// Every event of an answer, as JSON.
fn events(said: impl IntoIterator<Item = Event>) -> Vec<Value> {
    let mut encoder = Encoder::new(echo(), "m");
    let mut written = Vec::new();
    for event in said {
        written.extend(encoder.said(event));
    }
    written.extend(encoder.ended());
    let read = |one: &super::super::encode::Written| {
        let data: Value = serde_json::from_slice(&one.data).unwrap();
        assert_eq!(data["type"], one.name);
        data
    };
    written.iter().map(read).collect()
}

fn names(events: &[Value]) -> Vec<&str> {
    let names = events.iter().map(|event| event["type"].as_str().unwrap());
    names
        .map(|name| name.strip_prefix("response.").unwrap())
        .collect()
}

fn answer() -> Whole {
    Whole {
        model: "up".into(),
        text: "hello there".into(),
        thoughts: vec![Thought::Plain {
            text: "hm".into(),
            signature: None,
        }],
        calls: vec![Call {
            id: "c1".into(),
            name: "f".into(),
            arguments: r#"{"a":1}"#.into(),
            signature: None,
        }],
        finish: Some(Finish::ToolCalls),
        usage: Some(Usage::new(3, 4)),
        ..Whole::default()
    }
}

#[test]
fn the_official_order_of_events_is_kept() {
    let events = events(answer().into_events());
    assert_eq!(
        names(&events),
        [
            "created",
            "in_progress",
            "output_item.added",
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
            "output_item.done",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "output_item.added",
            "function_call_arguments.delta",
            "function_call_arguments.done",
            "output_item.done",
            "completed",
        ]
    );
    let numbers: Vec<u64> = events
        .iter()
        .map(|event| event["sequence_number"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (0..events.len() as u64).collect::<Vec<_>>());
    assert_eq!(events[0]["response"]["status"], "in_progress");
    let end = &events.last().unwrap()["response"];
    assert_eq!(
        (&end["status"], &end["store"]),
        (&json!("completed"), &json!(false))
    );
    assert_eq!(
        (&end["metadata"], &end["temperature"]),
        (&json!({"a": "b"}), &json!(0.5))
    );
    assert_eq!(
        (&end["tools"], &end["tool_choice"]),
        (&json!([]), &json!("auto"))
    );
    assert_eq!(end["model"], "up");
    let usage = json!({"input_tokens": 3, "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 4, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 7});
    assert_eq!(end["usage"], usage);
    let kinds: Vec<&Value> = end["output"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| &i["type"])
        .collect();
    assert_eq!(kinds, ["reasoning", "message", "function_call"]);
    assert_eq!(end["output"][1]["content"][0]["text"], "hello there");
    assert_eq!(end["output"][2]["arguments"], r#"{"a":1}"#);
    for (event, place) in [(4, 0), (10, 1), (15, 2)] {
        assert_eq!(events[event]["output_index"], place);
        let id = &end["output"][place]["id"];
        assert_eq!(&events[event]["item_id"], id);
    }
}

#[test]
fn an_answer_that_was_cut_is_incomplete_and_says_why() {
    for (finish, reason) in [
        (Finish::Length, "max_output_tokens"),
        (Finish::ContentFilter, "content_filter"),
    ] {
        let said = [Event::Text("half".into()), Event::Finish(finish)];
        let events = events(said);
        let end = events.last().unwrap();
        assert_eq!(end["type"], "response.incomplete");
        assert_eq!(end["response"]["incomplete_details"]["reason"], reason);
        assert_eq!(end["response"]["output"][0]["status"], "incomplete");
    }
}

#[test]
fn an_answer_that_broke_off_failed() {
    let mut encoder = Encoder::new(echo(), "m");
    encoder.said(Event::Text("hal".into()));
    let failed = encoder.failed("upstream_error", "cut off");
    let data: Value = serde_json::from_slice(&failed.last().unwrap().data).unwrap();
    assert_eq!(data["type"], "response.failed");
    assert_eq!(data["response"]["status"], "failed");
    assert_eq!(data["response"]["error"]["code"], "upstream_error");
    // where nothing was said before, the response still begins first
    let failed = Encoder::new(echo(), "m").failed("x", "y");
    assert_eq!(failed[0].name, "response.created");
}

#[test]
fn calls_whose_arguments_come_interleaved_are_kept_apart() {
    let call = |index: u32| Event::ToolCall {
        index,
        id: format!("c{index}"),
        name: "f".into(),
        signature: None,
    };
    let more = |index: u32, json: &str| Event::Arguments {
        index,
        json: json.into(),
    };
    let said = [
        call(0),
        call(1),
        more(0, "{\"a\""),
        more(1, "{}"),
        more(0, ":1}"),
    ];
    let events = events(said.into_iter().chain([Event::Finish(Finish::ToolCalls)]));
    let output = &events.last().unwrap()["response"]["output"];
    assert_eq!(output[0]["arguments"], "{\"a\":1}");
    assert_eq!(output[1]["arguments"], "{}");
    let done = events
        .iter()
        .filter(|event| event["type"] == "response.output_item.done");
    assert_eq!(done.count(), 2);
}

#[test]
fn a_call_that_is_whole_ends_before_the_next_begins() {
    let call = |index: u32, json: &str| {
        let begun = Event::ToolCall {
            index,
            id: format!("c{index}"),
            name: "f".into(),
            signature: None,
        };
        let json = json.to_owned();
        [begun, Event::Arguments { index, json }]
    };
    let said = [call(0, "{\"a\":1}"), call(1, "{}")].into_iter().flatten();
    let events = events(said.chain([Event::Finish(Finish::ToolCalls)]));
    let items = events.iter().filter_map(|event| {
        let kind = event["type"]
            .as_str()?
            .strip_prefix("response.output_item.")?;
        Some((kind, event["output_index"].as_u64()?))
    });
    let order: Vec<_> = items.collect();
    assert_eq!(
        order,
        [("added", 0), ("done", 0), ("added", 1), ("done", 1)]
    );
}

#[test]
fn a_seal_on_thinking_or_a_call_comes_back_with_the_next_request() {
    let mut sealed = answer();
    sealed.thoughts = vec![
        Thought::Plain {
            text: "hm".into(),
            signature: Some("seal".into()),
        },
        Thought::Redacted("opaque".into()),
    ];
    sealed.calls[0].signature = Some("g".into());
    let events = events(sealed.into_events());
    let output = events.last().unwrap()["response"]["output"].clone();
    let next = json!({"input": output});
    let message = chat(&next)["messages"][0].clone();
    assert_eq!(
        message["thinking_blocks"],
        json!([{"type": "thinking", "thinking": "hm", "signature": "seal"},
            {"type": "redacted_thinking", "data": "opaque"}])
    );
    let seal = message.pointer("/tool_calls/0/extra_content/google/thought_signature");
    assert_eq!(seal, Some(&json!("g")));
    // a seal of somebody else's is left out by name
    let foreign = json!({"input": [{"type": "reasoning", "encrypted_content": "gAAA", "summary": []},
        {"role": "assistant", "content": "x"}]});
    let inbound = parse(&foreign).unwrap();
    assert_eq!(inbound.chat.untranslated().len(), 1);
    assert!(!inbound.chat.untranslated()[0].essential);
}

#[test]
fn what_we_write_is_read_back_as_it_was() {
    let mut decoder = Decoder::default();
    let mut back = Whole::default();
    for event in events(answer().into_events()) {
        let said = decoder.event(event.to_string().as_bytes()).unwrap();
        said.into_iter().for_each(|event| back.add(event));
    }
    assert!(decoder.is_done());
    back.id = String::new();
    assert_eq!(back, answer());
    let object = Encoder::new(echo(), "m").whole(answer());
    let mut back = Whole::of(read_whole(&object).unwrap());
    assert!(back.id.starts_with("resp_"));
    back.id = String::new();
    assert_eq!(back, answer());
}

#[test]
fn a_failure_the_upstream_reports_is_no_answer() {
    for event in [
        json!({"type": "response.failed", "response": {"error": {"code": "server_error"}}}),
        json!({"type": "error", "code": "rate_limit_exceeded", "message": "slow"}),
    ] {
        let read = Decoder::default().event(event.to_string().as_bytes());
        assert!(read.unwrap_err().to_string().contains("error"), "{event}");
    }
    let failed = json!({"status": "failed", "error": {"code": "x"}, "output": []});
    assert!(read_whole(failed.to_string().as_bytes()).is_err());
    assert!(read_whole(b"{}").is_err());
}

/// A text in pieces, as an upstream might send it.
fn pieces(text: &str, cuts: &[prop::sample::Index]) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    let mut places: Vec<usize> = cuts
        .iter()
        .map(|cut| cut.index(letters.len() + 1))
        .collect();
    places.extend([0, letters.len()]);
    places.sort_unstable();
    let pairs = places.windows(2);
    pairs
        .map(|pair| letters[pair[0]..pair[1]].iter().collect())
        .collect()
}

proptest! {
    #[test]
    fn however_an_answer_is_cut_into_chunks_it_says_the_same(
        text in "\\PC{0,60}",
        arguments in "[a-z\"{}:]{0,40}",
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let mut whole = answer();
        whole.text.clone_from(&text);
        whole.calls[0].arguments.clone_from(&arguments);
        let head = Head::new("up");
        let mut decoder = transcode::Decoder::default();
        let mut encoder = Encoder::new(echo(), "m");
        let mut written = Vec::new();
        for event in whole.clone().into_events() {
            let cut: Vec<Event> = match event {
                Event::Text(text) => pieces(&text, &cuts).into_iter().map(Event::Text).collect(),
                Event::Arguments { index, json } => pieces(&json, &cuts)
                    .into_iter()
                    .map(|json| Event::Arguments { index, json })
                    .collect(),
                other @ (Event::Start { .. }
                | Event::Refusal(_)
                | Event::Thinking(_)
                | Event::Signature(_)
                | Event::Redacted(_)
                | Event::ToolCall { .. }
                | Event::Usage(_)
                | Event::Finish(_)) => vec![other],
            };
            for event in cut {
                for said in decoder.events(&head.said(&event)).unwrap() {
                    written.extend(encoder.said(said));
                }
            }
        }
        written.extend(encoder.ended());
        let (mut streamed, mut deltas) = (Vec::new(), String::new());
        for one in &written {
            let data: Value = serde_json::from_slice(&one.data).unwrap();
            if one.name == "response.output_text.delta" {
                deltas.push_str(data["delta"].as_str().unwrap());
            }
            if one.name == "response.completed" {
                streamed = data["response"]["output"].as_array().unwrap().clone();
            }
        }
        prop_assert_eq!(&deltas, &text);
        let at_once: Value = serde_json::from_slice(&Encoder::new(echo(), "m").whole(whole)).unwrap();
        let bare = |items: &[Value]| -> Vec<Value> {
            let mut items = items.to_vec();
            items.iter_mut().for_each(|item| item["id"] = Value::Null);
            items
        };
        prop_assert_eq!(bare(&streamed), bare(at_once["output"].as_array().unwrap()));
    }
}
