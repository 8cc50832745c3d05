use super::*;

#[test]
fn messages_to_somebody_and_statements_about_somebody_are_private() {
    for text in [
        "Hello Brigitte, the results are in. Come by when you can.",
        "Tobias, forward the minutes to the whole team.",
        "Mr. Okafor, may I move our talk to the afternoon?",
        "All looks good. Ines, could you sign it?",
        "Does Nurse Halloran have the prescription ready?",
        "Write a letter to Karl Brandt about his overdue rent",
        "Remind Jonas about the dental appointment",
        "I was diagnosed with epilepsy, may I drive?",
        "I have diabetes and want to fast",
        "my salary is 54000, what tax do I pay?",
        "He was born on 3 May 1971",
        "I live at 12 Rose Lane",
        "Send it to 4711 Willow Creek Avenue",
        "The therapy session is on 12/03/2025, can I cancel?",
        "Your invoice of 220 EUR is still pending",
        "Order number 88-12345 has not arrived",
        "Is Miller and Sons a good employer?",
        "the server at 10.20.30.40 is down",
        "device 00:1b:44:11:3a:b7 fails",
        "What does https://example.org/page say?",
        "pay 0x52908400098527886E0F7030069857D2E4169EE7",
        "Marlies could you share your thoughts on the plan?",
        "A diet for a 61 old man with 181centimeters, please",
        "Medical supplies in 40213 need a refill",
        "The child repeated kQ7zLm2PxW91 most often",
        "We are arranging a workshop. Bring the voucher 88213 with you.",
        "We noticed that the user name Lena_Hagen77 was used",
        "Eye color: grey, height: 170",
        "Remove the car with registration BK83 BZC",
        "Consider Rosalind Meyer for the post, her feedback was good",
    ] {
        assert!(find(text).is_some(), "{text}");
    }
}

#[test]
fn private_markers_and_a_firms_own_material_are_private() {
    for text in [
        "Summarise this confidential report in two lines",
        "CONFIDENTIAL: the merger closes in May",
        "For internal use only. Rewrite it shorter.",
        "Please do not share: how do I phrase a resignation?",
        "Refactor our proprietary pricing engine",
        "Find duplicates in our customer database",
        "Clean up this payroll export",
        "Process this on-premises only",
        "Do not upload this to any service",
    ] {
        assert!(find(text).is_some(), "{text}");
    }
}

#[test]
fn questions_anybody_could_ask_are_not() {
    for text in [
        "What is Python?",
        "How is a salary taxed in Spain?",
        "Is aspirin safe for dogs?",
        "What are the symptoms of diabetes?",
        "Who was Marie Curie?",
        "When was Albert Einstein born?",
        "However, what would a lawyer say?",
        "Help, my card was charged twice!",
        "First, explain what a mortgage is",
        "What is the secret of good bread?",
        "What is confidential computing?",
        "What is the square root of 10500?",
        "Is caffeine C8H10N4O2?",
        "How old is the universe?",
        "What does utf8mb4 mean in MySQL?",
        "Which could you name first, Rome or Athens?",
        "How do I process customer data under the GDPR?",
        "How do I find the IP address of a host?",
        "Convert 12.5 kilograms to pounds",
        "What does version 1.2.3 of semver mean?",
        "Write an internal combustion engine essay",
        "Why is the internal angle of a triangle 60 degrees?",
        "How do I open a bank account?",
        "How do I reset my account password?",
    ] {
        assert_eq!(find(text), None, "{text}");
    }
}
