//! Who a node is, and which state of an agreed table it has seen.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A node's name: 1 to 64 characters of `[A-Za-z0-9._-]`, unique in its cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(String);

/// The text cannot name a node.
#[derive(Debug, PartialEq, Eq)]
pub struct BadNodeId;

impl fmt::Display for BadNodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a node id is 1 to 64 characters of A-Z a-z 0-9 . _ -")
    }
}

impl std::error::Error for BadNodeId {}

impl NodeId {
    /// Checks the charset and length.
    ///
    /// # Errors
    /// `BadNodeId` when the text does not fit.
    pub fn parse(text: &str) -> Result<Self, BadNodeId> {
        let fits = (1..=64).contains(&text.len());
        let clean = text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if fits && clean {
            Ok(NodeId(text.to_owned()))
        } else {
            Err(BadNodeId)
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A cluster's name, made once when it begins: the rules of [`NodeId`] apply.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClusterId(String);

impl ClusterId {
    /// Checks the charset and length.
    ///
    /// # Errors
    /// `BadNodeId` when the text does not fit.
    pub fn parse(text: &str) -> Result<Self, BadNodeId> {
        NodeId::parse(text).map(|id| ClusterId(id.0))
    }

    /// The name of a cluster that begins now, for nodes whose certificates say `certified`: one
    /// that was begun again, by a node that lost its data say, is another one.
    ///
    /// # Errors
    /// `BadNodeId` when the certified name leaves no room.
    pub fn begun(certified: &ClusterId, mark: u32) -> Result<Self, BadNodeId> {
        ClusterId::parse(&format!("{certified}.{mark:0MARK_DIGITS$x}"))
    }

    /// What certificates of its nodes call it: the name without the mark of its beginning.
    #[must_use]
    pub fn certified(&self) -> Self {
        match self.0.rsplit_once('.') {
            Some((certified, mark)) if is_mark(mark) => ClusterId(certified.to_owned()),
            Some(_) | None => self.clone(),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Hex digits that tell one beginning of a cluster from another.
const MARK_DIGITS: usize = 8;

fn is_mark(text: &str) -> bool {
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    text.len() == MARK_DIGITS && text.bytes().all(hex)
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A node's number in the log: one data directory for as long as the cluster lives. Handed out by
/// the log and never again, so a node that lost its data cannot come back as the one that had it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct MemberId(pub u64);

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One run of a node's process; drawn at random when it starts.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct BootId(pub u64);

/// Number of an agreed table; grows by one with every committed change.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Revision(pub u64);

impl Revision {
    /// The one after this.
    #[must_use]
    pub const fn next(self) -> Self {
        Revision(self.0.saturating_add(1))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{BadNodeId, NodeId, Revision};

    #[test]
    fn a_node_id_that_could_escape_a_path_is_refused() {
        for bad in ["", "a/b", "a b", "n\n1", "ü", &"x".repeat(65)] {
            assert_eq!(NodeId::parse(bad), Err(BadNodeId));
        }
        assert_eq!(
            NodeId::parse("n1.eu-west").map(|id| id.to_string()),
            Ok("n1.eu-west".into())
        );
    }

    #[test]
    fn revisions_only_grow() {
        assert!(Revision(7).next() > Revision(7));
        assert_eq!(Revision(u64::MAX).next(), Revision(u64::MAX));
    }
}
