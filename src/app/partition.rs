//! What a node does with each resource while it hears of no leader with a quorum.

/// Resource and mode, as `GET /admin/v1/cluster` shows them.
pub(super) const MODES: [(&str, &str); 6] = [
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
    // the node's own entries
    ("cache", "local"),
];
