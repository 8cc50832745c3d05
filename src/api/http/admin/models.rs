//! `/admin/v1/models`, `/routes`, `/stats` and `/explain`: what the node does, and would do.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use http::Request;
use indexmap::IndexMap;
use llm_router_cluster::Revision;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{decode, order, query, respond};
use crate::api::http::chat::assemble;
use crate::api::http::{auth, body};
use crate::api::options::Options;
use crate::app::{Agreed, Node};
use crate::config::routing::RouteConfig;
use crate::dialect::openai::ChatBody;
use crate::inference::BreakerMode;
use crate::types::Moment;

/// `{name: status}`, in configured order.
pub(in crate::api::http) async fn list(State(node): State<Arc<Node>>) -> Response {
    let shown: IndexMap<_, _> = node.engine.models().into_iter().collect();
    respond(Ok(shown))
}

#[derive(Serialize)]
struct RoutesShown<'a> {
    revision: Revision,
    routes: &'a [RouteConfig],
}

/// The rules, as configured.
pub(in crate::api::http) async fn routes(State(node): State<Arc<Node>>) -> Response {
    let (revision, config) = node.engine.config();
    respond(Ok(RoutesShown {
        revision,
        routes: &config.routes,
    }))
}

/// Whose counters are asked for.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Whose {
    #[default]
    Node,
    Cluster,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StatsQuery {
    #[serde(default)]
    scope: Whose,
}

/// The node's counters; with `?scope=cluster` the sums over all nodes, as the leader told them
/// last.
pub(in crate::api::http) async fn stats(
    State(node): State<Arc<Node>>,
    request: Request<Body>,
) -> Response {
    match query(&request) {
        Ok(StatsQuery { scope: Whose::Node }) => respond(Ok(node.engine.stats())),
        Ok(StatsQuery {
            scope: Whose::Cluster,
        }) => respond(node.agreed().map(Agreed::figures)),
        Err(error) => respond::<()>(Err(error)),
    }
}

/// Where a chat request would go, without sending it.
pub(in crate::api::http) async fn explain(
    State(node): State<Arc<Node>>,
    request: Request<Body>,
) -> Response {
    let explained = async {
        let options = Options {
            tenant: auth::tenant(request.extensions()),
            ..Options::read(request.headers(), Moment::now())?
        };
        let (_, bytes) = body::read(request).await?;
        let chat = assemble(options, ChatBody::parse(&bytes)?);
        node.engine.explain(&chat)
    };
    respond(explained.await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BreakerOrder {
    mode: BreakerMode,
}

/// `{"mode": "auto|force_open|force_closed"}`.
pub(in crate::api::http) async fn breaker(
    State(node): State<Arc<Node>>,
    Path(name): Path<String>,
    request: Request<Body>,
) -> Response {
    let ordered = async {
        let (bytes, author) = order(request, "breaker").await?;
        let BreakerOrder { mode } = decode(&bytes)?;
        node.engine.force_breaker(&name, mode, author).await?;
        Ok(json!({"model": name, "mode": mode}))
    };
    respond(ordered.await)
}
