//! One spelling per JSON value: two requests that mean the same JSON have the same bytes here.
//!
//! Object keys are sorted at every level, whitespace goes, strings are unescaped and escaped again.
//! Number literals stay as written (`1`, `1.0` and a 30-digit integer are three different things),
//! arrays keep their order, and a key given twice inside an object stays given twice.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::dialect::json::write_string;

/// Fields of a JSON object in the order they came, values untouched.
#[derive(Debug)]
pub(crate) struct Fields<'a>(pub(crate) Vec<(Cow<'a, str>, &'a RawValue)>);

/// A string that borrows where it can; serde's own `Cow` implementation always copies.
struct Name<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Fields<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some((Name(name), value)) =
                    map.next_entry::<Name<'de>, &'de RawValue>()?
                {
                    fields.push((name, value));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

/// Appends the canonical spelling of `value`.
///
/// Recursion is bounded by the depth the dialect accepts; what cannot be read goes in as it came.
pub(crate) fn write(value: &RawValue, out: &mut Vec<u8>) {
    write_without(value, None, out);
}

/// The same, leaving out one field of the outermost object.
pub(crate) fn write_without(value: &RawValue, left_out: Option<&str>, out: &mut Vec<u8>) {
    let text = value.get().trim();
    match text.as_bytes().first() {
        Some(b'{') => match serde_json::from_str::<Fields<'_>>(text) {
            Ok(fields) => write_object(fields, left_out, out),
            Err(_) => out.extend_from_slice(text.as_bytes()),
        },
        Some(b'[') => match serde_json::from_str::<Vec<&RawValue>>(text) {
            Ok(items) => write_array(&items, out),
            Err(_) => out.extend_from_slice(text.as_bytes()),
        },
        Some(b'"') => match serde_json::from_str::<String>(text) {
            Ok(string) => write_string(&string, out),
            Err(_) => out.extend_from_slice(text.as_bytes()),
        },
        _ => out.extend_from_slice(text.as_bytes()),
    }
}

fn write_object(fields: Fields<'_>, left_out: Option<&str>, out: &mut Vec<u8>) {
    let mut fields = fields.0;
    fields.retain(|(name, _)| left_out != Some(&**name));
    // stable, so that a key given twice keeps its order and stays distinct from one given once
    fields.sort_by(|(a, _), (b, _)| a.cmp(b));
    out.push(b'{');
    for (at, (name, value)) in fields.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_string(name, out);
        out.push(b':');
        write(value, out);
    }
    out.push(b'}');
}

fn write_array(items: &[&RawValue], out: &mut Vec<u8>) {
    out.push(b'[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn canonical(json: &str) -> String {
        let raw: Box<RawValue> = serde_json::from_str(json).unwrap();
        let mut out = Vec::new();
        write(&raw, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn number_literals_are_not_rounded_into_each_other() {
        assert_ne!(
            canonical("123456789012345678901234567890"),
            canonical("123456789012345678901234567891")
        );
        assert_ne!(canonical("1"), canonical("1.0"));
    }

    #[test]
    fn a_key_given_twice_differs_from_one_given_once() {
        assert_ne!(canonical(r#"{"a":1,"a":2}"#), canonical(r#"{"a":2}"#));
    }

    #[test]
    fn array_order_matters() {
        assert_ne!(canonical("[1,2]"), canonical("[2,1]"));
    }

    #[test]
    fn key_order_whitespace_and_escapes_do_not_matter() {
        let spelled =
            canonical("{ \"b\" : [ true , null ],\n \"a\": {\"y\":\"\\u0041\",\"x\":0.10} }");
        assert_eq!(
            spelled,
            canonical(r#"{"a":{"x":0.10,"y":"A"},"b":[true,null]}"#)
        );
    }

    #[test]
    fn a_field_can_be_left_out_of_the_outermost_object_alone() {
        let raw: Box<RawValue> = serde_json::from_str(r#"{"a":{"b":1},"b":2}"#).unwrap();
        let mut out = Vec::new();
        write_without(&raw, Some("b"), &mut out);
        assert_eq!(out, br#"{"a":{"b":1}}"#);
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-z\"\\\\\n\u{e9}]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("[a-e]{1,2}", inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// Writes `value` with keys backwards and spaces everywhere.
    fn scrambled(value: &Value) -> String {
        match value {
            Value::Array(items) => {
                let items: Vec<String> = items.iter().map(scrambled).collect();
                format!("[ {} ]", items.join(" ,\t"))
            }
            Value::Object(map) => {
                let mut fields: Vec<String> = map
                    .iter()
                    .map(|(k, v)| format!("{}  :\n{}", Value::from(k.as_str()), scrambled(v)))
                    .collect();
                fields.reverse();
                format!("{{\n{} }}", fields.join(" , "))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
        }
    }

    proptest! {
        #[test]
        fn spelling_never_matters(value in json()) {
            prop_assert_eq!(canonical(&value.to_string()), canonical(&scrambled(&value)));
        }

        #[test]
        fn different_values_never_meet(a in json(), b in json()) {
            prop_assert_eq!(canonical(&a.to_string()) == canonical(&b.to_string()), a == b);
        }
    }
}
