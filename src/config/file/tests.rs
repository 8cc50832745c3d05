use super::*;
use crate::config::presets::PRESETS;
use crate::config::routing::IndexKind;

/// The configuration written out in full, as in the documentation.
const FULL: &str = r#"
node: { id: n1 }
listen: { http: "127.0.0.1:8080", grpc: "127.0.0.1:50051" }
data_dir: ./data
embedder: { model: all-MiniLM-L6-v2, dir: null, workers: 0 }
telemetry: { otlp_endpoint: null, log: text, capture_content: off }
models:
  gpu-fast:  { provider: ollama, model: "llama3:8b", base_url: "http://127.0.0.1:11434", max_queue_depth: 5, max_concurrency: 2 }
  cpu-cheap: { provider: ollama, model: "qwen2.5:3b", max_queue_depth: 3, options: { num_gpu: 0, num_thread: 4 } }
  cloud:     { provider: openai, model: gpt-4o, api_key: { env: OPENAI_API_KEY }, price: { input_per_mtok: 2.5, output_per_mtok: 10 } }
routes:
  - { name: critical, match: { priority: critical }, targets: [gpu-fast], fallback: [cloud] }
  - { name: cheap,    match: { priority: [normal, low] }, targets: [cpu-cheap], fallback: [gpu-fast], strategy: ordered }
circuit_breaker: { failure_threshold: 5, recovery_timeout: 60s, success_threshold: 3 }
cache: { enabled: true, similarity_threshold: 0.92, ttl: 24h, max_entries: 10000, max_temperature: 0.3, absent_temperature: 0, max_error_rate: 0.01 }
retry: { max_attempts: 3, backoff: { base: 100ms, max: 2s }, budget: 0.2 }
"#;

fn refusal(text: &str) -> String {
    parse(text, "test.yaml")
        .expect_err("should be refused")
        .to_string()
}

#[test]
fn a_syntax_error_has_a_line_a_column_and_a_snippet() {
    let shown = refusal("models:\n  a: { provider: demo, model: [echo }\n");
    assert!(
        shown.contains("test.yaml:2:") || shown.contains("test.yaml:3:"),
        "{shown}"
    );
    assert!(shown.contains("1 problem found"), "{shown}");
    let shown = refusal("a: b: c\n");
    assert!(
        shown.contains("test.yaml:1:") && shown.contains("a: b: c") && shown.contains('^'),
        "{shown}"
    );
}

#[test]
fn a_key_given_twice_is_refused_where_it_stands() {
    let shown = refusal(
        "cache: { enabled: true }\nretry: { max_attempts: 1 }\ncache: { enabled: false }\n",
    );
    assert!(
        shown.contains("test.yaml:3:1") && shown.contains("cache"),
        "{shown}"
    );
}

#[test]
fn an_unknown_key_comes_with_the_nearest_known_one() {
    let shown =
        refusal("models:\n  a:\n    provider: demo\n    model: echo\n    max_concurency: 3\n");
    assert!(shown.contains("unknown key `max_concurency`"), "{shown}");
    assert!(shown.contains("test.yaml:5:5"), "{shown}");
    assert!(
        shown.contains("^^^^^^^^^^^^^^ did you mean `max_concurrency`?"),
        "{shown}"
    );
    let shown = refusal("dashboard: { theme: dark }\n");
    assert!(
        shown.contains("unknown key `dashboard`") && shown.contains("known here: "),
        "{shown}"
    );
}

#[test]
fn all_problems_are_shown_at_once_in_the_order_of_the_text() {
    let text = "modles: {}\nmodels:\n  a: { provider: dmeo, model: echo }\n  b: { provider: demo, model: 3 }\nroutes:\n  - { name: r, targets: [a], strategy: best }\ncache: { ttl: 60 }\nretry: { budget: 2 }\n";
    let problems = parse(text, "test.yaml").unwrap_err();
    let lines: Vec<Option<usize>> = problems
        .problems
        .iter()
        .map(|problem| problem.line)
        .collect();
    assert_eq!(lines, [1, 3, 4, 6, 7, 8].map(Some), "{problems}");
    let shown = problems.to_string();
    for part in [
        "did you mean `demo`?",
        "expected text, got a number",
        "put it in quotes",
        "expected one of ordered, weighted",
        "a duration such as 250ms",
        "add a unit",
        "6 problems found",
    ] {
        assert!(shown.contains(part), "{part}:\n{shown}");
    }
}

#[test]
fn misfits_and_broken_rules_are_shown_together() {
    let text = "models:\n  a: { provider: demo, model: echo, colour: red }\nroutes:\n  - { name: r, targets: [b] }\n";
    let shown = refusal(text);
    assert!(
        shown.contains("unknown key `colour`") && shown.contains("no model is named `b`"),
        "{shown}"
    );
    assert!(shown.contains("2 problems found"), "{shown}");
}

#[test]
fn what_does_not_fit_hides_nothing_and_blames_nobody_else() {
    let text = "models:\n  a: { provider: dmeo, model: echo }\n  b: { provider: demo, model: 3, max_concurrency: 0 }\n  c: { provider: demo, model: echo, max_concurrency: 0 }\nroutes:\n  - 5\n  - { name: r, targets: [3, b] }\n  - { name: s, targets: [a, b, zzz] }\ncache: { ttl: 5, similarity_threshold: 3 }\n";
    let problems = parse(text, "test.yaml").unwrap_err();
    let paths: Vec<&str> = problems
        .problems
        .iter()
        .map(|problem| problem.path.as_str())
        .collect();
    let expected = [
        "models.a.provider",
        "models.b.model",
        "models.c.max_concurrency",
        "routes[0]",
        "routes[1].targets[0]",
        "routes[2].targets[2]",
        "cache.ttl",
        "cache.similarity_threshold",
    ];
    assert_eq!(paths, expected, "{problems}");
}

#[test]
fn a_misspelt_section_is_one_problem_and_not_twenty() {
    let shown = refusal(
        "modles:\n  a: { provider: demo, model: echo }\nroutes:\n  - { name: r, targets: [a] }\n",
    );
    assert!(
        shown.contains("did you mean `models`?") && shown.contains("1 problem found"),
        "{shown}"
    );
}

#[test]
fn a_missing_key_points_to_what_lacks_it() {
    let shown = refusal("models:\n  lonely: { provider: openai }\n");
    assert!(
        shown.contains("missing key `model`") && shown.contains("test.yaml:2:3"),
        "{shown}"
    );
}

#[test]
fn the_kind_of_index_is_one_of_three() {
    for (text, kind) in [
        ("cache: {}", IndexKind::Auto),
        ("cache: { index: auto }", IndexKind::Auto),
        ("cache: { index: flat }", IndexKind::Flat),
        ("cache: { index: hnsw }", IndexKind::Hnsw),
    ] {
        let parsed = parse(text, "test.yaml").unwrap();
        assert_eq!(parsed.routing.cache.index, kind);
    }
    assert!(refusal("cache: { index: fast }").contains("expected one of auto, flat, hnsw"));
}

#[test]
fn keys_of_later_versions_are_not_silently_taken() {
    for (text, key) in [
        (
            "models: { a: { provider: demo, model: echo, limits: { cents: 3 } } }",
            "cents",
        ),
        (
            "models: { a: { provider: demo, model: echo } }\nroutes: [{ name: r, targets: [a], mirror: { model: a } }]",
            "mirror",
        ),
        (
            "models: { a: { provider: demo, model: echo } }\nroutes: [{ name: r, targets: [a], cache: { index: flat } }]",
            "index",
        ),
    ] {
        assert!(
            refusal(text).contains(&format!("unknown key `{key}`")),
            "{}",
            refusal(text)
        );
    }
    let text = "models: { a: { provider: demo, model: echo } }\nroutes: [{ name: r, targets: [a], strategy: quality }]";
    assert!(
        refusal(text).contains("expected one of ordered"),
        "{}",
        refusal(text)
    );
}

#[test]
fn many_problems_are_counted_and_not_all_shown() {
    let text: String = (0..300).map(|n| format!("k{n}: 1\n")).collect();
    let problems = parse(&text, "t").unwrap_err();
    assert_eq!((problems.problems.len(), problems.more), (100, 200));
}

#[test]
fn bombs_and_giants_are_refused() {
    let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
    parse(&deep, "t").unwrap_err();
    let mut laughs = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for (name, before) in "bcdefghi".chars().zip("abcdefgh".chars()) {
        laughs.push_str(&format!(
            "{name}: &{name} [{}]\n",
            vec![format!("*{before}"); 9].join(",")
        ));
    }
    parse(&laughs, "t").unwrap_err();
    let giant = "#".repeat(MAX_FILE_BYTES + 1);
    assert!(
        parse(&giant, "t")
            .unwrap_err()
            .to_string()
            .contains("1 MiB")
    );
}

#[test]
fn the_documented_file_is_understood_and_keeps_its_order() {
    let parsed = parse(FULL, "full.yaml").unwrap_or_else(|problems| panic!("{problems}"));
    let names: Vec<&str> = parsed
        .routing
        .models
        .keys()
        .map(ModelName::as_str)
        .collect();
    assert_eq!(names, ["gpu-fast", "cpu-cheap", "cloud"]);
    assert_eq!(parsed.node.node.id.as_deref(), Some("n1"));
    assert_eq!(
        parsed.routing.routes[1]
            .matches
            .priority
            .as_ref()
            .unwrap()
            .as_slice()
            .len(),
        2
    );
    assert_eq!(parsed.routing.models["cpu-cheap"].options["num_thread"], 4);
    assert_eq!(
        parsed.routing.circuit_breaker.recovery_timeout.to_string(),
        "1m"
    );
}

#[test]
fn json_and_an_empty_file_are_understood() {
    let json = r#"{"models": {"z": {"provider": "demo", "model": "echo"}, "a": {"provider": "demo", "model": "lorem"}}}"#;
    let parsed = parse(json, "t.json").unwrap();
    assert_eq!(parsed.routing.models.keys().next().unwrap().as_str(), "z");
    for text in ["", "# nothing\n", "models:\nroutes:\n", "{}"] {
        assert!(
            parse(text, "t").unwrap().routing.models.is_empty(),
            "{text:?}"
        );
    }
}

#[test]
fn a_config_written_out_and_read_again_is_the_same() {
    let parsed = parse(FULL, "full.yaml").unwrap();
    let file = File::join(parsed.node, parsed.routing);
    let yaml = serde_saphyr::to_string(&file).unwrap();
    let again = parse(&yaml, "again.yaml").unwrap_or_else(|problems| panic!("{yaml}\n{problems}"));
    let again = File::join(again.node, again.routing);
    assert_eq!(
        serde_json::to_string(&again).unwrap(),
        serde_json::to_string(&file).unwrap()
    );
}

#[test]
fn a_literal_secret_is_not_written_out_and_not_debugged() {
    let text = "models: { a: { provider: openai, model: x, api_key: sk-live-1234 } }";
    let parsed = parse(text, "t").unwrap();
    assert!(!format!("{parsed:?}").contains("sk-live"));
    let file = File::join(parsed.node, parsed.routing);
    assert!(!serde_json::to_string(&file).unwrap().contains("sk-live"));
}

#[test]
fn every_preset_is_in_order() {
    for preset in PRESETS {
        let parsed = parse(preset.text, preset.name);
        let routing = parsed
            .unwrap_or_else(|problems| panic!("{problems}"))
            .routing;
        assert!(
            !routing.models.is_empty() && !routing.routes.is_empty(),
            "{}",
            preset.name
        );
        assert!(
            preset.text.starts_with("# yaml-language-server: $schema="),
            "{}",
            preset.name
        );
        let worries = check::warnings(&routing, |_| true);
        assert!(worries.is_empty(), "{}: {worries:?}", preset.name);
    }
}

#[test]
fn the_schema_lists_every_key_and_takes_every_preset() {
    let schema = schema();
    let keys = schema["properties"].as_object().unwrap();
    for key in [
        "node",
        "listen",
        "data_dir",
        "embedder",
        "telemetry",
        "models",
        "routes",
        "circuit_breaker",
        "cache",
        "retry",
    ] {
        assert!(keys.contains_key(key), "{key}");
    }
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(
        schema["$defs"]["WeightedTarget"]["properties"]["weight"]["maximum"],
        1000
    );
    for preset in PRESETS {
        let (_, misfits) = Shape::new(schema).fit(&document::read(preset.text).unwrap());
        assert_eq!(misfits, [], "{}", preset.name);
    }
}
