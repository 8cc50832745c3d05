use std::collections::BTreeSet;

use http::{Method, Version};

use super::*;
use crate::inference::CacheStatus;
use crate::provider::Class;
use crate::types::{Moment, RequestId, Usage};

fn configured() -> Metrics {
    let metrics = Metrics::detached();
    let model = |name: &str| ConfiguredModel {
        name: name.into(),
        provider: "openai".to_owned(),
        upstream: format!("{name}-upstream"),
    };
    metrics.configure(&[model("a"), model("b")], &["critical".into()]);
    metrics
}

fn answered() -> RequestRecord {
    RequestRecord {
        route: Some("critical".into()),
        model: Some("a".into()),
        outcome: Ok(()),
        status: 200,
        cache: CacheStatus::Miss,
        total: Duration::from_millis(50),
        upstream: Duration::from_millis(49),
        cost_usd: Some(0.5),
        ..RequestRecord::new(RequestId::generate(), "http", "/v1/chat/completions")
    }
}

/// Touches every instrument once.
fn touch(metrics: &Metrics) -> impl Sized {
    let (a, b) = (ModelName::from("a"), ModelName::from("b"));
    let open = (
        metrics.enter(),
        metrics.connected("http"),
        metrics.http_began(&Method::POST),
    );
    metrics.request_ended(&answered());
    metrics.http_ended(&HttpCall {
        method: &Method::POST,
        route: "/v1/chat/completions",
        version: Version::HTTP_11,
        status: 503,
        duration: Duration::from_millis(50),
    });
    metrics.grpc_ended(&GrpcCall {
        method: "llm_router.v1.RouterService/Generate",
        code: tonic::Code::DeadlineExceeded,
        duration: Duration::from_millis(50),
    });
    metrics.attempt_ended(&AttemptRecord {
        operation: "chat",
        model: &a,
        outcome: AttemptOutcome::Answered,
        duration: Duration::from_millis(49),
        first_chunk: Some(Duration::from_millis(5)),
        usage: Some(Usage::new(9, 5)),
    });
    metrics.queue_waited(&a, Priority::High, Duration::from_millis(2));
    metrics.queue_refused(&a, "full");
    metrics.queue_depth(&a, 3);
    metrics.retried();
    metrics.failed_over(&a, &b, "hard");
    metrics.breaker_changed(&a, "open");
    metrics.backend_health(&a, Some(false));
    metrics.cache_looked_up("semantic", "hit");
    metrics.similarity(0.97);
    metrics.cache_entries(12);
    metrics.actor_restarted("queue");
    metrics.config_reloaded(true);
    open
}

/// `name{labels} value` of every series, without comments.
fn series(text: &str, name: &str) -> Vec<String> {
    let named = |line: &&str| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with([' ', '{']))
    };
    text.lines().filter(named).map(str::to_owned).collect()
}

#[test]
fn an_unknown_model_or_route_is_other() {
    let metrics = configured();
    metrics.request_ended(&RequestRecord {
        model: Some("made-up".into()),
        route: Some("made-up".into()),
        ..answered()
    });
    metrics.queue_refused(&"made-up".into(), "full");
    metrics.attempt_ended(&AttemptRecord {
        operation: "chat",
        model: &"made-up".into(),
        outcome: AttemptOutcome::Failed(Class::Gate { retry_after: None }),
        duration: Duration::ZERO,
        first_chunk: None,
        usage: None,
    });
    let text = metrics.render().expect("rendered");
    assert!(!text.contains("made-up"), "{text}");
    let requests = series(&text, "llm_router_requests_total");
    assert_eq!(requests.len(), 1);
    assert!(requests[0].contains(r#"model="_other""#) && requests[0].contains(r#"route="_other""#));
}

#[test]
fn a_request_refused_before_it_had_a_model_has_none() {
    let metrics = configured();
    metrics.request_ended(&RequestRecord {
        outcome: Err(Kind::Unauthenticated),
        ..RequestRecord::new(RequestId::generate(), "http", "/v1/chat/completions")
    });
    let text = metrics.render().expect("rendered");
    let requests = series(&text, "llm_router_requests_total");
    assert_eq!(
        requests,
        [concat!(
            r#"llm_router_requests_total{cache="bypass",model="none","#,
            r#"outcome="unauthenticated",priority="normal",route="none"} 1"#
        )]
    );
}

#[test]
fn every_metric_is_described_and_carries_its_public_name() {
    let metrics = configured();
    let _open = touch(&metrics);
    let text = metrics.render().expect("rendered");
    let described: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# HELP ")?.split_once(' '))
        .filter(|(_, help)| help.len() > 10)
        .map(|(name, _)| name)
        .collect();
    let typed: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(described, typed, "every metric has a description");
    assert!(!text.contains("otel_scope"), "{text}");
    let expected = BTreeSet::from([
        "gen_ai_client_operation_duration_seconds",
        "gen_ai_client_operation_time_to_first_chunk_seconds",
        "gen_ai_client_token_usage",
        "http_server_active_requests",
        "http_server_request_duration_seconds",
        "llm_router_actor_restarts_total",
        "llm_router_attempts_total",
        "llm_router_backend_health",
        "llm_router_breaker_state",
        "llm_router_breaker_transitions_total",
        "llm_router_build_info",
        "llm_router_cache_entries",
        "llm_router_cache_lookups_total",
        "llm_router_config_reloads_total",
        "llm_router_connections",
        "llm_router_cost_total",
        "llm_router_failovers_total",
        "llm_router_overhead_duration_seconds",
        "llm_router_queue_depth",
        "llm_router_queue_refusals_total",
        "llm_router_queue_wait_seconds",
        "llm_router_requests_in_flight",
        "llm_router_requests_total",
        "llm_router_retries_total",
        "llm_router_semantic_similarity",
        "process_resident_memory_bytes",
        "rpc_server_call_duration_seconds",
        "target_info",
    ]);
    assert_eq!(typed, expected);
}

#[test]
fn series_carry_the_labels_dashboards_use() {
    let metrics = configured();
    let open = touch(&metrics);
    let text = metrics.render().expect("rendered");
    for line in [
        r#"llm_router_queue_depth{model="a"} 3"#,
        r#"llm_router_queue_depth{model="b"} 0"#,
        r#"llm_router_breaker_state{model="a"} 2"#,
        r#"llm_router_breaker_state{model="b"} 0"#,
        r#"llm_router_backend_health{model="a"} 0"#,
        r#"llm_router_requests_in_flight 1"#,
        r#"llm_router_connections{door="http"} 1"#,
        r#"llm_router_failovers_total{from="a",reason="hard",to="b"} 1"#,
        r#"llm_router_cost_total{model="a"} 0.5"#,
        r#"http_server_active_requests{http_request_method="POST",url_scheme="http"} 1"#,
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(
        series(&text, "llm_router_backend_health").len() == 1,
        "b was never checked"
    );
    assert!(text.contains(concat!(
        r#"gen_ai_client_token_usage_bucket{gen_ai_operation_name="chat","#,
        r#"gen_ai_provider_name="openai",gen_ai_request_model="a-upstream","#,
        r#"gen_ai_token_type="input",le="16"} 1"#
    )));
    assert!(
        text.contains(r#"le="81.92""#) && text.contains(r#"error_type="503""#),
        "{text}"
    );
    assert!(text.contains(r#"rpc_response_status_code="DEADLINE_EXCEEDED""#));
    drop(open);
    let text = metrics.render().expect("rendered");
    assert!(text.contains("llm_router_requests_in_flight 0"));
    assert!(text.contains(r#"llm_router_connections{door="http"} 0"#));
}

#[test]
fn gauges_of_a_model_that_left_the_configuration_end() {
    let metrics = configured();
    let _open = touch(&metrics);
    metrics.render().expect("rendered");
    let stays = ConfiguredModel {
        name: "b".into(),
        provider: "ollama".to_owned(),
        upstream: "b-upstream".to_owned(),
    };
    metrics.configure(&[stays], &[]);
    let text = metrics.render().expect("rendered");
    for name in ["llm_router_queue_depth", "llm_router_breaker_state"] {
        let left = series(&text, name);
        assert_eq!(left.len(), 1, "{left:?}");
        assert!(left[0].contains(r#"model="b""#));
    }
    assert!(series(&text, "llm_router_backend_health").is_empty());
}

#[test]
fn resident_memory_is_that_of_this_process() {
    let text = Metrics::detached().render().expect("rendered");
    let line = series(&text, "process_resident_memory_bytes")
        .pop()
        .expect("known on Linux");
    let bytes: f64 = line
        .rsplit(' ')
        .next()
        .expect("a value")
        .parse()
        .expect("a number");
    assert!(bytes > 1e6, "{line}");
}

#[test]
fn made_up_methods_and_paths_do_not_become_labels() {
    let metrics = Metrics::detached();
    let method = Method::from_bytes(b"EVIL").expect("a token");
    for index in 0..400 {
        metrics.http_ended(&HttpCall {
            method: &method,
            route: &format!("/made-up/{index}"),
            version: Version::HTTP_2,
            status: 404,
            duration: Duration::ZERO,
        });
    }
    let text = metrics.render().expect("rendered");
    assert!(!text.contains("EVIL") && text.contains(r#"http_route="_other""#));
    assert!(series(&text, "http_server_request_duration_seconds_count").len() <= 257);
}

#[test]
fn ending_a_request_costs_microseconds() {
    let metrics = configured();
    let record = answered();
    let attempt = AttemptRecord {
        operation: "chat",
        model: &"a".into(),
        outcome: AttemptOutcome::Answered,
        duration: Duration::from_millis(49),
        first_chunk: Some(Duration::from_millis(5)),
        usage: Some(Usage::new(9, 5)),
    };
    // The best of many short runs, so that a busy machine cannot fail it.
    let each = (0..50).map(|_| {
        let began = Moment::now();
        for _ in 0..100 {
            metrics.request_ended(&record);
            metrics.attempt_ended(&attempt);
            metrics.queue_waited(attempt.model, Priority::High, Duration::from_millis(2));
            metrics.cache_looked_up("exact", "miss");
        }
        Moment::now().since(began) / 100
    });
    let best = each.min().expect("fifty runs");
    assert!(best < Duration::from_micros(20), "{best:?} a request");
}
