//! Two seconds of bent answers for everything that reads an upstream's; `llm-router-testnet fuzz` takes
//! longer.

use std::time::Duration;

use llm_router_testnet::fuzz::{self, Target};

const LASTING: Duration = Duration::from_secs(2);

#[tokio::test]
async fn nothing_an_upstream_sends_breaks_a_reader() -> anyhow::Result<()> {
    let seed = rand::random();
    for target in Target::ALL {
        let tally = fuzz::run(target, LASTING, seed).await?;
        assert!(tally.inputs > 100, "{target:?}: {tally:?}, seed {seed}");
    }
    Ok(())
}
