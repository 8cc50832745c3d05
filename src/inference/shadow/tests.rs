//! Checks never touch what callers see, and find what was wrong.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::json;

use super::*;
use crate::cache::{EmbeddingError, TextEmbedder};
use crate::dialect::openai::ChatBody;
use crate::dialect::openai::build::Head;
use crate::inference::{BreakerMode, CacheStatus, Engine, Reply, ReplyBody, ReplyMeta, testing};
use crate::provider::{Answer, Call, Failure, Provider};
use crate::types::Usage;

const QUESTION: &str = "How do I reset my account password?";
const REWORDED: &str = "How can I reset my account password?";

/// The longest word is the meaning.
#[derive(Debug)]
struct LongestWord;

#[async_trait]
impl TextEmbedder for LongestWord {
    async fn embed(
        &self,
        _: &str,
        text: &str,
        _: Moment,
    ) -> Result<Option<Arc<[f32]>>, EmbeddingError> {
        let words = text.split(|c: char| !c.is_alphanumeric());
        let longest = words.max_by_key(|word| word.len()).unwrap_or_default();
        let hash = blake3::hash(longest.to_lowercase().as_bytes());
        let at = usize::from(hash.as_bytes()[0]);
        let vector: Vec<f32> = (0..384).map(|i| if i == at { 1.0 } else { 0.0 }).collect();
        Ok(Some(vector.into()))
    }

    fn space(&self) -> &'static str {
        "longest"
    }
}

/// An upstream that says what it is told to, when it is told to.
#[derive(Debug)]
struct Upstream {
    says: Mutex<String>,
    judges: Mutex<String>,
    may_answer: Semaphore,
    asked: AtomicUsize,
    running: AtomicUsize,
    most: AtomicUsize,
}

impl Upstream {
    fn saying(text: &str) -> Arc<Self> {
        Arc::new(Upstream {
            says: Mutex::new(text.to_owned()),
            judges: Mutex::default(),
            may_answer: Semaphore::new(Semaphore::MAX_PERMITS),
            asked: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn say(&self, text: &str) {
        text.clone_into(&mut self.says.lock());
    }
}

struct Over(Arc<Upstream>);

#[async_trait]
impl Provider for Over {
    fn kind(&self) -> &'static str {
        "scripted"
    }

    async fn generate(&self, call: Call) -> Result<Answer, Failure> {
        let upstream = &self.0;
        upstream.asked.fetch_add(1, Ordering::SeqCst);
        let running = upstream.running.fetch_add(1, Ordering::SeqCst) + 1;
        upstream.most.fetch_max(running, Ordering::SeqCst);
        let open = upstream.may_answer.acquire().await;
        upstream.running.fetch_sub(1, Ordering::SeqCst);
        drop(open);
        let judge = call
            .body
            .messages()
            .first()
            .is_some_and(|m| m.role == "system");
        let text = match judge {
            true => upstream.judges.lock().clone(),
            false => upstream.says.lock().clone(),
        };
        let usage = Usage::new(10, 10);
        let whole = Head::new("m").completion(&text, &json!(null), Finish::Stop, usage);
        Ok(Answer::Whole(whole))
    }

    async fn health(&self) -> Result<(), Failure> {
        Ok(())
    }
}

async fn engine(upstream: &Arc<Upstream>, cache: serde_json::Value, most: u32) -> Engine {
    let config = json!({
        "models": {
            "a": {"provider": "demo", "model": "echo", "max_concurrency": most,
                  "price": {"input_per_mtok": 1000.0, "output_per_mtok": 1000.0}},
            "judge": {"provider": "demo", "model": "echo"},
        },
        "routes": [{"name": "faq", "match": {"tenant": "t"}, "targets": ["a"]}],
        "cache": cache,
    });
    let embedder: Arc<dyn TextEmbedder> = Arc::new(LongestWord);
    testing::engine(config, Some(embedder), Arc::new(Over(Arc::clone(upstream)))).await
}

async fn ask(engine: &Engine, question: &str) -> (String, ReplyMeta) {
    let messages = [("user".to_owned(), question.to_owned())];
    let body = ChatBody::from_messages("auto", &messages).unwrap();
    let request = ChatRequest {
        id: RequestId::generate(),
        tenant: "t".into(),
        priority: Priority::Normal,
        model: "auto".into(),
        tags: Vec::new(),
        cache: CacheMode::On,
        min_similarity: None,
        deadline: Moment::now() + Duration::from_secs(20),
        features: body.features(),
        body: Arc::new(body),
        stream: false,
        include_usage: false,
    };
    let Reply { meta, body } = engine.chat(request).await.unwrap();
    let ReplyBody::Complete(whole) = body else {
        panic!("asked for a whole answer")
    };
    (whole.tap.text, meta)
}

/// Waits until the cache finds the question by meaning.
async fn stored(engine: &Engine, question: &str) {
    ask(engine, question).await;
    eventually(|| {
        let found = engine.cache().stats().inserts;
        found > 0
    })
    .await;
    // the index follows the exact tier
    let near = async || engine.cache().compare(question, None).await.unwrap();
    let found = async {
        while near().await.candidates.is_empty() && near().await.entry.is_none() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let _ = tokio::time::timeout(Duration::from_millis(100), found).await;
}

async fn eventually(holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting)
        .await
        .expect("holds in the end");
}

/// Checks by route and outcome, as the metrics have them.
fn outcomes(engine: &Engine) -> BTreeMap<String, u64> {
    let text = engine.metrics().render().unwrap();
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix("llm_router_cache_shadow_calls_total{outcome=\""));
    lines
        .filter_map(|line| {
            let (outcome, rest) = line.split_once('"')?;
            assert!(rest.contains("route=\"faq\""), "{rest}");
            let count = rest.rsplit(' ').next()?.parse().ok()?;
            Some((outcome.to_owned(), count))
        })
        .collect()
}

fn count(engine: &Engine, outcome: &str) -> u64 {
    outcomes(engine).get(outcome).copied().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_entry_is_found_and_withdrawn_and_its_caller_was_not_kept_waiting() {
    let upstream = Upstream::saying("Yes, you can do that yourself in the settings.");
    let engine = engine(&upstream, json!({"shadow_rate": 1.0}), 64).await;
    stored(&engine, QUESTION).await;
    upstream.say("No, only the support team can do that for you.");
    let (served, meta) = ask(&engine, REWORDED).await;
    assert_eq!(meta.cache, CacheStatus::Semantic);
    assert!(served.starts_with("Yes"), "{served}");

    eventually(|| engine.cache().learning().disagreed == 1).await;
    eventually(|| engine.cache().stats().entries == 0).await;
    let (fresh, meta) = ask(&engine, REWORDED).await;
    assert_eq!(meta.cache, CacheStatus::Miss);
    assert!(fresh.starts_with("No"), "{fresh}");
    let stats = engine.stats();
    // two misses and a hit; the check is nobody's request
    assert_eq!((stats.total_requests, stats.cache_hits), (3, 1));
    assert_eq!(stats.requests_by_priority["low"], 0);
    assert_eq!(stats.cache_routes[0].route, "faq");
    assert_eq!(stats.cache_routes[0].wrong, 1);
    let text = engine.metrics().render().unwrap();
    let cost = "llm_router_cache_shadow_cost_total{model=\"a\"} 0.02";
    assert!(text.contains(cost), "{text}");
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_answer_stays_and_is_counted_as_such() {
    let upstream = Upstream::saying("Open the settings and choose security.");
    let engine = engine(&upstream, json!({"shadow_rate": 1.0}), 64).await;
    stored(&engine, QUESTION).await;
    ask(&engine, REWORDED).await;
    eventually(|| count(&engine, "agree") == 1).await;
    assert_eq!(ask(&engine, REWORDED).await.1.cache, CacheStatus::Semantic);
    // exact hits are never checked
    let asked = upstream.asked();
    assert_eq!(ask(&engine, QUESTION).await.1.cache, CacheStatus::Exact);
    eventually(|| count(&engine, "agree") == 2).await;
    assert_eq!(upstream.asked(), asked.max(3));
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_never_exceed_their_bound_and_never_change_or_delay_an_answer() {
    let upstream = Upstream::saying("Open the settings.");
    let engine = engine(&upstream, json!({"shadow_rate": 1.0}), 64).await;
    stored(&engine, QUESTION).await;
    // from here on the upstream answers nobody
    let _held = upstream
        .may_answer
        .acquire_many(u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX))
        .await
        .unwrap();
    upstream.may_answer.forget_permits(Semaphore::MAX_PERMITS);
    for _ in 0..20 {
        let asking = ask(&engine, REWORDED);
        let (text, meta) = tokio::time::timeout(Duration::from_secs(5), asking)
            .await
            .expect("a hit waits for no check");
        assert_eq!(
            (text.as_str(), meta.cache),
            ("Open the settings.", CacheStatus::Semantic)
        );
    }
    eventually(|| upstream.running.load(Ordering::SeqCst) == MOST).await;
    assert_eq!(count(&engine, "dropped"), 20 - MOST as u64);
    assert_eq!(upstream.most.load(Ordering::SeqCst), MOST);
    // nor do they hold up the end
    tokio::time::timeout(Duration::from_secs(5), engine.stop())
        .await
        .expect("checks are given up");
    assert_eq!(engine.cache().learning().agreed, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_checked_where_the_model_is_busy_or_its_breaker_is_not_closed() {
    let upstream = Upstream::saying("Open the settings.");
    let engine = engine(&upstream, json!({"shadow_rate": 1.0}), 1).await;
    stored(&engine, QUESTION).await;
    let author = llm_router_cluster::Author::new("test");
    let order = engine.force_breaker("a", BreakerMode::ForceOpen, author);
    order.await.unwrap();
    assert_eq!(ask(&engine, REWORDED).await.1.cache, CacheStatus::Semantic);
    eventually(|| count(&engine, "saturated") == 1).await;
    assert_eq!(upstream.asked(), 1);
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_learning_is_off_nothing_is_asked_again() {
    let upstream = Upstream::saying("Open the settings.");
    let engine = engine(&upstream, json!({"shadow_rate": 0.0}), 64).await;
    stored(&engine, QUESTION).await;
    for _ in 0..50 {
        assert_eq!(ask(&engine, REWORDED).await.1.cache, CacheStatus::Semantic);
    }
    tokio::time::sleep(HEAD_START * 2).await;
    assert_eq!((upstream.asked(), outcomes(&engine).len()), (1, 0));
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_configured_as_judge_has_the_word() {
    let upstream = Upstream::saying("Open the settings.");
    let cache = json!({"shadow_rate": 1.0, "judge": {"model": "judge"}});
    let engine = engine(&upstream, cache, 64).await;
    stored(&engine, QUESTION).await;
    "well, that depends".clone_into(&mut upstream.judges.lock());
    ask(&engine, REWORDED).await;
    eventually(|| count(&engine, "unsure") == 1).await;
    // the answers are alike to the letter, and still it has the word
    "Different.".clone_into(&mut upstream.judges.lock());
    assert_eq!(ask(&engine, REWORDED).await.1.cache, CacheStatus::Semantic);
    eventually(|| count(&engine, "disagree") == 1).await;
    eventually(|| engine.cache().stats().entries == 0).await;
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poisoned_route_ends_with_exact_answers_only() {
    let upstream = Upstream::saying("Yes, that is so.");
    let engine = engine(
        &upstream,
        json!({"shadow_rate": 1.0, "max_error_rate": 0.05}),
        64,
    )
    .await;
    let tier = || {
        let routes = engine.stats().cache_routes;
        routes.first().map_or("none", |route| route.tier)
    };
    let mut judged = 0;
    let things = [
        "bathtubs",
        "keyboards",
        "saxophone",
        "submarine",
        "telescope",
        "wheelbarrow",
        "lighthouse",
        "parachute",
        "microwave",
        "snowboard",
        "motorcycle",
        "greenhouse",
    ];
    for thing in things {
        upstream.say("Yes, that is so.");
        stored(&engine, &format!("How do I clean {thing}?")).await;
        upstream.say("No, that is not so.");
        let (_, meta) = ask(&engine, &format!("How can I clean {thing}?")).await;
        if meta.cache == CacheStatus::Semantic {
            judged += 1;
            eventually(|| engine.cache().learning().disagreed == judged).await;
        }
        if tier() == "exact_only" {
            break;
        }
    }
    assert_eq!(tier(), "exact_only", "after {judged} verdicts");
    let (_, meta) = ask(&engine, "How do I clean my brushes?").await;
    let said = meta.cache_story(true);
    let tier = said
        .iter()
        .find(|(name, _)| *name == "x-llm-router-cache-tier");
    assert_eq!(tier.unwrap().1, "exact_only");
    engine.stop().await;
}
