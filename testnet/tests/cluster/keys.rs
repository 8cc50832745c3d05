//! Keys, while a node cannot hear what becomes of them.

use std::time::Duration;

use http::Method;
use llm_router_testnet::client::{Reply, chat, whole};
use llm_router_testnet::cluster::Break;
use llm_router_testnet::{Client, Cluster, Witness, eventually};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(6);

/// A key, as it is presented and as it is known.
struct Key {
    text: String,
    id: String,
}

/// Makes a key; `by` is whoever may, once there is one.
async fn make(node: &Client, by: Option<&Key>, order: &Value) -> anyhow::Result<Key> {
    let request = node.request(Method::POST, "/admin/v1/keys").json(order);
    let request = match by {
        Some(key) => request.bearer_auth(&key.text),
        None => request,
    };
    let reply = whole(request).await?;
    anyhow::ensure!(reply.status == 201, "{}: {}", reply.status, reply.text());
    let made = reply.json();
    let field = |name: &str| made[name].as_str().unwrap_or("").to_owned();
    Ok(Key {
        text: field("key"),
        id: field("id"),
    })
}

async fn revoke(node: &Client, by: &Key, gone: &Key) -> anyhow::Result<()> {
    let path = format!("/admin/v1/keys/{}", gone.id);
    let request = node.request(Method::DELETE, &path);
    let reply = whole(request.bearer_auth(&by.text)).await?;
    anyhow::ensure!(reply.status == 200, "{}: {}", reply.status, reply.text());
    Ok(())
}

async fn ask(node: &Client, key: &Key) -> anyhow::Result<Reply> {
    let request = node
        .request(Method::POST, "/v1/chat/completions")
        .header("x-llm-router-cache", "off")
        .json(&chat("gpt", "hello"));
    whole(request.bearer_auth(&key.text)).await
}

/// Waits until a node answers this key with this status.
async fn answers(node: &Client, key: &Key, status: u16) -> anyhow::Result<()> {
    let what = format!("a key is answered with {status}");
    eventually(&what, SOON, async || {
        let reply = ask(node, key).await.ok()?;
        (reply.status == status).then_some(())
    })
    .await
}

/// Waits until a node says nothing of being cut off.
async fn is_not_alone(node: &Client, key: &Key) -> anyhow::Result<()> {
    eventually("it is not alone", SOON, async || {
        let reply = ask(node, key).await.ok()?;
        let said = reply.header("x-llm-router-partition");
        said.is_empty().then_some(())
    })
    .await
}

#[tokio::test]
async fn a_node_alone_says_so_and_takes_keys_as_it_last_knew_them() -> anyhow::Result<()> {
    let upstream = Witness::start().await?;
    let config = format!("models:\n{}", upstream.model("gpt", ""));
    let cluster = Cluster::of(3, &config).await?;
    // From the first key on, nobody is told how the cluster stands without one.
    let followers = cluster.followers().await?;
    let (alone, other) = (followers[0], followers[1]);
    let (with, without) = (cluster.http(other), cluster.http(alone));

    let ops = json!({ "name": "ops", "scopes": ["admin", "use"] });
    let ops = make(with, None, &ops).await?;
    let kept = make(with, Some(&ops), &json!({ "name": "kept" })).await?;
    let early = make(with, Some(&ops), &json!({ "name": "revoked before" })).await?;
    let late = make(with, Some(&ops), &json!({ "name": "revoked meanwhile" })).await?;
    for key in [&kept, &early, &late] {
        answers(without, key, 200).await?;
    }
    is_not_alone(without, &kept).await?;
    eventually("a key is revoked", SOON * 2, async || {
        revoke(with, &ops, &early).await.ok()
    })
    .await?;
    answers(without, &early, 401).await?;

    cluster.isolate(alone, Break::Drop);
    eventually("it says that it is alone", SOON, async || {
        let reply = ask(without, &kept).await.ok()?;
        (reply.header("x-llm-router-partition") == "isolated").then_some(())
    })
    .await?;
    eventually("a key is revoked without it", SOON * 2, async || {
        revoke(with, &ops, &late).await.ok()
    })
    .await?;
    answers(with, &late, 401).await?;
    for (key, status) in [(&kept, 200), (&early, 401), (&late, 200)] {
        let reply = ask(without, key).await?;
        assert_eq!(reply.status, status, "{}", reply.text());
        assert_eq!(reply.header("x-llm-router-partition"), "isolated");
    }
    let order = without.request(Method::POST, "/admin/v1/keys");
    let order = order
        .json(&json!({ "name": "never" }))
        .bearer_auth(&ops.text);
    assert_eq!(whole(order).await?.status, 503);

    cluster.heal();
    answers(without, &late, 401).await?;
    answers(without, &kept, 200).await?;
    is_not_alone(without, &kept).await?;
    cluster.end().await
}
