//! Promises of the whole cache, with a deterministic embedder: refusals first.

mod adversary;
mod identical;
mod learning;
mod meaning;
mod persistence;
mod walls;

use std::time::Duration;

use async_trait::async_trait;

use super::guard::Guard;
use super::*;
use crate::config::duration::Span;
use crate::dialect::openai::ChatBody;
use crate::types::{CacheMode, Features, Finish, Moment, Priority, RequestId, TenantId, Usage};

/// Words become fixed pseudo-random directions; short words weigh little. Texts with the same long
/// words are near, and like the real one it hardly hears "not".
#[derive(Debug)]
struct WordVectors(&'static str);

#[async_trait]
impl TextEmbedder for WordVectors {
    async fn embed(
        &self,
        _: &str,
        text: &str,
        _: Moment,
    ) -> Result<Option<Arc<[f32]>>, EmbeddingError> {
        if text.contains("broken embedder") {
            return Err(EmbeddingError::new("no vector today"));
        }
        if text.len() > 2000 {
            return Ok(None);
        }
        let mut sum = [0.0f32; 384];
        for word in text
            .to_lowercase()
            .split(|c: char| !c.is_alphanumeric())
            .filter(|w| !w.is_empty())
        {
            let weight = if word.len() > 3 { 1.0 } else { 0.05 };
            let mut bytes = [0u8; 384];
            blake3::Hasher::new()
                .update(word.as_bytes())
                .finalize_xof()
                .fill(&mut bytes);
            sum.iter_mut()
                .zip(bytes)
                .for_each(|(x, byte)| *x += weight * (f32::from(byte) - 127.5));
        }
        let norm = index::dot(&sum, &sum).sqrt().max(f32::MIN_POSITIVE);
        Ok(Some(sum.iter().map(|x| x / norm).collect()))
    }

    fn space(&self) -> &str {
        self.0
    }
}

pub(super) fn settings() -> Settings {
    let embedder: Arc<dyn TextEmbedder> = Arc::new(WordVectors("words"));
    Settings {
        dir: None,
        embedder: Some(embedder),
        config: CacheConfig::default(),
        secret: None,
    }
}

pub(super) fn cache() -> AnswerCache {
    AnswerCache::open(settings()).unwrap()
}

pub(super) fn raw_request(json: &str) -> ChatRequest {
    let body = ChatBody::parse(json.as_bytes()).unwrap();
    ChatRequest {
        id: RequestId::from("r"),
        tenant: TenantId::default(),
        priority: Priority::Normal,
        model: body.model().into(),
        tags: Vec::new(),
        cache: CacheMode::On,
        min_similarity: None,
        deadline: Moment::now() + Duration::from_secs(20),
        stream: body.wants_stream(),
        include_usage: body.wants_usage(),
        features: Features::default(),
        body: Arc::new(body),
    }
}

pub(super) fn asking(text: &str) -> ChatRequest {
    let content = serde_json::to_string(text).unwrap();
    raw_request(&format!(
        r#"{{"model":"auto","messages":[{{"role":"user","content":{content}}}]}}"#
    ))
}

pub(super) fn answer(text: &str) -> Candidate {
    Candidate {
        text: text.to_owned(),
        finish: Some(Finish::Stop),
        usage: Usage::new(9, 4),
        model: "m".into(),
        shown_model: "shown".to_owned(),
        beyond_text: false,
        complete: true,
    }
}

pub(super) fn config() -> CacheConfig {
    CacheConfig::default()
}

pub(super) async fn miss(cache: &AnswerCache, request: &ChatRequest) -> Ticket {
    let Lookup::Miss(ticket) = cache.lookup(request, &config()).await else {
        panic!("expected a miss")
    };
    ticket
}

pub(super) async fn hit(cache: &AnswerCache, request: &ChatRequest) -> Hit {
    let Lookup::Hit(hit) = cache.lookup(request, &config()).await else {
        panic!("expected a hit")
    };
    hit
}

/// Asks, misses, stores, and waits until the background has settled.
pub(super) async fn store(cache: &AnswerCache, request: &ChatRequest, text: &str) {
    let ticket = miss(cache, request).await;
    assert_eq!(cache.insert(ticket, answer(text)), Insertion::Stored);
    settled(cache).await;
}

pub(super) async fn settled(cache: &AnswerCache) {
    let idle = async {
        while !cache.inner.tasks.is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), idle)
        .await
        .expect("background work ends");
}

pub(super) const QUESTION: &str = "How do I reset my account password?";
pub(super) const REWORDED: &str = "How can I reset my account password?";

#[tokio::test]
async fn near_questions_with_other_answers_are_misses() {
    for (a, b) in [
        ("Is aspirin safe for dogs?", "Is aspirin not safe for dogs?"),
        (
            "Convert 10 kilograms to pounds",
            "Convert 20 kilograms to pounds",
        ),
        (
            "Convert money from EUR to USD",
            "Convert money from USD to EUR",
        ),
        (
            "How do I install Python 2 packages?",
            "How do I install Python 3 packages?",
        ),
    ] {
        let cache = cache();
        store(&cache, &asking(a), "first").await;
        drop(miss(&cache, &asking(b)).await);
        let stats = cache.stats();
        assert_eq!(
            (stats.semantic_hits, stats.guard_refusals),
            (0, 1),
            "{a} / {b}"
        );
    }
}

#[tokio::test]
async fn a_rewording_is_a_semantic_hit_with_its_similarity() {
    let cache = cache();
    store(&cache, &asking(QUESTION), "Click on forgot").await;
    let hit = hit(&cache, &asking(REWORDED)).await;
    assert_eq!(
        (hit.tier, hit.answer.text.as_str()),
        (Tier::Semantic, "Click on forgot")
    );
    assert!(hit.similarity.unwrap() > 0.92);
    assert_eq!(hit.answer.usage, Usage::new(9, 4));
}

#[tokio::test]
async fn an_identical_request_hits_before_the_background_has_run() {
    let cache = cache();
    let ticket = miss(&cache, &asking("yes")).await;
    cache.insert(ticket, answer("done"));
    let hit = hit(&cache, &asking("yes")).await;
    assert_eq!((hit.tier, hit.shared), (Tier::Exact, false));
}

#[tokio::test]
async fn streaming_changes_nothing_about_the_key() {
    let cache = cache();
    store(&cache, &asking(QUESTION), "a").await;
    let streamed = raw_request(&format!(
        r#"{{"stream":true,"stream_options":{{"include_usage":true}},"metadata":{{"a":"b"}},
            "messages":[{{"content":"{QUESTION}","role":"user"}}],"model":"auto"}}"#
    ));
    assert_eq!(hit(&cache, &streamed).await.tier, Tier::Exact);
}

#[tokio::test]
async fn cut_off_truncated_and_foreign_answers_are_never_kept() {
    let cache = cache();
    for bad in [
        Candidate {
            complete: false,
            ..answer("a")
        },
        Candidate {
            finish: Some(Finish::Length),
            ..answer("a")
        },
        Candidate {
            beyond_text: true,
            ..answer("a")
        },
        Candidate {
            text: String::new(),
            ..answer("a")
        },
    ] {
        let ticket = miss(&cache, &asking(QUESTION)).await;
        assert!(matches!(cache.insert(ticket, bad), Insertion::Refused(_)));
    }
    drop(miss(&cache, &asking(QUESTION)).await);
}

#[tokio::test]
async fn what_must_not_be_cached_is_bypassed() {
    let cache = cache();
    let mut off = asking(QUESTION);
    off.cache = CacheMode::Off;
    let hot =
        raw_request(r#"{"messages":[{"role":"user","content":"hi there you"}],"temperature":1}"#);
    for request in [off, hot, asking("My password is hunter2, is that good?")] {
        assert!(matches!(
            cache.lookup(&request, &config()).await,
            Lookup::Bypass(_)
        ));
    }
    let off = CacheConfig {
        enabled: false,
        ..config()
    };
    let disabled = AnswerCache::disabled();
    let lookup = disabled.lookup(&asking(QUESTION), &off).await;
    assert!(matches!(lookup, Lookup::Bypass(_)));
    assert_eq!(cache.stats().lookups, 0);
}

#[tokio::test]
async fn exact_mode_reads_one_tier_and_writes_both() {
    let cache = cache();
    store(&cache, &asking(QUESTION), "a").await;
    let mut exact = asking(REWORDED);
    exact.cache = CacheMode::Exact;
    store(&cache, &exact, "b").await;
    assert_eq!(hit(&cache, &exact).await.answer.text, "b");
    cache
        .purge(Purge::Entry(hit(&cache, &asking(QUESTION)).await.entry))
        .await
        .unwrap();
    let found = hit(&cache, &asking(QUESTION)).await;
    assert_eq!(
        (found.tier, found.answer.text.as_str()),
        (Tier::Semantic, "b")
    );
}

#[tokio::test]
async fn refresh_reads_nothing_and_replaces() {
    let cache = cache();
    store(&cache, &asking(QUESTION), "old").await;
    let mut refresh = asking(QUESTION);
    refresh.cache = CacheMode::Refresh;
    store(&cache, &refresh, "new").await;
    assert_eq!(hit(&cache, &asking(QUESTION)).await.answer.text, "new");
    assert_eq!(cache.stats().entries, 1);
    assert_eq!(hit(&cache, &asking(REWORDED)).await.answer.text, "new");
}

#[tokio::test]
async fn an_answer_longer_than_the_asker_allows_is_not_served_by_meaning() {
    let cache = cache();
    store(&cache, &asking(QUESTION), "a b c d").await;
    let short = |most: u64| {
        raw_request(&format!(
            r#"{{"messages":[{{"role":"user","content":"{REWORDED}"}}],"model":"auto","max_tokens":{most}}}"#
        ))
    };
    drop(miss(&cache, &short(3)).await);
    assert_eq!(hit(&cache, &short(4)).await.tier, Tier::Semantic);
}

#[tokio::test]
async fn an_expired_answer_is_never_served() {
    let cache = cache();
    store(&cache, &asking(QUESTION), "a").await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    let brief = CacheConfig {
        ttl: Span::from_millis(2),
        ..config()
    };
    for text in [QUESTION, REWORDED] {
        assert!(matches!(
            cache.lookup(&asking(text), &brief).await,
            Lookup::Miss(_)
        ));
    }
}

#[tokio::test]
async fn a_smaller_bound_takes_effect_at_once_in_both_tiers() {
    let cache = cache();
    for text in [
        "How do plants make sugar?",
        "Who painted the Mona Lisa?",
        QUESTION,
    ] {
        store(&cache, &asking(text), text).await;
    }
    cache.reconfigure(CacheConfig {
        max_entries: 1,
        ..config()
    });
    settled(&cache).await;
    let stats = cache.stats();
    assert_eq!(
        (stats.entries, stats.max_entries, stats.evictions),
        (1, 1, 2)
    );
    assert_eq!(cache.inner.shelf.lock().rows(), 1);
}

#[tokio::test]
async fn an_answer_in_flight_during_a_purge_is_not_stored() {
    let cache = cache();
    let ticket = miss(&cache, &asking(QUESTION)).await;
    assert_eq!(cache.purge(Purge::All).await.unwrap().removed, 0);
    assert!(matches!(
        cache.insert(ticket, answer("old")),
        Insertion::Refused(_)
    ));
    settled(&cache).await;
    store(&cache, &asking(QUESTION), "new").await;
    assert_eq!(cache.purge(Purge::All).await.unwrap().removed, 1);
    drop(miss(&cache, &asking(QUESTION)).await);
    drop(miss(&cache, &asking(REWORDED)).await);
}

#[tokio::test]
async fn a_broken_embedder_leaves_the_exact_tier() {
    let cache = cache();
    let request = asking("What does a broken embedder mean for Rome?");
    store(&cache, &request, "a").await;
    assert_eq!(hit(&cache, &request).await.tier, Tier::Exact);
    assert_eq!(cache.stats().partitions, 0);
}

#[tokio::test]
async fn comparing_explains_hits_guards_and_what_is_kept_out() {
    let cache = cache();
    let same = cache.compare(QUESTION, Some(REWORDED)).await.unwrap();
    assert_eq!(
        (same.decision, same.guards.len()),
        ("hit", Guard::ALL.len())
    );
    assert!(same.probability > 0.98 && same.similarity > 0.92);
    let not = cache
        .compare(
            "Is aspirin safe for dogs?",
            Some("Is aspirin not safe for dogs?"),
        )
        .await
        .unwrap();
    assert_eq!(
        (not.decision, not.reason.as_str()),
        ("miss", "guard negation")
    );
    let today = cache
        .compare(
            "What is new in Rome today?",
            Some("What is new in Rome today?"),
        )
        .await
        .unwrap();
    assert_eq!(today.decision, "miss");
    let exact_only = AnswerCache::open(Settings {
        embedder: None,
        ..settings()
    })
    .unwrap();
    assert!(matches!(
        exact_only.compare("a", None).await,
        Err(Error::NoEmbedder)
    ));
}

#[tokio::test]
async fn comparing_one_question_finds_the_stored_one_it_would_share_with() {
    let cache = cache();
    assert_eq!(
        cache.compare(REWORDED, None).await.unwrap().decision,
        "miss"
    );
    store(&cache, &asking("Who painted the Mona Lisa?"), "b").await;
    store(&cache, &asking(QUESTION), "a").await;
    let found = cache.compare(REWORDED, None).await.unwrap();
    assert_eq!(found.decision, "hit");
    let entry = hit(&cache, &asking(QUESTION)).await.entry;
    assert_eq!(found.entry, Some(entry.to_string()));
    assert_eq!(found.candidates.len(), 2);
}

#[tokio::test]
async fn a_large_request_is_cached_exactly() {
    let cache = cache();
    let long = asking(&"all work and no play ".repeat(4000));
    store(&cache, &long, "a").await;
    assert_eq!(hit(&cache, &long).await.tier, Tier::Exact);
}
