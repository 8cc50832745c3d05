//! A development authority and the certificates of a cluster's nodes.
//!
//! One directory holds `ca.pem` and `ca.key`, and `<node>.pem` and `<node>.key` for each node. A
//! node needs `ca.pem` and its own two files; `ca.key` stays with whoever makes certificates. An
//! authority is of one cluster and says so, and every certificate it signs says which node.

mod files;
mod issue;

use std::path::{Path, PathBuf};

use crate::error::{Error, Refused};
use crate::identity::{ClusterId, NodeId};
use crate::tls::{Certified, certified, ends_ms, read_certificates};

/// Longest life of a certificate asked for, in days: ten years, as long as the authority's.
pub const MAX_DAYS: u32 = 3650;

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The cluster it is for.
    pub cluster: ClusterId,
    /// The authority's certificate.
    pub ca: PathBuf,
    /// The authority was made too.
    pub new_ca: bool,
    /// Nodes that have a new certificate.
    pub nodes: Vec<NodeId>,
    /// Nodes whose files were there and stayed as they are.
    pub kept: Vec<NodeId>,
}

/// Makes an authority, unless the directory has one, and a certificate for each node, unless it has
/// one.
///
/// # Errors
/// [`Error::Refused`] when the directory's authority is of another cluster than the one named, when
/// it is no authority made here, or when files cannot be read or written.
pub fn create(
    dir: &Path,
    cluster: Option<ClusterId>,
    nodes: &[NodeId],
    days: u32,
) -> Result<Made, Error> {
    issue::all(dir, cluster, nodes, days, issue::Existing::Keep)
}

/// Makes new certificates for these nodes by the directory's authority, in place of those there.
///
/// # Errors
/// As [`create`], and when the directory has no authority.
pub fn renew(dir: &Path, nodes: &[NodeId], days: u32) -> Result<Made, Error> {
    issue::all(dir, None, nodes, days, issue::Existing::Replace)
}

/// The cluster that a certificate, a node's or the authority's, is of.
///
/// # Errors
/// [`Error::Refused`] when the file cannot be read or names no cluster.
pub fn cluster_of(certificate: &Path) -> Result<ClusterId, Error> {
    named(certificate).map(|named| named.cluster)
}

/// The node that a certificate is of.
///
/// # Errors
/// [`Error::Refused`] when the file cannot be read or names no node.
pub fn node_of(certificate: &Path) -> Result<NodeId, Error> {
    let path = certificate.display();
    named(certificate)?
        .node
        .ok_or_else(|| refused(format!("{path}: it is an authority's, not a node's")))
}

/// When a certificate ends, in milliseconds since 1970.
///
/// # Errors
/// [`Error::Refused`] when the file cannot be read.
pub fn expires(certificate: &Path) -> Result<u64, Error> {
    let path = certificate.display();
    ends_ms(&leaf(certificate)?).map_err(|reason| refused(format!("{path}: {reason}")))
}

fn named(path: &Path) -> Result<Certified, Error> {
    certified(&leaf(path)?).map_err(|reason| refused(format!("{}: {reason}", path.display())))
}

fn leaf(path: &Path) -> Result<rustls::pki_types::CertificateDer<'static>, Error> {
    let found = read_certificates(path).map_err(refused)?;
    let first = found.into_iter().next();
    first.ok_or_else(|| refused(format!("{}: there is no certificate", path.display())))
}

fn refused(reason: impl Into<String>) -> Error {
    Error::Refused(Refused::Unwise(reason.into()))
}

#[cfg(test)]
pub(crate) use issue::issue_between;
#[cfg(test)]
mod tests;
