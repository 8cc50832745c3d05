//! `/admin/v1/cluster`: the members, and orders about them.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::Request;
use llm_router_cluster::{NodeId, Order};
use serde::Deserialize;

use super::{decode, order, respond};
use crate::app::Node;
use crate::error::{Error, Kind};

/// How the node stands in its cluster, and what it does meanwhile.
pub(in crate::api::http) async fn show(State(node): State<Arc<Node>>) -> Response {
    respond(node.agreed().map(|agreed| agreed.cluster()))
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct NamedOrder {
    node: Option<NodeId>,
}

impl NamedOrder {
    fn named(self) -> Result<NodeId, Error> {
        self.node.ok_or_else(|| {
            let message = "a body with the name of a `node` is needed";
            Error::new(Kind::InvalidRequest, message).with_param("node")
        })
    }
}

/// `{"node"}`: a learner votes from now on.
pub(in crate::api::http) async fn promote(
    State(node): State<Arc<Node>>,
    request: Request<Body>,
) -> Response {
    carry_out(&node, request, |asked| Ok(Order::Promote(asked.named()?))).await
}

/// `{"node"}`: a member leaves for good.
pub(in crate::api::http) async fn remove(
    State(node): State<Arc<Node>>,
    request: Request<Body>,
) -> Response {
    carry_out(&node, request, |asked| Ok(Order::Remove(asked.named()?))).await
}

/// `{"node"?}`: another voter leads.
pub(in crate::api::http) async fn transfer_leader(
    State(node): State<Arc<Node>>,
    request: Request<Body>,
) -> Response {
    carry_out(&node, request, |asked| {
        Ok(Order::TransferLeader(asked.node))
    })
    .await
}

/// The leader writes a snapshot.
pub(in crate::api::http) async fn snapshot(
    State(node): State<Arc<Node>>,
    request: Request<Body>,
) -> Response {
    carry_out(&node, request, |_| Ok(Order::Snapshot)).await
}

/// The answer is how the node stands once the order is carried out. An empty body names nobody.
async fn carry_out(
    node: &Node,
    request: Request<Body>,
    read: impl FnOnce(NamedOrder) -> Result<Order, Error>,
) -> Response {
    let done = async {
        let (bytes, _) = order(request, "order").await?;
        let asked = match bytes.is_empty() {
            true => NamedOrder::default(),
            false => decode(&bytes)?,
        };
        if let Some(name) = &asked.node {
            NodeId::parse(name.as_str()).map_err(|bad| {
                Error::new(Kind::InvalidRequest, bad.to_string()).with_param("node")
            })?;
        }
        let agreed = node.agreed()?;
        agreed.order(read(asked)?).await?;
        Ok(agreed.cluster())
    };
    respond(done.await)
}
