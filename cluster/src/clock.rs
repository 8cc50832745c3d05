//! The one place that reads wall time. It goes into commands; nothing waits by it.

use std::time::UNIX_EPOCH;

/// Wall-clock milliseconds.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads wall time"
)]
pub(crate) fn unix_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
