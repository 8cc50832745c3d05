use proptest::prelude::*;

use super::*;
use crate::types::Moment;

fn refusal(text: &str) -> String {
    Object::parse(text.as_bytes()).unwrap_err().to_string()
}

#[test]
fn a_field_given_twice_is_refused() {
    assert_eq!(
        refusal(r#"{"a":1,"b":2,"a":3}"#),
        "field `a` is given twice"
    );
    assert_eq!(
        refusal("{\"a\":1,\"\\u0061\":3}"),
        "field `a` is given twice"
    );
}

#[test]
fn nesting_is_refused_one_level_over_the_limit() {
    let nested = |levels: usize| {
        format!(
            "{{\"a\":{}1{}}}",
            "[".repeat(levels - 1),
            "]".repeat(levels - 1)
        )
    };
    assert!(Object::parse(nested(MAX_DEPTH).as_bytes()).is_ok());
    assert!(matches!(
        Object::parse(nested(MAX_DEPTH + 1).as_bytes()),
        Err(JsonError::TooDeep)
    ));
}

#[test]
fn a_million_brackets_are_refused_at_once() {
    let started = Moment::now();
    for open in ["[", "{\"a\":"] {
        let bomb = open.repeat(1_000_000);
        assert!(matches!(
            Object::parse(bomb.as_bytes()),
            Err(JsonError::TooDeep)
        ));
    }
    assert!(Moment::now().since(started).as_millis() < 200);
}

#[test]
fn too_many_values_are_refused() {
    let many = format!("{{\"a\":[{}0]}}", "0,".repeat(MAX_NODES));
    assert!(matches!(
        Object::parse(many.as_bytes()),
        Err(JsonError::TooManyNodes(_))
    ));
}

#[test]
fn brackets_and_quotes_inside_strings_do_not_count() {
    let text = format!(r#"{{"a":"{}\"\\","b":1}}"#, "[{".repeat(500));
    let object = Object::parse(text.as_bytes()).unwrap();
    assert_eq!(object.to_bytes(), text.as_bytes());
}

#[test]
fn what_is_no_object_is_refused() {
    for text in ["", "1", "[]", "{", "{\"a\":}", "{\"a\":1}x", "{\"a\":01}"] {
        assert!(
            matches!(Object::parse(text.as_bytes()), Err(JsonError::Syntax(_))),
            "{text}"
        );
    }
    assert!(matches!(
        Object::parse(b"{\"a\":\"\xff\"}"),
        Err(JsonError::NotUtf8)
    ));
}

#[test]
fn changes_replace_in_place_append_and_leave_out() {
    let object = Object::parse(br#"{"a": 1 ,"b":[ 2],"c":3}"#).unwrap();
    let changes = [
        ("d", Some(raw(&4))),
        ("a", Some(raw("x"))),
        ("c", None),
        ("e", None),
    ];
    assert_eq!(
        object.to_bytes_with(&changes),
        br#"{"a":"x","b":[ 2],"d":4}"#
    );
    assert_eq!(Object::default().to_bytes_with(&[]), b"{}");
    assert_eq!(
        Object::default().to_bytes_with(&[("a", Some(raw(&1)))]),
        br#"{"a":1}"#
    );
}

proptest! {
    #[test]
    fn parse_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Object::parse(&bytes);
    }

    #[test]
    fn set_then_get_returns_the_value(
        names in proptest::collection::vec("[a-c]{1,2}", 1..12),
        number in any::<i64>(),
    ) {
        let mut object = Object::default();
        for name in &names {
            object.set(name, raw(&number));
        }
        let again = Object::parse(&object.to_bytes()).unwrap();
        for name in &names {
            prop_assert_eq!(again.read::<i64>(name), Some(number));
        }
    }
}
