//! openraft's settings, each with its reason.

use std::sync::Arc;

use openraft::{Config, SnapshotPolicy};

use crate::error::Error;
use crate::start::Timing;

/// A snapshot after this many entries; as many stay in the log so that a node that was away for a
/// while catches up by log.
const SNAPSHOT_EVERY: u64 = 5_000;
/// A node further behind than this gets a snapshot.
const TOO_FAR: u64 = 10_000;
/// Entries in one append; with a config of 1 MiB each batch stays well below the message limit
/// because the transport cuts it by bytes as well.
const BATCH: u64 = 256;
/// A snapshot may take this long, in milliseconds; openraft's own default of 200 ms is for tests.
const SNAPSHOT_MS: u64 = 10_000;
/// Calls waiting for the core; ours wait before it.
const CALLS: u64 = 1_024;

/// The settings for this clockwork.
///
/// # Errors
/// [`Error::Store`] in openraft's words where the timing makes no sense.
pub(crate) fn settings(cluster: &str, timing: Timing) -> Result<Arc<Config>, Error> {
    let ms =
        |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let election_max = ms(timing.election_max);
    let config = Config {
        cluster_name: cluster.to_owned(),
        heartbeat_interval: ms(timing.heartbeat),
        election_timeout_min: ms(timing.election_min),
        election_timeout_max: election_max,
        // a node that was cut off comes back without forcing an election
        enable_pre_vote: Some(true),
        // a leader that restarts asks for votes like anybody else
        enable_leader_restore: Some(false),
        // a node whose log went back has lost data: stop rather than serve from it
        allow_log_reversion: Some(false),
        // a leader that reaches only a minority of five must let the others elect
        quorum_loss_probe_interval: Some(election_max.saturating_mul(3).max(1_000)),
        snapshot_policy: SnapshotPolicy::LogsSinceLast(SNAPSHOT_EVERY),
        max_in_snapshot_log_to_keep: SNAPSHOT_EVERY,
        replication_lag_threshold: TOO_FAR,
        purge_batch_size: 256,
        max_payload_entries: BATCH,
        install_snapshot_timeout: SNAPSHOT_MS,
        api_channel_size: Some(CALLS),
        // a link that is healed is used again within a fifth of a second
        backoff: "200ms".to_owned(),
        ..Config::default()
    };
    let config = config.validate();
    let config = config.map_err(|error| Error::Store(format!("cluster.timing: {error}")))?;
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::settings;
    use crate::start::Timing;

    #[test]
    fn the_default_clockwork_holds_and_a_backward_one_is_refused() {
        assert!(settings("c", Timing::default()).is_ok());
        let backward = Timing {
            heartbeat: Duration::from_millis(500),
            ..Timing::default()
        };
        assert!(settings("c", backward).is_err());
        let slow = Timing {
            heartbeat: Duration::from_millis(100),
            election_min: Duration::from_millis(400),
            election_max: Duration::from_millis(800),
        };
        assert!(settings("c", slow).is_ok());
    }
}
