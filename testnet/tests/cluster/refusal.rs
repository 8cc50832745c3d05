//! Nodes that must not come in. Each is told why, and nothing has changed.

use std::time::Duration;

use llm_router_testnet::cluster::{Cluster, LIMIT, Setup};
use llm_router_testnet::eventually;
use serde_json::{Value, json};

/// A node that is refused ends; one that hopes would go on for ever.
const GIVES_UP: Duration = Duration::from_secs(20);

/// What must stay as it is, by the word of the first node. Which of them are alive is not: one that
/// stands still for a moment is not, for that moment.
pub(crate) async fn members(cluster: &Cluster) -> anyhow::Result<Vec<Value>> {
    eventually("n1 says who belongs", LIMIT, async || {
        let status = cluster.status(1).await?;
        let lasting = ["id", "member", "role", "address"];
        let node = |node: &Value| json!(lasting.map(|part| &node[part]));
        Some(status["nodes"].as_array()?.iter().map(node).collect())
    })
    .await
}

/// The node ends with an error, and its words have all of these.
async fn is_refused(cluster: &mut Cluster, id: usize, words: &[&str]) -> anyhow::Result<()> {
    let code = cluster.ends(id, GIVES_UP).await?;
    let log = cluster.log(id);
    assert_ne!(code, Some(0), "{log}");
    for word in words {
        assert!(log.contains(word), "`{word}` is not in:\n{log}");
    }
    Ok(())
}

#[tokio::test]
async fn a_name_that_is_taken_and_data_of_another_cluster_are_refused() -> anyhow::Result<()> {
    let mut cluster = Cluster::prepare(3, Setup::default()).await?;
    cluster.launch(1).await?;
    cluster.launch(2).await?;
    let before = members(&cluster).await?;

    // A third node that says it is the second.
    let file = cluster.folder().join("n3").join("node.yaml");
    let text = std::fs::read_to_string(&file)?;
    std::fs::write(&file, text.replace("id: n3", "id: n2"))?;
    cluster.spawn(3)?;
    is_refused(&mut cluster, 3, &["n2", "is a member already"]).await?;
    assert_eq!(members(&cluster).await?, before);

    // It begins a cluster of its own, and is then told to join the first.
    cluster.wipe(3)?;
    cluster.write_file(3, None)?;
    cluster.launch(3).await?;
    cluster.kill(3).await?;
    cluster.write_file(3, Some(1))?;
    cluster.spawn(3)?;
    is_refused(&mut cluster, 3, &["belongs to cluster"]).await?;
    assert_eq!(members(&cluster).await?, before);

    // With an empty directory it is welcome.
    cluster.wipe(3)?;
    cluster.launch(3).await?;
    cluster.formed(3).await?;
    cluster.end().await
}

#[tokio::test]
async fn a_member_of_one_cluster_is_not_heard_by_another() -> anyhow::Result<()> {
    let mut ours = Cluster::prepare(2, Setup::default()).await?;
    ours.launch(1).await?;
    let mut theirs = Cluster::prepare(2, Setup::default()).await?;
    theirs.launch(1).await?;
    theirs.launch(2).await?;
    let before = members(&ours).await?;

    // Their n1 is gone and its address leads to ours, which has the same name.
    theirs.kill(1).await?;
    theirs.kill(2).await?;
    let address = ours.cluster_address(1)?;
    let file = theirs.folder().join("n2").join("node.yaml");
    let text = std::fs::read_to_string(&file)?;
    let dial: Vec<String> = text
        .lines()
        .map(|line| match line.trim_start().starts_with("n1:") {
            true => format!("    n1: \"{address}\""),
            false => line.to_owned(),
        })
        .collect();
    std::fs::write(&file, dial.join("\n") + "\n")?;
    theirs.launch(2).await?;
    eventually("n1 says why it refuses", GIVES_UP, async || {
        ours.log(1).contains("belongs to").then_some(())
    })
    .await?;
    let status = theirs.status(2).await.unwrap_or_default();
    assert_eq!(status["connected"], false, "{status}");
    assert_eq!(members(&ours).await?, before);
    assert_eq!(status["nodes"].as_array().map(Vec::len), Some(2));
    theirs.end().await?;
    ours.end().await
}
