//! Requests of the same meaning in flight.

use super::*;
use crate::config::routing::SingleFlight;

const BREAD: &str = "How do I bake bread without yeast?";
const BREAD_REWORDED: &str = "How can I bake bread without yeast?";

fn by_meaning() -> CacheConfig {
    CacheConfig {
        single_flight: SingleFlight::Meaning,
        ..config()
    }
}

async fn leads(cache: &AnswerCache, request: &ChatRequest) -> Ticket {
    let Lookup::Miss(ticket) = cache.lookup(request, &by_meaning()).await else {
        panic!("expected a miss")
    };
    ticket
}

fn asks(cache: &AnswerCache, request: ChatRequest) -> tokio::task::JoinHandle<Lookup> {
    let worker = cache.clone();
    let asking = async move { worker.lookup(&request, &by_meaning()).await };
    cache.inner.tasks.spawn(asking)
}

async fn waits(asking: &tokio::task::JoinHandle<Lookup>) -> bool {
    tokio::time::sleep(Duration::from_millis(50)).await;
    !asking.is_finished()
}

#[tokio::test]
async fn a_rewording_waits_for_the_first_and_so_do_those_who_wait_for_it() {
    let cache = cache();
    let lead = leads(&cache, &asking(QUESTION)).await;
    let reworded = asks(&cache, asking(REWORDED));
    assert!(waits(&reworded).await);
    let identical = asks(&cache, asking(REWORDED));
    assert!(waits(&identical).await);
    cache.insert(lead, answer("one"));
    let Lookup::Hit(hit) = reworded.await.unwrap() else {
        panic!("a hit")
    };
    assert_eq!((hit.tier, hit.shared), (Tier::Semantic, true));
    assert!(hit.similarity.unwrap() > 0.92);
    let Lookup::Hit(hit) = identical.await.unwrap() else {
        panic!("a hit")
    };
    assert_eq!(hit.answer.text, "one");
    assert_eq!(cache.stats().inserts, 1);
}

#[tokio::test]
async fn other_questions_tenants_and_stricter_callers_ask_for_themselves() {
    let cache = cache();
    let _lead = leads(&cache, &asking(QUESTION)).await;
    let mut other_tenant = asking(REWORDED);
    other_tenant.tenant = TenantId::from("other");
    let mut strict = asking(REWORDED);
    strict.min_similarity = Some(1.0);
    let mut urgent = asking(REWORDED);
    urgent.priority = Priority::Critical;
    let negated = asking("How do I not reset my account password?");
    for request in [negated, other_tenant, strict, urgent] {
        drop(leads(&cache, &request).await);
    }
}

#[tokio::test]
async fn without_the_opt_in_a_rewording_asks_for_itself() {
    let cache = cache();
    let _lead = leads(&cache, &asking(QUESTION)).await;
    drop(miss(&cache, &asking(REWORDED)).await);
    // and is not found by those who opt in
    let _silent = miss(&cache, &asking(BREAD)).await;
    drop(leads(&cache, &asking(BREAD_REWORDED)).await);
}

#[tokio::test]
async fn a_first_that_fails_or_is_purged_or_too_long_leaves_the_others_to_themselves() {
    let cache = cache();
    let lead = leads(&cache, &asking(QUESTION)).await;
    let reworded = asks(&cache, asking(REWORDED));
    assert!(waits(&reworded).await);
    drop(lead);
    assert!(matches!(reworded.await.unwrap(), Lookup::Miss(_)));
    let _lead = leads(&cache, &asking(QUESTION)).await;
    cache.purge(Purge::All).await.unwrap();
    drop(leads(&cache, &asking(REWORDED)).await);
    let lead = leads(&cache, &asking(BREAD)).await;
    let short = raw_request(&format!(
        r#"{{"model":"auto","max_tokens":2,"messages":[{{"role":"user","content":"{BREAD_REWORDED}"}}]}}"#
    ));
    let short = asks(&cache, short);
    assert!(waits(&short).await);
    cache.insert(lead, answer("a long story"));
    assert!(matches!(short.await.unwrap(), Lookup::Miss(_)));
}

#[tokio::test]
async fn nobody_waits_beyond_its_own_deadline() {
    let cache = cache();
    let _lead = leads(&cache, &asking(QUESTION)).await;
    let mut hurried = asking(REWORDED);
    hurried.deadline = Moment::now() + Duration::from_millis(300);
    drop(leads(&cache, &hurried).await);
}
