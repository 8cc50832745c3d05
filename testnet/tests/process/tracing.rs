//! One request, one trace: from the caller's span through the node to the upstream.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use http::Method;
use llm_router_testnet::collector::{Collector, Kind, Options, Span, Tree, show};
use llm_router_testnet::signal::{Signal, send};
use llm_router_testnet::{Node, Upstream, chat, eventually};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

const CALLER: &str = "b7ad6b7169203331";
/// Spans leave a node each second.
const COME: Duration = Duration::from_secs(15);

/// A trace of a story of its own.
fn trace(number: u64) -> String {
    format!("0af7651916cd43dd8448eb21{number:08x}")
}

/// A node that tells this collector; `keys` are further keys of `telemetry`.
async fn node(collector: &Collector, config: &str, keys: &str) -> anyhow::Result<Node> {
    let endpoint = collector.endpoint();
    let telemetry = format!("telemetry: {{ otlp_endpoint: \"{endpoint}\"{keys} }}\n");
    Node::start(&format!("{config}{telemetry}")).await
}

/// Asks once inside a trace that the caller has begun; gives the node's `traceparent`.
async fn ask(node: &Node, trace: &str, model: &str, prompt: &str) -> anyhow::Result<String> {
    let request = node.http().request(Method::POST, "/v1/chat/completions");
    let reply = request
        .header("traceparent", format!("00-{trace}-{CALLER}-01"))
        .json(&chat(model, prompt))
        .send()
        .await?;
    anyhow::ensure!(reply.status() == 200, "{}", reply.status());
    let ours = reply.headers()["traceparent"].to_str()?.to_owned();
    reply.bytes().await?;
    Ok(ours)
}

/// Kinds and names, without the node's.
fn outline(tree: &Tree) -> Vec<String> {
    let node = tree.nodes().first().map_or("", |node| *node).to_owned();
    let lines = tree.outline();
    lines
        .lines()
        .map(|line| line.replace(&format!("{node} "), ""))
        .collect()
}

fn attempts(tree: &Tree) -> Vec<&Span> {
    let spans = tree.spans().iter();
    spans.filter(|span| span.kind == Kind::Client).collect()
}

#[tokio::test]
async fn a_collector_receives_the_whole_tree_inside_the_callers_trace() -> anyhow::Result<()> {
    let collector = Collector::start().await?;
    let upstream = Upstream::start().await?;
    let node = node(&collector, &upstream.config("gpt", ""), "").await?;

    let ours = ask(&node, &trace(1), "gpt", "which way did this go?").await?;
    let tree = collector.spans(&trace(1), 5, COME).await?;

    assert_eq!(
        outline(&tree),
        [
            "server POST /v1/chat/completions",
            "  internal chat gpt",
            "    internal cache_lookup",
            "    internal queue_wait gpt",
            "    client chat scripted",
        ],
        "{tree}"
    );
    let door = tree.roots().next().expect("the door");
    assert_eq!(door.parent.as_deref(), Some(CALLER));
    assert_eq!(ours, format!("00-{}-{}-01", trace(1), door.id));
    let attempt = attempts(&tree)[0];
    for (key, value) in [
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "openai"),
        ("gen_ai.request.model", "scripted"),
        ("gen_ai.response.model", "scripted"),
        ("gen_ai.response.finish_reasons", "stop"),
        ("llm_router.attempt", "1"),
    ] {
        assert_eq!(attempt.attribute(key), value, "{key}");
    }
    assert_ne!(attempt.attribute("gen_ai.usage.output_tokens"), "");
    let headers = upstream.last_headers().expect("it was asked");
    assert_eq!(
        headers["traceparent"],
        format!("00-{}-{}-01", trace(1), attempt.id)
    );
    Ok(())
}

#[tokio::test]
async fn a_retry_and_a_fallback_stand_beside_each_other_in_one_tree() -> anyhow::Result<()> {
    let collector = Collector::start().await?;
    let (primary, backup) = (Upstream::start().await?, Upstream::start().await?);
    primary.answer_with_status(500);
    let config = format!(
        "models:\n{}{}\
         routes:\n  - {{ name: pair, targets: [primary], fallback: [backup] }}\n\
         retry: {{ max_attempts: 2, backoff: {{ base: 20ms, max: 100ms }}, budget: 1.0 }}\n",
        primary.model("primary", ""),
        backup.model("backup", ""),
    );
    let node = node(&collector, &config, "").await?;

    ask(&node, &trace(2), "pair", "who answers in the end?").await?;
    let tree = collector.spans(&trace(2), 10, COME).await?;

    assert_eq!(
        outline(&tree),
        [
            "server POST /v1/chat/completions",
            "  internal chat pair",
            "    internal cache_lookup",
            "    internal queue_wait primary",
            "    client chat scripted",
            "    internal retry_wait primary",
            "    internal queue_wait primary",
            "    client chat scripted",
            "    internal queue_wait backup",
            "    client chat scripted",
        ],
        "{tree}"
    );
    let attempts = attempts(&tree);
    let told = |key: &str| {
        attempts
            .iter()
            .map(|span| span.attribute(key))
            .collect::<Vec<_>>()
    };
    assert_eq!(told("llm_router.attempt"), ["1", "2", "3"]);
    assert_eq!(told("llm_router.model"), ["primary", "primary", "backup"]);
    assert_eq!(told("http.response.status_code")[..2], ["500", "500"]);
    assert_eq!(
        attempts.iter().map(|span| span.failed).collect::<Vec<_>>(),
        [true, true, false]
    );
    let request = tree.named("chat pair").next().expect("the request");
    assert_eq!(request.attribute("llm_router.attempts"), "3");
    assert!(!request.failed, "the client was answered");
    for (upstream, attempt) in [(&primary, attempts[1]), (&backup, attempts[2])] {
        let headers = upstream.last_headers().expect("it was asked");
        assert_eq!(
            headers["traceparent"],
            format!("00-{}-{}-01", trace(2), attempt.id)
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_client_s_flag_forces_no_more_traces_than_it_may() -> anyhow::Result<()> {
    let collector = Collector::start().await?;
    let upstream = Upstream::start().await?;
    let keys = ", sampling: { ratio: 0, client_per_second: 2 }";
    let node = node(&collector, &upstream.config("gpt", ""), keys).await?;
    let began = tokio::time::Instant::now();
    let mut refused = 0;
    for number in 0..60 {
        let ours = ask(
            &node,
            &trace(100 + number),
            "gpt",
            &format!("page {number}?"),
        )
        .await?;
        let flags = ours.rsplit('-').next().unwrap_or("").to_owned();
        refused += usize::from(flags == "00");
        let headers = upstream.last_headers().expect("it was asked");
        let theirs = headers["traceparent"].to_str()?;
        assert!(theirs.ends_with(&format!("-{flags}")), "{theirs}");
        assert!(theirs.contains(&trace(100 + number)), "joined all the same");
    }
    let allowed = 3 + 2 * usize::try_from(began.elapsed().as_secs())?;
    assert!(
        60 - refused <= allowed,
        "{refused} of 60 refused, {allowed} allowed"
    );
    assert!(refused < 60, "a wish is granted while there is room");
    eventually("what was granted is told", COME, async || {
        let came = (0..60).filter(|number| collector.trace(&trace(100 + number)).is_some());
        (came.count() == 60 - refused).then_some(())
    })
    .await
}

#[tokio::test]
async fn what_watches_a_node_begins_no_traces_but_may_keep_its_own() -> anyhow::Result<()> {
    let collector = Collector::start().await?;
    let upstream = Upstream::start().await?;
    let node = node(&collector, &upstream.config("gpt", ""), "").await?;
    let probes = ["/health", "/ready", "/metrics"];
    for path in probes {
        assert_eq!(node.http().get(path).await?.status, 200, "{path}");
    }
    // spans leave in their order: what came before this has come with it
    ask(&node, &trace(10), "gpt", "are you well?").await?;
    collector.spans(&trace(10), 5, COME).await?;
    let listed = show::trace(&collector.url(), None, Duration::ZERO).await?;
    assert!(probes.iter().all(|path| !listed.contains(path)), "{listed}");

    let request = node.http().request(Method::GET, "/health");
    let parent = format!("00-{}-{CALLER}-01", trace(11));
    let reply = request.header("traceparent", parent).send().await?;
    assert_eq!(reply.status(), 200);
    reply.bytes().await?;
    let tree = collector.spans(&trace(11), 1, COME).await?;
    assert_eq!(outline(&tree), ["server GET /health"], "{tree}");
    Ok(())
}

#[tokio::test]
async fn a_collector_that_dies_stops_nothing_and_one_that_returns_is_told_again()
-> anyhow::Result<()> {
    let collector = Collector::start().await?;
    let upstream = Upstream::start().await?;
    let node = node(&collector, &upstream.config("gpt", ""), "").await?;
    ask(&node, &trace(3), "gpt", "before").await?;
    collector.spans(&trace(3), 5, COME).await?;

    let otlp = collector.endpoint().replace("http://", "");
    drop(collector);
    for number in 0..40 {
        ask(&node, &trace(4), "gpt", &format!("meanwhile {number}")).await?;
    }
    let again = Options {
        otlp,
        ..Options::default()
    };
    let collector = eventually("the port is free again", COME, async || {
        Collector::open(again.clone()).await.ok()
    })
    .await?;
    eventually("a later trace comes", COME, async || {
        ask(&node, &trace(5), "gpt", "after").await.ok()?;
        tokio::time::sleep(Duration::from_millis(500)).await;
        collector.trace(&trace(5))
    })
    .await?;
    assert_eq!(node.http().get("/health").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn prompts_and_answers_stand_on_spans_only_where_they_were_asked_for() -> anyhow::Result<()> {
    let collector = Collector::start().await?;
    let upstream = Upstream::start().await?;
    let canary = "canary c0ffee";
    for (number, keys, told) in [(6, "", false), (7, ", capture_content: on", true)] {
        let node = node(&collector, &upstream.config("gpt", ""), keys).await?;
        ask(&node, &trace(number), "gpt", canary).await?;
        let tree = collector.spans(&trace(number), 5, COME).await?;
        let shown = serde_json::to_string(tree.spans())?;
        assert_eq!(shown.contains("c0ffee"), told, "{keys}");
        let attempt = attempts(&tree)[0];
        for key in ["gen_ai.input.messages", "gen_ai.output.messages"] {
            assert_eq!(attempt.attribute(key).contains(canary), told, "{key}{keys}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_trace_is_drawn_for_people_over_http() -> anyhow::Result<()> {
    let collector = Collector::start().await?;
    let upstream = Upstream::start().await?;
    let node = node(&collector, &upstream.config("gpt", ""), "").await?;
    ask(&node, &trace(8), "gpt", "draw this").await?;
    collector.spans(&trace(8), 5, COME).await?;

    let wait = Duration::from_secs(3);
    let drawn = show::trace(&collector.url(), Some(&trace(8)), wait).await?;
    assert!(
        drawn.starts_with(&format!("trace {}: 5 spans, 1 node", trace(8))),
        "{drawn}"
    );
    for line in ["└─ chat gpt", "   ├─ cache_lookup", "   └─ chat scripted"] {
        assert!(drawn.contains(line), "{line}: {drawn}");
    }
    let listed = show::trace(&collector.url(), None, Duration::ZERO).await?;
    assert!(listed.contains(&trace(8)), "{listed}");
    let missing = show::trace(&collector.url(), Some(&trace(9)), Duration::ZERO).await;
    assert!(missing.is_err());
    Ok(())
}

#[tokio::test]
async fn a_collector_in_a_process_of_its_own_ends_well_when_it_is_told_to() -> anyhow::Result<()> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_llm-router-testnet"))
        .args(["collect", "--otlp", "127.0.0.1:0", "--http", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut said = BufReader::new(child.stdout.take().context("no stdout")?).lines();
    let spans = said.next_line().await?.context("it said nothing")?;
    assert!(spans.starts_with("spans  http://127.0.0.1:"), "{spans}");
    let traces = said.next_line().await?.context("it said one line")?;
    let url = traces.strip_prefix("traces ").context("where traces are")?;
    let base = url.strip_suffix("/traces").context("a list of them")?;
    assert!(show::trace(base, None, Duration::ZERO).await.is_ok());

    send(Signal::Term, child.id().context("it is gone")?).await?;
    let ended = timeout(Duration::from_secs(10), child.wait()).await??;
    assert!(ended.success(), "{ended}");
    Ok(())
}
