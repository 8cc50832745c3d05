//! `healthcheck`: for container health checks; says it by the exit code alone.

use super::client::Failed;
use super::{Code, Context};

/// 0 when the node lives, 1 when it says it does not, 3 when it cannot be reached.
///
/// # Errors
/// The address is none.
pub async fn run(context: &Context) -> anyhow::Result<Code> {
    Ok(match context.client()?.get("/health").await {
        Ok(_) => Code::Ok,
        Err(Failed::Refused { .. } | Failed::Broken(_)) => Code::Problems,
        Err(Failed::Unreachable { .. }) => Code::Unreachable,
    })
}
