//! W3C trace context, in and out: `traceparent` and `tracestate`, never baggage.
//!
//! Headers are taken strictly: one well-formed `traceparent` or none at all, so that a client can
//! neither smuggle text into ours nor make us join half a trace.

use http::HeaderMap;
use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The header that names trace and parent.
pub const TRACEPARENT: &str = "traceparent";
/// The header in which tracing systems keep their own notes.
pub const TRACESTATE: &str = "tracestate";
/// Longest `traceparent` taken, in bytes; version 00 has exactly 55.
const MAX_TRACEPARENT: usize = 256;
/// Longest `tracestate` taken, in bytes. The specification asks for at least 512.
const MAX_TRACESTATE: usize = 512;
const VERSION_00: usize = 55;

/// Marks a context that a client sent: whether its trace is told is not for the client alone to say.
#[derive(Clone, Copy, Debug)]
pub(super) struct FromClient {
    /// The client is one that is let in.
    pub(super) known: bool,
}

/// The caller's trace, or an empty context when it sent none that is valid.
///
/// gRPC metadata: pass `request.metadata().as_ref()`.
pub fn extract(headers: &HeaderMap) -> Context {
    match remote(headers) {
        Some(parent) => Context::new().with_remote_span_context(parent),
        None => Context::new(),
    }
}

/// The caller sent a valid parent.
pub fn has_parent(headers: &HeaderMap) -> bool {
    remote(headers).is_some()
}

/// Makes `span` a child of the caller's, when the caller sent a valid parent. Whether its wish to be
/// told counts is for `known` to say: the caller is let in. Call it before the span is entered or
/// given children: a span that has started keeps its parent.
pub fn set_parent(span: &Span, headers: &HeaderMap, known: impl FnOnce() -> bool) {
    if span.is_disabled() {
        return;
    }
    if let Some(parent) = remote(headers) {
        let known = parent.is_sampled() && known();
        // Refused without a collector or after the start; the span then stands on its own.
        let theirs = Context::new().with_value(FromClient { known });
        let _ = span.set_parent(theirs.with_remote_span_context(parent));
    }
}

/// Where a span stands, for another one to point at.
pub type Place = SpanContext;

/// The current span's place; none when no collector is told about it.
pub fn here() -> Option<Place> {
    current(&Span::current())
}

/// Points the current span at another one, which may be of another trace.
pub fn point_at(place: &Place) {
    Span::current().add_link(place.clone());
}

/// `traceparent` naming `span`, for an upstream or the client; none when no collector is told
/// about it.
pub fn current_traceparent(span: &Span) -> Option<String> {
    current(span).map(|context| format(&context))
}

/// `traceparent` of the caller's own trace with a new parent id, for a node without a collector:
/// both ends of the trace stay joined although this node reports no span. None without a valid
/// `traceparent`.
pub fn continue_traceparent(headers: &HeaderMap) -> Option<String> {
    let parent = remote(headers)?;
    let ours = SpanId::from(rand::random_range(1..=u64::MAX));
    Some(format(&SpanContext::new(
        parent.trace_id(),
        ours,
        parent.trace_flags(),
        false,
        TraceState::NONE,
    )))
}

/// What to send on: `span`'s own [`current_traceparent`], else [`continue_traceparent`].
pub fn outgoing_traceparent(span: &Span, headers: &HeaderMap) -> Option<String> {
    current_traceparent(span).or_else(|| continue_traceparent(headers))
}

fn current(span: &Span) -> Option<SpanContext> {
    if span.is_disabled() {
        return None;
    }
    let context = span.context().span().span_context().clone();
    context.is_valid().then_some(context)
}

fn format(context: &SpanContext) -> String {
    let flags = (context.trace_flags() & TraceFlags::SAMPLED).to_u8();
    format!(
        "00-{}-{}-{flags:02x}",
        context.trace_id(),
        context.span_id()
    )
}

fn remote(headers: &HeaderMap) -> Option<SpanContext> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let (trace_id, parent_id, flags) = parse(value.as_bytes())?;
    Some(SpanContext::new(
        trace_id,
        parent_id,
        flags,
        true,
        state(headers),
    ))
}

/// Version 00 exactly; a later version may carry more after a dash, as the specification says.
fn parse(bytes: &[u8]) -> Option<(TraceId, SpanId, TraceFlags)> {
    if !(VERSION_00..=MAX_TRACEPARENT).contains(&bytes.len()) {
        return None;
    }
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, rest) = text.split_at_checked(VERSION_00)?;
    let mut parts = head.split('-');
    let version = u8::try_from(hex(parts.next()?, 2)?).ok()?;
    let trace_id = hex(parts.next()?, 32)?;
    let parent_id = u64::try_from(hex(parts.next()?, 16)?).ok()?;
    let flags = u8::try_from(hex(parts.next()?, 2)?).ok()?;
    let later = version > 0 && rest.starts_with('-');
    let whole = parts.next().is_none() && (rest.is_empty() || later);
    if version == 0xff || !whole || trace_id == 0 || parent_id == 0 {
        return None;
    }
    let flags = TraceFlags::new(flags) & TraceFlags::SAMPLED;
    Some((TraceId::from(trace_id), SpanId::from(parent_id), flags))
}

/// Lower-case hexadecimal of exactly `digits` digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let lower = text
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if text.len() != digits || !lower {
        return None;
    }
    u128::from_str_radix(text, 16).ok()
}

/// Several headers are one list; a list that is too long or malformed is dropped whole.
fn state(headers: &HeaderMap) -> TraceState {
    let mut list = String::new();
    for value in headers.get_all(TRACESTATE) {
        let Ok(text) = value.to_str() else {
            return TraceState::NONE;
        };
        let comma = usize::from(!list.is_empty());
        if list.len() + comma + text.len() > MAX_TRACESTATE {
            return TraceState::NONE;
        }
        if comma > 0 {
            list.push(',');
        }
        list.push_str(text);
    }
    list.parse().unwrap_or(TraceState::NONE)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const PARENT: &str = "00f067aa0ba902b7";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).expect("a header value"));
        }
        headers
    }

    fn with_parent(value: &str) -> HeaderMap {
        headers(&[(TRACEPARENT, value)])
    }

    #[test]
    fn a_malformed_traceparent_is_no_traceparent() {
        let long = format!("01-{TRACE}-{PARENT}-01-{}", "x".repeat(MAX_TRACEPARENT));
        for value in [
            "",
            "hello",
            &format!("00-{TRACE}-{PARENT}"),
            &format!("00-{TRACE}-{PARENT}-01-"),
            &format!("00-{TRACE}-{PARENT}-01-more"),
            &format!("00-{TRACE}-{PARENT}-0g"),
            &format!("ff-{TRACE}-{PARENT}-01"),
            &format!("01-{TRACE}-{PARENT}-01more"),
            &format!("00-{}-{PARENT}-01", TRACE.to_uppercase()),
            &format!("00-{}-{PARENT}-01", "0".repeat(32)),
            &format!("00-{TRACE}-{}-01", "0".repeat(16)),
            &format!("00-{TRACE}+{PARENT}-01"),
            &format!(" 00-{TRACE}-{PARENT}-01x"),
            &long,
        ] {
            assert!(
                continue_traceparent(&with_parent(value)).is_none(),
                "{value}"
            );
            assert!(!extract(&with_parent(value)).has_active_span(), "{value}");
        }
    }

    #[test]
    fn two_traceparents_are_none() {
        let one = format!("00-{TRACE}-{PARENT}-01");
        assert!(
            continue_traceparent(&headers(&[(TRACEPARENT, &one), (TRACEPARENT, &one)])).is_none()
        );
    }

    #[test]
    fn a_valid_parent_is_taken_with_its_state() {
        let context = extract(&headers(&[
            (TRACEPARENT, &format!("00-{TRACE}-{PARENT}-01")),
            (TRACESTATE, "a=1"),
            (TRACESTATE, "b=2"),
        ]));
        let span = context.span();
        let parent = span.span_context();
        assert_eq!(parent.trace_id().to_string(), TRACE);
        assert_eq!(parent.span_id().to_string(), PARENT);
        assert!(parent.is_sampled() && parent.is_remote());
        assert_eq!(parent.trace_state().header(), "a=1,b=2");
    }

    #[test]
    fn an_oversized_tracestate_is_dropped_and_the_parent_kept() {
        let state = format!("a={}", "x".repeat(MAX_TRACESTATE));
        let context = extract(&headers(&[
            (TRACEPARENT, &format!("00-{TRACE}-{PARENT}-00")),
            (TRACESTATE, &state),
        ]));
        let span = context.span();
        assert_eq!(span.span_context().trace_state().header(), "");
        assert!(!span.span_context().is_sampled());
    }

    #[test]
    fn a_tracestate_of_the_greatest_length_is_kept_and_one_byte_more_is_not() {
        let taken = |states: &[&str]| {
            let parent = format!("00-{TRACE}-{PARENT}-01");
            let states = states.iter().map(|state| (TRACESTATE, *state));
            let pairs: Vec<_> = [(TRACEPARENT, parent.as_str())]
                .into_iter()
                .chain(states)
                .collect();
            let context = extract(&headers(&pairs));
            context.span().span_context().trace_state().header()
        };
        let member = |key: &str, length: usize| format!("{key}={}", "x".repeat(length));
        // a value may have 256 bytes at most
        let (first, second) = (member("a", 253), member("b", 254));
        let whole = format!("{first},{second}");
        assert_eq!(whole.len(), MAX_TRACESTATE);
        assert_eq!(taken(&[&whole]), whole);
        assert_eq!(taken(&[&first, &second]), whole);
        assert_eq!(taken(&[&first, &member("b", 255)]), "");
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        for value in [
            format!("01-{TRACE}-{PARENT}-01"),
            format!("01-{TRACE}-{PARENT}-01-extra"),
        ] {
            let ours = continue_traceparent(&with_parent(&value)).expect("continued");
            assert!(ours.starts_with(&format!("00-{TRACE}-")), "{ours}");
        }
    }

    #[test]
    fn continuing_keeps_the_trace_and_makes_a_new_parent() {
        let theirs = with_parent(&format!("00-{TRACE}-{PARENT}-00"));
        let first = continue_traceparent(&theirs).expect("continued");
        let second = continue_traceparent(&theirs).expect("continued");
        assert!(
            first.starts_with(&format!("00-{TRACE}-")) && first.ends_with("-00"),
            "{first}"
        );
        assert!(!first.contains(PARENT) && first != second);
        assert!(
            continue_traceparent(&with_parent(&first)).is_some(),
            "ours is valid too"
        );
    }

    #[test]
    fn without_a_collector_a_span_names_nothing() {
        assert!(current_traceparent(&Span::none()).is_none());
    }

    proptest! {
        #[test]
        fn whatever_is_continued_was_well_formed(text in "\\PC{0,300}|[0-9a-f-]{50,60}") {
            let Ok(value) = HeaderValue::from_str(&text) else { return Ok(()) };
            let mut headers = HeaderMap::new();
            headers.insert(TRACEPARENT, value);
            if let Some(ours) = continue_traceparent(&headers) {
                prop_assert_eq!(ours.len(), VERSION_00);
                prop_assert_eq!(&ours[3..35], &text[3..35]);
            }
        }

        #[test]
        fn every_valid_pair_of_ids_goes_through(trace in 1u128.., parent in 1u64.., flags: u8) {
            let value = format!("00-{trace:032x}-{parent:016x}-{flags:02x}");
            let ours = continue_traceparent(&with_parent(&value)).expect("valid");
            let expected = format!("00-{trace:032x}-");
            prop_assert!(ours.starts_with(&expected));
            let suffix = format!("-{:02x}", flags & 1);
            prop_assert!(ours.ends_with(&suffix));
        }
    }
}
