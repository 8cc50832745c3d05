//! What a node does with each resource while it hears of no leader with a quorum.

/// Resource and mode, as `GET /admin/v1/cluster` and `llm_router_partition_mode` show them.
pub const MODES: [(&str, &str); 6] = [
    // by the last agreed config
    ("routing", "serve"),
    // config, keys, members: 503 within half a second
    ("writes", "refuse"),
    // by the node's own evidence, beginning with what was agreed last
    ("breakers", "local"),
    // each node max(1, limit / nodes)
    ("limits", "equal_share"),
    // taken for as long as each key says
    ("keys", "serve_for_a_time"),
    // as `cache.partition_mode` says: the node's own entries, or nothing
    ("cache", "as_configured"),
];

/// The same as `x-llm-router-partition-mode` says it while it is so.
pub const HEADER: &str = "routing=serve, writes=refuse, breakers=local, limits=equal_share, \
                          keys=serve_for_a_time, cache=as_configured";

#[cfg(test)]
mod tests {
    use super::{HEADER, MODES};

    #[test]
    fn the_header_says_what_the_table_says() {
        let pairs = MODES.map(|(what, mode)| format!("{what}={mode}"));
        assert_eq!(HEADER, pairs.join(", "));
    }
}
