use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::dialect::gemini::{Bad, Decoder, decode, to_native};
use crate::dialect::openai::ChatBody;
use crate::dialect::openai::build::Head;
use crate::dialect::whole::{Thought, Whole};
use crate::types::{Event, Finish, Usage};

/// What these messages say, their body ended.
fn read(messages: &[Value]) -> Result<Vec<Event>, Bad> {
    let (mut decoder, mut said) = (Decoder::default(), Vec::new());
    for message in messages {
        decoder.message(message.to_string().as_bytes(), &mut said)?;
        assert!(!decoder.is_done(), "only the body's end is the end");
    }
    decoder.ended(&mut said);
    Ok(said)
}

fn parts(parts: Value) -> Value {
    json!({"candidates": [{"content": {"role": "model", "parts": parts}, "index": 0}]})
}

fn finished(reason: &str) -> Value {
    json!({"candidates": [{"content": {"parts": [{"text": "x"}]}, "finishReason": reason}]})
}

fn finish_of(message: Value) -> Option<Finish> {
    Whole::of(read(&[message]).unwrap()).finish
}

#[test]
fn a_stream_becomes_start_thinking_text_finish_and_the_last_counts() {
    let counts = |candidates: u64| {
        json!({"promptTokenCount": 9, "candidatesTokenCount": candidates, "thoughtsTokenCount": 3,
            "cachedContentTokenCount": 4, "toolUsePromptTokenCount": 2, "totalTokenCount": 99})
    };
    let mut first = parts(json!([{"text": "let me see", "thought": true}]));
    first["responseId"] = json!("r1");
    first["modelVersion"] = json!("gemini-2.5-flash");
    first["usageMetadata"] = counts(1);
    let second = parts(json!([{"text": "he"}]));
    let mut last = json!({"candidates": [{"content": {"parts": [{"text": "y", "thoughtSignature": "S"}]},
        "finishReason": "STOP"}]});
    last["usageMetadata"] = counts(5);
    let said = read(&[first, second, last]).unwrap();
    let usage = Usage {
        total_tokens: 99,
        cached_tokens: 4,
        reasoning_tokens: 3,
        ..Usage::new(11, 8)
    };
    let expected = [
        Event::Start {
            id: "r1".into(),
            model: "gemini-2.5-flash".into(),
        },
        Event::Thinking("let me see".into()),
        Event::Text("he".into()),
        Event::Text("y".into()),
        Event::Signature("google:S".into()),
        Event::Finish(Finish::Stop),
        Event::Usage(usage),
    ];
    assert_eq!(said, expected);
}

#[test]
fn calls_are_counted_get_an_id_their_arguments_at_once_and_the_right_finish() {
    let said = read(&[
        parts(
            json!([{"functionCall": {"name": "f", "args": {"q": 1.50}}, "thoughtSignature": "S"},
            {"functionCall": {"id": "given", "name": "g"}}]),
        ),
        json!({"candidates": [{"content": {"parts": [{"functionCall": {"name": "h", "args": {}}}]},
            "finishReason": "STOP"}]}),
    ])
    .unwrap();
    let whole = Whole::of(said);
    let names: Vec<&str> = whole.calls.iter().map(|call| call.name.as_str()).collect();
    assert_eq!(
        (names, whole.finish),
        (vec!["f", "g", "h"], Some(Finish::ToolCalls))
    );
    assert!(whole.calls[0].id.starts_with("call_") && whole.calls[0].id != whole.calls[2].id);
    assert_eq!(whole.calls[0].signature.as_deref(), Some("S"));
    assert_eq!(
        (
            whole.calls[1].id.as_str(),
            whole.calls[1].arguments.as_str()
        ),
        ("given", "{}")
    );
    let late = read(&[
        finished("STOP"),
        parts(json!([{"functionCall": {"name": "f", "args": {}}}])),
    ]);
    assert_eq!(Whole::of(late.unwrap()).finish, Some(Finish::ToolCalls));
}

#[test]
fn every_reason_to_end_has_its_finish_and_the_list_is_open() {
    for (reason, finish) in [
        ("STOP", Finish::Stop),
        ("MAX_TOKENS", Finish::Length),
        ("SAFETY", Finish::ContentFilter),
        ("RECITATION", Finish::ContentFilter),
        ("BLOCKLIST", Finish::ContentFilter),
        ("PROHIBITED_CONTENT", Finish::ContentFilter),
        ("SPII", Finish::ContentFilter),
        ("IMAGE_SAFETY", Finish::ContentFilter),
        ("IMAGE_PROHIBITED_CONTENT", Finish::ContentFilter),
        ("LANGUAGE", Finish::Other),
        ("OTHER", Finish::Other),
        ("NOBODY_HEARD_OF_THIS", Finish::Other),
    ] {
        assert_eq!(finish_of(finished(reason)), Some(finish), "{reason}");
    }
    assert_eq!(finish_of(finished("FINISH_REASON_UNSPECIFIED")), None);
    for reason in ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL"] {
        assert!(matches!(read(&[finished(reason)]), Err(Bad::Broken(said)) if said == reason));
    }
    let unsealed = read(&[finished("MISSING_THOUGHT_SIGNATURE")]);
    assert!(matches!(unsealed, Err(Bad::Unsealed)));
}

#[test]
fn a_blocked_prompt_is_an_answer_that_the_filter_ended() {
    let blocked = json!({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
        "usageMetadata": {"promptTokenCount": 7, "totalTokenCount": 7}});
    let whole = Whole::of(read(&[blocked]).unwrap());
    assert_eq!(
        (whole.text.as_str(), whole.finish),
        ("", Some(Finish::ContentFilter))
    );
    assert_eq!(whole.usage.unwrap().prompt_tokens, 7);
}

#[test]
fn a_reason_on_every_piece_ends_nothing_early() {
    let said = read(&[finished("STOP"), finished("STOP"), finished("MAX_TOKENS")]).unwrap();
    let whole = Whole::of(said.clone());
    assert_eq!(
        (whole.text.as_str(), whole.finish),
        ("xxx", Some(Finish::Length))
    );
    let ends = said
        .iter()
        .filter(|event| matches!(event, Event::Finish(_)));
    assert_eq!(ends.count(), 1);
}

#[test]
fn a_stream_without_a_reason_has_no_end() {
    let said = read(&[parts(json!([{"text": "half"}]))]).unwrap();
    assert!(!said.iter().any(|event| matches!(event, Event::Finish(_))));
    let half = parts(json!([{"text": "half"}])).to_string();
    assert!(matches!(decode::whole(half.as_bytes()), Err(Bad::NotDone)));
}

#[test]
fn errors_inside_a_success_are_noticed_alone_and_in_an_array() {
    let error = json!({"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}});
    for message in [error.clone(), json!([error])] {
        let bad = read(&[message]).unwrap_err();
        assert!(
            matches!(&bad, Bad::Error(text) if text.contains("overloaded")),
            "{bad}"
        );
    }
    assert!(matches!(
        read(&[json!({"candidates": 7})]),
        Err(Bad::Shape(_))
    ));
}

#[test]
fn an_array_of_pieces_is_read_like_a_stream() {
    let all = json!([parts(json!([{"text": "a"}])), finished("STOP")]).to_string();
    let whole = decode::whole(all.as_bytes()).unwrap();
    assert_eq!(
        (whole.text.as_str(), whole.finish),
        ("ax", Some(Finish::Stop))
    );
}

#[test]
fn pictures_and_run_code_are_kept_as_markdown() {
    let said = read(&[parts(
        json!([{"inlineData": {"mimeType": "image/png", "data": "AA=="}},
        {"executableCode": {"language": "PYTHON", "code": "1+1"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2"}},
        {"somethingNew": {}}]),
    )])
    .unwrap();
    let text = Whole::of(said).text;
    let expected = "![image](data:image/png;base64,AA==)\n```python\n1+1\n```\n\n```\n2\n```\n";
    assert_eq!(text, expected);
}

#[test]
fn other_candidates_say_nothing() {
    let said = read(&[
        json!({"candidates": [{"index": 1, "content": {"parts": [{"text": "x"}]},
        "finishReason": "STOP"}]}),
    ]);
    assert!(matches!(said.unwrap()[..], [Event::Start { .. }]));
}

/// What a client of OpenAI's dialect would send back after this answer, as Gemini would get it.
fn back(whole: &Whole, model: &str) -> Value {
    let raw = Head::new("m").whole(whole).raw;
    let answer: Value = serde_json::from_slice(&raw).unwrap();
    let message = &answer["choices"][0]["message"];
    let request = json!({"messages": [{"role": "user", "content": "go"}, message]});
    let body = ChatBody::parse(request.to_string().as_bytes()).unwrap();
    let sent = to_native(&body, model, &BTreeMap::new()).unwrap();
    serde_json::from_slice::<Value>(&sent).unwrap()["contents"][1]["parts"].take()
}

#[test]
fn a_seal_survives_the_way_to_the_client_and_back_byte_for_byte() {
    let seal = "EjQKMgFz+/9aZ==";
    let call = json!({"functionCall": {"id": "c1", "name": "f", "args": {"q": 1}}, "thoughtSignature": seal});
    let mut answered = parts(json!([{"text": "why", "thought": true}, call]));
    answered["candidates"][0]["finishReason"] = json!("STOP");
    let whole = decode::whole(answered.to_string().as_bytes()).unwrap();
    assert_eq!(back(&whole, "gemini-3-pro"), json!([call]));
    let text = json!({"text": "so", "thoughtSignature": seal});
    let mut answered = parts(json!([{"text": "why", "thought": true}, text]));
    answered["candidates"][0]["finishReason"] = json!("STOP");
    let whole = decode::whole(answered.to_string().as_bytes()).unwrap();
    assert!(matches!(
        &whole.thoughts[..],
        [Thought::Plain {
            signature: Some(_),
            ..
        }]
    ));
    assert_eq!(back(&whole, "gemini-3-pro"), json!([text]));
}
