//! openraft's types over the simulated runtime: the same commands, outcomes, ids and peers as in
//! the program, another clock.

use std::sync::Arc;
use std::time::Duration;

use llm_router_cluster::{Command, NodeId, Outcome, Peer};
use openraft::type_config::alias::{
    CommittedLeaderIdOf, EntryOf, LogIdOf, SnapshotMetaOf, StoredMembershipOf, VoteOf,
};
use openraft::{AsyncRuntime, Instant, SnapshotPolicy};
use openraft_rt_sim::{SimInstant, SimRuntime};

use crate::machine::Machine;

openraft::declare_raft_types!(
    /// The simulated cluster.
    pub(crate) Sim:
        D = Command,
        R = Outcome,
        NodeId = u64,
        Node = Peer,
        AsyncRuntime = SimRuntime,
);

pub(crate) type Entry = EntryOf<Sim>;
pub(crate) type LogId = LogIdOf<Sim>;
pub(crate) type Vote = VoteOf<Sim>;
pub(crate) type Leadership = CommittedLeaderIdOf<Sim>;
pub(crate) type Meta = SnapshotMetaOf<Sim>;
pub(crate) type Membership = StoredMembershipOf<Sim>;
pub(crate) type Raft = openraft::Raft<Sim, Machine>;

/// A snapshot's rows.
pub(crate) type Rows = Arc<Vec<(Vec<u8>, Vec<u8>)>>;

/// Raft's settings: those of the program, with snapshots so often that every run has some.
pub(crate) fn settings() -> Arc<openraft::Config> {
    let config = openraft::Config {
        cluster_name: "sim".to_owned(),
        heartbeat_interval: 50,
        election_timeout_min: 200,
        election_timeout_max: 400,
        install_snapshot_timeout: 10_000,
        max_payload_entries: 16,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(60),
        max_in_snapshot_log_to_keep: 20,
        purge_batch_size: 8,
        replication_lag_threshold: 40,
        enable_pre_vote: Some(true),
        enable_leader_restore: Some(false),
        allow_log_reversion: Some(false),
        ..openraft::Config::default()
    };
    Arc::new(config.validate().unwrap())
}

/// Where a node would be reached.
pub(crate) fn peer(id: u64) -> Peer {
    Peer {
        name: NodeId::parse(&format!("n{id}")).unwrap(),
        address: format!("sim:{id}"),
    }
}

/// Simulated time since the run began.
pub(crate) fn now() -> Duration {
    SimInstant::now().elapsed_since_start()
}

/// Lets simulated time pass.
pub(crate) async fn pause(time: Duration) {
    SimRuntime::sleep(time).await;
}

/// So many simulated milliseconds.
pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
