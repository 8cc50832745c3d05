//! The access log: one event a request, one line in the log.

use std::borrow::Cow;
use std::time::Duration;

use opentelemetry::trace::TraceContextExt;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::record::RequestRecord;

/// Longest text of one field in bytes; longer text is cut and ends in `…`.
pub const MAX_FIELD_BYTES: usize = 256;
const CUT: &str = "…";

/// Tells about one finished request at info, target `llm_router::access`. Trace and span ids are
/// those of `span`, where a collector is told about it.
pub fn access_log(record: &RequestRecord, span: &Span) {
    if !tracing::enabled!(target: "llm_router::access", tracing::Level::INFO) {
        return;
    }
    let (trace_id, span_id) = ids(span);
    tracing::info!(
        target: "llm_router::access",
        request_id = &*clean(record.id.as_str()),
        tenant = &*clean(record.tenant.as_str()),
        door = record.door,
        path = record.path,
        asked = &*clean(&record.asked),
        route = record.route.as_ref().map(|route| clean(route.as_str())).as_deref(),
        model = record.model.as_ref().map(|model| clean(model.as_str())).as_deref(),
        priority = record.priority.as_str(),
        stream = record.stream,
        status = record.status,
        outcome = record.outcome_str(),
        cache = record.cache.as_str(),
        similarity = record.similarity.map(|cosine| rounded(f64::from(cosine), 4)),
        attempts = record.attempts,
        recovered = record.recovered.as_ref().map(|model| clean(model.as_str())).as_deref(),
        queue_ms = millis(record.queue_wait),
        upstream_ms = millis(record.upstream),
        ttft_ms = record.first_byte.map(millis),
        latency_ms = millis(record.total),
        input_tokens = record.usage.map(|usage| usage.prompt_tokens),
        output_tokens = record.usage.map(|usage| usage.completion_tokens),
        cost_usd = record.cost_usd,
        trace_id = trace_id.as_deref(),
        span_id = span_id.as_deref(),
    );
}

fn ids(span: &Span) -> (Option<String>, Option<String>) {
    if span.is_disabled() {
        return (None, None);
    }
    let context = span.context();
    let span = context.span();
    let ids = span.span_context();
    if !ids.is_valid() {
        return (None, None);
    }
    (
        Some(ids.trace_id().to_string()),
        Some(ids.span_id().to_string()),
    )
}

fn millis(duration: Duration) -> f64 {
    rounded(duration.as_secs_f64() * 1000.0, 3)
}

fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

/// Text that may have come from a client, fit for one line: control characters and those that
/// reorder or break lines are escaped, and it is at most [`MAX_FIELD_BYTES`] long.
pub fn clean(text: &str) -> Cow<'_, str> {
    if text.len() <= MAX_FIELD_BYTES && !text.chars().any(is_hostile) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(MAX_FIELD_BYTES);
    for character in text.chars() {
        let before = out.len();
        if is_hostile(character) {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
        if out.len() > MAX_FIELD_BYTES - CUT.len() {
            out.truncate(before);
            out.push_str(CUT);
            break;
        }
    }
    Cow::Owned(out)
}

fn is_hostile(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests;
