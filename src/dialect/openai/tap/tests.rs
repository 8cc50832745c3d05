use super::*;

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
