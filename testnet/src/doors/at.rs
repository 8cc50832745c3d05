//! Where a node's doors are.

use anyhow::Context;
use tonic::transport::{Channel, Endpoint};

use crate::client::Client;

/// Both doors of one node; connections are kept and shared by all who hold a copy.
#[derive(Clone, Debug)]
pub struct At {
    pub(super) http: Client,
    pub(super) grpc: Channel,
}

impl At {
    /// Doors at `host:port` each. Nothing is dialled before the first question.
    ///
    /// # Errors
    /// An address is none.
    pub fn new(http: &str, grpc: &str) -> anyhow::Result<Self> {
        let endpoint = Endpoint::from_shared(format!("http://{grpc}"));
        let endpoint = endpoint.with_context(|| format!("`{grpc}` is no address"))?;
        Ok(At {
            http: Client::new(http)?,
            grpc: endpoint.connect_lazy(),
        })
    }

    /// The HTTP door.
    pub fn http(&self) -> &Client {
        &self.http
    }
}
