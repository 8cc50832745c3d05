//! What goes between the caches of a cluster's nodes.

use std::sync::Arc;

use opentelemetry::metrics::MeterProvider;

use super::Metrics;
use crate::types::report::CachePeers;

type Read = Arc<dyn Fn() -> Option<CachePeers> + Send + Sync>;
type Pick = fn(&CachePeers) -> u64;

/// Name, unit, description and value of what only grows.
const COUNTERS: [([&str; 3], Pick); 12] = [
    (
        [
            "llm_router.cache.peer.looks",
            "{lookup}",
            "Questions by meaning that looked on other nodes too.",
        ],
        |peers| peers.looks,
    ),
    (
        [
            "llm_router.cache.peer.asked",
            "{node}",
            "Nodes asked for them, this one counted where it owns a near cell.",
        ],
        |peers| peers.asked,
    ),
    (
        [
            "llm_router.cache.peer.hits",
            "{hit}",
            "Hits by an entry of another node.",
        ],
        |peers| peers.remote_hits,
    ),
    (
        [
            "llm_router.cache.peer.unanswered",
            "{call}",
            "Calls to other nodes' caches without an answer in time.",
        ],
        |peers| peers.unanswered,
    ),
    (
        [
            "llm_router.cache.peer.behind",
            "{call}",
            "Calls that came to nothing because a node knew less of what was called off.",
        ],
        |peers| peers.behind,
    ),
    (
        [
            "llm_router.cache.peer.foreign",
            "{entry}",
            "Entries that were not the caller's and were thrown away: damage, or an attack.",
        ],
        |peers| peers.foreign,
    ),
    (
        [
            "llm_router.cache.peer.sent",
            "{entry}",
            "New entries sent to the nodes that keep them.",
        ],
        |peers| peers.sent,
    ),
    (
        [
            "llm_router.cache.peer.received",
            "{entry}",
            "Entries of other nodes that were kept here.",
        ],
        |peers| peers.received,
    ),
    (
        [
            "llm_router.cache.peer.dropped",
            "{entry}",
            "Entries for which there was no room on the way to other nodes.",
        ],
        |peers| peers.dropped,
    ),
    (
        [
            "llm_router.cache.peer.hinted",
            "{entry}",
            "Entries kept here because their owner could not be reached.",
        ],
        |peers| peers.hinted,
    ),
    (
        [
            "llm_router.cache.peer.moved",
            "{entry}",
            "Entries brought elsewhere because nodes or cells have changed, or a copy was lost.",
        ],
        |peers| peers.moved,
    ),
    (
        [
            "llm_router.cache.peer.moved.size",
            "By",
            "Bytes of the entries that were brought elsewhere.",
        ],
        |peers| peers.moved_bytes,
    ),
];

/// The same of what goes up and down.
const GAUGES: [([&str; 3], Pick); 3] = [
    (
        [
            "llm_router.cache.peer.nodes",
            "{node}",
            "Nodes among which this node divides the entries of the cache.",
        ],
        |peers| peers.nodes,
    ),
    (
        [
            "llm_router.cache.peer.cells.epoch",
            "{epoch}",
            "Epoch of the cells in use; 0 for the set a space begins with.",
        ],
        |peers| peers.cells,
    ),
    (
        [
            "llm_router.cache.peer.moving",
            "{state}",
            "1 while entries are on the move.",
        ],
        |peers| u64::from(peers.moving),
    ),
];

impl Metrics {
    /// From now on, collections tell what goes between this node's cache and the others. `read`
    /// must not wait.
    pub fn watch_cache_peers(&self, read: impl Fn() -> Option<CachePeers> + Send + Sync + 'static) {
        let meter = self.inner.provider.meter("llm-router");
        let read: Read = Arc::new(read);
        for ([name, unit, text], pick) in COUNTERS {
            let read = Arc::clone(&read);
            meter
                .u64_observable_counter(name)
                .with_unit(unit)
                .with_description(text)
                .with_callback(move |counter| {
                    if let Some(peers) = read() {
                        counter.observe(pick(&peers), &[]);
                    }
                })
                .build();
        }
        for ([name, unit, text], pick) in GAUGES {
            let read = Arc::clone(&read);
            meter
                .u64_observable_gauge(name)
                .with_unit(unit)
                .with_description(text)
                .with_callback(move |gauge| {
                    if let Some(peers) = read() {
                        gauge.observe(pick(&peers), &[]);
                    }
                })
                .build();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_between_caches_is_published_where_there_are_any() {
        let metrics = Metrics::detached();
        metrics.watch_cache_peers(|| None);
        assert!(!metrics.render().unwrap().contains("llm_router_cache_peer"));
        let metrics = Metrics::detached();
        metrics.watch_cache_peers(|| {
            Some(CachePeers {
                nodes: 5,
                moving: true,
                foreign: 2,
                moved_bytes: 4096,
                ..CachePeers::default()
            })
        });
        let text = metrics.render().unwrap();
        for line in [
            "llm_router_cache_peer_nodes 5",
            "llm_router_cache_peer_moving 1",
            "llm_router_cache_peer_foreign_total 2",
            "llm_router_cache_peer_moved_size_bytes_total 4096",
        ] {
            assert!(text.contains(line), "{line}:\n{text}");
        }
    }
}
