//! Admission, both ways: which requests the cache looks at, which answers it keeps. Pure.
//!
//! What is in doubt stays out. A request may be bypassed (neither read nor written), held to the
//! exact tier (its text means something only here and now), or let into both tiers.

mod present;
mod private;
pub mod secrets;

use regex::Regex;
use serde_json::value::RawValue;
use std::sync::LazyLock;

use super::answer::Candidate;
use crate::config::routing::CacheConfig;
use crate::types::{CacheMode, ChatRequest, Finish};

/// Longest text the semantic tier considers, in bytes. The embedder's own window is shorter.
const MAX_QUESTION: usize = 4096;
/// Largest request the cache looks at, in bytes of text: hashing more costs more than it saves.
const MAX_REQUEST: usize = 1 << 20;

/// What the cache may do with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Nothing, and why.
    Bypass(&'static str),
    /// Only an identical request may share its answer, and why.
    Exact(&'static str),
    /// Only an identical request, and only within [`CacheConfig::time_bound_ttl`]; and why.
    Brief(&'static str),
    /// A request of the same meaning may share its answer; this is the text with the meaning.
    Both(String),
}

/// Decides about a request.
pub fn admit(request: &ChatRequest, config: &CacheConfig) -> Admission {
    if let Some(reason) = bypass(request, config) {
        return Admission::Bypass(reason);
    }
    if present::is_asked_about(request) {
        let reason = "bound to the time it is asked";
        return match config.time_bound_ttl.get().is_zero() {
            true => Admission::Bypass(reason),
            false => Admission::Brief(reason),
        };
    }
    match question(request, config) {
        Ok(text) => Admission::Both(text),
        Err(reason) => Admission::Exact(reason),
    }
}

fn bypass(request: &ChatRequest, config: &CacheConfig) -> Option<&'static str> {
    let body = &request.body;
    let temperature = body.temperature().unwrap_or(config.absent_temperature);
    let cool = temperature <= config.max_temperature;
    if !config.enabled {
        return Some("disabled");
    }
    if request.cache == CacheMode::Off {
        return Some("off for this request");
    }
    if !cool {
        return Some("temperature above the limit");
    }
    if body.choices() != 1 {
        return Some("more than one answer asked for");
    }
    if body.untranslated().iter().any(|part| part.essential) {
        return Some("asks for what only one dialect can say");
    }
    if asks_for_more_than_text(request) {
        return Some("asks for more than text");
    }
    let text = whole_text(request);
    if text.len() > MAX_REQUEST {
        return Some("request too large");
    }
    // an operator's own prompt names his firm and his pages and is the same for everybody; only
    // what users write can be private without the shape of a secret
    secrets::find(&text).or_else(|| {
        let users = request.body.messages().iter().filter(|m| m.role == "user");
        users.into_iter().find_map(|m| private::find(&m.text()))
    })
}

/// Why a text may be neither stored nor looked up, whatever the settings; `None` when it may.
pub fn sensitive(text: &str) -> Option<&'static str> {
    secrets::find(text).or_else(|| private::find(text))
}

/// Log probabilities, audio, or a search of the web.
fn asks_for_more_than_text(request: &ChatRequest) -> bool {
    let object = request.body.object();
    let stated = |name: &str| {
        object
            .get(name)
            .map(RawValue::get)
            .is_some_and(|v| !matches!(v, "null" | "false" | "0"))
    };
    let modalities: Vec<String> = object.read("modalities").unwrap_or_default();
    ["logprobs", "top_logprobs", "audio", "web_search_options"]
        .into_iter()
        .any(stated)
        || modalities.iter().any(|modality| modality != "text")
}

/// Text of every message and of the tool calls in them.
fn whole_text(request: &ChatRequest) -> String {
    let mut text = String::new();
    for message in request.body.messages() {
        text.push_str(&message.text());
        text.push('\n');
        if let Some(calls) = &message.tool_calls {
            text.push_str(calls.get());
            text.push('\n');
        }
    }
    text
}

/// The text the semantic tier may judge, or why there is none.
fn question(request: &ChatRequest, config: &CacheConfig) -> Result<String, &'static str> {
    if request.body.has_tools() && !config.semantic_with_tools {
        return Err("tools are offered");
    }
    let Some(last) = request.body.messages().last() else {
        return Err("no message");
    };
    if last.role != "user" {
        return Err("the last message is not the user's");
    }
    let text = last.text();
    // what is in the message beside its text is in the partition, so "this" is the same there
    let points_within = !last.is_plain_text();
    if points_within && text.trim().is_empty() {
        return Err("the last message has no text");
    }
    match meaning_is_here(&text, points_within) {
        Some(reason) => Err(reason),
        None => Ok(text),
    }
}

static REFERENCE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    secrets::pattern(
        r"(?ix)\b(
            (?:this|these|above|below|following|previous|preceding|attached|earlier)
          | (?:that|those)\s+(?:mean|means|work|works|one|ones|thing|again|is|was|email|text|code)
          | (?:does|do|did|is|about|with|like|for)\s+(?:that|those)
          | (?:your|my|the)\s+(?:last|previous|first|second|earlier)\s+(?:answer|message|question|reply|point)
          | (?:continue|go\s+on|carry\s+on|keep\s+going|try\s+again|once\s+more|elaborate|rephrase)
        )\b",
    )
});

/// Words that carry no subject of their own.
const EMPTY_WORDS: [&str; 40] = [
    "yes",
    "no",
    "ok",
    "okay",
    "sure",
    "thanks",
    "thank",
    "please",
    "continue",
    "go",
    "on",
    "more",
    "again",
    "next",
    "fix",
    "it",
    "do",
    "why",
    "how",
    "explain",
    "elaborate",
    "shorter",
    "longer",
    "better",
    "simpler",
    "what",
    "and",
    "you",
    "a",
    "the",
    "me",
    "tell",
    "give",
    "show",
    "another",
    "one",
    "is",
    "are",
    "hi",
    "hello",
];

/// Why the semantic tier would not judge `text`, or `None` when it would.
pub fn keeps_out(text: &str) -> Option<&'static str> {
    sensitive(text)
        .or_else(|| present::is_meant_in(text).then_some("bound to the time it is asked"))
        .or_else(|| meaning_is_here(text, false))
}

/// Why the text means something only in its place, or `None` when it stands alone.
fn meaning_is_here(text: &str, points_within: bool) -> Option<&'static str> {
    if text.len() > MAX_QUESTION {
        return Some("too long to be judged by meaning");
    }
    if !mostly_latin(text) {
        return Some("not a language the embedder reads");
    }
    let lower = text.to_lowercase();
    let words: Vec<&str> = lower
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    let subjects = words
        .iter()
        .filter(|word| !EMPTY_WORDS.contains(word))
        .count();
    if words.len() < 3 || subjects == 0 {
        return Some("too short to stand alone");
    }
    let points_elsewhere = REFERENCE
        .as_ref()
        .is_none_or(|pattern| pattern.is_match(text));
    if points_elsewhere && !points_within && subjects < 6 {
        return Some("points to something said elsewhere");
    }
    None
}

/// At least nine of ten letters are basic Latin: the embedder knows English alone.
fn mostly_latin(text: &str) -> bool {
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    let latin = text.chars().filter(char::is_ascii_alphabetic).count();
    letters > 0 && latin * 10 >= letters * 9
}

/// Why an answer may not be kept, or `None` when it may.
pub fn refuse_answer(answer: &Candidate, config: &CacheConfig) -> Option<&'static str> {
    if !answer.complete {
        return Some("cut off");
    }
    if answer.finish != Some(Finish::Stop) {
        return Some("did not end by itself");
    }
    if answer.beyond_text {
        return Some("more than plain text");
    }
    if answer.text.trim().is_empty() {
        return Some("empty");
    }
    (answer.text.len() as u64 > config.max_answer.bytes()).then_some("too large")
}

#[cfg(test)]
mod tests;
