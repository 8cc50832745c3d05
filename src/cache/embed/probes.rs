//! Sentences embedded once at load, to see that the model computes what it should.

/// Short and long, questions and orders, numbers, code and other scripts. Nothing of one or two
/// words, which the cache does not compare by meaning: there the marks at both ends weigh most, and
/// bytes lose more (a cosine error of 0.008).
pub(super) const SENTENCES: [&str; 12] = [
    "What is Python?",
    "How do I reset the password of my account?",
    "How do I enable two-factor authentication?",
    "How do I disable two-factor authentication?",
    "Convert 17.5 kg to pounds, please.",
    "Is it safe to give ibuprofen to a dog that weighs 12 kg?",
    "fn main() { println!(\"{}\", (1..=10).sum::<u32>()); }",
    "Wie spät ist es in Zürich, wenn es in Tokio Mitternacht ist?",
    "如何在两天内学会游泳?",
    "Move the meeting from Tuesday at 3 pm to Thursday at 10 am and tell Ana and Bogdan about it.",
    "Explain the difference between a process and a thread, then say when one would rather use the one \
     than the other on a machine with many cores and little memory.",
    "Summarise in three sentences: the harbour was closed for two weeks after the storm, the ferries \
     went to the next town instead, prices of fish rose by a third, and when the piers had been mended \
     in early spring most of the crews came back, though not all of them, since some had found steadier \
     work inland and others had sold their boats while the price was good.",
];

/// The first components of the first sentence's vector in all-MiniLM-L6-v2, computed with another
/// implementation in f64.
pub(super) const FIRST_COMPONENTS: [f32; 8] = [
    -0.064_772_2,
    0.036_463,
    -0.034_866_7,
    0.054_480_9,
    -0.023_313_8,
    -0.130_353_1,
    0.001_853_6,
    0.036_724_9,
];
