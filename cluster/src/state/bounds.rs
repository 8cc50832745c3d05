//! The bounds that several tables share. What is too large is refused before it is looked at, and a
//! refusal never quotes it.

use crate::command::Rejected;
use crate::identity::NodeId;

/// Largest `by` of a command, and names and tenants of keys, in bytes.
pub(super) const MAX_NAME: usize = 128;
/// Largest note on a config revision in bytes: a path fits.
pub(super) const MAX_NOTE: usize = 512;
/// Largest `host:port` in bytes: a domain name has at most 253.
pub(super) const MAX_ADDRESS: usize = 260;
/// Largest target or scope in bytes.
pub(super) const MAX_TARGET: usize = 256;
/// Most breaker steps of one command; the leader makes at most 50 at once.
pub(super) const MAX_STEPS: usize = 256;

pub(super) fn too_much(what: impl Into<String>) -> Rejected {
    Rejected::TooMuch { what: what.into() }
}

/// A text of at most so many bytes.
pub(super) fn text(what: &str, text: &str, most: usize) -> Result<(), Rejected> {
    if text.len() > most {
        return Err(too_much(format!("{what} has at most {most} bytes")));
    }
    Ok(())
}

/// The same, and not empty.
pub(super) fn name(what: &str, name: &str, most: usize) -> Result<(), Rejected> {
    if name.is_empty() {
        return Err(too_much(format!("{what} has at least one byte")));
    }
    text(what, name, most)
}

/// Room for one more.
pub(super) fn room(what: &str, have: usize, most: usize) -> Result<(), Rejected> {
    if have >= most {
        return Err(too_much(format!(
            "there are {most} {what} already, the most there may be"
        )));
    }
    Ok(())
}

/// A node id that came over the wire unchecked.
pub(super) fn node(name: &NodeId) -> Result<(), Rejected> {
    NodeId::parse(name.as_str())
        .map(drop)
        .map_err(|bad| too_much(bad.to_string()))
}
