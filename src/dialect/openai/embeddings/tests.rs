use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Asked, Encoding, MAX_INPUTS, MAX_TOKENS, answer};
use crate::types::{Embeddings, Inputs, Usage};

fn asked(body: &Value) -> Result<Asked, super::BadRequest> {
    Asked::parse(body.to_string().as_bytes())
}

#[test]
fn all_four_shapes_of_input_are_read() {
    let texts = |texts: &[&str]| Inputs::Texts(texts.iter().map(|t| (*t).to_owned()).collect());
    for (given, read) in [
        (json!("a"), texts(&["a"])),
        (json!(["a", "b"]), texts(&["a", "b"])),
        (json!([1, 2]), Inputs::Tokens(vec![vec![1, 2]])),
        (
            json!([[1], [2, 3]]),
            Inputs::Tokens(vec![vec![1], vec![2, 3]]),
        ),
    ] {
        let asked = asked(&json!({"model": "m", "input": given, "input_type": "query"})).unwrap();
        assert_eq!(asked.inputs, read);
        assert_eq!(
            (asked.model.as_str(), asked.encoding),
            ("m", Encoding::Float)
        );
        assert_eq!(asked.left_out, ["input_type"]);
    }
}

#[test]
fn what_cannot_be_embedded_is_refused_by_its_field() {
    let many = vec!["x"; MAX_INPUTS + 1];
    for (body, param) in [
        (json!({}), "input"),
        (json!({"input": []}), "input"),
        (json!({"input": ""}), "input"),
        (json!({"input": ["a", ""]}), "input"),
        (json!({"input": [[1], []]}), "input"),
        (json!({"input": ["a", 1]}), "input"),
        (json!({"input": [-1]}), "input"),
        (json!({"input": null}), "input"),
        (json!({"input": many}), "input"),
        (json!({"input": "a", "dimensions": 0}), "dimensions"),
        (json!({"input": "a", "dimensions": "many"}), "dimensions"),
        (
            json!({"input": "a", "encoding_format": "hex"}),
            "encoding_format",
        ),
        (json!({"input": "a", "model": 3}), "model"),
    ] {
        assert_eq!(asked(&body).unwrap_err().param(), Some(param), "{body}");
    }
}

#[test]
fn as_many_token_ids_as_openai_takes_are_taken_and_no_more() {
    let list = vec![7; MAX_TOKENS / 2];
    let full = json!({"input": [list, list]});
    assert_eq!(asked(&full).unwrap().inputs.len(), 2);
    let over = json!({"input": [list, list, [1]]});
    assert_eq!(asked(&over).unwrap_err().param(), Some("input"));
}

#[test]
fn null_counts_as_not_said() {
    let body = json!({"input": "a", "model": null, "encoding_format": null, "user": null});
    let read = asked(&body).unwrap();
    assert_eq!((read.model.as_str(), read.user), ("auto", None));
}

proptest! {
    #[test]
    fn base64_and_floats_say_the_same(vector in prop::collection::vec(-1e6f32..1e6, 1..64)) {
        let made = Embeddings {
            model: String::new(),
            vectors: vec![vector.clone()],
            usage: Some(Usage::new(4, 0)),
        };
        let read = |encoding| -> Value {
            serde_json::from_slice(&answer(&made, "shown", encoding)).unwrap()
        };
        let (floats, packed) = (read(Encoding::Float), read(Encoding::Base64));
        prop_assert_eq!(&floats["model"], "shown");
        prop_assert_eq!(&floats["usage"]["total_tokens"], 4);
        let numbers: Vec<f32> =
            serde_json::from_value(floats["data"][0]["embedding"].clone()).unwrap();
        let bytes = STANDARD.decode(packed["data"][0]["embedding"].as_str().unwrap()).unwrap();
        let unpacked: Vec<f32> = bytes
            .chunks_exact(4)
            .map(|four| f32::from_le_bytes(four.try_into().unwrap()))
            .collect();
        prop_assert_eq!(&numbers, &vector);
        prop_assert_eq!(&unpacked, &vector);
    }
}
