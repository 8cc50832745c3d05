//! Every door over every provider dialect.

use llm_router_testnet::wires::{self, Options};

#[tokio::test]
async fn a_client_of_any_dialect_hears_an_upstream_of_any_other() -> anyhow::Result<()> {
    let report = wires::run(&Options::default()).await?;
    assert!(report.holds(), "\n{report}");
    Ok(())
}
