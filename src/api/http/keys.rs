//! `/admin/v1/keys`: who may call this cluster.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderValue, Request, header};
use llm_router_cluster::Author;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::admin::{self, details};
use super::{auth, body, errors};
use crate::app::{Node, author};
use crate::config::duration::Span;
use crate::error::{Error, Kind};
use crate::tenancy::{Caller, NewKey, Scope};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateOrder {
    name: String,
    tenant: Option<String>,
    scopes: Option<Vec<Scope>>,
    expires: Option<Span>,
    valid_without_quorum: Option<Span>,
}

impl From<CreateOrder> for NewKey {
    fn from(order: CreateOrder) -> Self {
        let mut new = NewKey::named(order.name);
        if let Some(tenant) = order.tenant {
            new = new.tenant(tenant);
        }
        if let Some(scopes) = order.scopes {
            new = new.scopes(scopes);
        }
        if let Some(life) = order.expires {
            new = new.expires_after(life.get());
        }
        if let Some(valid) = order.valid_without_quorum {
            new = new.without_quorum(valid.get());
        }
        new
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RotateOrder {
    grace: Option<Span>,
}

/// Every key without its secret, the newest first; `?consistency=local` asks this node alone.
pub(super) async fn list(State(node): State<Arc<Node>>, request: Request<Body>) -> Response {
    let asked = admin::freshness(&request);
    let listed = async {
        let keys = node.keys.list(asked?).await?;
        Ok(json!({"keys": keys}))
    };
    respond(200, listed.await)
}

/// `{"name", "tenant"?, "scopes"?, "expires"?, "valid_without_quorum"?}`; the answer is the only
/// one that holds the key itself.
pub(super) async fn create(State(node): State<Arc<Node>>, request: Request<Body>) -> Response {
    let made = async {
        let (caller, author, order) = read::<CreateOrder>(request, "create").await?;
        let order = order.ok_or_else(|| wrong("a body with a `name` is needed"))?;
        node.keys.create(&caller, order.into(), author).await
    };
    respond(201, made.await)
}

/// Refuses a key from now on.
pub(super) async fn revoke(
    State(node): State<Arc<Node>>,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Response {
    let caller = auth::caller(request.extensions());
    let author = author(
        request_id(&request),
        caller.name(),
        &[b"revoke", id.as_bytes()],
    );
    respond(200, node.keys.revoke(&caller, &id, author).await)
}

/// `{"grace"?}`; the answer is the only one that holds the new key.
pub(super) async fn rotate(
    State(node): State<Arc<Node>>,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Response {
    let made = async {
        let (caller, author, order) = read::<RotateOrder>(request, &id).await?;
        let grace: Option<Duration> = order.unwrap_or_default().grace.map(Span::get);
        node.keys.rotate(&caller, &id, grace, author).await
    };
    respond(200, made.await)
}

/// Who asks, in which words, and for what; an empty body is none. `about` tells requests apart
/// that have the same id and the same body.
async fn read<T: DeserializeOwned>(
    request: Request<Body>,
    about: &str,
) -> Result<(Caller, Author, Option<T>), Error> {
    let caller = auth::caller(request.extensions());
    let id = request_id(&request).map(str::to_owned);
    let (_, bytes) = body::read(request).await?;
    let author = author(id.as_deref(), caller.name(), &[about.as_bytes(), &bytes]);
    if bytes.is_empty() {
        return Ok((caller, author, None));
    }
    let order = serde_json::from_slice(&bytes).map_err(|e| wrong(&format!("invalid body: {e}")))?;
    Ok((caller, author, Some(order)))
}

fn request_id(request: &Request<Body>) -> Option<&str> {
    request.headers().get("x-request-id")?.to_str().ok()
}

/// A key in an answer is nobody else's business: not a proxy's, not a browser's.
fn respond<T: Serialize>(status: u16, answer: Result<T, Error>) -> Response {
    let written = answer.and_then(|value| {
        serde_json::to_string(&value)
            .map_err(|source| Error::new(Kind::Internal, "could not be shown").with_source(source))
    });
    match written {
        Ok(json) => {
            let mut response = errors::json_response(status, json);
            let never = HeaderValue::from_static("no-store");
            response.headers_mut().insert(header::CACHE_CONTROL, never);
            response
        }
        Err(error) => errors::render_with(&error, details(&error)),
    }
}

fn wrong(problem: &str) -> Error {
    Error::new(Kind::InvalidRequest, problem)
}
