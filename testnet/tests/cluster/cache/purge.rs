//! What is called off through one node is served by none.

use std::time::Duration;

use http::Method;
use llm_router_testnet::client::{Client, chat, whole};
use llm_router_testnet::{Cluster, Upstream, eventually};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{UNHURRIED, ask, ask_with, call_off, questions, three, until_called_off};

const LIMIT: Duration = Duration::from_secs(10);
/// How long answers are held back for all of them to be under way, on a busy machine too.
const HELD: Duration = Duration::from_secs(5);

/// Asks each of them through another node, and none was there.
async fn gone(cluster: &Cluster, questions: &[String]) -> anyhow::Result<()> {
    for (question, id) in questions.iter().zip([3, 1, 2].into_iter().cycle()) {
        let part = ask(cluster.http(id), question).await?;
        anyhow::ensure!(part == "miss", "{question} through n{id}: {part}");
    }
    Ok(())
}

async fn there(cluster: &Cluster, questions: &[String]) -> anyhow::Result<()> {
    for (question, id) in questions.iter().zip([2, 3, 1].into_iter().cycle()) {
        let part = ask(cluster.http(id), question).await?;
        anyhow::ensure!(part == "exact", "{question} through n{id}: {part}");
    }
    Ok(())
}

/// Everybody has heard, and something was taken out, where that is known.
fn complete(purged: &Value) {
    assert_eq!(purged["unreached"], json!([]), "{purged}");
    assert_ne!(purged["removed"], 0, "{purged}");
}

#[tokio::test]
async fn what_is_called_off_through_one_node_is_gone_on_all_and_nothing_else_is()
-> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    let cluster = three(&upstream).await?;
    let models = format!(
        "models:\n{}{}cache: {{ {UNHURRIED} }}\n",
        upstream.model("gpt", ""),
        upstream.model("other", "")
    );
    let revision = cluster.put(1, &models).await?;
    cluster.serve(revision).await?;

    // everything, several times: each time from the beginning
    let all = questions("all", 9);
    for through in cluster.ids() {
        gone(&cluster, &all).await?;
        there(&cluster, &all).await?;
        complete(&call_off(&cluster, through, &json!({ "all": true })).await?);
    }
    gone(&cluster, &all).await?;

    // a tag
    let tagged = questions("tagged", 9);
    for (question, id) in tagged.iter().zip([1, 2, 3].into_iter().cycle()) {
        let part = ask_with(cluster.http(id), &[("tags", "site=a")], question).await?;
        assert_eq!(part, "miss");
    }
    there(&cluster, &tagged).await?;
    complete(&call_off(&cluster, 1, &json!({ "tag": "site=a" })).await?);
    gone(&cluster, &tagged).await?;

    // a model
    for id in cluster.ids() {
        let reply = cluster
            .http(id)
            .chat(&chat("other", &format!("from n{id}")))
            .await?;
        assert_eq!(reply.header("x-llm-router-cache"), "miss");
    }
    complete(&call_off(&cluster, 2, &json!({ "model": "other" })).await?);
    for id in cluster.ids() {
        let asked = format!("from n{}", 1 + id % 3);
        let reply = cluster.http(id).chat(&chat("other", &asked)).await?;
        assert_eq!(reply.header("x-llm-router-cache"), "miss", "{asked}");
    }

    // entries
    for (question, through) in tagged.iter().zip([1, 2, 3].into_iter().cycle()) {
        let entry = entry_of(cluster.http(through), question).await?;
        complete(&call_off(&cluster, through, &json!({ "entry": entry })).await?);
    }
    gone(&cluster, &tagged).await?;

    there(&cluster, &all).await?;
    cluster.end().await
}

/// The entry that answers a question.
async fn entry_of(client: &Client, question: &str) -> anyhow::Result<String> {
    let reply = client.chat(&chat("gpt", question)).await?;
    let entry = reply.header("x-llm-router-cache-entry").to_owned();
    anyhow::ensure!(!entry.is_empty(), "{:?}", reply.headers);
    Ok(entry)
}

#[tokio::test]
async fn what_was_being_answered_when_it_was_called_off_is_not_served_later() -> anyhow::Result<()>
{
    let upstream = Upstream::start().await?;
    let cluster = three(&upstream).await?;
    upstream.wait_before_answering(HELD)?;
    let asked = questions("under way", 12);
    let mut under_way = JoinSet::new();
    for (question, id) in asked.iter().zip([1, 2, 3].into_iter().cycle()) {
        let (client, question) = (cluster.http(id).clone(), question.clone());
        under_way.spawn(async move { ask(&client, &question).await });
    }
    eventually("all are being answered", LIMIT, async || {
        (upstream.in_flight() == 12).then_some(())
    })
    .await?;
    call_off(&cluster, 2, &json!({ "all": true })).await?;
    // whoever asks now gets an answer that is made now
    upstream.wait_before_answering(Duration::ZERO)?;
    let (early, late) = asked.split_at(6);
    gone(&cluster, early).await?;
    while let Some(told) = under_way.join_next().await {
        assert_eq!(told??, "miss");
    }
    gone(&cluster, late).await?;
    assert_eq!(upstream.requests(), 24);
    cluster.end().await
}

/// A key; `by` is whoever may make it, once there is one.
async fn key(node: &Client, by: Option<&str>, order: &Value) -> anyhow::Result<String> {
    let request = node.request(Method::POST, "/admin/v1/keys").json(order);
    let request = match by {
        Some(key) => request.bearer_auth(key),
        None => request,
    };
    let reply = whole(request).await?;
    anyhow::ensure!(reply.status == 201, "{}: {}", reply.status, reply.text());
    Ok(reply.json()["key"].as_str().unwrap_or("").to_owned())
}

/// Asks with a key; gives the cache's part, `None` while the node does not know the key.
async fn ask_as(node: &Client, key: &str, question: &str) -> Option<String> {
    let request = node.request(Method::POST, "/v1/chat/completions");
    let request = request.json(&chat("gpt", question)).bearer_auth(key);
    let reply = whole(request).await.ok()?;
    let part = reply.header("x-llm-router-cache").to_owned();
    (reply.status == 200).then_some(part)
}

#[tokio::test]
async fn calling_off_one_tenants_answers_leaves_the_others() -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    let cluster = three(&upstream).await?;
    let through = cluster.http(1);
    let ops = json!({ "name": "ops", "scopes": ["admin", "use"] });
    let ops = key(through, None, &ops).await?;
    let mut keys = Vec::new();
    for tenant in ["red", "blue"] {
        let order = json!({ "name": tenant, "tenant": tenant });
        keys.push(key(through, Some(&ops), &order).await?);
    }
    let asked = questions("tenants", 6);
    for (tenant, key) in ["red", "blue"].into_iter().zip(&keys) {
        for (question, id) in asked.iter().zip([1, 2, 3].into_iter().cycle()) {
            let part = eventually("a key is known", LIMIT, async || {
                ask_as(cluster.http(id), key, question).await
            })
            .await?;
            assert_eq!(part, "miss", "{tenant} got another tenant's answer");
        }
    }
    let purged = until_called_off(async || {
        let order = through
            .request(Method::POST, "/admin/v1/cache/purge")
            .json(&json!({ "tenant": "red" }))
            .bearer_auth(&ops);
        whole(order).await
    });
    complete(&purged.await?);
    for (question, id) in asked.iter().zip([2, 3, 1].into_iter().cycle()) {
        let node = cluster.http(id);
        assert_eq!(
            ask_as(node, &keys[0], question).await.as_deref(),
            Some("miss")
        );
        assert_eq!(
            ask_as(node, &keys[1], question).await.as_deref(),
            Some("exact")
        );
    }
    cluster.end().await
}
