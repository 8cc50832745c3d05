//! One request, one answer: shape, headers, stream, and what reaches the upstream.

use llm_router_testnet::client::{chat, chat_stream};
use llm_router_testnet::sse::{Frame, text};
use llm_router_testnet::{Node, Upstream};
use serde_json::{Value, json};

#[tokio::test]
async fn an_answer_has_the_openai_shape_and_says_where_it_came_from() -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    let node = Node::start(&upstream.config("gpt", "")).await?;

    let reply = node.http().chat(&chat("gpt", "hello")).await?;

    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.json()["object"], "chat.completion");
    assert_eq!(reply.json()["choices"][0]["message"]["role"], "assistant");
    assert!(!reply.content().is_empty());
    for header in ["x-request-id", "x-llm-router-node"] {
        assert!(
            !reply.header(header).is_empty(),
            "{header} is missing: {:?}",
            reply.headers
        );
    }
    assert_eq!(reply.header("x-llm-router-model"), "gpt");
    assert_eq!(reply.header("x-llm-router-attempts"), "1");
    assert_eq!(reply.header("x-llm-router-cache"), "miss");
    Ok(())
}

#[tokio::test]
async fn paths_work_with_and_without_v1() -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    let node = Node::start(&upstream.config("gpt", "")).await?;
    for path in ["/v1/chat/completions", "/chat/completions"] {
        assert_eq!(
            node.http().post(path, &chat("gpt", path)).await?.status,
            200,
            "{path}"
        );
    }
    for path in [
        "/v1/models",
        "/models",
        "/v1/models/gpt",
        "/health",
        "/ready",
        "/metrics",
    ] {
        assert_eq!(node.http().get(path).await?.status, 200, "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn generate_answers_a_prompt() -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    let node = Node::start(&upstream.config("gpt", "")).await?;
    let body = json!({ "prompt": "hello", "priority": "critical", "model": "gpt" });

    let reply = node.http().post("/generate", &body).await?;

    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(!reply.json()["content"].as_str().unwrap_or("").is_empty());
    assert_eq!(reply.json()["model_used"], "gpt");
    assert_eq!(reply.json()["cached"], false);
    let again = node.http().post("/generate", &body).await?;
    assert_eq!(again.json()["cached"], true);
    assert_eq!(again.json()["content"], reply.json()["content"]);
    Ok(())
}

#[tokio::test]
async fn a_stream_ends_with_a_finish_reason_and_done() -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    let node = Node::start(&upstream.config("gpt", "")).await?;

    let frames = stream(&node, &chat_stream("gpt", "hello there, stream")).await?;

    let data: Vec<&str> = frames.iter().filter_map(Frame::data).collect();
    assert_eq!(data.last(), Some(&"[DONE]"));
    assert!(!text(&frames).is_empty());
    let finish = chunks(&frames)
        .iter()
        .filter(|chunk| {
            chunk
                .pointer("/choices/0/finish_reason")
                .is_some_and(Value::is_string)
        })
        .count();
    assert_eq!(finish, 1);
    Ok(())
}

#[tokio::test]
async fn usage_is_streamed_only_when_asked_for() -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    let node = Node::start(&upstream.config("gpt", "")).await?;

    let silent = stream(&node, &chat_stream("gpt", "without usage")).await?;
    for chunk in chunks(&silent) {
        assert!(chunk.get("usage").is_none(), "{chunk}");
        assert!(chunk.pointer("/choices/0").is_some(), "{chunk}");
    }

    let mut asking = chat_stream("gpt", "with usage");
    asking["stream_options"] = json!({ "include_usage": true });
    let told = chunks(&stream(&node, &asking).await?);
    let last = told.last().cloned().unwrap_or_default();
    assert_eq!(last["choices"], json!([]), "{last}");
    assert!(last["usage"]["total_tokens"].as_u64() > Some(0), "{last}");
    let totals = told
        .iter()
        .filter(|chunk| chunk["usage"].is_object())
        .count();
    assert_eq!(totals, 1);
    Ok(())
}

#[tokio::test]
async fn fields_we_do_not_know_reach_the_upstream_byte_for_byte() -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    let node = Node::start(&upstream.config("gpt", "")).await?;
    let messages =
        r#"[ {"role":"user" ,"content":"caf\u00e9 \/ \ud83d\ude00","x_vendor":{"b":1,"a":2}} ]"#;
    let number = "123456789012345678901234567890";
    let fraction = "1.0000000000000000000010";
    let odd = r#""\u0041\/\u007f odd""#;
    let nested = r#"{ "deep" : [1e400, -0, {"k":"\u2028"}] }"#;
    let body = format!(
        r#"{{"model":"gpt","messages":{messages},"x_big":{number},"x_fraction":{fraction},"x_odd":{odd},"x_nested":{nested}}}"#
    );

    let reply = node.http().post_raw("/v1/chat/completions", body).await?;

    assert_eq!(reply.status, 200, "{}", reply.text());
    let sent = String::from_utf8_lossy(&upstream.last_body().unwrap_or_default()).into_owned();
    for piece in [messages, number, fraction, odd, nested] {
        assert!(
            sent.contains(piece),
            "{piece} was changed on the way: {sent}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_priority_nobody_knows_is_refused() -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    let node = Node::start(&upstream.config("gpt", "")).await?;
    let reply = node
        .http()
        .chat_with(&[("priority", "urgent")], &chat("gpt", "x"))
        .await?;
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert_eq!(reply.json()["error"]["param"], "x-llm-router-priority");
    assert_eq!(upstream.requests(), 0);
    Ok(())
}

#[tokio::test]
async fn a_deadline_ends_a_slow_answer() -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    upstream.wait_before_answering(std::time::Duration::from_secs(20))?;
    let node = Node::start(&upstream.config("gpt", "")).await?;
    let reply = node
        .http()
        .chat_with(&[("timeout-ms", "200")], &chat("gpt", "slow"))
        .await?;
    assert_eq!(reply.status, 504, "{}", reply.text());
    assert_eq!(reply.header("x-should-retry"), "false");
    Ok(())
}

async fn stream(node: &Node, body: &Value) -> anyhow::Result<Vec<Frame>> {
    let mut events = node.http().stream(body).await?;
    assert_eq!(events.status, 200);
    let mut frames = Vec::new();
    while let Some(frame) = events.next().await {
        frames.push(frame);
    }
    Ok(frames)
}

fn chunks(frames: &[Frame]) -> Vec<Value> {
    frames.iter().filter_map(Frame::json).collect()
}
