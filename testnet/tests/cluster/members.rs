//! Members that are taken out while they run.

use std::time::Duration;

use llm_router_testnet::load::Load;
use llm_router_testnet::{Cluster, Witness};

const SOON: Duration = Duration::from_secs(15);
/// The exit code of a node that was taken out: starting it again as it is would not help.
const TAKEN_OUT: i32 = 78;

#[tokio::test]
async fn a_running_node_that_is_taken_out_says_so_and_ends_and_nobody_else_notices()
-> anyhow::Result<()> {
    let upstream = Witness::start().await?;
    let config = format!("models:\n{}", upstream.model("gpt", ""));
    let mut cluster = Cluster::of(3, &config).await?;
    let leader = cluster.leader().await?;
    let gone = cluster.followers().await?[0];
    let stay: Vec<usize> = cluster.ids().filter(|&id| id != gone).collect();
    let loads: Vec<Load> = stay
        .iter()
        .map(|&id| Load::start(cluster.http(id), "gpt", 1))
        .collect();
    let spoken = cluster.log(gone).len();

    let reply = cluster.remove(leader, gone).await?;
    assert!(reply.status < 300, "{}", reply.text());
    let code = cluster.ends(gone, SOON).await;
    let log = cluster.log(gone);
    let said = log[spoken..].to_lowercase();
    assert_eq!(code?, Some(TAKEN_OUT), "{said}");
    assert!(said.contains("removed"), "{said}");
    assert!(!said.contains("panicked"), "{said}");

    cluster.put(stay[1], &config).await?;
    let status = cluster.status(stay[0]).await.unwrap_or_default();
    assert_eq!(
        status["nodes"].as_array().map(Vec::len),
        Some(2),
        "{status}"
    );
    for load in loads {
        let tally = load.finish().await?;
        assert_eq!(tally.failures, 0, "{:?}", tally.bad);
    }

    // With an empty directory it is welcome.
    cluster.wipe(gone)?;
    cluster.write_file(gone, Some(leader))?;
    cluster.launch(gone).await?;
    cluster.formed(3).await?;
    cluster.end().await
}
