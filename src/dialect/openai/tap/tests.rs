use super::*;

fn chunk(raw: Bytes) -> Result<Chunk, Garbled> {
    Chunks::default().read(raw)
}

fn read_chunk(text: &'static str) -> Chunk {
    chunk(Bytes::from_static(text.as_bytes())).unwrap()
}

#[test]
fn an_error_object_is_no_chunk() {
    let error = chunk(Bytes::from_static(
        br#"{"error":{"message":"busy","code":"x"}}"#,
    ));
    assert!(matches!(error, Err(Garbled::Error(text)) if text.contains("busy")));
    assert!(read_chunk(r#"{"error":null,"choices":[]}"#).usage_only);
}

#[test]
fn half_a_chunk_is_garbled() {
    assert!(matches!(
        chunk(Bytes::from_static(b"{\"choices\":[{")),
        Err(Garbled::Shape(_))
    ));
    assert!(matches!(
        completion(Bytes::from_static(b"{\"choices\":[]}")),
        Err(Garbled::NoChoice)
    ));
}

#[test]
fn a_role_announcement_is_not_real() {
    let role = read_chunk(r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#);
    assert!(!role.tap.real && role.tap.finish.is_none() && !role.usage_only);
}

#[test]
fn an_empty_finish_reason_does_not_finish() {
    let piece =
        read_chunk(r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":""}]}"#);
    assert_eq!(piece.tap.finish, None);
    assert!(piece.tap.real);
}

#[test]
fn only_choice_zero_finishes_and_speaks() {
    let other =
        read_chunk(r#"{"choices":[{"index":1,"delta":{"content":"b"},"finish_reason":"stop"}]}"#);
    assert_eq!(other.tap.finish, None);
    assert_eq!(other.tap.text, "");
    assert!(other.tap.beyond_text && other.tap.real);
}

#[test]
fn fragments_of_a_tool_call_are_real_and_beyond_text() {
    for delta in [
        r#"{"tool_calls":[{"index":0,"id":"c","type":"function","function":{"name":"f","arguments":""}}]}"#,
        r#"{"tool_calls":[{"index":0,"function":{"arguments":"{"}}]}"#,
        r#"{"reasoning_content":"hm"}"#,
        r#"{"refusal":"no"}"#,
    ] {
        let text = format!("{{\"choices\":[{{\"index\":0,\"delta\":{delta}}}]}}");
        let piece = chunk(Bytes::from(text)).unwrap();
        assert!(piece.tap.real && piece.tap.beyond_text, "{delta}");
    }
}

#[test]
fn usage_is_taken_off_for_clients_that_did_not_ask() {
    let raw = Bytes::from_static(br#"{"id":"a","choices":[],"usage":null,"x":1}"#);
    assert_eq!(&without_usage(raw)[..], br#"{"id":"a","choices":[],"x":1}"#);
    let plain = Bytes::from_static(br#"{"id":"a","choices":[]}"#);
    assert_eq!(without_usage(plain.clone()), plain);
}

#[test]
fn what_is_passed_on_unread_is_text() {
    let raw: &[u8] = b"{\"model\":\"\x8e\",\"choices\":[{\"message\":{\"content\":\"hi\"}}]}";
    let read = completion(Bytes::from_static(raw));
    assert!(matches!(read, Err(Garbled::Shape(error)) if error.to_string().contains("UTF-8")));
}

#[test]
fn content_in_parts_passes_as_it_came_and_is_beyond_text() {
    let raw = r#"{"choices":[{"index":0,"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]},{"type":"text","text":"hi"}]}}]}"#;
    let piece = read_chunk(raw);
    assert_eq!(piece.raw, raw.as_bytes());
    assert!(piece.tap.real && piece.tap.beyond_text);
    assert_eq!(piece.tap.text, "hi");
}

#[test]
fn counts_beside_choices_that_are_null_are_counts() {
    let piece = read_chunk(
        r#"{"choices":null,"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#,
    );
    assert!(piece.usage_only);
    assert_eq!(piece.tap.usage, Some(Usage::new(1, 2)));
}

/// The raw chunks that come of these `tool_calls`, and the indices in them.
fn passed(calls: &[&str]) -> Vec<(bool, Vec<u64>)> {
    let mut chunks = Chunks::default();
    let passed = calls.iter().map(|calls| {
        let raw = format!(
            r#"{{ "id":"c","choices":[{{"index":0,"delta":{{"x":1.0,"tool_calls":[{calls}]}}}}],"y":1e400}}"#
        );
        let raw = Bytes::from(raw);
        let read = chunks.read(raw.clone()).unwrap();
        let object = Object::parse(&read.raw).unwrap();
        assert_eq!(object.get("y").unwrap().get(), "1e400");
        let choices: Vec<serde_json::Value> = object.read("choices").unwrap();
        let calls = choices[0]["delta"]["tool_calls"].as_array().unwrap().clone();
        let indices = calls.iter().map(|call| call["index"].as_u64().unwrap());
        (read.raw == raw, indices.collect())
    });
    passed.collect()
}

#[test]
fn calls_numbered_well_pass_byte_for_byte() {
    let calls = [
        r#"{"index":0,"id":"a","function":{"name":"f","arguments":""}}"#,
        r#"{"index":3,"id":"b","function":{"name":"g","arguments":"{"}}"#,
        r#"{"index":0,"function":{"arguments":"{}"}},{"index":3,"function":{"arguments":"}"}}"#,
    ];
    let same = [(true, vec![0]), (true, vec![3]), (true, vec![0, 3])];
    assert_eq!(passed(&calls), same);
}

#[test]
fn calls_without_an_index_get_one_and_those_that_share_one_get_their_own() {
    for index in ["", r#""index":0,"#] {
        let calls = [
            format!(r#"{{{index}"id":"a","function":{{"name":"f","arguments":"{{}}"}}}}"#),
            format!(r#"{{{index}"id":"b","function":{{"name":"g","arguments":"{{"}}}}"#),
            format!(r#"{{{index}"function":{{"arguments":"}}"}}}}"#),
        ];
        let calls: Vec<&str> = calls.iter().map(String::as_str).collect();
        let found: Vec<_> = passed(&calls).into_iter().map(|(_, at)| at).collect();
        assert_eq!(found, [[0], [1], [1]], "{index}");
    }
}

#[test]
fn a_stream_has_ended_when_all_its_choices_have() {
    let mut chunks = Chunks::default();
    let mut read = |index: u64, reason: &str| {
        let raw =
            format!(r#"{{"choices":[{{"index":{index},"delta":{{}},"finish_reason":{reason}}}]}}"#);
        chunks.read(Bytes::from(raw)).unwrap();
        (chunks.ended(), chunks.all_ended())
    };
    assert_eq!(read(0, "null"), (0, false));
    assert_eq!(read(1, "null"), (0, false));
    assert_eq!(read(0, "\"stop\""), (1, false));
    assert_eq!(read(0, "\"stop\""), (1, false));
    assert_eq!(read(1, "\"length\""), (2, true));
    // beyond what is counted
    assert_eq!(read(4_000_000_000_000, "null"), (2, true));
}
