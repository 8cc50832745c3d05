use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::provider::stand_in::{StandIn, texts, vectors_of};
use crate::provider::{Class, EmbedCall, OpenAi, Provider};
use crate::types::Inputs;

async fn upstream(data: Value) -> (StandIn, OpenAi) {
    let body = json!({"object": "list", "model": "e-large", "data": data,
        "usage": {"prompt_tokens": 8, "total_tokens": 8}});
    let upstream = StandIn::saying(&body.to_string()).await;
    let provider = OpenAi::new("e").base_url(upstream.url.as_str());
    (upstream, provider)
}

fn base64(numbers: &[f32]) -> String {
    let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
    STANDARD.encode(bytes)
}

#[tokio::test]
async fn numbers_and_base64_are_both_read_and_put_in_order() {
    let (upstream, provider) = upstream(json!([
        {"object": "embedding", "index": 1, "embedding": base64(&[0.25, -1.5])},
        {"object": "embedding", "index": 0, "embedding": [1, 2.5]}]))
    .await;
    let asked = EmbedCall {
        dimensions: Some(2),
        user: Some("u".into()),
        ..vectors_of(texts(&["a", "b"]))
    };
    let answered = provider.embed(asked).await.unwrap();
    assert_eq!(answered.vectors, [[1.0, 2.5], [0.25, -1.5]]);
    assert_eq!(answered.model, "e-large");
    assert_eq!(answered.usage.map(|usage| usage.prompt_tokens), Some(8));
    let sent = json!({"model": "e", "input": ["a", "b"], "encoding_format": "float",
        "dimensions": 2, "user": "u"});
    let asked = upstream.asked();
    assert_eq!(
        (asked[0].path.as_str(), &asked[0].body),
        ("/embeddings", &sent)
    );
}

#[tokio::test]
async fn token_ids_pass_as_they_are() {
    let (upstream, provider) = upstream(json!([{"embedding": [1]}])).await;
    let asked = vectors_of(Inputs::Tokens(vec![vec![1, 2, 3]]));
    provider.embed(asked).await.unwrap();
    assert_eq!(upstream.asked()[0].body["input"], json!([[1, 2, 3]]));
}

#[tokio::test]
async fn what_is_not_one_vector_for_each_input_is_hard() {
    for data in [
        json!([]),
        json!([{"index": 0, "embedding": [1]}]),
        json!([{"index": 0, "embedding": [1]}, {"index": 0, "embedding": [2]}]),
        json!([{"index": 0, "embedding": [1]}, {"index": 2, "embedding": [2]}]),
        json!([{"embedding": [1]}, {"embedding": []}]),
        json!([{"embedding": [1]}, {"embedding": "AAA="}]),
        json!([{"embedding": [1]}, {"embedding": base64(&[f32::NAN])}]),
        json!([{"embedding": [1]}, {"embedding": "not base64!"}]),
        json!("nothing"),
    ] {
        let (_upstream, provider) = upstream(data.clone()).await;
        let failure = provider.embed(vectors_of(texts(&["a", "b"]))).await;
        assert_eq!(failure.unwrap_err().class, Class::Hard, "{data}");
    }
}
