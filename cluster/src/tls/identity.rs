//! Whom a certificate names.

use std::fmt;

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::identity::{ClusterId, NodeId};

/// The DNS name in every node's certificate; it resolves nowhere.
pub(crate) const NODE_DNS: &str = "node.llm-router.internal";

const PREFIX: &str = "llm-router://cluster/";

/// A node of a cluster, or the cluster's authority, as a certificate has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Certified {
    /// The cluster.
    pub(crate) cluster: ClusterId,
    /// The node; `None` for the authority.
    pub(crate) node: Option<NodeId>,
}

impl fmt::Display for Certified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.node {
            Some(node) => write!(f, "node {node} of cluster {}", self.cluster),
            None => write!(f, "the authority of cluster {}", self.cluster),
        }
    }
}

/// The URI that names it in a certificate.
pub(crate) fn uri_of(certified: &Certified) -> String {
    match &certified.node {
        Some(node) => format!("{PREFIX}{}/node/{node}", certified.cluster),
        None => format!("{PREFIX}{}", certified.cluster),
    }
}

/// Whom the certificate names. A certificate that names several names nobody.
///
/// # Errors
/// In words, what is wrong with it.
pub(crate) fn certified(certificate: &CertificateDer<'_>) -> Result<Certified, String> {
    let (_, certificate) = X509Certificate::from_der(certificate)
        .map_err(|error| format!("not a certificate: {error}"))?;
    let names = certificate
        .subject_alternative_name()
        .map_err(|error| format!("its alternative names cannot be read: {error}"))?;
    let mut found = names
        .iter()
        .flat_map(|names| &names.value.general_names)
        .filter_map(|name| {
            let GeneralName::URI(uri) = name else {
                return None;
            };
            uri.strip_prefix(PREFIX)
        });
    let rest = found
        .next()
        .ok_or_else(|| format!("it names no node: no {PREFIX}… among its alternative names"))?;
    if found.next().is_some() {
        return Err("it names more than one node".to_owned());
    }
    parse(rest).ok_or_else(|| "its name of a node is not well formed".to_owned())
}

/// When a certificate ends, in milliseconds since 1970.
///
/// # Errors
/// In words: it is no certificate.
pub(crate) fn ends_ms(certificate: &CertificateDer<'_>) -> Result<u64, String> {
    let (_, parsed) = X509Certificate::from_der(certificate)
        .map_err(|error| format!("not a certificate: {error}"))?;
    let seconds = parsed.validity().not_after.timestamp();
    Ok(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000))
}

fn parse(rest: &str) -> Option<Certified> {
    let (cluster, node) = match rest.split_once('/') {
        None => (rest, None),
        Some((cluster, rest)) => (cluster, Some(rest.strip_prefix("node/")?)),
    };
    let node = node.map(|node| NodeId::parse(node).ok());
    Some(Certified {
        cluster: ClusterId::parse(cluster).ok()?,
        node: match node {
            None => None,
            Some(parsed) => Some(parsed?),
        },
    })
}
