use proptest::prelude::*;
use serde_json::json;

use super::*;

const MESSAGES: &str = r#"[{"role":"user","content":"hi \u00e9 \/ \ud83d\ude00"}]"#;

fn body(rest: &str) -> ChatBody {
    ChatBody::parse(format!("{{\"model\":\"m\",\"messages\":{MESSAGES}{rest}}}").as_bytes())
        .unwrap()
}

fn param(text: &str) -> Option<&'static str> {
    ChatBody::parse(text.as_bytes()).unwrap_err().param()
}

#[test]
fn a_wrong_field_is_refused_by_its_name() {
    assert_eq!(param("{}"), Some("messages"));
    assert_eq!(param(r#"{"messages":[]}"#), Some("messages"));
    assert_eq!(param(r#"{"messages":"hi"}"#), Some("messages"));
    assert_eq!(
        param(r#"{"messages":[{"content":"hi"}]}"#),
        Some("messages")
    );
    for (name, value) in [
        ("model", "7"),
        ("stream", "\"yes\""),
        ("max_tokens", "-1"),
        ("max_completion_tokens", "1.5"),
        ("temperature", "2.5"),
        ("n", "0"),
        ("n", "129"),
    ] {
        let text = format!("{{\"messages\":{MESSAGES},\"{name}\":{value}}}");
        assert_eq!(param(&text), Some(name), "{name}: {value}");
    }
}

#[test]
fn too_many_messages_are_refused() {
    let many = vec![r#"{"role":"user","content":""}"#; MAX_MESSAGES + 1].join(",");
    assert_eq!(
        param(&format!("{{\"messages\":[{many}]}}")),
        Some("messages")
    );
}

#[test]
fn a_stream_always_asks_for_usage_and_keeps_other_stream_options() {
    let sent =
        body(r#","stream":true,"stream_options":{"x": 1,"include_usage":false}"#).to_upstream("up");
    let sent = String::from_utf8(sent).unwrap();
    assert!(
        sent.contains(r#""stream_options":{"x":1,"include_usage":true}"#),
        "{sent}"
    );
}

#[test]
fn a_whole_answer_is_asked_for_without_stream_options() {
    let streamed = body(r#","stream":true,"stream_options":{"include_usage":true},"seed":1"#);
    let sent = String::from_utf8(streamed.to_upstream_as("up", false, &BTreeMap::new())).unwrap();
    assert_eq!(
        sent,
        format!("{{\"model\":\"up\",\"messages\":{MESSAGES},\"stream\":false,\"seed\":1}}")
    );
}

#[test]
fn defaults_fill_gaps_and_never_what_we_own() {
    let defaults = BTreeMap::from([
        ("seed".to_owned(), json!(1)),
        ("top_p".to_owned(), json!(0.5)),
        ("model".to_owned(), json!("other")),
        ("stream".to_owned(), json!(true)),
    ]);
    let sent = body(r#","seed":2"#).to_upstream_as("up", false, &defaults);
    let sent = String::from_utf8(sent).unwrap();
    assert_eq!(
        sent,
        format!("{{\"model\":\"up\",\"messages\":{MESSAGES},\"seed\":2,\"top_p\":0.5}}")
    );
}

#[test]
fn text_of_parts_is_joined_and_images_are_noticed() {
    let parsed = ChatBody::parse(
        br#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
            {"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}]}"#,
    )
    .unwrap();
    assert_eq!(parsed.messages()[0].text(), "a\nb");
    assert!(parsed.messages()[0].is_plain_text());
    assert!(!parsed.messages()[1].is_plain_text());
}

/// A JSON value as text, with spellings that a parser and printer would not give back.
fn odd_value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "-?[1-9][0-9]{0,29}".prop_map(|digits| digits),
        "-?[1-9]\\.[0-9]{1,25}[eE][+-]?[0-9]{1,3}",
        Just(r#""\u00e9\/\ud83d\ude00\u0041\n""#.to_owned()),
        "\"[a-z\u{e9}\u{1f600} ]{0,8}\"",
        Just("null".to_owned()),
        Just("true".to_owned()),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4)
                .prop_map(|v| format!("[ {} ]", v.join(" ,"))),
            proptest::collection::vec(("[a-z]{1,4}", inner), 0..4).prop_map(|fields| {
                let fields: Vec<String> = fields
                    .into_iter()
                    .map(|(name, value)| format!("\"{name}\" : {value}"))
                    .collect();
                format!("{{{}}}", fields.join(", "))
            }),
        ]
    })
}

#[test]
fn images_and_schemas_are_seen_wherever_they_stand() {
    let with = |content: &str, rest: &str| {
        let text = format!(r#"{{"messages":[{{"role":"user","content":{content}}}]{rest}}}"#);
        let features = ChatBody::parse(text.as_bytes()).unwrap().features();
        (features.has_images, features.wants_json_schema)
    };
    let image = r#"[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"data:,"}}]"#;
    assert_eq!(with(image, ""), (true, false));
    assert_eq!(with(r#""image_url""#, ""), (false, false));
    let schema = r#","response_format":{"type":"json_schema","json_schema":{"name":"a"}}"#;
    assert_eq!(with(r#""a""#, schema), (false, true));
    let object = r#","response_format":{"type":"json_object"}"#;
    assert_eq!(
        with(r#"[{"type":"text","text":"a"}]"#, object),
        (false, false)
    );
    assert_eq!(with("null", r#","response_format":null"#), (false, false));
}

proptest! {
    #[test]
    fn fields_we_do_not_own_survive_byte_for_byte(
        extra in proptest::collection::btree_map("x_[a-z]{1,6}", odd_value(), 0..6),
        stream in any::<bool>(),
    ) {
        let rest: String = extra.iter().map(|(name, value)| format!(",\"{name}\":{value}")).collect();
        let sent = body(&format!("{rest},\"stream\":{stream}")).to_upstream("up/stream:1");
        let usage = if stream { ",\"stream_options\":{\"include_usage\":true}" } else { "" };
        let expected =
            format!("{{\"model\":\"up/stream:1\",\"messages\":{MESSAGES}{rest},\"stream\":{stream}{usage}}}");
        prop_assert_eq!(String::from_utf8(sent).unwrap(), expected);
    }
}
