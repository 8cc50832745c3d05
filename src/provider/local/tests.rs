use std::sync::Arc;
use std::time::Duration;

use super::{Local, name_of};
use crate::cache::TextEmbedder;
use crate::cache::embed::fixture;
use crate::provider::{CannotEmbed, Class, EmbedCall, Provider, Timeouts};
use crate::types::{Inputs, Moment};

fn call(inputs: Inputs) -> EmbedCall {
    EmbedCall {
        inputs: Arc::new(inputs),
        model: "".into(),
        dimensions: None,
        user: None,
        deadline: Moment::now() + Duration::from_secs(20),
        timeouts: Timeouts::default(),
        traceparent: None,
    }
}

fn texts(texts: &[&str]) -> Inputs {
    Inputs::Texts(texts.iter().map(|text| (*text).to_owned()).collect())
}

#[test]
fn a_space_is_named_after_its_model() {
    for space in ["all-MiniLM-L6-v2@53aa5117+int8", "all-MiniLM-L6-v2"] {
        assert_eq!(name_of(space), "all-MiniLM-L6-v2");
    }
}

#[tokio::test]
async fn without_weights_it_says_how_to_fetch_them() {
    let local = Local::new("all-MiniLM-L6-v2");
    let why = local.cannot_embed(&texts(&["a"]), None);
    assert!(
        matches!(&why, Some(CannotEmbed::Absent(text)) if text.contains("model pull")),
        "{why:?}"
    );
    let failure = local.embed(call(texts(&["a"]))).await.unwrap_err();
    assert_eq!(failure.class, Class::Hard);
    assert!(local.health().await.is_err());
}

#[tokio::test]
async fn vectors_come_in_the_order_of_their_texts_with_the_pieces_that_were_read() {
    let Some(embedder) = fixture::embedder() else {
        return;
    };
    let embedder: Arc<dyn TextEmbedder> = Arc::new(embedder);
    let local = Local::of(&embedder);
    assert_eq!(local.public_name(), "local/all-MiniLM-L6-v2");
    let given: Vec<String> = (0..20).map(|n| format!("sentence number {n}")).collect();
    let made = local
        .embed(call(Inputs::Texts(given.clone())))
        .await
        .unwrap();
    for (text, vector) in given.iter().zip(&made.vectors) {
        let alone = embedder.embed("", text, call(texts(&[])).deadline).await;
        let alone = alone.unwrap().unwrap();
        let cosine: f32 = alone.iter().zip(vector).map(|(a, b)| a * b).sum();
        assert!(cosine > 0.9999, "{text}: {cosine}");
    }
    // three words and the marks at both ends
    assert_eq!(made.usage.unwrap().prompt_tokens, 20 * 5);
    let other = local.cannot_embed(&texts(&["a"]), Some(256));
    assert!(matches!(other, Some(CannotEmbed::These(text)) if text.contains("384")));
    assert_eq!(local.cannot_embed(&texts(&["a"]), Some(384)), None);
    let ids = Inputs::Tokens(vec![vec![101, 102]]);
    assert!(local.cannot_embed(&ids, None).is_some());
}

#[tokio::test]
async fn a_text_too_long_to_be_read_whole_is_refused_by_its_place() {
    let Some(embedder) = fixture::embedder() else {
        return;
    };
    let embedder: Arc<dyn TextEmbedder> = Arc::new(embedder);
    let long = "word ".repeat(400);
    let asked = call(texts(&["short", &long]));
    let failure = Local::of(&embedder).embed(asked).await.unwrap_err();
    assert_eq!((failure.class, failure.status), (Class::Caller, Some(400)));
    assert!(failure.message.contains("input 1"), "{failure}");
}
