//! Mutual TLS 1.3 between nodes.
//!
//! A node's certificate names it: the URI `llm-router://cluster/<cluster>/node/<node>`, beside a DNS
//! name that is the same for all ([`NODE_DNS`]), so that addresses may change without new
//! certificates. Both sides check the chain against the cluster's own authority and then the URI;
//! the door takes a caller's identity from there and from nowhere else.
//!
//! [`Keyring`] holds the pair in use and looks at the files again every few seconds. Without
//! certificates nothing leaves loopback: [`loopback_only`].

mod identity;
mod keyring;
mod pair;
mod words;

use std::net::SocketAddr;

pub(crate) use identity::{Certified, NODE_DNS, certified, ends_ms, uri_of};
pub(crate) use keyring::Keyring;
pub(crate) use pair::read_certificates;
pub(crate) use words::{by_certificate, words};

use crate::error::Refused;

/// The rule without certificates: only loopback.
pub(crate) fn loopback_only(address: SocketAddr, whose: &str) -> Result<(), Refused> {
    if address.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    Err(Refused::Unwise(format!(
        "without certificates nodes talk on loopback only, and {whose} is {address}: set \
         cluster.tls, or make a development set with `llm-router certs create`"
    )))
}

#[cfg(test)]
mod tests;
