//! Waiting for something to become true, with a bound.

use std::time::Duration;

use anyhow::bail;
use tokio::time::{Instant, sleep};

const STEP: Duration = Duration::from_millis(5);

/// Asks `question` every few milliseconds until it answers `Some`, and hands the answer back.
///
/// # Errors
/// When `limit` passes first; the error carries `what`.
pub async fn eventually<T>(
    what: &str,
    limit: Duration,
    mut question: impl AsyncFnMut() -> Option<T>,
) -> anyhow::Result<T> {
    let started = Instant::now();
    loop {
        if let Some(answer) = question().await {
            return Ok(answer);
        }
        if started.elapsed() > limit {
            bail!("not within {limit:?}: {what}");
        }
        sleep(STEP).await;
    }
}
