//! Reply metadata: the same names as the HTTP door's headers.
//!
//! The request's id and the node's name are set by [`super::identify`] on every reply.

use http::{HeaderMap, HeaderValue};

use crate::inference::{ESTIMATED, ReplyMeta};

/// Writes what is known of a reply, with why the cache did not answer only on request. A value that
/// is not visible ASCII is left out.
pub(super) fn write(meta: &ReplyMeta, explain: bool, out: &mut HeaderMap) {
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            out.insert(name, value);
        }
    };
    set("x-request-id", meta.id.as_str());
    set("x-llm-router-revision", &meta.revision.to_string());
    set("x-llm-router-model", meta.model.as_str());
    if let Some(dropped) = meta.dropped_params() {
        set("x-llm-router-dropped-params", &dropped);
    }
    set("x-llm-router-cache", meta.cache.as_str());
    set("x-llm-router-attempts", &meta.attempts.to_string());
    if let Some(route) = &meta.route {
        set("x-llm-router-route", route.as_str());
    }
    if let Some(similarity) = meta.similarity {
        set("x-llm-router-similarity", &format!("{similarity:.4}"));
    }
    for (name, value) in meta.cache_story(explain) {
        set(name, &value);
    }
    if let Some(cost) = meta.cost_usd {
        set("x-llm-router-cost-usd", &format!("{cost:.8}"));
    }
    if meta.estimated {
        set("x-llm-router-estimated", ESTIMATED);
    }
}
