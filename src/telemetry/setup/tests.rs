use super::*;
use crate::telemetry::spans::{self, AttemptSpan};
use crate::telemetry::testing::Captured;
use crate::types::ModelName;

fn prepared(level: &str) -> Telemetry {
    Telemetry::prepare(Settings {
        level: level.to_owned(),
        ..Settings::default()
    })
    .expect("settings are fine")
}

#[test]
fn a_level_that_cannot_be_read_is_refused() {
    let settings = Settings {
        level: "llm_router=loud".to_owned(),
        ..Settings::default()
    };
    let refused = Telemetry::prepare(settings).expect_err("no such level");
    assert_eq!(refused.kind, Kind::InvalidConfig);
    assert_eq!(refused.param.as_deref(), Some("telemetry.level"));
}

/// Whether the current subscriber, asked alone, wants this span. Tests beside this one have
/// subscribers too, and what they want is cached together.
fn wanted(span: &tracing::Span) -> bool {
    let asked = |current: &Dispatch| {
        span.metadata()
            .is_some_and(|callsite| !current.register_callsite(callsite).is_never())
    };
    tracing::dispatcher::get_default(asked)
}

#[test]
fn without_a_collector_nobody_wants_spans_at_any_level() {
    for level in ["info", "trace", "llm_router=debug"] {
        let telemetry = prepared(level);
        let subscriber = telemetry
            .subscriber(Captured::default().writer())
            .expect("fine");
        tracing::subscriber::with_default(subscriber, || {
            let attempt = AttemptSpan {
                model: &ModelName::from("m"),
                upstream: "m-1",
                provider: "openai",
                number: 1,
                server: None,
                stream: false,
                operation: "chat",
            };
            assert!(!wanted(&spans::attempt(&attempt)), "{level}");
            assert!(!wanted(&spans::cache_lookup()), "{level}");
        });
    }
}

#[test]
fn spans_can_be_asked_for_by_name() {
    let telemetry = prepared("warn,llm_router::trace=info");
    let subscriber = telemetry
        .subscriber(Captured::default().writer())
        .expect("fine");
    tracing::subscriber::with_default(subscriber, || {
        assert!(wanted(&spans::cache_lookup()));
    });
}

#[test]
fn the_exporters_own_complaints_stay_out_of_the_log() {
    let telemetry = prepared("trace");
    let captured = Captured::default();
    let subscriber = telemetry.subscriber(captured.writer()).expect("fine");
    tracing::subscriber::with_default(subscriber, || {
        tracing::error!(target: "opentelemetry_sdk", "export failed again");
        tracing::error!(target: "opentelemetry-otlp", "export failed again");
        tracing::warn!(target: "llm_router::telemetry", "export failed");
    });
    assert_eq!(captured.text().lines().count(), 1, "{}", captured.text());
}

#[test]
fn without_a_collector_shutdown_has_nothing_to_do() {
    let telemetry = prepared("info");
    assert!(!telemetry.exports());
    assert!(telemetry.shutdown());
}

#[test]
fn an_installed_subscriber_is_not_replaced() {
    // Whoever installs first in this process wins; the second is told.
    let first = prepared("off").install();
    let second = prepared("off").install().expect_err("installed already");
    assert_eq!(second.kind, Kind::Internal);
    drop(first);
}
