//! `/admin/v1/cache`: counters, comparing two texts, dropping answers.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::Request;
use serde::Deserialize;
use serde_json::json;

use super::{read, respond};
use crate::app::Node;
use crate::cache::Purge;
use crate::error::{Error, Kind};
use crate::types::TenantId;

/// The cache's counters.
pub(in crate::api::http) async fn stats(State(node): State<Arc<Node>>) -> Response {
    respond(Ok(node.engine.cache().stats()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LookupOrder {
    a: String,
    #[serde(default)]
    b: Option<String>,
}

/// Would one text's answer be given for the other? Shows similarity, guards and decision.
pub(in crate::api::http) async fn lookup(
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
        compared
            .map_err(|source| Error::new(Kind::Unavailable, source.to_string()).with_source(source))
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
pub(in crate::api::http) async fn purge(
    State(node): State<Arc<Node>>,
    request: Request<Body>,
) -> Response {
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
