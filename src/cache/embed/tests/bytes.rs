//! Bytes against floats, with the real weights.

use super::*;

const TEXTS: [&str; 8] = [
    "What is Python?",
    "Tell me about the Python programming language",
    "How can I change the delivery address of order 4711?",
    "Is aspirin not safe for dogs?",
    "Quelle est la hauteur de la tour Eiffel ?",
    "SELECT name FROM users WHERE age > 30 ORDER BY name",
    "My flight was cancelled and I would like my money back, what do I have to do and how long does it take?",
    "Translate 'good morning' into Japanese.",
];

#[tokio::test]
async fn vectors_of_bytes_are_within_the_bound_of_those_of_floats() {
    let (Some(floats), Some(bytes)) = (fixture::embedder(), fixture::of_bytes()) else {
        return;
    };
    assert!(bytes.is_int8() && !floats.is_int8());
    assert!(bytes.coarseness() > 0.0 && bytes.coarseness() <= engine::COARSEST);
    let long = long_text();
    for text in TEXTS.into_iter().chain([long.as_str()]) {
        let (exact, found) = (vector(&floats, text).await, vector(&bytes, text).await);
        let error = 1.0 - exact.dot(&found);
        assert!(error <= engine::COARSEST, "{text}: {error}");
        assert!(error > 1e-6, "{text}: bytes computed floats");
    }
}

#[tokio::test]
async fn texts_in_one_batch_have_the_vectors_they_have_alone() {
    let Some(dir) = fixture::weights() else {
        return;
    };
    for precision in [EmbedderPrecision::F32, EmbedderPrecision::Int8] {
        let mut encoder = Encoder::open(Options {
            model: weights::MODEL_NAME,
            dir: &dir,
            workers: 1,
            precision,
        })
        .unwrap();
        let long = long_text();
        let mut texts: Vec<&str> = TEXTS.to_vec();
        let too_long = "word ".repeat(300);
        texts.extend([too_long.as_str(), long.as_str(), "", TEXTS[0]]);
        let together = encoder.encode(&texts).unwrap();
        assert_eq!(together.len(), texts.len());
        for (text, together) in texts.iter().zip(together) {
            let alone = encoder.encode(&[text]).unwrap().remove(0);
            assert_eq!(alone, together, "{text:.40}");
            assert_eq!(alone.is_none(), *text == too_long);
        }
    }
}

#[test]
fn the_order_of_similarities_survives() {
    let (Some(floats), Some(bytes)) = (fixture::embedder(), fixture::of_bytes()) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let cosines = |embedder: &Embedder| -> Vec<f32> {
        runtime.block_on(async {
            let first = vector(embedder, TEXTS[0]).await;
            let mut cosines = Vec::new();
            for text in &TEXTS[1..] {
                cosines.push(first.dot(&*vector(embedder, text).await));
            }
            cosines
        })
    };
    for (exact, found) in cosines(&floats).into_iter().zip(cosines(&bytes)) {
        assert!((exact - found).abs() < 0.03, "{found} for {exact}");
    }
}
