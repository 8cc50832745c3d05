//! `/admin/v1`: what the node is configured to do, does, and would do.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use http::Request;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::chat::assemble;
use super::{body, errors};
use crate::api::options::Options;
use crate::app::Node;
use crate::cache::Purge;
use crate::dialect::openai::ChatBody;
use crate::error::{Error, Kind};
use crate::inference::BreakerMode;
use crate::types::{Moment, TenantId};

fn respond(answer: Result<Value, Error>) -> Response {
    match answer {
        Ok(value) => errors::json_response(200, value.to_string()),
        Err(error) => errors::render(&error),
    }
}

fn to_json<T: serde::Serialize>(value: &T) -> Result<Value, Error> {
    serde_json::to_value(value)
        .map_err(|source| Error::new(Kind::Internal, "could not be shown").with_source(source))
}

async fn read<T: DeserializeOwned>(request: Request<Body>) -> Result<T, Error> {
    let (_, bytes) = body::read(request).await?;
    serde_json::from_slice(&bytes)
        .map_err(|e| Error::new(Kind::InvalidRequest, format!("invalid body: {e}")))
}

/// `{"revision", "config"}`; secrets are references or dots.
pub(super) async fn config(State(node): State<Arc<Node>>) -> Response {
    let (revision, config) = node.engine.config();
    respond(to_json(&*config).map(|config| json!({"revision": revision, "config": config})))
}

/// `{name: status}`.
pub(super) async fn models(State(node): State<Arc<Node>>) -> Response {
    let mut shown = serde_json::Map::new();
    for (name, status) in node.engine.models() {
        match to_json(&status) {
            Ok(status) => shown.insert(name.as_str().to_owned(), status),
            Err(error) => return errors::render(&error),
        };
    }
    respond(Ok(Value::Object(shown)))
}

/// The rules, as configured.
pub(super) async fn routes(State(node): State<Arc<Node>>) -> Response {
    let (revision, config) = node.engine.config();
    let routes = to_json(&config.routes);
    respond(routes.map(|routes| json!({"revision": revision, "routes": routes})))
}

/// The node's counters.
pub(super) async fn stats(State(node): State<Arc<Node>>) -> Response {
    respond(to_json(&node.engine.stats()))
}

/// Where a chat request would go, without sending it.
pub(super) async fn explain(State(node): State<Arc<Node>>, request: Request<Body>) -> Response {
    let explained = async {
        let options = Options::read(request.headers(), Moment::now())?;
        let (_, bytes) = body::read(request).await?;
        let chat = assemble(options, ChatBody::parse(&bytes)?);
        to_json(&node.engine.explain(&chat)?)
    };
    respond(explained.await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BreakerOrder {
    mode: BreakerMode,
}

/// `{"mode": "auto|force_open|force_closed"}`.
pub(super) async fn breaker(
    State(node): State<Arc<Node>>,
    Path(name): Path<String>,
    request: Request<Body>,
) -> Response {
    let ordered = async {
        let order: BreakerOrder = read(request).await?;
        node.engine.force_breaker(&name, order.mode).await?;
        Ok(json!({"model": name, "mode": order.mode}))
    };
    respond(ordered.await)
}

/// The cache's counters.
pub(super) async fn cache_stats(State(node): State<Arc<Node>>) -> Response {
    respond(to_json(&node.engine.cache().stats()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LookupOrder {
    a: String,
    #[serde(default)]
    b: Option<String>,
}

/// Would one text's answer be given for the other? Shows similarity, guards and decision.
pub(super) async fn cache_lookup(
    State(node): State<Arc<Node>>,
    request: Request<Body>,
) -> Response {
    let compared = async {
        let order: LookupOrder = read(request).await?;
        let compared = node
            .engine
            .cache()
            .compare(&order.a, order.b.as_deref())
            .await;
        to_json(&compared.map_err(|source| {
            Error::new(Kind::Unavailable, source.to_string()).with_source(source)
        })?)
    };
    respond(compared.await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PurgeOrder {
    #[serde(default)]
    all: bool,
    #[serde(default)]
    tag: Option<String>,
    #[serde(default)]
    tenant: Option<TenantId>,
    #[serde(default)]
    entry: Option<String>,
}

impl PurgeOrder {
    fn what(self) -> Result<Purge, Error> {
        let wrong = |problem: &str| Error::new(Kind::InvalidRequest, problem);
        match (self.all, self.tag, self.tenant, self.entry) {
            (true, None, None, None) => Ok(Purge::All),
            (false, Some(tag), None, None) => {
                let (name, value) = tag
                    .split_once('=')
                    .ok_or_else(|| wrong("tag must look like name=value"))?;
                Ok(Purge::Tag(name.to_owned(), value.to_owned()))
            }
            (false, None, Some(tenant), None) => Ok(Purge::Tenant(tenant)),
            (false, None, None, Some(entry)) => entry
                .parse()
                .map(Purge::Entry)
                .map_err(|_| wrong("entry is not an entry id")),
            _ => Err(wrong("give exactly one of all, tag, tenant or entry")),
        }
    }
}

/// Drops answers; a 200 means none of them will be served again.
pub(super) async fn cache_purge(State(node): State<Arc<Node>>, request: Request<Body>) -> Response {
    let purged = async {
        let order: PurgeOrder = read(request).await?;
        let removed = node
            .engine
            .cache()
            .purge(order.what()?)
            .await
            .map_err(|source| Error::new(Kind::Internal, "purge failed").with_source(source))?;
        Ok(json!({"removed": removed}))
    };
    respond(purged.await)
}
