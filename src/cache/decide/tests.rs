use std::time::Duration;

use super::*;
use crate::cache::embed::{Embedder, fixture};
use crate::cache::evaluate::Evaluation;
use crate::cache::evaluate::table;
use crate::types::Moment;

/// Near for an embedding, another answer: written for this test, by kind.
const DANGEROUS: &str = include_str!("dangerous.tsv");
/// The same question in other words, written for this test.
const REWORDINGS: &str = include_str!("rewordings.tsv");

fn rows(file: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    file.lines().skip(1).map(|line| line.split('\t').collect())
}

const DEFAULT: Budget = Budget {
    similarity_threshold: 0.92,
    verified_threshold: 0.75,
    max_error_rate: 0.01,
};

fn decided(similarity: f32, a: &str, b: &str, budget: Budget) -> Decision {
    let grounds = Grounds {
        similarity,
        a: &Features::of(a),
        b: &Features::of(b),
        verified: None,
    };
    decide(grounds, budget)
}

#[test]
fn no_cosine_and_no_budget_overrules_a_guard() {
    let (a, b) = ("Is aspirin safe for dogs?", "Is aspirin not safe for dogs?");
    let reckless = Budget {
        similarity_threshold: 0.0,
        verified_threshold: 0.0,
        max_error_rate: 1.0,
    };
    assert_eq!(
        decided(1.0, a, b, reckless),
        Decision::Guarded(Guard::Negation)
    );
}

#[test]
fn a_cosine_below_the_threshold_or_of_no_number_is_a_miss() {
    let same = "What is the capital of France?";
    assert_eq!(decided(0.919, same, same, DEFAULT), Decision::Unsettled);
    assert_eq!(decided(0.749, same, same, DEFAULT), Decision::TooFar);
    assert_eq!(decided(f32::NAN, same, same, DEFAULT), Decision::TooFar);
}

#[test]
fn words_alone_do_not_settle_an_unmatched_word_or_another_order() {
    let (a, b) = (
        "What is the best laptop?",
        "What is the best gaming laptop?",
    );
    assert_eq!(decided(0.99, a, b, DEFAULT), Decision::Unsettled);
    let (a, b) = ("dog bites man story", "man bites dog story");
    assert_eq!(decided(0.99, a, b, DEFAULT), Decision::Unsettled);
}

#[test]
fn texts_without_any_subject_never_match() {
    assert_eq!(
        decided(1.0, "who are they?", "who are they?", DEFAULT),
        Decision::TooRisky
    );
}

#[test]
fn a_rewording_is_a_hit() {
    let (a, b) = (
        "How do I reset my account password?",
        "How can I reset my account password?",
    );
    assert_eq!(decided(0.993, a, b, DEFAULT), Decision::Hit);
}

#[test]
fn a_lower_threshold_admits_the_same_words_further_apart() {
    let (a, b) = (
        "What is Python?",
        "Tell me about the Python programming language",
    );
    assert_eq!(decided(0.846, a, b, DEFAULT), Decision::Unsettled);
    let wider = Budget {
        similarity_threshold: 0.84,
        ..DEFAULT
    };
    assert_eq!(decided(0.846, a, b, wider), Decision::Hit);
}

#[test]
fn the_estimate_grows_with_distance_and_differences() {
    let same = Features::of("how do plants grow roots");
    let longer = Features::of("how do plants grow long roots");
    assert!(estimated_error(0.99, &same, &same) < estimated_error(0.9, &same, &same));
    assert!(estimated_error(0.99, &same, &same) < estimated_error(0.99, &same, &longer));
}

#[test]
fn no_dangerous_pair_is_a_hit_on_its_words_however_close_its_vectors() {
    let mut asked = 0;
    for row in rows(DANGEROUS) {
        let decision = decided(1.0, row[1], row[2], DEFAULT);
        assert_ne!(decision, Decision::Hit, "{} / {}", row[1], row[2]);
        asked += 1;
    }
    assert!(asked >= 200, "{asked}");
}

#[test]
fn a_rival_as_near_makes_the_best_doubtful_unless_it_counts_something_else() {
    let question = Features::of("How do I bake 2 loaves of bread?");
    let near = Features::of("How do I bake 2 loaves of rye bread?");
    let other = Features::of("How do I bake 3 loaves of bread?");
    let ambiguous = |similarity, features| is_rival(0.97, &question, (similarity, features));
    assert!(ambiguous(0.95, &near));
    assert!(!ambiguous(0.8, &near));
    assert!(!ambiguous(0.95, &other));
}

#[test]
fn a_caller_only_tightens() {
    let config = CacheConfig::default();
    assert_eq!(Budget::of(&config, Some(0.1)), Budget::of(&config, None));
    let strict = Budget::of(&config, Some(0.99));
    assert!(strict.similarity_threshold > 0.98 && strict.verified_threshold > 0.98);
}

/// The pipeline on the real weights.
async fn served(embedder: &Embedder, text: &str) -> crate::cache::evaluate::report::Report {
    let evaluation = Evaluation {
        embedder,
        budget: DEFAULT,
    };
    evaluation.pairs(table::pairs(text).unwrap()).await.unwrap()
}

fn labelled(file: &'static str, label: u8, skip: usize) -> String {
    let lines = rows(file).map(|row| format!("{}\t{}\t{label}\n", row[skip], row[skip + 1]));
    format!("text_a\ttext_b\tlabel\n{}", lines.collect::<String>())
}

#[tokio::test]
async fn with_the_real_weights_no_dangerous_pair_is_served() {
    for embedder in [fixture::embedder(), fixture::of_bytes()]
        .into_iter()
        .flatten()
    {
        for row in rows(DANGEROUS) {
            let text = format!("text_a\ttext_b\tlabel\n{}\t{}\t0\n", row[1], row[2]);
            let report = served(&embedder, &text).await;
            assert_eq!(report.served, 0, "{} / {}", row[1], row[2]);
        }
    }
}

#[tokio::test]
async fn with_the_real_weights_most_rewordings_are_served() {
    for embedder in [fixture::embedder(), fixture::of_bytes()]
        .into_iter()
        .flatten()
    {
        let report = served(&embedder, &labelled(REWORDINGS, 1, 0)).await;
        assert!(
            report.coverage >= 0.6,
            "{} of {}",
            report.true_served,
            report.true_pairs
        );
        let musts = "text_a\ttext_b\tlabel\n\
            What is Python?\tTell me about the Python programming language\t1\n\
            How do I reset my account password?\tHow can I reset my account password?\t1\n";
        assert_eq!(served(&embedder, musts).await.served, 2);
    }
}

#[tokio::test]
async fn the_verifier_is_symmetric_and_has_no_say_without_time() {
    let Some(embedder) = fixture::embedder() else {
        return;
    };
    let head = crate::cache::verifier::Head::of_space(embedder.space()).unwrap();
    let (a, b) = ("How do bees make honey?", "How is honey made by bees?");
    let deadline = || Moment::now() + Duration::from_secs(20);
    let x = embedder.states("", a, deadline()).await.unwrap().unwrap();
    let y = embedder.states("", b, deadline()).await.unwrap().unwrap();
    let (fa, fb) = (Features::of(a), Features::of(b));
    let similarity = x.vector.dot(&y.vector);
    let one = crate::cache::verifier::measure(similarity, (&fa, &x), (&fb, &y)).unwrap();
    let two = crate::cache::verifier::measure(similarity, (&fb, &y), (&fa, &x)).unwrap();
    assert!((head.log_odds(&one) - head.log_odds(&two)).abs() < 1e-3);
    assert!(embedder.states("", a, Moment::ZERO).await.is_err());
}
