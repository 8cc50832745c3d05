//! The cache's calls of `AdminService`.

use llm_router_proto::llm_router::v1;
use v1::purge_cache_request::What;

use super::convert::bad;
use crate::cache::{AnswerCache, EntryId, Purge, Purged};
use crate::error::{Error, Kind};
use crate::types::report::{CacheRoute, CacheStats};

pub(super) async fn purge(
    cache: &AnswerCache,
    asked: v1::PurgeCacheRequest,
) -> Result<Purged, Error> {
    let what = match asked.what {
        Some(What::All(true)) => Purge::All,
        Some(What::Tenant(tenant)) => Purge::Tenant(tenant.into()),
        Some(What::Tag(tag)) => {
            Purge::tagged(&tag).ok_or_else(|| bad("tag", "must look like name=value"))?
        }
        Some(What::Entry(entry)) => Purge::Entry(entry_id(&entry)?),
        Some(What::Model(model)) => Purge::Model(model.into()),
        Some(What::All(false)) | None => {
            return Err(bad(
                "what",
                "give exactly one of all, tenant, tag, model or entry",
            ));
        }
    };
    Ok(cache.purge(what).await?)
}

/// Returns how many vetoes there are now.
pub(super) async fn veto(cache: &AnswerCache, asked: &v1::VetoCacheRequest) -> Result<u64, Error> {
    let entry = entry_id(&asked.entry)?;
    if asked.question.trim().is_empty() {
        return Err(bad("question", "must not be empty"));
    }
    let vetoed = cache.veto(entry, &asked.question).await;
    vetoed.map_err(|source| {
        Error::new(Kind::Internal, "the veto was not written").with_source(source)
    })?;
    Ok(cache.learning().vetoes)
}

fn entry_id(text: &str) -> Result<EntryId, Error> {
    text.parse().map_err(|_| bad("entry", "is not an entry id"))
}

impl From<CacheStats> for v1::GetCacheResponse {
    fn from(stats: CacheStats) -> Self {
        let learnt = stats.learning;
        v1::GetCacheResponse {
            entries: stats.entries,
            lookups: stats.lookups,
            exact_hits: stats.exact_hits,
            semantic_hits: stats.semantic_hits,
            agreed: learnt.agreed,
            disagreed: learnt.disagreed,
            unsure: learnt.unsure,
            vetoes: learnt.vetoes,
            routes: learnt.routes.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<CacheRoute> for v1::CacheRoute {
    fn from(route: CacheRoute) -> Self {
        v1::CacheRoute {
            route: route.route,
            tier: route.tier.to_owned(),
            pause_left_s: route.pause_left_s,
            judged: route.judged,
            wrong: route.wrong,
            false_hit_rate: route.false_hit_rate,
            false_hit_lower: route.false_hit_lower,
            false_hit_upper: route.false_hit_upper,
        }
    }
}
