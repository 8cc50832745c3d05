//! Orders that may meet a cluster without a leader.

use anyhow::Context;
use llm_router_testnet::client::Reply;
use llm_router_testnet::cluster::LIMIT;
use llm_router_testnet::eventually;

/// Gives an order again and again while the answer is 503, which a node gives within half a second when
/// no leader is heard of: one that stands still for a moment is enough. For orders that come to the
/// same however often they are given.
///
/// # Errors
/// When there is no answer, or no other one in time.
pub(crate) async fn until_told(
    mut order: impl AsyncFnMut() -> anyhow::Result<Reply>,
) -> anyhow::Result<Reply> {
    let mut last = String::new();
    eventually("it is taken or refused", LIMIT, async || {
        let told = order().await;
        let Some(refused) = told.as_ref().ok().filter(|reply| reply.status == 503) else {
            return Some(told);
        };
        last = refused.text();
        None
    })
    .await
    .with_context(|| last.clone())?
}
