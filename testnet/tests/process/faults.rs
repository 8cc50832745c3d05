//! Everything that can go wrong upstream, once in one of four ways through every door.

use llm_router_testnet::faults::{self, Options};

#[tokio::test]
async fn every_fault_ends_in_a_right_answer_or_a_clear_error() -> anyhow::Result<()> {
    let report = faults::run(&Options::default()).await?;
    assert!(report.holds(), "\n{report}");
    Ok(())
}
