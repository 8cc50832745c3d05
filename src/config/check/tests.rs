use crate::config::parse;

/// Everything said about a refused text.
fn refusal(text: &str) -> String {
    parse(text, "test.yaml")
        .expect_err("should be refused")
        .to_string()
}

fn models(rest: &str) -> String {
    format!(
        "models:\n  a: {{ provider: demo, model: echo }}\n  b: {{ provider: demo, model: lorem }}\n{rest}"
    )
}

#[track_caller]
fn refused(text: &str, place: &str, message: &str) {
    let shown = refusal(text);
    assert!(
        shown.contains(&format!("test.yaml:{place}")),
        "expected at {place}:\n{shown}"
    );
    assert!(shown.contains(message), "expected {message:?}:\n{shown}");
}

#[test]
fn an_unknown_model_is_refused_with_the_nearest_name() {
    let text = "models:\n  gpu-fast: { provider: demo, model: echo }\nroutes:\n  - { name: r, targets: [gpu-fsat] }\n";
    refused(text, "4:26", "no model is named `gpu-fsat`");
    refused(text, "4:26", "did you mean `gpu-fast`?");
    refused(
        &models("routes:\n  - { name: r, targets: [a], fallback: [zzzzzz] }\n"),
        "5:41",
        "models: a, b",
    );
}

#[test]
fn what_a_route_does_about_failing_upstreams_keeps_its_bounds() {
    let route = |more: &str| {
        models(&format!(
            "routes:\n  - {{ name: r, targets: [a], {more} }}\n"
        ))
    };
    for (more, message) in [
        ("shadow: { model: c }", "no model is named `c`"),
        ("shadow: { model: b, fraction: 1.5 }", "must be at most 1"),
        ("hedge: { percentile: 49 }", "must be at least 50"),
        ("hedge: { percentile: 100 }", "must be at most 99.9"),
        ("hedge: { budget: 1.1 }", "must be at most 1"),
        ("stream_recovery: maybe", "expected one of auto, off"),
    ] {
        refused(&route(more), "5:", message);
    }
    let all = "hedge: {}, shadow: { model: b }, stream_recovery: off";
    let config = parse(&route(all), "c").unwrap().routing;
    let resilience = config.routes[0].resilience();
    let hedge = resilience.hedge.unwrap();
    assert!((hedge.percentile - 95.0).abs() < 1e-9 && (hedge.budget - 0.05).abs() < 1e-9);
    assert!((resilience.shadow.unwrap().fraction - 1.0).abs() < 1e-9);
    assert_eq!(resilience.stream_recovery.as_str(), "off");
}

#[test]
fn the_caches_judge_is_a_model_there_is() {
    refused(
        &models("cache: { judge: { model: c } }\n"),
        "4:26",
        "no model is named `c`",
    );
    refused(
        &models("cache: { shadow_rate: 1.5 }\n"),
        "4:23",
        "must be at most 1",
    );
    let config = parse(
        &models("cache: { judge: { model: b }, shadow_rate: 0 }\n"),
        "c",
    );
    let cache = config.unwrap().routing.cache;
    assert_eq!(
        cache
            .judge
            .model
            .map(|judge| judge.as_str().to_owned())
            .as_deref(),
        Some("b")
    );
    assert!(cache.shadow_rate.abs() < 1e-12);
}

#[test]
fn a_route_needs_targets_and_uses_each_model_once() {
    refused(
        &models("routes:\n  - { name: r, targets: [] }\n"),
        "5:16",
        "must not be empty",
    );
    refused(
        &models("routes:\n  - { name: r, targets: [a, b, a] }\n"),
        "5:32",
        "`a` is used twice",
    );
    refused(
        &models("routes:\n  - { name: r, targets: [a], fallback: [a] }\n"),
        "5:41",
        "used twice",
    );
}

#[test]
fn names_are_unique_and_well_formed() {
    let routes = "routes:\n  - { name: r, targets: [a] }\n  - { name: r, targets: [b] }\n";
    refused(
        &models(routes),
        "6:13",
        "another route is named `r` already",
    );
    refused(
        &models("routes:\n  - { name: a, targets: [b] }\n"),
        "5:13",
        "a model is named `a` too",
    );
    refused(
        &models("routes:\n  - { name: auto, targets: [b] }\n"),
        "5:13",
        "`auto` is taken",
    );
    refused(
        "models:\n  auto: { provider: demo, model: echo }\n",
        "2:3",
        "`auto` is taken",
    );
    refused(
        "models:\n  'a b': { provider: demo, model: echo }\n",
        "2:3",
        "1 to 128 letters",
    );
    let long = "x".repeat(129);
    refused(
        &format!("models:\n  {long}: {{ provider: demo, model: echo }}\n"),
        "2:3",
        "1 to 128 letters",
    );
}

#[test]
fn weights_are_1_to_1000() {
    let weighted = |weight: u32| {
        models(&format!(
            "routes:\n  - {{ name: r, strategy: weighted, targets: [{{ model: a, weight: {weight} }}] }}\n"
        ))
    };
    refused(&weighted(0), "5:66", "must be at least 1");
    refused(&weighted(1001), "5:66", "must be at most 1000");
    parse(&weighted(1000), "test.yaml").unwrap();
}

#[test]
fn conditions_that_never_hold_are_refused() {
    let on = |condition: &str| {
        models(&format!(
            "routes:\n  - {{ name: r, targets: [a], match: {{ {condition} }} }}\n"
        ))
    };
    refused(
        &on("min_prompt_tokens: 9, max_prompt_tokens: 3"),
        "5:58",
        "never matches",
    );
    refused(&on("priority: []"), "5:39", "an empty list never matches");
    refused(&on("contains: ['x', '']"), "5:55", "must not be empty");
    refused(&on("regex: '(['"), "5:46", "does not compile");
    refused(
        &on("regex: ['ok', '(a{1000}){1000}']"),
        "5:53",
        "does not compile",
    );
}

#[test]
fn limits_of_single_values_hold() {
    for (text, place, message) in [
        (
            "cache: { similarity_threshold: 0 }",
            "1:32",
            "must be more than 0 and at most 1",
        ),
        (
            "cache: { similarity_threshold: 1.1 }",
            "1:32",
            "must be more than 0 and at most 1",
        ),
        (
            "cache: { ttl: 0s }",
            "1:15",
            "must be more than 0 and at most 366d",
        ),
        (
            "cache: { ttl: 400d }",
            "1:15",
            "must be more than 0 and at most 366d",
        ),
        (
            "cache: { max_temperature: -1 }",
            "1:27",
            "must be at least 0",
        ),
        ("cache: { max_answer: 1GiB }", "1:22", "at most 64MiB"),
        (
            "circuit_breaker: { failure_threshold: 0 }",
            "1:39",
            "must be at least 1",
        ),
        ("retry: { max_attempts: 0 }", "1:24", "must be at least 1"),
        (
            "retry: { backoff: { base: 5s, max: 1s } }",
            "1:36",
            "must not be less than `base`",
        ),
        (
            "models: { a: { provider: demo, model: echo, max_concurrency: 0 } }",
            "1:62",
            "must be at least 1",
        ),
        (
            "models: { a: { provider: openai, model: '' } }",
            "1:41",
            "must not be empty",
        ),
        (
            "models: { a: { provider: openai, model: x, timeouts: { idle: 0s } } }",
            "1:62",
            "must be more than 0",
        ),
        (
            "models: { a: { provider: openai, model: x, price: { input_per_mtok: -1, output_per_mtok: 1 } } }",
            "1:69",
            "must be at least 0",
        ),
        (
            "models: { a: { provider: demo, model: ecko } }",
            "1:39",
            "did you mean `echo`?",
        ),
    ] {
        refused(text, place, message);
    }
}

#[test]
fn upstream_addresses_are_http_without_a_user() {
    let at =
        |url: &str| format!("models: {{ a: {{ provider: openai, model: x, base_url: '{url}' }} }}");
    refused(
        &at("ftp://h/"),
        "1:54",
        "must start with http:// or https://",
    );
    refused(&at("not an address"), "1:54", "is not an address");
    refused(&at("http://h/v1?key=1"), "1:54", "query or fragment");
    refused(
        &at("http://me:hunter2@h/v1"),
        "1:54",
        "must not hold a user or password",
    );
    assert!(!refusal(&at("http://me:hunter2@h/v1")).contains("hunter2"));
    parse(&at("http://127.0.0.1:8000/v1"), "test.yaml").unwrap();
}

#[test]
fn a_plugin_says_where_it_is() {
    let with = |rest: &str| format!("models: {{ a: {{ provider: plugin, model: x{rest} }} }}");
    assert!(refusal(&with("")).contains("must say where the plugin is"));
    let relative = with(", base_url: 'unix:own.sock'");
    assert!(refusal(&relative).contains("absolute path"));
    let path = with(", base_url: 'http://h:1', health: { path: /up }");
    assert!(refusal(&path).contains("over gRPC"));
    for url in [
        "http://127.0.0.1:9000",
        "https://own.example.com",
        "unix:/run/own.sock",
    ] {
        parse(&with(&format!(", base_url: '{url}'")), "test.yaml").unwrap();
    }
    let ollama = "models: { a: { provider: ollama, model: x, base_url: 'unix:/run/o.sock' } }";
    assert!(refusal(ollama).contains("http://"));
}

#[test]
fn a_key_never_crosses_the_internet_in_clear_text() {
    let at = |url: &str| {
        format!(
            "models: {{ a: {{ provider: openai, model: x, base_url: '{url}', api_key: {{ env: K }} }} }}"
        )
    };
    refused(&at("http://api.example.com/v1"), "1:54", "must be https");
    for url in [
        "https://api.example.com/v1",
        "http://127.0.0.1:8000/v1",
        "http://vllm:8000/v1",
    ] {
        parse(&at(url), "test.yaml").unwrap();
    }
}

#[test]
fn a_secret_is_never_shown_with_the_problem_beside_it() {
    let text = "models: { a: { provider: openai, modle: x, api_key: sk-live-1234 } }";
    assert!(!refusal(text).contains("sk-live"), "{}", refusal(text));
    let text = "models: { a: { provider: openai, model: x, api_key: { env: 'sk-live-1234' } } }";
    refused(text, "1:44", "is not the name of an environment variable");
    assert!(!refusal(text).contains("sk-live"), "{}", refusal(text));
    let syntax = "models:\n  a: { provider: openai, api_key: sk-live-1234\nroutes: [";
    assert!(!refusal(syntax).contains("sk-live"), "{}", refusal(syntax));
}

#[test]
fn the_node_part_is_checked_too() {
    refused("listen: { http: nonsense }", "1:17", "expected host:port");
    refused(
        "listen: { http: '127.0.0.1:1', grpc: '127.0.0.1:1' }",
        "1:38",
        "same address",
    );
    refused(
        "embedder: { model: ../other }",
        "1:20",
        "a model's name has",
    );
    refused("node: { id: 'a b' }", "1:13", "an id has");
    refused(
        "telemetry: { otlp_endpoint: 'localhost:4317' }",
        "1:29",
        "http://",
    );
}

#[test]
fn built_in_models_need_no_declaration() {
    let parsed = parse(
        &models("routes:\n  - { name: r, targets: [a], fallback: [demo/echo] }\n"),
        "t",
    );
    assert_eq!(parsed.unwrap().routing.routes.len(), 1);
}

#[test]
fn literal_secrets_unset_variables_and_idle_weights_are_warned_about() {
    let text = "models:\n  a: { provider: openai, model: x, api_key: sk-live-1234 }\n  b: { provider: openai, model: x, api_key: { env: UNSET } }\n  c: { provider: openai, model: x }\nroutes:\n  - { name: r, targets: [{ model: a, weight: 3 }] }\n";
    let routing = parse(text, "t").unwrap().routing;
    let found: Vec<String> = super::warnings(&routing, |_| false)
        .into_iter()
        .map(|f| format!("{}: {}", f.path, f.message))
        .collect();
    assert_eq!(
        found,
        [
            "models.a.api_key: the file holds a secret",
            "models.b.api_key: environment variable UNSET is not set",
            "models.c.api_key: no credential for api.openai.com",
            "routes[0].targets: weights do not count with `strategy: ordered`",
        ]
    );
    assert!(
        super::warnings(&routing, |_| true)
            .iter()
            .all(|f| !f.message.contains("UNSET"))
    );
}
