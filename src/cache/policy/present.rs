//! Questions about the present: what is true as it is asked and soon no more.

use std::sync::LazyLock;

use regex::Regex;

use super::MAX_QUESTION;
use super::secrets::pattern;
use crate::types::ChatRequest;

/// Bytes at each end of a longer text in which a question is looked for.
const QUESTION_AT_END: usize = 1024;

static TIME_BOUND: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(
        r"(?ix)\b(
            today|tonight|tomorrow|yesterday|now|nowadays|currently|latest|newest|recent|recently
          | this\s+(?:week|month|year|quarter|morning|afternoon|evening|weekend|season)
          | (?:last|next)\s+(?:week|month|year|night|quarter)
          | at\s+the\s+moment|so\s+far|up\s+to\s+date|these\s+days|breaking\s+news|weather|forecast
          | what(?:'s|\s+is)?\s+the\s+(?:time|date)|what\s+(?:time|day|date)\s+is
          | (?:stock|share|bitcoin|ethereum|crypto|gold|silver|oil|petrol|gas|house)\s+prices?
          | prices?\s+of\s+(?:gold|silver|oil|petrol|gas|bitcoin|ethereum|crude)
          | exchange\s+rates?|interest\s+rates?\s+(?:at|in)|scores?|in\s+stock|on\s+sale|open\s+right
          | trending|headlines|live\s+(?:score|stream|traffic)|traffic\s+(?:on|in|like)|up\s+next
        )\b",
    )
});
static CURRENT: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"(?i)(\w*)\s*\bcurrent\b"));

/// One of the last two things the user said asks about the present.
pub(super) fn is_asked_about(request: &ChatRequest) -> bool {
    let messages = request.body.messages().iter().rev();
    messages
        .filter(|message| message.role == "user")
        .take(2)
        .any(|message| ends_of(&message.text()).any(is_meant_in))
}

/// The whole of a question, and both ends of a document, where its question stands.
fn ends_of(text: &str) -> impl Iterator<Item = &str> {
    let (head, tail) = if text.len() <= MAX_QUESTION {
        (text, "")
    } else {
        let (head, tail) = (
            text.floor_char_boundary(QUESTION_AT_END),
            text.ceil_char_boundary(text.len() - QUESTION_AT_END),
        );
        (&text[..head], &text[tail..])
    };
    [head, tail].into_iter()
}

/// The text asks about the present.
pub(super) fn is_meant_in(text: &str) -> bool {
    let flows = [
        "electric",
        "electrical",
        "alternating",
        "direct",
        "ocean",
        "eddy",
        "air",
        "water",
    ];
    let current = CURRENT.as_ref().is_none_or(|pattern| {
        pattern
            .captures_iter(text)
            .any(|found| !flows.contains(&found[1].to_lowercase().as_str()))
    });
    current
        || TIME_BOUND
            .as_ref()
            .is_none_or(|pattern| pattern.is_match(text))
}
