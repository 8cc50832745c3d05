//! How the node stands in its cluster, read when metrics are collected.

use std::sync::Arc;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Meter, MeterProvider};

use super::Metrics;

/// The levels of one node in its cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClusterLevels {
    /// A leader with a quorum was heard of lately.
    pub connected: bool,
    /// Raft's term.
    pub term: u64,
    /// 0 learner, 1 voter, 2 leader.
    pub role: u64,
    /// The last entry applied here.
    pub applied: u64,
    /// The last entry known to be committed.
    pub committed: u64,
    /// Milliseconds since the leader was last heard of, if it ever was.
    pub leader_contact_ms: Option<u64>,
    /// When the node's certificate ends, in seconds since 1970, if it has one.
    pub certificate_ends_s: Option<u64>,
    /// Members heard of lately.
    pub alive: u64,
    /// Revision of the config as agreed.
    pub agreed: u64,
    /// Revision of the config in service here.
    pub in_service: u64,
}

type Read = Arc<dyn Fn() -> ClusterLevels + Send + Sync>;
type Pick = fn(&ClusterLevels) -> Option<u64>;

/// Name, unit, description and value of each gauge.
const GAUGES: [([&str; 3], Pick); 10] = [
    (
        [
            "llm_router.cluster.connected",
            "{state}",
            "A leader with a quorum was heard of lately: 1 yes, 0 no.",
        ],
        |levels| Some(u64::from(levels.connected)),
    ),
    (
        [
            "llm_router.cluster.term",
            "{term}",
            "Raft's term as this node knows it.",
        ],
        |levels| Some(levels.term),
    ),
    (
        [
            "llm_router.cluster.role",
            "{role}",
            "What this node is: 0 learner, 1 voter, 2 leader.",
        ],
        |levels| Some(levels.role),
    ),
    (
        [
            "llm_router.cluster.applied",
            "{entry}",
            "Index of the last log entry applied here.",
        ],
        |levels| Some(levels.applied),
    ),
    (
        [
            "llm_router.cluster.committed",
            "{entry}",
            "Index of the last log entry known to be committed.",
        ],
        |levels| Some(levels.committed),
    ),
    (
        [
            "llm_router.cluster.leader_contact",
            "ms",
            "Time since the leader was last heard of; absent before the first time.",
        ],
        |levels| levels.leader_contact_ms,
    ),
    (
        [
            "llm_router.cluster.certificate_ends",
            "s",
            "When the certificate by which other nodes know this one ends, in seconds since 1970; absent without one.",
        ],
        |levels| levels.certificate_ends_s,
    ),
    (
        [
            "llm_router.cluster.alive",
            "{node}",
            "Members heard of lately, this node included.",
        ],
        |levels| Some(levels.alive),
    ),
    (
        [
            "llm_router.config.revision",
            "{revision}",
            "Revision of the routing configuration as agreed.",
        ],
        |levels| Some(levels.agreed),
    ),
    (
        [
            "llm_router.config.in_service",
            "{revision}",
            "Revision of the routing configuration in service on this node; 0 for its own default.",
        ],
        |levels| Some(levels.in_service),
    ),
];

impl Metrics {
    /// From now on, collections tell how this node stands in its cluster, and what it does with
    /// each resource without it: `modes`. `read` must not wait.
    pub fn watch_cluster(
        &self,
        read: impl Fn() -> ClusterLevels + Send + Sync + 'static,
        modes: &'static [(&'static str, &'static str)],
    ) {
        let meter = self.inner.provider.meter("llm-router");
        let read: Read = Arc::new(read);
        for (words, pick) in GAUGES {
            observe(&meter, &read, words, pick);
        }
        observe_modes(&meter, read, modes);
    }

    /// The cluster was asked to agree on a change of this kind; `outcome` is `ok` or why not.
    pub fn proposed(&self, kind: &'static str, outcome: &'static str) {
        let labels = [
            KeyValue::new("kind", kind),
            KeyValue::new("outcome", outcome),
        ];
        self.inner.instruments.proposals.add(1, &labels);
    }
}

fn observe(meter: &Meter, read: &Read, [name, unit, text]: [&'static str; 3], pick: Pick) {
    let read = Arc::clone(read);
    meter
        .u64_observable_gauge(name)
        .with_unit(unit)
        .with_description(text)
        .with_callback(move |gauge| {
            if let Some(value) = pick(&read()) {
                gauge.observe(value, &[]);
            }
        })
        .build();
}

fn observe_modes(meter: &Meter, read: Read, modes: &'static [(&'static str, &'static str)]) {
    meter
        .u64_observable_gauge("llm_router.partition_mode")
        .with_unit("{state}")
        .with_description("What the node does with a resource without a leader: 1 while it is so.")
        .with_callback(move |gauge| {
            let isolated = u64::from(!read().connected);
            for (resource, mode) in modes {
                let labels = [
                    KeyValue::new("resource", *resource),
                    KeyValue::new("mode", *mode),
                ];
                gauge.observe(isolated, &labels);
            }
        })
        .build();
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn a_node_in_a_cluster_tells_how_it_stands() {
        let metrics = Metrics::detached();
        assert!(!metrics.render().unwrap().contains("cluster_connected"));
        let connected = Arc::new(AtomicBool::new(true));
        let shared = Arc::clone(&connected);
        let levels = move || ClusterLevels {
            connected: shared.load(Ordering::SeqCst),
            role: 2,
            agreed: 7,
            certificate_ends_s: Some(1_800_000_000),
            ..ClusterLevels::default()
        };
        metrics.watch_cluster(levels, &[("writes", "refuse")]);
        metrics.proposed("config", "no_quorum");
        let text = metrics.render().unwrap();
        for line in [
            "llm_router_cluster_connected 1",
            "llm_router_cluster_role 2",
            "llm_router_cluster_certificate_ends_seconds 1800000000",
            "llm_router_config_revision 7",
            "llm_router_partition_mode{mode=\"refuse\",resource=\"writes\"} 0",
            "llm_router_cluster_proposals_total{kind=\"config\",outcome=\"no_quorum\"} 1",
        ] {
            assert!(text.contains(line), "{line}:\n{text}");
        }
        assert!(!text.contains("leader_contact"), "never heard of a leader");
        connected.store(false, Ordering::SeqCst);
        let text = metrics.render().unwrap();
        let isolated = "llm_router_partition_mode{mode=\"refuse\",resource=\"writes\"} 1";
        assert!(text.contains(isolated), "{text}");
    }
}
