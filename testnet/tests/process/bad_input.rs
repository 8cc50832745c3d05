//! What no honest client sends. Every refusal has OpenAI's shape, and the node answers afterwards.

use std::time::Duration;

use http::Method;
use llm_router_testnet::client::{chat, whole};
use llm_router_testnet::raw::{body, exchange, status};
use llm_router_testnet::{Node, Reply, Upstream};
use serde_json::Value;

/// No half-sent request is kept longer.
const PATIENCE: Duration = Duration::from_secs(45);
const CHAT: &str = "/v1/chat/completions";

async fn refused(node: &Node, reply: &Reply, status: u16) -> anyhow::Result<()> {
    assert_eq!(reply.status, status, "{}", reply.text());
    assert!(
        !reply.header("x-request-id").is_empty(),
        "{:?}",
        reply.headers
    );
    shape(&reply.json());
    alive(node).await
}

fn shape(answer: &Value) {
    let error = &answer["error"];
    assert!(
        error["message"].is_string() && error["type"].is_string(),
        "{answer}"
    );
    for key in ["param", "code"] {
        assert!(error.get(key).is_some(), "`{key}` is missing: {answer}");
    }
}

async fn alive(node: &Node) -> anyhow::Result<()> {
    assert_eq!(
        node.http()
            .chat(&chat("gpt", "are you there?"))
            .await?
            .status,
        200
    );
    Ok(())
}

async fn node() -> anyhow::Result<(Upstream, Node)> {
    let upstream = Upstream::start().await?;
    let node = Node::start(&upstream.config("gpt", "")).await?;
    Ok((upstream, node))
}

#[tokio::test]
async fn an_oversized_body_is_413_before_it_is_read() -> anyhow::Result<()> {
    let (_upstream, node) = node().await?;
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: 10000000000\r\n\r\n{{",
        node.http_address()
    );
    let answer = exchange(node.http_address(), head.as_bytes(), PATIENCE).await?;
    assert_eq!(status(&answer), Some(413), "{answer}");
    shape(&serde_json::from_str(body(&answer))?);
    alive(&node).await
}

#[tokio::test]
async fn malformed_json_is_400() -> anyhow::Result<()> {
    let (_upstream, node) = node().await?;
    for bad in [
        "",
        "{",
        "[]",
        "nonsense",
        "{\"model\":\"gpt\"}",
        "{\"model\":\"gpt\",\"messages\":7}",
    ] {
        let reply = node.http().post_raw(CHAT, bad).await?;
        refused(&node, &reply, 400).await?;
    }
    let reply = node
        .http()
        .post_raw(CHAT, &b"{\"model\":\"\xff\xfe\"}"[..])
        .await?;
    refused(&node, &reply, 400).await
}

#[tokio::test]
async fn json_nested_33_deep_is_400() -> anyhow::Result<()> {
    let (_upstream, node) = node().await?;
    let nested = |inner: usize| {
        let deep = format!("{}{}", "[".repeat(inner), "]".repeat(inner));
        format!(r#"{{"model":"gpt","messages":[{{"role":"user","content":"x"}}],"x":{deep}}}"#)
    };
    assert_eq!(
        node.http().post_raw(CHAT, nested(31)).await?.status,
        200,
        "32 levels are fine"
    );
    let reply = node.http().post_raw(CHAT, nested(32)).await?;
    refused(&node, &reply, 400).await?;
    let bomb = "[".repeat(1_000_000);
    let reply = node.http().post_raw(CHAT, bomb).await?;
    refused(&node, &reply, 400).await
}

#[tokio::test]
async fn a_name_nobody_has_is_404() -> anyhow::Result<()> {
    let (_upstream, node) = node().await?;
    let reply = node.http().chat(&chat("no-such-model", "x")).await?;
    assert_eq!(reply.json()["error"]["code"], "model_not_found");
    refused(&node, &reply, 404).await?;
    let reply = node.http().get("/v1/models/no-such-model").await?;
    refused(&node, &reply, 404).await
}

#[tokio::test]
async fn a_path_nobody_serves_is_404_and_a_wrong_method_405() -> anyhow::Result<()> {
    let (_upstream, node) = node().await?;
    let reply = node.http().get("/v1/no/such/path").await?;
    refused(&node, &reply, 404).await?;
    let reply = node.http().get(CHAT).await?;
    refused(&node, &reply, 405).await?;
    let reply = whole(node.http().request(Method::DELETE, "/v1/models")).await?;
    refused(&node, &reply, 405).await
}

#[tokio::test]
async fn a_foreign_host_or_origin_is_403() -> anyhow::Result<()> {
    let (upstream, node) = node().await?;
    for (name, value) in [("host", "evil.example"), ("origin", "http://evil.example")] {
        let request = node.http().request(Method::POST, CHAT);
        let reply = whole(request.header(name, value).json(&chat("gpt", "x"))).await?;
        assert_eq!(upstream.requests(), 0, "{name}");
        assert_eq!(reply.status, 403, "{name}: {}", reply.text());
        shape(&reply.json());
        let reply = whole(
            node.http()
                .request(Method::GET, "/admin/v1/config")
                .header(name, value),
        );
        assert_eq!(reply.await?.status, 403, "{name}");
    }
    alive(&node).await
}

#[tokio::test]
async fn half_a_head_and_half_a_body_are_not_waited_for() -> anyhow::Result<()> {
    let (_upstream, node) = node().await?;
    let head = format!("POST {CHAT} HTTP/1.1\r\nhost: {}\r\n", node.http_address());
    let body =
        format!("{head}content-type: application/json\r\ncontent-length: 100\r\n\r\n{{\"mod");
    let (slow_head, slow_body) = tokio::join!(
        exchange(node.http_address(), head.as_bytes(), PATIENCE),
        exchange(node.http_address(), body.as_bytes(), PATIENCE),
    );
    for answer in [slow_head?, slow_body?] {
        assert!(
            matches!(status(&answer), None | Some(400 | 408)),
            "{answer}"
        );
    }
    alive(&node).await
}

#[tokio::test]
async fn garbage_on_the_wire_harms_nobody() -> anyhow::Result<()> {
    let (_upstream, node) = node().await?;
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..],
        b"GET",
        b"\r\n\r\n\r\n",
        b"HELO x\r\n\r\n",
    ] {
        let mut request = garbage.to_vec();
        request.extend_from_slice(b"\r\n\r\n");
        let answer = exchange(node.http_address(), &request, PATIENCE).await?;
        assert_ne!(status(&answer), Some(200), "{answer}");
    }
    alive(&node).await
}
