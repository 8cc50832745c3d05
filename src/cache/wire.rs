//! The cache's words on the wire, both ways.

mod client;
mod convert;
mod server;

pub(crate) use client::ClusterLink;
pub(crate) use server::guest;
