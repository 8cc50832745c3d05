//! `/admin/v1`: what the node is configured to do, does, and would do; what the nodes agree on.

pub(super) mod cache;
pub(super) mod cluster;
pub(super) mod config;
pub(super) mod models;

use axum::body::Body;
use axum::extract::Query;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, Request};
use llm_router_cluster::{Author, Consistency, Revision};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{auth, body, errors};
use crate::api::details::{self, Details};
use crate::api::options::min_revision;
use crate::app::author;
use crate::config::Problems;
use crate::error::{Error, Kind};

fn respond<T: Serialize>(answer: Result<T, Error>) -> Response {
    let written = answer.and_then(|value| {
        // straight to text: a detour over a JSON value would lose the order of models
        serde_json::to_vec(&value)
            .map_err(|source| Error::new(Kind::Internal, "could not be shown").with_source(source))
    });
    match written {
        Ok(json) => errors::json_response(200, json),
        Err(error) => errors::render_with(&error, details(&error)),
    }
}

/// What a program needs to know beside the message.
pub(super) fn details(error: &Error) -> Value {
    let Details { facts, problems } = details::of(error);
    if let Some(Problems { problems, more, .. }) = problems {
        return json!({"problems": problems, "more_problems": more});
    }
    let facts = facts
        .into_iter()
        .map(|(name, fact)| (name.to_owned(), fact));
    Value::Object(facts.collect())
}

async fn read<T: DeserializeOwned>(request: Request<Body>) -> Result<T, Error> {
    let (_, bytes) = body::read(request).await?;
    decode(&bytes)
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes)
        .map_err(|e| Error::new(Kind::InvalidRequest, format!("invalid body: {e}")))
}

fn query<T: DeserializeOwned>(request: &Request<Body>) -> Result<T, Error> {
    let Query(query) = Query::try_from_uri(request.uri())
        .map_err(|e| Error::new(Kind::InvalidRequest, format!("invalid query: {e}")))?;
    Ok(query)
}

/// How fresh an answer has to be, as callers say it.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Freshness {
    Local,
    Lease,
    #[default]
    Linearizable,
}

impl From<Freshness> for Consistency {
    fn from(freshness: Freshness) -> Self {
        match freshness {
            Freshness::Local => Consistency::Local,
            Freshness::Lease => Consistency::Lease,
            Freshness::Linearizable => Consistency::Linearizable,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FreshnessQuery {
    #[serde(default)]
    consistency: Freshness,
}

/// How fresh a read has to be whose query says nothing else.
pub(super) fn freshness(request: &Request<Body>) -> Result<Consistency, Error> {
    let FreshnessQuery { consistency } = query(request)?;
    Ok(consistency.into())
}

/// The revision a caller has seen, by query or header.
fn seen(query: Option<u64>, headers: &HeaderMap) -> Result<Option<Revision>, Error> {
    match query {
        Some(revision) => Ok(Some(Revision(revision))),
        None => min_revision(headers),
    }
}

/// The body of a change, and who asks for it. `about` tells requests apart that have the same id
/// and the same body.
async fn order(request: Request<Body>, about: &str) -> Result<(Bytes, Author), Error> {
    let caller = auth::caller(request.extensions());
    let address = request.uri().to_string();
    let (headers, bytes) = body::read(request).await?;
    let id = headers.get("x-request-id").and_then(|id| id.to_str().ok());
    let payload: [&[u8]; 3] = [about.as_bytes(), address.as_bytes(), &bytes];
    let author = author(id, caller.name(), &payload);
    Ok((bytes, author))
}

#[cfg(test)]
mod tests {
    use llm_router_cluster::{Error as Refusal, Rejected};

    use super::{details, respond};
    use crate::config::parse;
    use crate::error::{Error, Kind};

    #[tokio::test]
    async fn a_refused_config_lists_every_problem_with_its_place() {
        let problems = parse("modles: {}\ncache: { ttl: 5 }\n", "config").map(|_| ());
        let problems = problems.unwrap_err();
        let error = Error::new(Kind::InvalidConfig, problems.to_string()).with_source(problems);
        let response = respond::<()>(Err(error));
        assert_eq!(response.status(), 422);
        let body = axum::body::to_bytes(response.into_body(), 1 << 16).await;
        let body: serde_json::Value = serde_json::from_slice(&body.unwrap()).unwrap();
        let problems = body["error"]["problems"].as_array().unwrap();
        assert_eq!(problems.len(), 2);
        assert_eq!(
            (&problems[1]["line"], &problems[1]["column"]),
            (&2.into(), &15.into())
        );
        assert_eq!(body["error"]["code"], "invalid_config");
    }

    #[test]
    fn a_lost_race_tells_both_revisions() {
        let stale = Rejected::Stale {
            expected: 3,
            current: 5,
        };
        let shown = details(&Refusal::Rejected(stale).into());
        assert_eq!(shown["expected_revision"], 3);
        assert_eq!(shown["current_revision"], 5);
    }
}
