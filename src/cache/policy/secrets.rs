//! Finds credentials and personal identifiers, so that they never enter the cache.
//!
//! Naming a kind of secret ("How do I reset my password?") is not a secret; stating one
//! ("my password is …") is. A false alarm costs one cached answer, so patterns lean towards alarm.
//! Deliberately not here: whatever is private without a shape of its own, which is the neighbour
//! file's.

use std::sync::LazyLock;

use regex::{Regex, RegexSet};

/// Shapes that are secrets wherever they stand.
const CREDENTIALS: [&str; 15] = [
    r"\bsk-[A-Za-z0-9_-]{16,}",
    r"\b(?:sk|pk|rk)_(?:live|test)_[A-Za-z0-9]{10,}",
    r"\b(?:AKIA|ASIA|AGPA|AIDA|AROA)[0-9A-Z]{16}\b",
    r"\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}",
    r"\bglpat-[A-Za-z0-9_-]{16,}",
    r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
    r"\bAIza[0-9A-Za-z_-]{30,}",
    r"\b(?:hf|npm|gsk)_[A-Za-z0-9]{20,}|\bpypi-[A-Za-z0-9_-]{20,}",
    r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY",
    r"(?i)\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@]+:[^\s/@]+@",
    r"(?i)\b(?:bearer|basic)\s+[A-Za-z0-9._~+/=-]{20,}",
    r#"(?i)\b(?:pass(?:word|phrase|code|wd)|pwd|secret(?:[ _-]?(?:access[ _-]?)?key)?|api[ _-]?key|(?:access|auth|refresh)[ _-]?token|client[ _-]?secret)["']?\s*[:=]\s*["']?[^\s"',;]{4,}"#,
    r#"(?i)\b(?:password|passcode|passphrase)[,:]?\s+["'`]?[a-z_!@#$%&*-]*[0-9][^\s"'`]{3,}"#,
    r"(?i)\b(?:api[ _-]?key|token|secret|key)\s+(?:is|was)\s*:?\s*\S*[0-9]\S{7,}",
];

/// Shapes that point to one person or account.
const IDENTIFIERS: [&str; 4] = [
    r"(?i)\b[a-z0-9._%+-]+@[a-z0-9.-]+\.[a-z]{2,}\b",
    r"\b[0-9]{3}[- ][0-9]{2}[- ][0-9]{4}\b",
    r"(?:\+[0-9]{1,3}[ .-]?)?\(?\b[0-9]{3}\)?[ .-][0-9]{3}[ .-][0-9]{4}\b|\+[0-9]{1,3}(?:[ .-]?[0-9]{2,4}){3,5}\b",
    r"(?i)\b(?:account|passport|ssn|iban|licen[cs]e|conference call at|call me at|phone|tel)(?:\s+(?:no|nr|number|is|at))?[ .:#]*[0-9][0-9 -]{5,}[0-9]\b",
];

static CREDENTIAL: LazyLock<Option<RegexSet>> = LazyLock::new(|| set(&CREDENTIALS));
static IDENTIFIER: LazyLock<Option<RegexSet>> = LazyLock::new(|| set(&IDENTIFIERS));
static STATED_PASSWORD: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(
        r#"(?i)\b(?:pass(?:word|phrase|code|wd)|pwd|pin(?:\s+code)?)\s+(?:is|was|=|:)\s*:?\s*["'`]?([^\s"'`,;?]+)"#,
    )
});
static DIGIT_RUN: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"\b[0-9](?:[ -]?[0-9]){12,18}\b"));
static IBAN: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{2,4}){3,8}\b"));

/// What may follow "password is" without being the password.
const STATES: [&str; 66] = [
    "a",
    "an",
    "the",
    "not",
    "wrong",
    "incorrect",
    "correct",
    "expired",
    "expiring",
    "invalid",
    "valid",
    "weak",
    "strong",
    "stronger",
    "required",
    "needed",
    "too",
    "being",
    "stored",
    "hashed",
    "encrypted",
    "lost",
    "forgotten",
    "case",
    "reset",
    "safe",
    "secure",
    "short",
    "long",
    "missing",
    "empty",
    "blank",
    "rejected",
    "leaked",
    "compromised",
    "unknown",
    "on",
    "in",
    "set",
    "saved",
    "asked",
    "also",
    "still",
    "no",
    "always",
    "never",
    "working",
    "changed",
    "about",
    "to",
    "for",
    "my",
    "your",
    "accepted",
    "exposed",
    "visible",
    "shown",
    "hidden",
    "good",
    "stolen",
    "locked",
    "unlocked",
    "blocked",
    "unblocked",
    "isn't",
    "here",
];

/// A pattern whose word boundaries are those of ASCII: with those of Unicode a text in another script
/// takes a hundred times as long.
pub(super) fn pattern(source: &str) -> Option<Regex> {
    Regex::new(&source.replace(r"\b", r"(?-u:\b)")).ok()
}

/// The same for a set.
pub(super) fn set(sources: &[&str]) -> Option<RegexSet> {
    RegexSet::new(
        sources
            .iter()
            .map(|source| source.replace(r"\b", r"(?-u:\b)")),
    )
    .ok()
}

/// The kind of secret found, or `None`. Linear in the text; without a working pattern set
/// everything counts as secret.
pub fn find(text: &str) -> Option<&'static str> {
    let any = |set: &Option<RegexSet>| set.as_ref().is_none_or(|set| set.is_match(text));
    if any(&CREDENTIAL) || states_password(text) {
        return Some("holds a credential");
    }
    if any(&IDENTIFIER) || holds_card(text) || holds_iban(text) {
        return Some("holds a personal identifier");
    }
    None
}

fn states_password(text: &str) -> bool {
    let Some(pattern) = STATED_PASSWORD.as_ref() else {
        return true;
    };
    pattern.captures_iter(text).any(|found| {
        let value = found[1].trim_end_matches(['.', '!', ')']).to_lowercase();
        !value.is_empty() && !STATES.contains(&value.as_str())
    })
}

fn holds_card(text: &str) -> bool {
    let Some(pattern) = DIGIT_RUN.as_ref() else {
        return true;
    };
    pattern.find_iter(text).any(|found| {
        let digits: Vec<u32> = found
            .as_str()
            .chars()
            .filter_map(|c| c.to_digit(10))
            .collect();
        luhn(&digits)
    })
}

/// The check digit of payment cards.
fn luhn(digits: &[u32]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, &digit)| match at % 2 {
            0 => digit,
            _ if digit * 2 > 9 => digit * 2 - 9,
            _ => digit * 2,
        })
        .sum();
    sum.is_multiple_of(10) && digits.iter().any(|&digit| digit != 0)
}

fn holds_iban(text: &str) -> bool {
    let Some(pattern) = IBAN.as_ref() else {
        return true;
    };
    pattern.find_iter(text).any(|found| {
        let compact: String = found.as_str().chars().filter(|c| *c != ' ').collect();
        // a trailing capitalised word may have been swallowed with the number
        (15..=compact.len().min(34)).any(|length| remainder(&compact[..length]) == 1)
    })
}

/// ISO 7064: country and check digits to the end, letters as numbers, modulo 97.
fn remainder(iban: &str) -> u32 {
    let (head, tail) = iban.split_at(4);
    tail.chars()
        .chain(head.chars())
        .filter_map(|c| c.to_digit(36))
        .fold(0, |rest, value| {
            if value < 10 {
                (rest * 10 + value) % 97
            } else {
                (rest * 100 + value) % 97
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_found() {
        for text in [
            "use sk-proj-abcdefghijklmnop1234 please",
            "key AKIAIOSFODNN7EXAMPLE in us-east-1",
            "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
            "-----BEGIN RSA PRIVATE KEY-----\nMIIE",
            "-----BEGIN OPENSSH PRIVATE KEY-----",
            "connect to postgres://app:hunter2@db/prod",
            "Authorization: Bearer abcdefghijklmnopqrstuvwxyz",
            "my password is hunter2",
            "My password is swordfish, what now?",
            "Log in with password Blue7Heron please",
            "password: correcthorse",
            "my password: Tr0ub4dor",
            "API_KEY=abcd1234efgh",
            "the api key is 9f8e7d6c5b4a3921",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
        ] {
            assert_eq!(find(text), Some("holds a credential"), "{text}");
        }
    }

    #[test]
    fn personal_identifiers_are_found() {
        for text in [
            "pay with 4111 1111 1111 1111",
            "card 4111-1111-1111-1111",
            "my ssn is 078-05-1120",
            "write to ada@example.org",
            "call +49 30 1234 5678",
            "call (555) 010-4477 for help",
            "send it to DE89 3704 0044 0532 0130 00 Bank",
        ] {
            assert_eq!(find(text), Some("holds a personal identifier"), "{text}");
        }
    }

    #[test]
    fn naming_a_kind_of_secret_is_not_a_secret() {
        for text in [
            "How do I reset my password?",
            "How can I reset my account password?",
            "What should I do if my password is wrong?",
            "Why is it bad when a password is too short?",
            "What is an API key and how do I rotate it?",
            "Where does AWS keep the secret access key?",
            "What is the difference between a bearer token and a session cookie?",
            "How are credit card numbers validated?",
            "What is 1234567 times 89?",
            "Explain the year 1984 and the year 2024-11-21 15:04:05",
            "What does the -- BEGIN comment mean?",
        ] {
            assert_eq!(find(text), None, "{text}");
        }
    }

    #[test]
    fn a_long_number_without_a_check_digit_is_no_card() {
        assert_eq!(find("factor 4111111111111112"), None);
    }
}
