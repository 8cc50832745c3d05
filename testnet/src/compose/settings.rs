//! The configuration of the nodes: each one's own file, and what they agree on.

use std::fmt::Write as _;

use super::plan::Plan;

/// The port between nodes.
const CLUSTER: u16 = 7400;
/// The upstreams' port.
pub(super) const UPSTREAM: u16 = 9000;
/// The folder that a container sees its node's file and certificates in.
pub(super) const HOME: &str = "/etc/llm-router";

/// What a node is called on its link with another.
pub(super) fn on_link(node: usize, other: usize) -> String {
    format!("n{node}-for-n{other}")
}

/// A link's network.
pub(super) fn link(a: usize, b: usize) -> String {
    format!("link{}{}", a.min(b), a.max(b))
}

/// A node's own file. The first begins alone, the others join it.
pub(super) fn node_file(plan: &Plan, id: usize) -> String {
    let mut text = format!(
        "node: {{ id: n{id} }}\n\
         listen: {{ http: \"0.0.0.0:8080\", grpc: \"0.0.0.0:50051\", cluster: \"0.0.0.0:{CLUSTER}\" }}\n\
         embedder: {{ workers: 1 }}\n"
    );
    if let Some(endpoint) = &plan.otlp {
        let endpoint = quoted(endpoint);
        // by default every request is told: whichever one is asked for can be shown
        let _ = writeln!(text, "telemetry: {{ otlp_endpoint: {endpoint} }}");
    }
    text.push_str("cluster:\n");
    if id > 1 {
        let _ = writeln!(text, "  join: [\"{}:{CLUSTER}\"]", on_link(1, id));
    }
    let others = plan.ids().filter(|&other| other != id);
    let dial = others.map(|other| format!("n{other}: \"{}:{CLUSTER}\"", on_link(other, id)));
    let dial: Vec<String> = dial.collect();
    let _ = writeln!(
        text,
        "  advertise: \"n{id}:{CLUSTER}\"\n  dial: {{ {} }}",
        dial.join(", ")
    );
    let _ = writeln!(
        text,
        "  tls: {{ ca: {HOME}/ca.pem, cert: {HOME}/n{id}.pem, key: {HOME}/n{id}.key }}"
    );
    text
}

/// What the nodes agree on: three upstreams, each in another dialect.
pub(super) fn routing() -> String {
    format!("{}routes:\n{RULES}", models())
}

/// The same with a first route that carries a serial number, and never matches.
pub(super) fn routing_with(serial: u64) -> String {
    let mark =
        format!("  - {{ name: s-{serial}, match: {{ model: s-{serial} }}, targets: [fast] }}\n");
    format!("{}routes:\n{mark}{RULES}", models())
}

fn models() -> String {
    let model = |name: &str, provider: &str, asked: &str, path: &str, rest: &str| {
        format!(
            "  {name}: {{ provider: {provider}, model: {asked}, base_url: \"http://{name}:{UPSTREAM}{path}\", {TIMEOUTS}, {rest} }}\n"
        )
    };
    let key = "api_key: { env: TESTNET_KEY }, max_concurrency: 64, max_queue_depth: 512";
    let fast = format!("price: {{ input_per_mtok: 5, output_per_mtok: 20 }}, {key}");
    let flaky = format!("price: {{ input_per_mtok: 1, output_per_mtok: 4 }}, {key}");
    let slow = "price: { input_per_mtok: 0.1, output_per_mtok: 0.4 }, max_concurrency: 256, \
                max_queue_depth: 512";
    let models = [
        model("fast", "openai", "echo", "/v1", &fast),
        model("slow", "ollama", "echo", "", slow),
        model("flaky", "anthropic", "flaky", "/v1", &flaky),
    ];
    format!("models:\n{}", models.concat())
}

/// How long an upstream that says nothing is waited for; the others stand in for it.
const TIMEOUTS: &str = "timeouts: { first_token: 5s, idle: 10s }";
/// How the upstreams are asked.
const RULES: &str = "  - { name: critical, match: { priority: critical }, targets: [fast], fallback: [slow] }
  - { name: cheap, match: { priority: low }, targets: [slow], fallback: [fast] }
  - name: rest
    targets: [{ model: fast, weight: 2 }, { model: slow, weight: 1 }, { model: flaky, weight: 1 }]
    strategy: weighted
circuit_breaker: { failure_threshold: 5, recovery_timeout: 5s, success_threshold: 2 }
cache: { enabled: true, similarity_threshold: 0.92, ttl: 1h, max_entries: 10000, max_temperature: 0.3 }
retry: { max_attempts: 2, backoff: { base: 50ms, max: 500ms }, budget: 0.2 }
";

/// A text as a YAML scalar: JSON's strings are YAML's.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use llm_router::config::env::Environment;
    use llm_router::config::{Flags, load};

    use super::*;
    use crate::compose::plan::example;

    fn loads(text: &str) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("c.yaml");
        std::fs::write(&file, text).unwrap();
        let flags = Flags {
            config: Some(file),
            data: Some(folder.path().join("data")),
            ..Flags::default()
        };
        if let Err(problems) = load(&flags, &Environment::default()) {
            panic!("{problems}\n{text}");
        }
    }

    #[test]
    fn the_routing_and_every_nodes_file_hold() {
        loads(&routing());
        loads(&routing_with(7));
        for nodes in [1, 3, 5] {
            let told = example(nodes);
            let silent = Plan {
                otlp: None,
                ..example(nodes)
            };
            for id in told.ids() {
                assert!(node_file(&told, id).contains("http://collector:4317"));
                loads(&node_file(&told, id));
                assert!(!node_file(&silent, id).contains("telemetry"));
                loads(&node_file(&silent, id));
            }
        }
        assert!(Path::new(HOME).is_absolute());
    }

    #[test]
    fn only_the_first_node_begins_alone() {
        let plan = example(3);
        assert!(!node_file(&plan, 1).contains("join"));
        assert!(node_file(&plan, 3).contains("join: [\"n1-for-n3:7400\"]"));
    }
}
