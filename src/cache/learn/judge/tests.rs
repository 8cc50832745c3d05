use proptest::prelude::*;

use super::*;

/// The verdict for two answers whose embeddings are this near; the order does not matter.
fn judged(a: &str, b: &str, cosine: f32) -> Verdict {
    let verdict = judge(a, b, Some(cosine));
    assert_eq!(verdict, judge(b, a, Some(cosine)), "{a} / {b}");
    verdict
}

#[test]
fn the_same_words_agree_whatever_stands_between_them() {
    assert_eq!(judged("Paris.", "  paris", 0.2), Verdict::Agree);
    assert_eq!(judge("Paris.", "Paris!", None), Verdict::Agree);
}

#[test]
fn yes_and_no_disagree_however_near() {
    let (yes, no) = (
        "Yes, dogs can safely eat plain cooked chicken in small amounts.",
        "No, dogs can not safely eat plain cooked chicken in small amounts.",
    );
    assert_eq!(judged(yes, no, 0.97), Verdict::Disagree);
    assert_eq!(judged("True.", "False.", 0.9), Verdict::Disagree);
}

#[test]
fn a_short_answer_with_a_not_disagrees_with_the_one_without() {
    assert_eq!(
        judged(
            "Aspirin is safe for dogs.",
            "Aspirin is not safe for dogs.",
            0.98
        ),
        Verdict::Disagree
    );
    assert_eq!(
        judged(
            "The warranty covers water damage",
            "The warranty doesn't cover water damage",
            0.95
        ),
        Verdict::Disagree
    );
}

#[test]
fn another_number_is_another_answer() {
    assert_eq!(
        judged("It weighs 22 pounds.", "It weighs 44 pounds.", 0.96),
        Verdict::Disagree
    );
    assert_eq!(judged("The answer is 1,200.", "1200", 0.5), Verdict::Agree);
    assert_eq!(
        judged("You need three eggs.", "You need 3 eggs.", 0.9),
        Verdict::Agree
    );
    assert_eq!(
        judged("About 12.50 euros", "About 12.5 euros", 0.9),
        Verdict::Agree
    );
}

#[test]
fn a_bare_fact_agrees_with_the_sentence_that_holds_it() {
    assert_eq!(
        judged("Paris", "The capital of France is Paris.", 0.6),
        Verdict::Agree
    );
    assert_ne!(
        judged("Lyon", "The capital of France is Paris.", 0.6),
        Verdict::Agree
    );
    assert_ne!(
        judged("Paris", "The capital of France is not Paris.", 0.7),
        Verdict::Agree
    );
}

#[test]
fn long_answers_may_differ_in_details_but_not_in_most_numbers() {
    let steps = |numbers: [u32; 4]| {
        let [a, b, c, d] = numbers;
        let text =
            "open the settings page of your account and look for the security section there ";
        format!("{text}{text}{a} {b} {text}{c} {d} {text}")
    };
    assert_eq!(
        judged(&steps([1, 2, 3, 4]), &steps([1, 2, 3, 9]), 0.9),
        Verdict::Agree
    );
    assert_eq!(
        judged(&steps([1, 2, 3, 4]), &steps([5, 6, 7, 8]), 0.9),
        Verdict::Unsure
    );
}

#[test]
fn other_topics_disagree_and_the_middle_is_unsure() {
    let (reset, return_policy) = (
        "Open the settings, choose security and press the reset button.",
        "Our shop takes goods back within a month when the box is unopened.",
    );
    assert_eq!(judged(reset, return_policy, 0.1), Verdict::Disagree);
    assert_eq!(judged(reset, return_policy, 0.6), Verdict::Unsure);
    assert_eq!(judge(reset, return_policy, None), Verdict::Unsure);
    assert_eq!(judged(reset, return_policy, f32::NAN), Verdict::Unsure);
}

#[test]
fn an_empty_answer_says_nothing() {
    assert_eq!(judged("", "Paris", 0.9), Verdict::Unsure);
    assert_eq!(judged("…", "—", 0.9), Verdict::Unsure);
}

proptest! {
    #[test]
    fn any_two_texts_get_the_same_verdict_in_either_order(
        a in "\\PC{0,200}", b in "\\PC{0,200}", cosine in -1.0_f32..=1.0,
    ) {
        prop_assert_eq!(judge(&a, &b, Some(cosine)), judge(&b, &a, Some(cosine)));
        let itself = judge(&a, &a, Some(cosine));
        prop_assert!(itself != Verdict::Disagree);
    }
}
