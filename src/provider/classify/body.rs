//! What an error's body says: its code, how long it asks to wait, its message in OpenAI's words.
//! Pure.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{MAX_QUOTE, MAX_RETRY_AFTER};
use crate::provider::{Class, Failure};

/// Most of a page that is searched for words, in bytes.
const MAX_PAGE: usize = 16 << 10;

/// How upstreams say that a prompt is too long for the model, in lower case: OpenAI and vLLM,
/// Anthropic, Gemini, Ollama, llama.cpp, SGLang, Bedrock, TGI.
const TOO_LONG: [&str; 15] = [
    "context_length_exceeded",
    "maximum context length",
    "exceeds the context window",
    "prompt is too long",
    "exceed context limit",
    "exceeds the maximum number of tokens",
    "exceeds the maximum allowed number of input tokens",
    "exceeds context",
    "exceeded max context length",
    "exceeds the context length",
    "exceed_context_size_error",
    "exceeds the available context size",
    "longer than the model's context length",
    "input is too long for requested model",
    "`inputs` tokens + `max_new_tokens` must be",
];

/// Whether an upstream refused a request because it does not fit its context, which another model's
/// context may well hold.
pub(crate) fn is_context_length(failure: &Failure) -> bool {
    if failure.class != Class::Caller {
        return false;
    }
    is_too_long(&String::from_utf8_lossy(&failure.body))
}

fn is_too_long(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    TOO_LONG.iter().any(|words| text.contains(words))
}

/// The error object of a body, also where it stands alone in an array; the whole object where it
/// names no `error`.
fn error(body: &[u8]) -> Option<Value> {
    let mut given: Value = serde_json::from_slice(body).ok()?;
    if let Value::Array(list) = &mut given
        && list.len() == 1
    {
        given = list.pop()?;
    }
    let fields = given.as_object_mut()?;
    Some(fields.remove("error").unwrap_or(given))
}

/// The error's `details.error_code`, else its `code`, else Google's `status`, else its `type`, where
/// it is a plain word.
pub(super) fn code(body: &[u8]) -> Option<String> {
    let error = error(body)?;
    let word = |name: &str| error.get(name).and_then(Value::as_str).map(str::to_owned);
    let number = || error.get("code").and_then(Value::as_u64);
    let plain = |word: &String| {
        (1..=40).contains(&word.len())
            && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    let precise = error.pointer("/details/error_code").and_then(Value::as_str);
    precise
        .map(str::to_owned)
        .filter(plain)
        .or_else(|| word("code").filter(plain))
        .or_else(|| word("status").filter(plain))
        .or_else(|| number().map(|code| code.to_string()))
        .or_else(|| word("type").filter(plain))
}

/// The number an error inside a success gives as its code, where it is an HTTP error's.
pub(super) fn number(body: &[u8]) -> Option<u16> {
    let error = error(body)?;
    let code = error.get("code")?;
    let read = code.as_u64().or_else(|| code.as_str()?.parse().ok())?;
    u16::try_from(read)
        .ok()
        .filter(|code| (400..600).contains(code))
}

/// How long Google's error details ask to wait, at most [`MAX_RETRY_AFTER`]: the delay of a
/// `RetryInfo`. A quota of the day is not back before the limit, whatever the delay says.
pub(super) fn hint(body: &[u8]) -> Option<Duration> {
    let error = error(body)?;
    let details = error.get("details")?.as_array()?;
    let violations = details
        .iter()
        .filter_map(|detail| detail.get("violations")?.as_array())
        .flatten();
    let spent = violations
        .filter_map(|violation| violation.get("quotaId")?.as_str())
        .any(|quota| quota.contains("PerDay"));
    if spent {
        return Some(MAX_RETRY_AFTER);
    }
    let delay = details.iter().find_map(|detail| detail.get("retryDelay"))?;
    let seconds: f64 = delay.as_str()?.strip_suffix('s')?.trim().parse().ok()?;
    let sound = seconds.is_finite() && seconds >= 0.0;
    sound.then(|| Duration::from_secs_f64(seconds.min(MAX_RETRY_AFTER.as_secs_f64())))
}

/// A refusal's body as the object OpenAI's clients expect. One that is an error object already
/// stays as it is, byte for byte; Google's, Ollama's, bare ones and pages are put in its place.
pub(super) fn worded(body: Bytes) -> Bytes {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Bytes::new();
    }
    let given: Option<Value> = serde_json::from_slice(&body).ok();
    let known = given.as_ref().and_then(|given| given.get("error"));
    let googles = |error: &Value| error.get("type").is_none() && error["status"].is_string();
    if known.is_some_and(|error| error["message"].is_string() && !googles(error)) {
        return body;
    }
    let error = error(&body).unwrap_or_default();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let message = text(&error)
        .or_else(|| text(&error["message"]))
        .or_else(|| text(&error["detail"]))
        .unwrap_or_else(|| quote(&body));
    let code = code(&body).filter(|code| !code.bytes().all(|b| b.is_ascii_digit()));
    // clients look for OpenAI's code, whoever's words these are
    let code = match is_too_long(&message) {
        true => Some("context_length_exceeded".to_owned()),
        false => code,
    };
    let kind = error["type"].as_str().unwrap_or("invalid_request_error");
    let param = error["param"].as_str();
    told(&message, kind, (param, code.as_deref()))
}

/// An error object in OpenAI's words.
pub(in crate::provider) fn told(
    message: &str,
    kind: &str,
    (param, code): (Option<&str>, Option<&str>),
) -> Bytes {
    let error = json!({"message": message, "type": kind, "param": param, "code": code});
    Bytes::from(json!({"error": error}).to_string())
}

/// The first [`MAX_QUOTE`] characters on one line; of a page its title, else its words.
pub(in crate::provider) fn quote(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(MAX_PAGE)]);
    if text.trim_start().starts_with('<') {
        let title = title(&text).map(|title| one_line(&title));
        return title
            .filter(|title| !title.is_empty())
            .unwrap_or_else(|| one_line(&without_tags(&text)));
    }
    one_line(&text)
}

fn one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    let line: Vec<&str> = words
        .filter(|word| !word.is_empty())
        .take(MAX_QUOTE)
        .collect();
    line.join(" ").chars().take(MAX_QUOTE).collect()
}

fn title(page: &str) -> Option<String> {
    let lower = page.to_ascii_lowercase();
    let tag = lower.find("<title")?;
    let start = tag + lower[tag..].find('>')? + 1;
    let end = start
        + lower[start..]
            .find("</title")
            .unwrap_or(lower.len() - start);
    Some(without_tags(&page[start..end]))
}

/// The text between tags; what scripts, styles and comments hold is no text.
fn without_tags(page: &str) -> String {
    let lower = page.to_ascii_lowercase();
    let (mut out, mut at) = (String::new(), 0);
    while let Some(open) = lower[at..].find('<').map(|found| at + found) {
        out.push_str(&page[at..open]);
        out.push(' ');
        let end = match &lower[open..] {
            tag if tag.starts_with("<!--") => "-->",
            tag if tag.starts_with("<script") => "</script>",
            tag if tag.starts_with("<style") => "</style>",
            _ => ">",
        };
        match lower[open..].find(end) {
            Some(found) => at = open + found + end.len(),
            None => return out,
        }
    }
    out.push_str(&page[at..]);
    out
}

#[cfg(test)]
mod tests;
