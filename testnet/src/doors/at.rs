//! Where a node's doors are.

use anyhow::Context;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};

use crate::client::Client;

/// Both doors of one node; connections are kept and shared by all who hold a copy.
#[derive(Clone, Debug)]
pub struct At {
    pub(super) http: Client,
    pub(super) grpc: Channel,
    /// What gRPC presents as `authorization`.
    pub(super) bearer: Option<MetadataValue<Ascii>>,
}

impl At {
    /// Doors at `host:port` each. Nothing is dialled before the first question.
    ///
    /// # Errors
    /// An address is none.
    pub fn new(http: &str, grpc: &str) -> anyhow::Result<Self> {
        Self::keyed(http, grpc, None)
    }

    /// The same, presenting a key with every question.
    ///
    /// # Errors
    /// An address is none, or the key fits into no header.
    pub fn keyed(http: &str, grpc: &str, key: Option<&str>) -> anyhow::Result<Self> {
        let endpoint = Endpoint::from_shared(format!("http://{grpc}"));
        let endpoint = endpoint.with_context(|| format!("`{grpc}` is no address"))?;
        let bearer = key.map(|key| format!("Bearer {key}").parse()).transpose()?;
        Ok(At {
            http: Client::keyed(http, key)?,
            grpc: endpoint.connect_lazy(),
            bearer,
        })
    }

    /// The HTTP door.
    pub fn http(&self) -> &Client {
        &self.http
    }
}
