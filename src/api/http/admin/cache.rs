//! `/admin/v1/cache`: counters, comparing two texts, dropping answers, vetoes.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use http::Request;
use serde::Deserialize;
use serde_json::json;

use super::{read, respond};
use crate::app::Node;
use crate::cache::{EntryId, Purge};
use crate::error::{Error, Kind};
use crate::types::{ModelName, TenantId};

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
    model: Option<ModelName>,
    #[serde(default)]
    entry: Option<String>,
}

impl PurgeOrder {
    fn what(self) -> Result<Purge, Error> {
        let wrong = |problem: &str| Error::new(Kind::InvalidRequest, problem);
        let PurgeOrder {
            all,
            tag,
            tenant,
            model,
            entry,
        } = self;
        match (all, tag, tenant, model, entry) {
            (true, None, None, None, None) => Ok(Purge::All),
            (false, Some(tag), None, None, None) => {
                Purge::tagged(&tag).ok_or_else(|| wrong("tag must look like name=value"))
            }
            (false, None, Some(tenant), None, None) => Ok(Purge::Tenant(tenant)),
            (false, None, None, Some(model), None) => Ok(Purge::Model(model)),
            (false, None, None, None, Some(entry)) => entry_id(&entry).map(Purge::Entry),
            _ => Err(wrong(
                "give exactly one of all, tag, tenant, model or entry",
            )),
        }
    }
}

/// Drops answers; a 200 means that no node that could be reached serves any of them again, and names
/// those that could not.
pub(in crate::api::http) async fn purge(
    State(node): State<Arc<Node>>,
    request: Request<Body>,
) -> Response {
    let purged = async {
        let order: PurgeOrder = read(request).await?;
        forget(&node, order.what()?).await
    };
    respond(purged.await)
}

/// Draws the cells of the embedding space anew from what the nodes hold.
pub(in crate::api::http) async fn cells(State(node): State<Arc<Node>>) -> Response {
    let drawn = node.engine.cache().draw_cells().await;
    respond(Ok(json!({"drawn": drawn})))
}

/// Drops one answer; as [`purge`], idempotent: `removed` is 0 where there is none.
pub(in crate::api::http) async fn remove(
    State(node): State<Arc<Node>>,
    Path(id): Path<String>,
) -> Response {
    let removed = async { forget(&node, Purge::Entry(entry_id(&id)?)).await };
    respond(removed.await)
}

async fn forget(node: &Node, what: Purge) -> Result<serde_json::Value, Error> {
    let purged = node.engine.cache().purge(what).await?;
    Ok(json!({"removed": purged.removed, "unreached": purged.unreached}))
}

fn entry_id(text: &str) -> Result<EntryId, Error> {
    text.parse().map_err(|_| {
        Error::new(Kind::InvalidRequest, "entry is not an entry id").with_param("entry")
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VetoOrder {
    entry: String,
    question: String,
}

/// The entry's answer was wrong for the question: it is never given for it again by meaning. A 200
/// means that this outlives a restart.
pub(in crate::api::http) async fn veto(
    State(node): State<Arc<Node>>,
    request: Request<Body>,
) -> Response {
    let vetoed = async {
        let order: VetoOrder = read(request).await?;
        let entry = entry_id(&order.entry)?;
        let cache = node.engine.cache();
        if order.question.trim().is_empty() {
            let error = Error::new(Kind::InvalidRequest, "question must not be empty");
            return Err(error.with_param("question"));
        }
        let vetoed = cache.veto(entry, &order.question).await;
        vetoed.map_err(|source| {
            Error::new(Kind::Internal, "the veto was not written").with_source(source)
        })?;
        Ok(json!({"entry": entry.to_string(), "vetoes": cache.learning().vetoes}))
    };
    respond(vetoed.await)
}
