//! When an answer is reused, and above all when it is not.

use std::time::Duration;

use llm_router_testnet::client::{chat, chat_stream};
use llm_router_testnet::sse::{Frame, text};
use llm_router_testnet::{Node, Setup, Upstream, eventually, node};

/// An answer is findable on its node this long after its response ended.
const FRESH: Duration = Duration::from_millis(150);
/// And by its meaning: the vector is made behind the answer, which takes a busy machine a while.
const MEANT: Duration = Duration::from_secs(1);

/// Starts a node with the real embedder that checks none of its hits; `None`, said aloud, without
/// its weights.
async fn with_weights(upstream: &Upstream) -> anyhow::Result<Option<Node>> {
    checking(upstream, 0).await
}

/// The same, checking this share of its hits.
async fn checking(upstream: &Upstream, share: u8) -> anyhow::Result<Option<Node>> {
    if node::weights().is_none() {
        skip("no embedder weights; run: llm-router model pull");
        return Ok(None);
    }
    // time to embed, so that a busy machine turns no hit into a miss
    let cache = format!("cache: {{ shadow_rate: {share}, embed_budget: 10s }}\n");
    let config = upstream.config("gpt", &cache);
    let setup = Setup {
        config: Some(config),
        weights: true,
        ..Setup::default()
    };
    Ok(Some(Node::launch(setup).await?))
}

#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn skip(why: &str) {
    eprintln!("skipped: {why}");
}

async fn ask(node: &Node, question: &str) -> anyhow::Result<String> {
    let reply = node.http().chat(&chat("gpt", question)).await?;
    assert_eq!(reply.status, 200, "{}", reply.text());
    tokio::time::sleep(MEANT).await;
    Ok(reply.header("x-llm-router-cache").to_owned())
}

#[tokio::test]
async fn an_identical_request_hits_the_exact_tier() -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    let node = Node::start(&upstream.config("gpt", "")).await?;
    let first = node
        .http()
        .chat(&chat("gpt", "What is the capital of France?"))
        .await?;
    assert_eq!(first.header("x-llm-router-cache"), "miss");
    tokio::time::sleep(FRESH).await;

    let again = node
        .http()
        .chat(&chat("gpt", "What is the capital of France?"))
        .await?;

    assert_eq!(again.header("x-llm-router-cache"), "exact");
    assert_eq!(again.header("x-llm-router-attempts"), "0");
    assert_eq!(again.header("x-llm-router-model"), "gpt");
    assert_eq!(again.content(), first.content());
    assert_eq!(upstream.requests(), 1);
    Ok(())
}

#[tokio::test]
async fn another_model_or_parameter_is_another_answer() -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    let models = format!(
        "models:\n{}{}",
        upstream.model("gpt", ""),
        upstream.model("other", "")
    );
    let node = Node::start(&models).await?;
    let mut question = chat("gpt", "What is the capital of France?");
    node.http().chat(&question).await?;
    tokio::time::sleep(FRESH).await;

    let other = node
        .http()
        .chat(&chat("other", "What is the capital of France?"))
        .await?;
    assert_eq!(other.header("x-llm-router-cache"), "miss");
    question["max_tokens"] = 5.into();
    assert_eq!(
        node.http()
            .chat(&question)
            .await?
            .header("x-llm-router-cache"),
        "miss"
    );
    question["temperature"] = 0.9.into();
    assert_eq!(
        node.http()
            .chat(&question)
            .await?
            .header("x-llm-router-cache"),
        "bypass"
    );
    Ok(())
}

#[tokio::test]
async fn a_request_can_turn_the_cache_off_or_refresh_it() -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    let node = Node::start(&upstream.config("gpt", "")).await?;
    ask(&node, "How high is Mont Blanc?").await?;
    let question = chat("gpt", "How high is Mont Blanc?");
    for (mode, expected) in [("off", "bypass"), ("exact", "exact"), ("on", "exact")] {
        let reply = node.http().chat_with(&[("cache", mode)], &question).await?;
        assert_eq!(reply.header("x-llm-router-cache"), expected, "{mode}");
    }
    let seen = upstream.requests();
    node.http()
        .chat_with(&[("cache", "refresh")], &question)
        .await?;
    assert_eq!(upstream.requests(), seen + 1);
    Ok(())
}

#[tokio::test]
async fn a_hit_can_be_streamed() -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    let node = Node::start(&upstream.config("gpt", "")).await?;
    let whole = node
        .http()
        .chat(&chat("gpt", "What is the capital of Italy?"))
        .await?;
    tokio::time::sleep(FRESH).await;

    let question = chat_stream("gpt", "What is the capital of Italy?");
    let mut events = node.http().stream(&question).await?;
    assert_eq!(events.headers["x-llm-router-cache"], "exact");
    let mut frames = Vec::new();
    while let Some(frame) = events.next().await {
        frames.push(frame);
    }

    assert_eq!(text(&frames), whole.content());
    assert_eq!(
        frames.iter().filter_map(Frame::data).next_back(),
        Some("[DONE]")
    );
    assert_eq!(upstream.requests(), 1);
    Ok(())
}

#[tokio::test]
async fn answers_survive_sigterm_and_restart() -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    let mut node = Node::start(&upstream.config("gpt", "")).await?;
    node.http()
        .chat(&chat("gpt", "What is the capital of Spain?"))
        .await?;

    assert_eq!(node.terminate().await?, Some(0), "{}", node.stderr());
    node.restart().await?;

    assert_eq!(ask(&node, "What is the capital of Spain?").await?, "exact");
    assert_eq!(upstream.requests(), 1);
    Ok(())
}

#[tokio::test]
async fn purging_forgets_everything() -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    let node = Node::start(&upstream.config("gpt", "")).await?;
    ask(&node, "What is the capital of Peru?").await?;
    let purged = node
        .http()
        .post("/admin/v1/cache/purge", &serde_json::json!({ "all": true }))
        .await?;
    assert_eq!(purged.status, 200, "{}", purged.text());
    assert_eq!(ask(&node, "What is the capital of Peru?").await?, "miss");
    Ok(())
}

#[tokio::test]
async fn the_same_question_in_other_words_may_hit() -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    let Some(mut node) = with_weights(&upstream).await? else {
        return Ok(());
    };
    assert_eq!(
        ask(&node, "How do I reset my account password?").await?,
        "miss"
    );

    let reply = node
        .http()
        .chat(&chat("gpt", "How can I reset my account password?"))
        .await?;
    assert_eq!(reply.header("x-llm-router-cache"), "semantic");
    let similarity: f64 = reply.header("x-llm-router-similarity").parse()?;
    assert!((0.92..=1.0).contains(&similarity), "{similarity}");

    node.terminate().await?;
    node.restart().await?;
    let reply = node
        .http()
        .chat(&chat("gpt", "How can I reset my account password?"))
        .await?;
    assert_eq!(
        reply.header("x-llm-router-cache"),
        "semantic",
        "after a restart"
    );
    assert_eq!(upstream.requests(), 1);
    Ok(())
}

#[tokio::test]
async fn near_questions_with_other_answers_never_hit() -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    let Some(node) = with_weights(&upstream).await? else {
        return Ok(());
    };
    let pairs = [
        ("How do I enable 2FA?", "How do I disable 2FA?"),
        ("Convert 10 kg to pounds", "Convert 20 kg to pounds"),
        ("Is aspirin safe for dogs?", "Is aspirin not safe for dogs?"),
        (
            "What is the capital of Austria?",
            "What is the capital of Australia?",
        ),
    ];
    for (first, second) in pairs {
        assert_eq!(ask(&node, first).await?, "miss", "{first}");
        assert_eq!(
            ask(&node, second).await?,
            "miss",
            "{second} was answered with {first}"
        );
    }
    assert_eq!(upstream.requests(), 2 * pairs.len() as u64);
    Ok(())
}

const STORED: &str = "How do I reset my account password?";
const REWORDED: &str = "How can I reset my account password?";

/// Waits until the node's cache has learnt this.
async fn learnt(node: &Node, what: &str, count: u64) -> anyhow::Result<()> {
    let doing = format!("the cache has {count} {what}");
    eventually(&doing, Duration::from_secs(20), async || {
        let shown = node.http().get("/admin/v1/cache").await.ok()?.json();
        (shown["learning"][what] == count).then_some(())
    })
    .await
}

#[tokio::test]
async fn a_wrong_answer_is_found_by_asking_again_and_never_comes_back() -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    let Some(mut node) = checking(&upstream, 1).await? else {
        return Ok(());
    };
    upstream.set_canned(Some("Yes, you can do that yourself in the settings."));
    assert_eq!(ask(&node, STORED).await?, "miss");
    upstream.set_canned(Some("No, only our support team can do that for you."));

    let served = node.http().chat(&chat("gpt", REWORDED)).await?;
    assert_eq!(served.header("x-llm-router-cache"), "semantic");
    assert!(served.content().starts_with("Yes"), "{}", served.content());
    assert!(!served.header("x-llm-router-cache-entry").is_empty());
    learnt(&node, "disagreed", 1).await?;

    let again = node.http().chat(&chat("gpt", REWORDED)).await?;
    assert_eq!(again.header("x-llm-router-cache"), "miss");
    assert!(again.content().starts_with("No"), "{}", again.content());
    // two misses and the check; the check is nobody's request
    assert_eq!(upstream.requests(), 3);
    let stats = node.http().get("/admin/v1/stats").await?.json();
    assert_eq!(stats["total_requests"], 3, "{stats}");
    assert_eq!(stats["cache_routes"][0]["wrong"], 1, "{stats}");
    let metrics = node.http().get("/metrics").await?.text();
    let counted = "llm_router_cache_shadow_calls_total{outcome=\"disagree\",route=\"none\"} 1";
    assert!(metrics.contains(counted), "{metrics}");

    node.terminate().await?;
    node.restart().await?;
    learnt(&node, "vetoes", 1).await
}

#[tokio::test]
async fn a_veto_outlives_a_node_that_is_killed() -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    let Some(mut node) = with_weights(&upstream).await? else {
        return Ok(());
    };
    ask(&node, STORED).await?;
    let served = node.http().chat(&chat("gpt", REWORDED)).await?;
    assert_eq!(served.header("x-llm-router-cache"), "semantic");
    let entry = served.header("x-llm-router-cache-entry").to_owned();
    let order = serde_json::json!({"entry": entry, "question": REWORDED});
    let vetoed = node.http().post("/admin/v1/cache/veto", &order).await?;
    assert_eq!(vetoed.status, 200, "{}", vetoed.text());

    node.kill().await?;
    node.restart().await?;
    let explain = [("explain", "cache")];
    let asked = node
        .http()
        .chat_with(&explain, &chat("gpt", REWORDED))
        .await?;
    assert_eq!(asked.header("x-llm-router-cache"), "miss");
    let why = asked.header("x-llm-router-cache-explain");
    assert!(why.starts_with("vetoed; "), "{why}");
    Ok(())
}
