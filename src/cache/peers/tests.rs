//! Promises of one cache over many nodes, with several caches in one process: refusals first.

mod adversary;
mod flights;
mod keeper;
pub(crate) mod liar;
pub(crate) mod net;
mod pure;

use std::time::Duration;

use super::*;
use crate::cache::answer::{Hit, Insertion, Lookup, Purge, Tier};
use crate::cache::tests::{answer, asking, config, settings};
use crate::cache::{AnswerCache, Purged};
use crate::types::{CacheMode, ChatRequest};
use net::Net;

const QUESTION: &str = crate::cache::tests::QUESTION;
const PARAPHRASE: &str = crate::cache::tests::REWORDED;

async fn store(net: &Net, number: u64, request: &ChatRequest, text: &str) {
    let cache = net.cache(number);
    let Lookup::Miss(ticket) = cache.lookup(request, &config()).await else {
        panic!("expected a miss for {text}")
    };
    assert_eq!(cache.insert(ticket, answer(text)), Insertion::Stored);
    net.idle().await;
}

async fn found(cache: &AnswerCache, request: &ChatRequest) -> Option<Hit> {
    match cache.lookup(request, &config()).await {
        Lookup::Hit(hit) => Some(hit),
        Lookup::Miss(_) | Lookup::Attached(_) | Lookup::Bypass(_) => None,
    }
}

fn questions(count: usize) -> Vec<String> {
    let subjects = [
        "mountains",
        "rivers",
        "engines",
        "planets",
        "violins",
        "bridges",
        "glaciers",
    ];
    (0..count)
        .map(|n| {
            let subject = subjects[n % subjects.len()];
            format!("Which famous {subject} were described by traveller{n} nearby village{n}?")
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_node_stored_is_a_hit_through_every_node() {
    let net = Net::of(5, |_| settings()).await;
    store(&net, 1, &asking(QUESTION), "Paris").await;
    for cache in net.caches() {
        let exact = found(&cache, &asking(QUESTION)).await.expect("exact");
        assert_eq!(
            (exact.tier, exact.answer.text.as_str()),
            (Tier::Exact, "Paris")
        );
        let near = found(&cache, &asking(PARAPHRASE))
            .await
            .expect("by meaning");
        assert_eq!(
            (near.tier, near.answer.text.as_str()),
            (Tier::Semantic, "Paris")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_has_its_copies_and_no_more() {
    let net = Net::of(6, |_| settings()).await;
    for (at, text) in questions(40).iter().enumerate() {
        store(&net, 1 + at as u64 % 6, &asking(text), text).await;
    }
    let held: u64 = net.caches().iter().map(|cache| cache.stats().entries).sum();
    assert!(
        (80..=120).contains(&held),
        "two by meaning and one by key: {held}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_are_gone_or_slow_cost_hits_at_most_and_the_budget_at_most() {
    let net = Net::of(4, |_| settings()).await;
    let texts = questions(24);
    for (at, text) in texts.iter().enumerate() {
        store(&net, 1 + at as u64 % 4, &asking(text), text).await;
    }
    net.slow(2, Duration::from_secs(3));
    net.slow(3, Duration::from_secs(3));
    let cache = net.cache(1);
    let began = Moment::now();
    for text in &texts {
        let fresh = ChatRequest {
            cache: CacheMode::Refresh,
            ..asking(text)
        };
        // whatever comes of it, it comes
        let _ = cache.lookup(&asking(text), &config()).await;
        let _ = cache.lookup(&fresh, &config()).await;
    }
    let each = Moment::now().since(began) / 48;
    assert!(each < Duration::from_millis(400), "{each:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_node_takes_no_answer_with_it() {
    let net = Net::of(4, |_| settings()).await;
    let texts = questions(40);
    for (at, text) in texts.iter().enumerate() {
        store(&net, 1 + at as u64 % 4, &asking(text), text).await;
    }
    net.kill(2);
    net.settled().await;
    for (at, text) in texts.iter().enumerate() {
        let cache = net.cache([1, 3, 4][at % 3]);
        let hit = found(&cache, &asking(text)).await;
        assert_eq!(hit.expect(text).answer.text, *text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_comes_gets_its_part_and_no_answer_is_missed_meanwhile() {
    let net = Net::of(3, |_| settings()).await;
    let texts = questions(60);
    for (at, text) in texts.iter().enumerate() {
        store(&net, 1 + at as u64 % 3, &asking(text), text).await;
    }
    net.add(4, settings()).await;
    for text in &texts {
        for cache in net.caches() {
            assert!(found(&cache, &asking(text)).await.is_some(), "{text}");
        }
    }
    net.settled().await;
    let entries: Vec<u64> = net
        .caches()
        .iter()
        .map(|cache| cache.stats().entries)
        .collect();
    assert!(entries[3] > 20, "{entries:?}");
    assert!(entries.iter().all(|held| *held < 60), "{entries:?}");
    for text in &texts {
        for cache in net.caches() {
            assert!(found(&cache, &asking(text)).await.is_some(), "{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purged_answer_is_served_by_no_node_and_brought_back_by_none() {
    let net = Net::of(4, |_| settings()).await;
    store(&net, 1, &asking(QUESTION), "Paris").await;
    let late = net.cache(2);
    let Lookup::Miss(under_way) = late.lookup(&asking("Who wrote Hamlet?"), &config()).await else {
        panic!("expected a miss")
    };
    net.deaf(4, true);
    let purged = net.cache(3).purge(Purge::All).await.unwrap();
    assert!(purged.removed >= 2, "{purged:?}");
    assert_eq!(purged.unreached, ["n4"]);
    assert_eq!(
        late.insert(under_way, answer("Shakespeare")),
        Insertion::Refused("purged meanwhile")
    );
    for number in 1..=3 {
        let cache = net.cache(number);
        assert!(
            found(&cache, &asking(QUESTION)).await.is_none(),
            "node {number}"
        );
        assert!(
            found(&cache, &asking(PARAPHRASE)).await.is_none(),
            "node {number}"
        );
    }
    net.deaf(4, false);
    net.idle().await;
    assert!(found(&net.cache(4), &asking(QUESTION)).await.is_none());
    let nothing = net.cache(1).purge(Purge::All).await.unwrap();
    assert_eq!(nothing, Purged::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_cut_off_serves_as_its_config_says() {
    let net = Net::of(2, |_| settings()).await;
    store(&net, 1, &asking(QUESTION), "Paris").await;
    for number in [1, 2] {
        net.deaf(number, true);
        let cache = net.cache(number);
        let stop = CacheConfig {
            partition_mode: PartitionMode::Stop,
            ..config()
        };
        assert!(found(&cache, &asking(QUESTION)).await.is_some());
        let cut = cache.lookup(&asking(QUESTION), &stop).await;
        assert!(matches!(cut, Lookup::Bypass(_)), "{cut:?}");
        net.deaf(number, false);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_could_not_be_delivered_is_kept_and_brought_when_its_owner_is_back() {
    let net = Net::of(3, |_| settings()).await;
    net.slow(2, Duration::from_secs(20));
    net.slow(3, Duration::from_secs(20));
    let texts = questions(12);
    let cache = net.cache(1);
    for text in &texts {
        let Lookup::Miss(ticket) = cache.lookup(&asking(text), &config()).await else {
            panic!("expected a miss")
        };
        assert_eq!(cache.insert(ticket, answer(text)), Insertion::Stored);
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    net.slow(2, Duration::ZERO);
    net.slow(3, Duration::ZERO);
    let everywhere = async {
        for text in &texts {
            for cache in net.caches() {
                while found(&cache, &asking(text)).await.is_none() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    };
    let within = tokio::time::timeout(Duration::from_secs(60), everywhere).await;
    within.expect("every answer arrives");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hot_entry_gets_a_copy_where_it_is_asked_for() {
    let net = Net::of(6, |_| settings()).await;
    store(&net, 1, &asking(QUESTION), "Paris").await;
    for cache in net.caches() {
        for _ in 0..4 {
            assert!(found(&cache, &asking(QUESTION)).await.is_some());
        }
    }
    net.idle().await;
    let held = net
        .caches()
        .iter()
        .filter(|cache| cache.stats().entries == 1)
        .count();
    assert_eq!(held, 6);
}
