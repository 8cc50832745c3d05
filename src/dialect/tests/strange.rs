//! What no dialect promises and upstreams send all the same.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::dialect::completions::{Asked, Writer};
use crate::dialect::openai::tap::Chunks;
use crate::dialect::transcode::{self, ToOpenAi};
use crate::dialect::{anthropic, gemini, ollama, openai, responses};
use crate::types::Event;

const HEARTBEATS: [&str; 3] = [
    r#"{"id":"c","object":"chat.completion.chunk","choices":[]}"#,
    r#"{"id":null,"model":null,"choices":null}"#,
    r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}"#,
];

#[test]
fn chunks_without_choices_trouble_no_reader() {
    let asked = json!({"model": "m", "prompt": "hi", "stream": true}).to_string();
    let mut writer = Writer::new(&Asked::parse(asked.as_bytes()).unwrap());
    let (mut decoder, mut openai) = (transcode::Decoder::default(), ToOpenAi::new("m"));
    for raw in HEARTBEATS {
        let chunk = Chunks::default()
            .read(Bytes::from_static(raw.as_bytes()))
            .unwrap();
        assert!(chunk.usage_only && !chunk.tap.real);
        let said = decoder.events(&chunk).unwrap();
        let silent = |event: &Event| matches!(event, Event::Start { .. } | Event::Usage(_));
        assert!(said.iter().all(silent), "{raw}: {said:?}");
        assert_eq!(writer.chunk(0, &chunk).unwrap(), None);
        assert_eq!(openai.chunks(chunk).unwrap().len(), 1);
    }
}

/// Any JSON.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,6}", inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// `given` with a field nobody knows in every object of it.
fn strewn(given: &Value, extra: &Value) -> Value {
    match given {
        Value::Object(fields) => {
            let fields = fields.iter();
            let fields = fields.map(|(name, value)| (name.clone(), strewn(value, extra)));
            let novelty = ("x_novelty".to_owned(), extra.clone());
            Value::Object(fields.chain([novelty]).collect())
        }
        Value::Array(items) => items.iter().map(|item| strewn(item, extra)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => given.clone(),
    }
}

proptest! {
    #[test]
    fn fields_nobody_knows_pass_byte_for_byte_and_change_nothing(extra in anything()) {
        let chunk = json!({"id": "c", "choices": [{"index": 0, "delta": {"content": "hi",
            "tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}]}}]});
        let raw = Bytes::from(strewn(&chunk, &extra).to_string());
        let read = Chunks::default().read(raw.clone()).unwrap();
        prop_assert_eq!(&read.raw, &raw);
        prop_assert_eq!(&read.tap.text, "hi");
        let said = |raw: &[u8]| openai::decode::Decoder::default().chunk(raw).unwrap();
        prop_assert_eq!(said(&raw), said(chunk.to_string().as_bytes()));

        let block = json!({"type": "content_block_delta", "index": 0,
            "delta": {"type": "text_delta", "text": "hi"}});
        let mut said = Vec::new();
        let bent = strewn(&block, &extra).to_string();
        anthropic::Decoder::default().message(bent.as_bytes(), &mut said).unwrap();
        prop_assert_eq!(said, [Event::Text("hi".into())]);

        let piece = json!({"candidates": [{"content": {"parts": [{"text": "hi"}]}}]});
        let mut said = Vec::new();
        let bent = strewn(&piece, &extra).to_string();
        gemini::Decoder::default().message(bent.as_bytes(), &mut said).unwrap();
        prop_assert_eq!(said.last(), Some(&Event::Text("hi".into())));

        let line = json!({"message": {"content": "hi"}, "done": false});
        let mut said = Vec::new();
        let bent = strewn(&line, &extra).to_string();
        ollama::Decoder::default().line(bent.as_bytes(), &mut said).unwrap();
        prop_assert_eq!(said.last(), Some(&Event::Text("hi".into())));
    }

    #[test]
    fn what_the_responses_api_adds_is_passed_over(extra in anything()) {
        let delta = json!({"type": "response.output_text.delta", "output_index": 0, "delta": "hi"});
        let item = json!({"type": "tool_search_call", "id": "t", "arguments": extra,
            "name": extra, "content": extra, "summary": extra, "call_id": extra});
        let item = json!({"type": "response.output_item.added", "output_index": 0, "item": item});
        let novelty = json!({"type": "response.novelty", "response": extra, "item": extra,
            "delta": extra});
        let mut decoder = responses::Decoder::default();
        let mut told = |event: &Value| decoder.event(event.to_string().as_bytes()).unwrap();
        prop_assert_eq!(told(&strewn(&delta, &extra)), [Event::Text("hi".into())]);
        prop_assert_eq!(told(&item), [Event::Redacted("t".into())]);
        prop_assert_eq!(told(&novelty), []);
        let passed = responses::decode::passed(novelty.to_string().as_bytes()).unwrap();
        prop_assert_eq!(passed.name, "response.novelty");
    }
}
