//! The embedder against vectors computed by another implementation (numpy, f64), and its promises.

use std::sync::Arc;
use std::time::Duration;

use super::bert::Precision;
use super::*;

mod bytes;
mod foreign;

fn soon() -> Moment {
    Moment::now() + Duration::from_secs(20)
}

async fn vector(embedder: &Embedder, text: &str) -> Arc<Vector> {
    embedder.embed(text, soon()).await.unwrap().unwrap()
}

/// 254 word pieces.
fn long_text() -> String {
    ["The quick brown fox jumps over the lazy dog near the river bank."; 18].join(" ")
}

#[test]
fn a_directory_without_weights_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let error = Embedder::load(dir.path(), 1).unwrap_err();
    assert!(
        matches!(error, EmbedError::Weights(WeightsError::Missing { .. })),
        "{error:?}"
    );
}

#[test]
fn an_engine_that_computes_something_else_fails_its_self_check() {
    let Some(dir) = fixture::weights() else {
        return;
    };
    let model = Model::find(weights::MODEL_NAME, &dir).unwrap();
    let mut engine = Engine::with(&model, Precision::F32).unwrap();
    engine.check(&model).unwrap();
    engine.swap_first_layers();
    let error = engine.check(&model).unwrap_err();
    assert!(
        matches!(error, EmbedError::SelfCheck { off } if off > 1e-3),
        "{error}"
    );
}

#[tokio::test]
async fn a_text_over_256_pieces_has_no_vector_and_one_of_254_has() {
    let Some(embedder) = fixture::embedder() else {
        return;
    };
    assert!(
        embedder
            .embed(&"word ".repeat(255), soon())
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        embedder
            .embed(&long_text(), soon())
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
async fn a_deadline_in_the_past_is_late_and_not_remembered() {
    let Some(embedder) = fixture::embedder() else {
        return;
    };
    let text = "a text of this test alone";
    let late = embedder.embed(text, Moment::ZERO).await;
    assert!(matches!(late, Err(EmbedError::Late)), "{late:?}");
    assert!(embedder.embed(text, soon()).await.unwrap().is_some());
}

#[tokio::test]
async fn vectors_equal_the_reference() {
    let Some(embedder) = fixture::embedder() else {
        return;
    };
    let long = long_text();
    let expected: [(&str, [f32; 8]); 5] = [
        (
            "What is Python?",
            [
                -0.0647722, 0.036463, -0.0348667, 0.0544809, -0.0233138, -0.1303531, 0.0018536,
                0.0367249,
            ],
        ),
        (
            "How do I reset my account password?",
            [
                -0.0025733, -0.0575459, -0.0569041, -0.0080242, -0.0503515, 0.0654909, 0.0239077,
                0.0052034,
            ],
        ),
        (
            "",
            [
                -0.1188384, 0.0482987, -0.0025481, -0.0110112, 0.0519508, 0.0102917, 0.1154332,
                0.0007008,
            ],
        ),
        (
            "Zürich 東京 naïve café 🙂 x²",
            [
                0.0540934, 0.0536226, 0.0617897, -0.015323, 0.0153157, 0.0187878, 0.0745962,
                0.0003535,
            ],
        ),
        (
            &long,
            [
                0.0730264, -0.0186549, 0.0544478, -0.0020572, -0.0101707, 0.0036453, -0.0054952,
                -0.0637502,
            ],
        ),
    ];
    for (text, expected) in expected {
        let found = vector(&embedder, text).await;
        for (found, expected) in found.as_slice().iter().zip(expected) {
            assert!(
                (found - expected).abs() < 1e-4,
                "{text:.30}: {found} for {expected}"
            );
        }
    }
}

#[tokio::test]
async fn cosines_equal_the_reference() {
    let Some(embedder) = fixture::embedder() else {
        return;
    };
    let expected = [
        (
            "What is Python?",
            "Tell me about the Python programming language",
            0.846_026,
        ),
        (
            "How do I reset my account password?",
            "How can I reset my account password?",
            0.992_764,
        ),
        ("How do I enable 2FA?", "How do I disable 2FA?", 0.893_268),
        (
            "Convert 10 kg to pounds",
            "Convert 20 kg to pounds",
            0.877_34,
        ),
        (
            "Is aspirin safe for dogs?",
            "Is aspirin not safe for dogs?",
            0.994_67,
        ),
        (
            "What is the capital of France?",
            "How do I bake sourdough bread?",
            0.133_231,
        ),
    ];
    for (a, b, expected) in expected {
        let found = vector(&embedder, a).await.dot(&*vector(&embedder, b).await);
        assert!(
            (found - expected).abs() < 1e-4,
            "{a} / {b}: {found} for {expected}"
        );
    }
}

#[tokio::test]
async fn a_text_seen_before_is_remembered_within_its_scope() {
    let Some(embedder) = fixture::embedder() else {
        return;
    };
    let text = "Who wrote the first compiler?";
    let first = embedder
        .embed_for("tenant-a", text, soon())
        .await
        .unwrap()
        .unwrap();
    let again = embedder
        .embed_for("tenant-a", text, Moment::ZERO)
        .await
        .unwrap()
        .unwrap();
    assert!(Arc::ptr_eq(&first, &again));
    // Out of time, so only a memory could have answered.
    let other = embedder.embed_for("tenant-b", text, Moment::ZERO).await;
    assert!(matches!(other, Err(EmbedError::Late)), "{other:?}");
}

#[tokio::test]
async fn workers_side_by_side_agree_with_one_alone() {
    let Some(embedder) = fixture::embedder() else {
        return;
    };
    let texts: Vec<String> = (0..12)
        .map(|n| format!("question {n} about {}", "things ".repeat(n)))
        .collect();
    let together = futures::future::join_all(
        texts
            .iter()
            .map(|text| embedder.embed_uncached(text, soon())),
    )
    .await;
    for (text, together) in texts.iter().zip(together) {
        let alone = embedder.embed_uncached(text, soon()).await.unwrap();
        assert_eq!(together.unwrap(), alone, "{text}");
    }
}

#[tokio::test]
async fn states_are_the_rows_whose_mean_is_the_vector() {
    let Some(embedder) = fixture::embedder() else {
        return;
    };
    let text = "Who wrote the second compiler?";
    let states = embedder
        .states("tenant-c", text, soon())
        .await
        .unwrap()
        .unwrap();
    assert_eq!((states.tokens.len(), states.width()), (8, 384));
    let mut sums = vec![0.0; 384];
    for row in states.rows() {
        sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
    }
    assert!(Vector::new(sums).unwrap().dot(&states.vector) > 0.999_999);
    let remembered = embedder.embed_for("tenant-c", text, Moment::ZERO).await;
    assert!(Arc::ptr_eq(&remembered.unwrap().unwrap(), &states.vector));
    let long = embedder.states("", &"word ".repeat(255), soon()).await;
    assert_eq!(long.unwrap(), None);
}

#[test]
fn the_space_names_model_weights_and_precision() {
    let Some(embedder) = fixture::embedder() else {
        return;
    };
    let (model, digest) = embedder.space().split_once('@').unwrap();
    assert_eq!(model, weights::MODEL_NAME);
    assert!(weights::MODEL_SHA256.starts_with(digest) && digest.len() == 8);
    let bytes = fixture::of_bytes().unwrap();
    assert_eq!(bytes.space(), format!("{}+int8", embedder.space()));
}
