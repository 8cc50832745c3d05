//! Members that are taken out while they run.

use std::time::Duration;

use llm_router_testnet::cluster::LIMIT;
use llm_router_testnet::load::Load;
use llm_router_testnet::{Cluster, Witness, eventually};

const SOON: Duration = Duration::from_secs(15);
/// The exit code of a node that was taken out: starting it again as it is would not help.
const TAKEN_OUT: i32 = 78;

#[tokio::test]
async fn a_running_node_that_is_taken_out_says_so_and_ends_and_nobody_else_notices()
-> anyhow::Result<()> {
    let upstream = Witness::start().await?;
    let config = format!("models:\n{}", upstream.model("gpt", ""));
    let mut cluster = Cluster::of(3, &config).await?;
    let (leader, followers) = cluster.roles().await?;
    let gone = followers[0];
    let stay: Vec<usize> = cluster.ids().filter(|&id| id != gone).collect();
    let loads: Vec<Load> = stay
        .iter()
        .map(|&id| Load::start(cluster.http(id), "gpt", 1))
        .collect();
    let spoken = cluster.log(gone).len();

    eventually("it is taken out", LIMIT, async || {
        let reply = cluster.remove(leader, gone).await.ok()?;
        // taken out by an order whose end nobody heard of, it is unknown to the next
        (reply.status < 300 || reply.status == 404).then_some(())
    })
    .await?;
    let code = cluster.ends(gone, SOON).await;
    let log = cluster.log(gone);
    let said = log[spoken..].to_lowercase();
    assert_eq!(code?, Some(TAKEN_OUT), "{said}");
    assert!(said.contains("removed"), "{said}");
    assert!(!said.contains("panicked"), "{said}");

    cluster.put(stay[1], &config).await?;
    eventually("two are left", LIMIT, async || {
        let status = cluster.status(stay[0]).await?;
        (status["nodes"].as_array()?.len() == 2).then_some(())
    })
    .await?;
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
