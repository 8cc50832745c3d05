//! What goes between nodes, as messages. Generated types stay in here; each file converts those of
//! one service: outward cannot fail, inward names the field that is missing or wrong.

pub(crate) mod pulse;
pub(crate) mod raft;
