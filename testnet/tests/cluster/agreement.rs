//! Three nodes form, agree, and serve every change of any of them.

use http::Method;
use llm_router_testnet::client::{chat, whole};
use llm_router_testnet::cluster::admin::{Fresh, Put, put, read};
use llm_router_testnet::{Cluster, Witness};
use serde_json::json;

fn config(upstream: &Witness, names: &[&str]) -> String {
    let models: String = names.iter().map(|name| upstream.model(name, "")).collect();
    format!("models:\n{models}")
}

#[tokio::test]
async fn a_change_through_any_node_is_live_on_all_and_history_brings_it_back() -> anyhow::Result<()>
{
    let upstream = Witness::start().await?;
    let cluster = Cluster::of(3, &config(&upstream, &["first"])).await?;
    let mut revision = cluster.in_step().await?;

    for id in cluster.ids() {
        let name = format!("through-n{id}");
        let agreed = cluster
            .put(id, &config(&upstream, &["first", &name]))
            .await?;
        assert!(agreed > revision, "{agreed} after {revision}");
        revision = agreed;
        cluster.serve(revision).await?;
        for other in cluster.ids() {
            let reply = cluster.http(other).chat(&chat(&name, "hello")).await?;
            assert_eq!(reply.status, 200, "n{other}: {}", reply.text());
            assert_eq!(reply.header("x-llm-router-node"), format!("n{other}"));
            assert_eq!(
                reply.header("x-llm-router-revision"),
                revision.to_string(),
                "{:?}",
                reply.headers
            );
        }
    }

    lost_races_change_nothing(&cluster, &upstream, revision).await?;
    let back = rolled_back(&cluster, revision).await?;
    cluster.serve(back).await?;
    let (_, config) = read(cluster.http(3), Fresh::Linearizable).await?;
    let names: Vec<&String> = config["models"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["first", "through-n1"]);
    cluster.end().await
}

async fn lost_races_change_nothing(
    cluster: &Cluster,
    upstream: &Witness,
    revision: u64,
) -> anyhow::Result<()> {
    let text = config(upstream, &["first", "too-late"]);
    let late = put(cluster.http(2), &text, Some(revision - 1)).await;
    assert_eq!(late, Put::Stale(revision));
    let invalid = put(
        cluster.http(3),
        "routes: [{ name: r, targets: [nobody] }]",
        None,
    )
    .await;
    assert_eq!(invalid, Put::Refused(422));
    for id in cluster.ids() {
        assert_eq!(
            read(cluster.http(id), Fresh::Linearizable).await?.0,
            revision
        );
    }
    Ok(())
}

/// To the config that was made through n1, two revisions ago.
async fn rolled_back(cluster: &Cluster, revision: u64) -> anyhow::Result<u64> {
    let history = cluster.http(2).get("/admin/v1/config/history").await?;
    assert_eq!(history.status, 200, "{}", history.text());
    let text = history.text();
    for kept in [revision - 2, revision - 1, revision] {
        assert!(text.contains(&format!("\"revision\":{kept}")), "{text}");
    }
    let asked = json!({ "revision": revision - 2 });
    let path = "/admin/v1/config/rollback";
    let reply = cluster.http(3).post(path, &asked).await?;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let back = reply.json()["revision"].as_u64().unwrap_or(0);
    assert_eq!(back, revision + 1);
    let nowhere = cluster
        .http(1)
        .post(path, &json!({ "revision": 9999 }))
        .await?;
    assert_eq!(nowhere.status, 404, "{}", nowhere.text());
    Ok(back)
}

#[tokio::test]
async fn a_learner_serves_and_a_read_waits_for_what_its_caller_has_seen() -> anyhow::Result<()> {
    let upstream = Witness::start().await?;
    // Two nodes: an even number of voters would only make a quorum harder to reach.
    let cluster = Cluster::of(2, &config(&upstream, &["first"])).await?;
    let status = cluster.status(2).await.unwrap();
    let roles: Vec<_> = [0, 1].map(|n| status["nodes"][n]["role"].clone()).into();
    assert!(roles.contains(&json!("learner")), "{status}");

    let text = config(&upstream, &["first", "second"]);
    let revision = cluster.put(2, &text).await?;
    let path = format!("/admin/v1/config?consistency=local&min_revision={revision}");
    let request = cluster.http(2).request(Method::GET, &path);
    assert_eq!(whole(request).await?.json()["revision"], revision);
    let question = chat("second", "hello");
    let reply = cluster.http(2).chat(&question).await?;
    assert_eq!(reply.status, 200, "{}", reply.text());

    // The same for requests: what the caller has seen is in service, or it is told so.
    let text = config(&upstream, &["first", "second", "third"]);
    let revision = cluster.put(1, &text).await?;
    let seen = [("min-revision", &*revision.to_string())];
    let question = chat("third", "hello");
    let reply = cluster.http(2).chat_with(&seen, &question).await?;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let served = reply.header("x-llm-router-revision").parse::<u64>()?;
    assert!(served >= revision, "{served} after {revision}");
    let unseen = [("min-revision", &*(revision + 1_000).to_string())];
    let reply = cluster.http(2).chat_with(&unseen, &question).await?;
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert!(
        reply.text().contains("revision_not_here"),
        "{}",
        reply.text()
    );
    cluster.end().await
}
