use proptest::prelude::*;

use super::*;

fn conflict(a: &str, b: &str) -> Option<Guard> {
    let (a, b) = (Features::of(a), Features::of(b));
    let found = Guard::first_conflict(&a, &b);
    assert_eq!(
        found.is_some(),
        Guard::first_conflict(&b, &a).is_some(),
        "guards are symmetric"
    );
    found
}

/// Close for an embedding, other answers.
const OTHER_ANSWERS: [(&str, &str); 39] = [
    ("How do I enable 2FA?", "How do I disable 2FA?"),
    ("Convert 10 kg to pounds", "Convert 20 kg to pounds"),
    ("Is aspirin safe for dogs?", "Is aspirin not safe for dogs?"),
    ("Is aspirin safe for dogs?", "Isn't aspirin safe for dogs?"),
    ("Is aspirin safe for dogs?", "Is aspirin unsafe for dogs?"),
    ("Convert 5 from EUR to USD", "Convert 5 from USD to EUR"),
    (
        "What is the capital of France?",
        "What is the capital of Germany?",
    ),
    ("How do I install Python 2?", "How do I install Python 3?"),
    (
        "Is 5 in the first group and 7 in the other?",
        "Is 7 in the first group and 5 in the other?",
    ),
    (
        "Can cats not sleep and be healthy?",
        "Can cats sleep and not be healthy?",
    ),
    (
        "What are your plans for summer?",
        "What are some plans for summer?",
    ),
    ("Is Python 3.1 fast?", "Is Python 3.10 fast?"),
    (
        "How to increase blood pressure",
        "How to decrease blood pressure",
    ),
    ("Should I buy stocks?", "Should I sell stocks?"),
    ("Coffee with sugar recipe", "Coffee without sugar recipe"),
    (
        "Should I stretch before running?",
        "Should I stretch after running?",
    ),
    ("What is the minimum wage?", "What is the maximum wage?"),
    ("What is 2 + 2?", "What is 2 - 2?"),
    ("What is ten plus two?", "What is ten minus two?"),
    (
        "How do I turn on dark mode?",
        "How do I turn off dark mode?",
    ),
    (
        "Translate \"cat\" into French",
        "Translate \"dog\" into French",
    ),
    ("Translate 'cat' into French", "Translate 'dog' into French"),
    (
        "What does map_err do in Rust?",
        "What does map_or do in Rust?",
    ),
    ("What does useState do?", "What does useEffect do?"),
    ("Why do cats purr?", "How do cats purr?"),
    ("When do cats purr?", "Do cats purr?"),
    ("Can I eat raw eggs?", "Should I eat raw eggs?"),
    ("Who is the pope?", "Who was the pope?"),
    ("What will the tax be?", "What is the tax?"),
    ("How old is he?", "How old is she?"),
    ("What is my name?", "What is your name?"),
    ("Are you a robot?", "Am I a robot?"),
    ("Do you owe me money?", "Do I owe you money?"),
    ("Books by Einstein", "Books about Einstein"),
    ("Emails from Bob", "Emails to Bob"),
    (
        "Is a whale bigger than a bus?",
        "Is a bus bigger than a whale?",
    ),
    (
        "Did the dog bite after the man ran?",
        "Did the man bite after the dog ran?",
    ),
    (
        "How tall is Mount Everest in m?",
        "How tall is Mount Blanc in m?",
    ),
    ("Learn C++ quickly", "Learn C# quickly"),
];

#[test]
fn near_questions_with_other_answers_conflict() {
    for (a, b) in OTHER_ANSWERS {
        assert!(conflict(a, b).is_some(), "{a} / {b} must conflict");
    }
}

#[test]
fn each_guard_catches_its_own_kind() {
    assert_eq!(
        conflict("Convert 10 kg", "Convert 20 kg"),
        Some(Guard::Numbers)
    );
    assert_eq!(
        conflict("It is safe here", "It is not safe here"),
        Some(Guard::Negation)
    );
    assert_eq!(
        conflict("enable the lamp", "disable the lamp"),
        Some(Guard::Antonyms)
    );
    assert_eq!(conflict("say \"cat\"", "say \"dog\""), Some(Guard::Quotes));
    assert_eq!(
        conflict("explain map_err now", "explain map_or now"),
        Some(Guard::Code)
    );
    assert_eq!(
        conflict("in the city of Rome", "in the city of Oslo"),
        Some(Guard::Names)
    );
    assert_eq!(
        conflict("from EUR to USD", "from USD to EUR"),
        Some(Guard::Direction)
    );
    assert_eq!(
        conflict("why do cats purr", "how do cats purr"),
        Some(Guard::Question)
    );
    assert_eq!(
        conflict("what is the tax", "what was the tax"),
        Some(Guard::Tense)
    );
    assert_eq!(
        conflict("what is my name", "what is your name"),
        Some(Guard::Person)
    );
}

#[test]
fn rewordings_pass_every_guard_with_nothing_unmatched() {
    for (a, b) in [
        (
            "How do I reset my account password?",
            "How can I reset my account password?",
        ),
        (
            "How do I reset my password?",
            "How do you reset your password?",
        ),
        (
            "What is the capital of France?",
            "What's the capital of France?",
        ),
        (
            "What is the capital of France?",
            "Please tell me the capital of France.",
        ),
        (
            "What is cognitive dissonance?",
            "Can you explain cognitive dissonance?",
        ),
        (
            "What is cognitive dissonance?",
            "Define cognitive dissonance",
        ),
        (
            "What is cognitive dissonance?",
            "What does cognitive dissonance mean?",
        ),
        (
            "What are the benefits of exercise?",
            "What are the advantages of exercise?",
        ),
        (
            "How do I learn Python?",
            "What is the best way to learn Python?",
        ),
        ("How do I learn Python?", "how to learn python"),
        ("Convert 10kg to pounds", "Convert 10 kilograms to pounds"),
        (
            "What is Python?",
            "Tell me about the Python programming language",
        ),
        ("how do i fix a flat tire", "How can I repair a flat tire?"),
    ] {
        assert_eq!(conflict(a, b), None, "{a} / {b}");
        assert_eq!(Features::of(a).unmatched(&Features::of(b)), 0, "{a} / {b}");
    }
}

#[test]
fn a_longer_or_other_subject_is_unmatched() {
    for (a, b) in [
        (
            "What is the best laptop?",
            "What is the best gaming laptop?",
        ),
        ("How do I boil an egg?", "How do I boil a potato?"),
        ("How do I get a visa?", "How do I give a visa?"),
        ("What is a barometer?", "What does a barometer do?"),
    ] {
        assert!(Features::of(a).unmatched(&Features::of(b)) > 0, "{a} / {b}");
    }
}

#[test]
fn debug_shows_no_words() {
    assert!(!format!("{:?}", Features::of("my secret plan")).contains("plan"));
}

proptest! {
    #[test]
    fn any_text_agrees_with_itself_and_guards_are_symmetric(a in ".{0,60}", b in ".{0,60}") {
        let (a, b) = (Features::of(&a), Features::of(&b));
        prop_assert_eq!(Guard::first_conflict(&a, &a), None);
        prop_assert_eq!(a.unmatched(&a), 0);
        for guard in Guard::ALL {
            prop_assert_eq!(guard.allows(&a, &b), guard.allows(&b, &a));
        }
    }

    #[test]
    fn another_number_always_conflicts(x in 0u32..100_000, y in 0u32..100_000) {
        prop_assume!(x != y);
        let (a, b) = (format!("Convert {x} miles to feet"), format!("Convert {y} miles to feet"));
        prop_assert_eq!(conflict(&a, &b), Some(Guard::Numbers));
    }
}
