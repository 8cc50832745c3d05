use std::sync::Arc;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::config::node::LogFormat;
use crate::error::Kind;
use crate::inference::CacheStatus;
use crate::telemetry::setup::{Settings, Telemetry};
use crate::telemetry::testing::Captured;
use crate::types::{ModelName, Priority, RequestId, RouteName, TenantId, Usage};

fn record() -> RequestRecord {
    RequestRecord {
        tenant: TenantId::from("team-a"),
        route: Some(RouteName::from("critical")),
        model: Some(ModelName::from("gpu-fast")),
        priority: Priority::Critical,
        outcome: Ok(()),
        status: 200,
        cache: CacheStatus::Semantic,
        similarity: Some(0.9876),
        attempts: 2,
        queue_wait: Duration::from_micros(1500),
        upstream: Duration::from_millis(40),
        first_byte: Some(Duration::from_millis(12)),
        total: Duration::from_micros(45_678),
        usage: Some(Usage::new(9, 5)),
        cost_usd: Some(0.000_25),
        ..RequestRecord::new("req-1".into(), "http", "/v1/chat/completions")
    }
}

fn lines(format: LogFormat, level: &str, tell: impl FnOnce()) -> Vec<String> {
    let settings = Settings {
        log: format,
        level: level.to_owned(),
        ..Settings::default()
    };
    let telemetry = Telemetry::prepare(settings).expect("settings are fine");
    let captured = Captured::default();
    let subscriber = telemetry
        .subscriber(captured.writer())
        .expect("filter is fine");
    tracing::subscriber::with_default(subscriber, tell);
    captured.text().lines().map(str::to_owned).collect()
}

fn json_line(record: &RequestRecord) -> Value {
    let lines = lines(LogFormat::Json, "info", || {
        access_log(record, &Span::none())
    });
    assert_eq!(lines.len(), 1, "one request, one line: {lines:?}");
    serde_json::from_str(&lines[0]).expect("the line is JSON")
}

#[test]
fn a_request_is_one_flat_json_line() {
    let line = json_line(&record());
    let object = line.as_object().expect("an object");
    assert!(
        object
            .values()
            .all(|value| !value.is_object() && !value.is_array()),
        "{line}"
    );
    assert_eq!(line["target"], "llm_router::access");
    assert_eq!(line["request_id"], "req-1");
    assert_eq!(line["tenant"], "team-a");
    assert_eq!(line["route"], "critical");
    assert_eq!(line["model"], "gpu-fast");
    assert_eq!(line["priority"], "critical");
    assert_eq!(line["status"], 200);
    assert_eq!(line["outcome"], "ok");
    assert_eq!(line["cache"], "semantic");
    assert_eq!(line["similarity"], 0.9876);
    assert_eq!(line["attempts"], 2);
    assert_eq!(line["queue_ms"], 1.5);
    assert_eq!(line["ttft_ms"], 12.0);
    assert_eq!(line["latency_ms"], 45.678);
    assert_eq!(line["input_tokens"], 9);
    assert_eq!(line["output_tokens"], 5);
    assert_eq!(line["cost_usd"], 0.000_25);
}

#[test]
fn what_is_not_known_is_left_out() {
    let line = json_line(&RequestRecord::new("req-1".into(), "grpc", "generate"));
    for absent in [
        "route",
        "model",
        "similarity",
        "ttft_ms",
        "input_tokens",
        "trace_id",
    ] {
        assert!(line.get(absent).is_none(), "{absent} in {line}");
    }
    assert_eq!(line["outcome"], Kind::Cancelled.as_str());
    assert_eq!(line["status"], 499);
}

#[test]
fn a_client_cannot_forge_a_second_line() {
    let forged = "auto\r\n{\"target\":\"llm_router::access\",\"status\":200}\u{2028}\u{1b}[31m";
    let hostile = RequestRecord {
        asked: Arc::from(forged),
        tenant: TenantId::from("a\nb"),
        ..record()
    };
    let line = json_line(&hostile);
    assert_eq!(line["tenant"], "a\\nb");
    let text = lines(LogFormat::Text, "info", || {
        access_log(&hostile, &Span::none())
    });
    assert_eq!(text.len(), 1, "{text:?}");
    assert!(
        !text[0].contains('\u{1b}') && !text[0].contains('\u{2028}'),
        "{text:?}"
    );
}

#[test]
fn long_client_text_is_cut() {
    let line = json_line(&RequestRecord {
        asked: Arc::from("é".repeat(4000)),
        ..record()
    });
    let asked = line["asked"].as_str().expect("text");
    assert!(
        asked.len() <= MAX_FIELD_BYTES && asked.ends_with('…'),
        "{}",
        asked.len()
    );
}

#[test]
fn a_level_above_info_silences_the_access_log() {
    assert!(
        lines(LogFormat::Json, "warn", || access_log(
            &record(),
            &Span::none()
        ))
        .is_empty()
    );
}

#[test]
fn the_access_log_can_be_silenced_alone() {
    let told = lines(LogFormat::Json, "info,llm_router::access=off", || {
        access_log(&record(), &Span::none());
        tracing::info!(target: "llm_router::app", "still heard");
    });
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("still heard"));
}

proptest! {
    #[test]
    fn cleaned_text_is_short_and_of_one_line(text in "\\PC*|.*|[\\x00-\\x1f\\u{2028}é]{0,400}") {
        let cleaned = clean(&text);
        prop_assert!(cleaned.len() <= MAX_FIELD_BYTES);
        prop_assert!(!cleaned.chars().any(is_hostile));
        if text.len() <= MAX_FIELD_BYTES && !text.chars().any(is_hostile) {
            prop_assert_eq!(&*cleaned, text.as_str());
        }
    }
}

#[test]
fn ids_of_the_client_are_kept_whole() {
    let id = RequestId::accept(&"x".repeat(128)).expect("the longest id there is");
    let line = json_line(&RequestRecord {
        id: id.clone(),
        ..record()
    });
    assert_eq!(line["request_id"], id.as_str());
}
