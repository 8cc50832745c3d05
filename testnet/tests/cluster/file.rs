//! A configuration file on one of three nodes.

use std::time::Duration;

use llm_router_testnet::client::chat;
use llm_router_testnet::{Cluster, Witness, eventually};

const SOON: Duration = Duration::from_secs(10);

fn config(upstream: &Witness, names: &[&str]) -> String {
    let models: String = names.iter().map(|name| upstream.model(name, "")).collect();
    format!("models:\n{models}")
}

/// Writes a node's own part and this routing part to its file.
fn write(cluster: &Cluster, id: usize, own: &str, routing: &str) -> anyhow::Result<()> {
    let file = cluster.folder().join(format!("n{id}/node.yaml"));
    Ok(std::fs::write(file, format!("{own}{routing}"))?)
}

async fn serves(cluster: &Cluster, name: &str) -> anyhow::Result<()> {
    for id in cluster.ids() {
        let what = format!("n{id} serves {name}");
        eventually(&what, SOON, async || {
            let reply = cluster.http(id).chat(&chat(name, "hello")).await.ok()?;
            (reply.status == 200).then_some(())
        })
        .await?;
    }
    Ok(())
}

/// Waits until a node says that this side has moved since both said the same.
async fn newer(cluster: &Cluster, id: usize, side: &str) -> anyhow::Result<()> {
    let what = format!("n{id} says that its file differs, and which is newer: {side}");
    eventually(&what, SOON, async || {
        let file = cluster.status(id).await?["file"].take();
        (file["in_step"] == false && file["newer"] == side).then_some(())
    })
    .await
}

#[tokio::test]
async fn a_changed_file_is_agreed_on_unless_somebody_else_was_faster() -> anyhow::Result<()> {
    let upstream = Witness::start().await?;
    let mut cluster = Cluster::of(3, &config(&upstream, &["first"])).await?;
    let own = std::fs::read_to_string(cluster.folder().join("n2/node.yaml"))?;
    // It says what is agreed: from here on both are in step.
    write(&cluster, 2, &own, &config(&upstream, &["first"]))?;
    cluster.restart(2).await?;
    let before = cluster.in_step().await?;

    write(&cluster, 2, &own, &config(&upstream, &["first", "by-file"]))?;
    serves(&cluster, "by-file").await?;
    let agreed = cluster.in_step().await?;
    assert_eq!(agreed, before + 1, "proposed once");
    let history = cluster.http(1).get("/admin/v1/config/history").await?;
    assert!(history.text().contains("file on n2"), "{}", history.text());

    // Somebody else changes what is agreed; the file stays as it is.
    let other = config(&upstream, &["first", "by-hand"]);
    let agreed = cluster.put(1, &other).await?;
    newer(&cluster, 2, "agreed").await?;
    write(
        &cluster,
        2,
        &own,
        &config(&upstream, &["first", "too-late"]),
    )?;
    newer(&cluster, 2, "both").await?;
    assert_eq!(cluster.in_step().await?, agreed, "the file was too late");
    eventually("it says what to do", SOON, async || {
        cluster.log(2).contains("config apply").then_some(())
    })
    .await?;

    // A file that does not hold changes nothing.
    write(
        &cluster,
        2,
        &own,
        "routes: [{ name: r, targets: [nobody] }]\n",
    )?;
    eventually("it says what is wrong", SOON, async || {
        cluster
            .log(2)
            .contains("refused, the old one stays")
            .then_some(())
    })
    .await?;
    assert_eq!(cluster.in_step().await?, agreed);
    serves(&cluster, "by-hand").await?;
    cluster.end().await
}
