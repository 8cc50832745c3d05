//! One answer as five upstreams give it, through every encoder and back.

use super::{ENCODERS, kept};
use crate::dialect::whole::{Call, Thought, Whole};
use crate::dialect::{anthropic, gemini, ollama, openai, responses};
use crate::types::{Event, Finish, Usage};

/// With an empty start, token counts on their own, a heartbeat, and text between two calls.
const OPENAI: [&str; 9] = [
    r#"{"id":"c","model":"up","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#,
    r#"{"id":"c","choices":[]}"#,
    r#"{"id":"c","choices":[{"index":0,"delta":{"reasoning":"hm","reasoning_content":"hm"}}]}"#,
    r#"{"id":"c","choices":[{"index":0,"delta":{"content":"h"}}]}"#,
    r#"{"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"a\""}},{"index":1,"id":"b"}]}}]}"#,
    r#"{"id":"c","choices":[{"index":0,"delta":{"content":"i","tool_calls":[{"index":1,"function":{"name":"g","arguments":"{"}}]}}]}"#,
    r#"{"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":":1}"}},{"index":1,"function":{"arguments":"}"}}]}}]}"#,
    r#"{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
    r#"{"id":"c","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}"#,
];
const ANTHROPIC: [&str; 16] = [
    r#"{"type":"message_start","message":{"id":"msg_1","model":"up","usage":{"input_tokens":3}}}"#,
    r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}"#,
    r#"{"type":"content_block_stop","index":0}"#,
    r#"{"type":"ping"}"#,
    r#"{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}"#,
    r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"hi"}}"#,
    r#"{"type":"content_block_stop","index":1}"#,
    r#"{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"a","name":"f","input":{}}}"#,
    r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"a\":"}}"#,
    r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"1}"}}"#,
    r#"{"type":"content_block_stop","index":2}"#,
    r#"{"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"b","name":"g","input":{}}}"#,
    r#"{"type":"content_block_stop","index":3}"#,
    r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":4}}"#,
    r#"{"type":"message_stop"}"#,
];
const GEMINI: [&str; 3] = [
    r#"{"candidates":[{"content":{"parts":[{"text":"hm","thought":true},{"text":"hi"}]}}],"modelVersion":"up"}"#,
    r#"{"candidates":[{"content":{"parts":[{"functionCall":{"id":"a","name":"f","args":{"a":1}}}]}}]}"#,
    r#"{"candidates":[{"content":{"parts":[{"functionCall":{"id":"b","name":"g"}}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":4}}"#,
];
const OLLAMA: [&str; 3] = [
    r#"{"message":{"role":"assistant","content":"","thinking":"hm"},"done":false}"#,
    r#"{"message":{"role":"assistant","content":"hi","tool_calls":[{"id":"a","function":{"name":"f","arguments":{"a":1}}},{"id":"b","function":{"name":"g"}}]},"done":false}"#,
    r#"{"message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","prompt_eval_count":3,"eval_count":4}"#,
];
const RESPONSES: [&str; 9] = [
    r#"{"type":"response.created","response":{"id":"resp_1","model":"up"}}"#,
    r#"{"type":"response.reasoning_summary_text.delta","output_index":0,"delta":"hm"}"#,
    r#"{"type":"response.output_text.delta","output_index":1,"delta":"hi"}"#,
    r#"{"type":"response.output_item.added","output_index":2,"item":{"type":"function_call","call_id":"a","name":"f","arguments":""}}"#,
    r#"{"type":"response.function_call_arguments.delta","output_index":2,"delta":"{\"a\":"}"#,
    r#"{"type":"response.output_item.added","output_index":3,"item":{"type":"function_call","call_id":"b","name":"g","arguments":""}}"#,
    r#"{"type":"response.function_call_arguments.delta","output_index":3,"delta":"{}"}"#,
    r#"{"type":"response.function_call_arguments.delta","output_index":2,"delta":"1}"}"#,
    r#"{"type":"response.completed","response":{"status":"completed","output":[{"type":"novelty","arguments":{}}],"usage":{"input_tokens":3,"output_tokens":4,"total_tokens":7}}}"#,
];

const WHOLE_OPENAI: &str = r#"{"id":"c","model":"up","choices":[{"index":0,"message":{"role":"assistant","content":"hi","reasoning":"hm","reasoning_content":"hm","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}},{"id":"b","type":"function","function":{"name":"g","arguments":"{}"}}]},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}"#;
const WHOLE_ANTHROPIC: &str = r#"{"type":"message","id":"msg_1","model":"up","content":[{"type":"thinking","thinking":"hm","signature":""},{"type":"text","text":"hi"},{"type":"tool_use","id":"a","name":"f","input":{"a":1}},{"type":"tool_use","id":"b","name":"g","input":{}}],"stop_reason":"tool_use","usage":{"input_tokens":3,"output_tokens":4}}"#;
const WHOLE_RESPONSES: &str = r#"{"id":"resp_1","model":"up","status":"completed","output":[{"type":"reasoning","summary":[{"type":"summary_text","text":"hm"}]},{"type":"tool_search_call","arguments":{"q":"x"}},{"type":"message","content":[{"type":"output_text","text":"hi"}]},{"type":"function_call","call_id":"a","name":"f","arguments":"{\"a\":1}"},{"type":"function_call","call_id":"b","name":"g","arguments":"{}"}],"usage":{"input_tokens":3,"output_tokens":4,"total_tokens":7}}"#;

const WHOLE_OLLAMA: &str = r#"{"message":{"role":"assistant","content":"hi","thinking":"hm","tool_calls":[{"id":"a","function":{"name":"f","arguments":{"a":1}}},{"id":"b","function":{"name":"g"}}]},"done":true,"done_reason":"stop","prompt_eval_count":3,"eval_count":4}"#;

fn expected() -> Whole {
    let call = |id: &str, name: &str, arguments: &str| Call {
        id: id.into(),
        name: name.into(),
        arguments: arguments.into(),
        signature: None,
    };
    Whole {
        text: "hi".into(),
        thoughts: vec![Thought::Plain {
            text: "hm".into(),
            signature: None,
        }],
        calls: vec![call("a", "f", r#"{"a":1}"#), call("b", "g", "{}")],
        finish: Some(Finish::ToolCalls),
        usage: Some(Usage::new(3, 4)),
        ..Whole::default()
    }
}

/// What each stream says.
fn streams() -> [(&'static str, Vec<Event>); 5] {
    let (mut a, mut g, mut o) = (Vec::new(), Vec::new(), Vec::new());
    let mut decoder = anthropic::Decoder::default();
    for message in ANTHROPIC {
        decoder.message(message.as_bytes(), &mut a).unwrap();
    }
    let mut decoder = gemini::Decoder::default();
    for message in GEMINI {
        decoder.message(message.as_bytes(), &mut g).unwrap();
    }
    decoder.ended(&mut g);
    let mut decoder = ollama::Decoder::default();
    for line in OLLAMA {
        decoder.line(line.as_bytes(), &mut o).unwrap();
    }
    let mut decoder = openai::decode::Decoder::default();
    let chunks = OPENAI.iter();
    let chat = chunks.flat_map(|raw| decoder.chunk(raw.as_bytes()).unwrap());
    let chat = chat.collect();
    let mut decoder = responses::Decoder::default();
    let events = RESPONSES.iter();
    let r = events.flat_map(|raw| decoder.event(raw.as_bytes()).unwrap());
    [
        ("openai", chat),
        ("anthropic", a),
        ("gemini", g),
        ("ollama", o),
        ("responses", r.collect()),
    ]
}

#[test]
fn every_upstreams_stream_survives_every_encoder() {
    for (upstream, events) in streams() {
        assert_eq!(kept(Whole::of(events.clone())), expected(), "{upstream}");
        for encoder in ENCODERS {
            let back = kept(encoder.stream(events.clone()));
            assert_eq!(back, expected(), "{upstream} as {encoder:?}");
        }
    }
}

#[test]
fn every_upstreams_whole_answer_survives_every_encoder() {
    let wholes = [
        Whole::of(openai::decode::whole(WHOLE_OPENAI.as_bytes()).unwrap()),
        Whole::of(anthropic::decode::whole(WHOLE_ANTHROPIC.as_bytes()).unwrap()),
        Whole::of(responses::decode::whole(WHOLE_RESPONSES.as_bytes()).unwrap()),
        gemini::decode::whole(format!("[{}]", GEMINI.join(",")).as_bytes()).unwrap(),
        ollama::answer::whole(WHOLE_OLLAMA.as_bytes()).unwrap(),
    ];
    for (at, whole) in wholes.iter().enumerate() {
        // a tool of the upstream's own left a mark without a word in it
        let mut plain = whole.clone();
        plain
            .thoughts
            .retain(|thought| !matches!(thought, Thought::Redacted(_)));
        assert_eq!(kept(plain.clone()), expected(), "{at}");
        for encoder in ENCODERS {
            let back = kept(encoder.whole(&plain));
            assert_eq!(back, expected(), "{at} as {encoder:?}");
        }
    }
}
