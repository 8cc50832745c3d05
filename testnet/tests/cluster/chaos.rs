//! A short run of everything at once; `cargo run -p llm-router-testnet -- chaos` runs longer ones.

use std::time::Duration;

use llm_router_testnet::chaos::{Options, run};
use llm_router_testnet::say;

async fn holds(seed: u64) -> anyhow::Result<()> {
    let report = run(Options {
        nodes: 3,
        lasting: Duration::from_secs(25),
        seed,
    })
    .await?;
    say(&format!("\nchaos: {report}"));
    assert!(report.holds(), "{report}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_nobody_fails_under_the_faults_of_seed_11() -> anyhow::Result<()> {
    holds(11).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_nobody_fails_under_the_faults_of_seed_12() -> anyhow::Result<()> {
    holds(12).await
}
