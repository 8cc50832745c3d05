//! The same texts and the same vectors in every setting: no answer ever crosses a wall.
//!
//! Many lookups over all combinations of tenant, model, prompt, tools, picture and format, with
//! entries coming and going, tenants purged, restarts from disk, and rows exchanged on disk while
//! the node is down. Each answer names the setting and the question it belongs to.
//!
//! `LLM_ROUTER_LOOKUPS` sets how many lookups there are; without it 6000, so that the suite stays
//! fast.

use std::path::Path;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::config::routing::{CacheScope, Eviction, SingleFlight};

const LOOKUPS: usize = 6000;
/// Restarts in one run.
const RESTARTS: usize = 8;
const QUESTIONS: [(&str, &str); 4] = [
    (QUESTION, REWORDED),
    (
        "How do I count the animals in this picture?",
        "How can I count the animals in this picture?",
    ),
    (
        "What is the capital of France?",
        "What was the capital of France?",
    ),
    (
        "How do I bake bread without yeast?",
        "How can I bake bread without yeast?",
    ),
];

/// A request and what its answer must be.
struct Case {
    request: ChatRequest,
    answer: String,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for setting in 0..3 * 32 {
        let bit = |at: usize| ((setting / 3) >> at) & 1 == 1;
        for (question, texts) in QUESTIONS.iter().enumerate() {
            for text in [texts.0, texts.1] {
                let answer = format!("setting {setting} question {question}");
                let request = request(setting % 3, [bit(0), bit(1), bit(2), bit(3), bit(4)], text);
                cases.push(Case { request, answer });
            }
        }
    }
    cases
}

fn request(tenant: usize, kind: [bool; 5], text: &str) -> ChatRequest {
    let [model, prompt, tools, picture, format] = kind;
    let picture = if picture { "data:,cat" } else { "data:,dog" };
    let mut body = serde_json::json!({
        "model": if model { "m" } else { "n" },
        "messages": [
            {"role": "system", "content": if prompt { "be kind" } else { "be brief" }},
            {"role": "user", "content": [
                {"type": "text", "text": text},
                {"type": "image_url", "image_url": {"url": picture}},
            ]},
        ],
    });
    if tools {
        body["tools"] = serde_json::json!([{"type": "function", "function": {"name": "f"}}]);
    }
    if format {
        body["response_format"] = serde_json::json!({"type": "json_object"});
    }
    let mut request = raw_request(&body.to_string());
    request.tenant = TenantId::from(format!("tenant {tenant}"));
    request.deadline = Moment::now() + Duration::from_secs(3600);
    request
}

/// Rows of different serials in each other's places, and copies of one under another's key.
fn exchange_rows(dir: &Path, rng: &mut StdRng) -> usize {
    let secret = store::secret(&dir.join("cache.key")).unwrap();
    let (disk, _) = store::open(&dir.join("cache"), &secret).unwrap();
    let rows = disk.rows();
    for _ in 0..10 {
        let (Some(a), Some(b)) = (rows.choose(rng), rows.choose(rng)) else {
            return 0;
        };
        disk.damage(&a.0, &b.1);
        if rng.random() {
            disk.damage(&b.0, &a.1);
        }
    }
    rows.len()
}

fn open(dir: &Path, eviction: Eviction) -> AnswerCache {
    AnswerCache::open(Settings {
        dir: Some(dir.to_owned()),
        config: CacheConfig {
            max_entries: 300,
            max_entries_per_tenant: 120,
            eviction,
            ..config()
        },
        ..settings()
    })
    .unwrap()
}

/// One asker's settings: tools by meaning, and sometimes a shared scope or flights by meaning.
fn asker(rng: &mut StdRng) -> CacheConfig {
    CacheConfig {
        semantic_with_tools: true,
        scope: if rng.random() {
            CacheScope::Shared
        } else {
            CacheScope::Tenant
        },
        single_flight: if rng.random() {
            SingleFlight::Meaning
        } else {
            SingleFlight::Exact
        },
        ..config()
    }
}

#[derive(Debug, Default)]
struct Seen {
    exact: usize,
    semantic: usize,
    misses: usize,
    corrupt: u64,
    after_restart: usize,
}

async fn ask(cache: &AnswerCache, case: &Case, rng: &mut StdRng, seen: &mut Seen) {
    match cache.lookup(&case.request, &asker(rng)).await {
        Lookup::Hit(hit) => {
            assert_eq!(hit.answer.text, case.answer, "an answer crossed a wall");
            match hit.tier {
                Tier::Exact => seen.exact += 1,
                Tier::Semantic => seen.semantic += 1,
            }
        }
        Lookup::Miss(ticket) => {
            seen.misses += 1;
            if rng.random_ratio(3, 4) {
                cache.insert(ticket, answer(&case.answer));
            }
        }
        Lookup::Attached(_) => panic!("nobody asked for a stream"),
        Lookup::Bypass(reason) => panic!("bypassed: {reason}"),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long a run is, is no node's config"
)]
fn lookups() -> usize {
    let asked = std::env::var("LLM_ROUTER_LOOKUPS");
    asked.map_or(LOOKUPS, |count| count.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_crosses_a_wall_whatever_happens() {
    let dir = tempfile::tempdir().unwrap();
    let mut rng = StdRng::seed_from_u64(20);
    let (cases, mut seen) = (cases(), Seen::default());
    let lookups = lookups();
    for round in 0..=RESTARTS {
        let eviction = if round % 2 == 0 {
            Eviction::Lru
        } else {
            Eviction::Cost
        };
        let cache = open(dir.path(), eviction);
        seen.corrupt += cache.stats().corrupt;
        for at in 0..lookups.div_ceil(RESTARTS + 1) {
            let case = cases.choose(&mut rng).unwrap();
            let before = seen.exact + seen.semantic;
            ask(&cache, case, &mut rng, &mut seen).await;
            if at < 50 && round > 0 {
                seen.after_restart += seen.exact + seen.semantic - before;
            }
            if at % 500 == 499 {
                let tenant = format!("tenant {}", rng.random_range(0..3));
                cache.purge(Purge::Tenant(tenant.into())).await.unwrap();
            }
        }
        settled(&cache).await;
        let stats = cache.stats();
        assert!(stats.entries <= 300);
        assert_eq!(stats.promoted, 0, "answers that differ never agree");
        cache.close().await;
        exchange_rows(dir.path(), &mut rng);
    }
    // the run has shown something only if answers were served, also after restarts and exchanges
    assert!(
        seen.exact * 20 > lookups && seen.semantic * 20 > lookups,
        "{seen:?}"
    );
    assert!(seen.corrupt > 0 && seen.after_restart > 0, "{seen:?}");
    eprintln!("{lookups} lookups, none crossed a wall: {seen:?}");
}
