//! What the cache learns of its mistakes: a wrong pair never comes back.

use std::path::Path;

use super::*;
use crate::cache::learn::{NO_ROUTE, TierState, Verdict};
use crate::types::RouteName;

fn open(dir: &Path) -> AnswerCache {
    AnswerCache::open(Settings {
        dir: Some(dir.to_owned()),
        ..settings()
    })
    .unwrap()
}

/// The verdict of a check on a semantic hit.
async fn judge(cache: &AnswerCache, hit: &Hit, verdict: Verdict, route: Option<&RouteName>) {
    let pair = hit.pair.expect("a semantic hit");
    cache
        .judged(&pair, verdict, (route, &config()))
        .await
        .unwrap();
}

async fn why_not(cache: &AnswerCache, request: &ChatRequest) -> Explained {
    *miss(cache, request).await.explained()
}

/// A third way to put the question; neither of the other two.
const ANOTHER: &str = "How may I reset my account password?";

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_hit_is_withdrawn_and_its_pair_never_hits_again() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path());
    store(&cache, &asking(QUESTION), "wrong").await;
    let wrong = hit(&cache, &asking(REWORDED)).await;
    judge(&cache, &wrong, Verdict::Disagree, None).await;
    drop(miss(&cache, &asking(QUESTION)).await);
    drop(miss(&cache, &asking(REWORDED)).await);

    // the entry comes back with another answer: the pair still does not hit
    store(&cache, &asking(QUESTION), "another").await;
    let refused = why_not(&cache, &asking(REWORDED)).await;
    assert_eq!(refused.reason, "vetoed");
    assert_eq!(refused.nearest.unwrap().entry, wrong.entry);
    // nor does the entry under a third wording: it was wrong once
    let risky = why_not(&cache, &asking(ANOTHER)).await;
    assert_eq!(risky.reason, "estimated error above the budget");
    assert!(risky.nearest.unwrap().evidence.wrong > 1.0);
    // to itself it is the answer
    assert_eq!(hit(&cache, &asking(QUESTION)).await.tier, Tier::Exact);
    cache.close().await;

    let again = open(dir.path());
    assert_eq!(why_not(&again, &asking(REWORDED)).await.reason, "vetoed");
    assert_eq!(again.learning().vetoes, 1);
    again.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_hit_stays_and_an_unsure_verdict_counts_for_nothing() {
    let cache = cache();
    store(&cache, &asking(QUESTION), "right").await;
    for verdict in [Verdict::Agree, Verdict::Unsure] {
        let right = hit(&cache, &asking(REWORDED)).await;
        judge(&cache, &right, verdict, None).await;
    }
    let learnt = cache.learning();
    assert_eq!((learnt.agreed, learnt.unsure, learnt.vetoes), (1, 1, 0));
    assert_eq!((learnt.routes[0].judged, learnt.routes[0].wrong), (1, 0));
    assert_eq!(learnt.routes[0].route, NO_ROUTE);
    drop(hit(&cache, &asking(REWORDED)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_veto_holds_after_a_restart_whatever_the_case_and_the_spaces() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path());
    store(&cache, &asking(QUESTION), "kept").await;
    let entry = hit(&cache, &asking(REWORDED)).await.entry;
    cache
        .veto(entry, &format!("  {}  ", REWORDED.to_uppercase()))
        .await
        .unwrap();
    assert_eq!(why_not(&cache, &asking(REWORDED)).await.reason, "vetoed");
    // killed, not closed: the veto was on disk before the caller was told
    drop(cache);
    let again = loop {
        // the writer's thread lets go of the database a moment after the handle
        if let Ok(again) = AnswerCache::open(Settings {
            dir: Some(dir.path().to_owned()),
            ..settings()
        }) {
            break again;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(why_not(&again, &asking(REWORDED)).await.reason, "vetoed");
    assert_eq!(hit(&again, &asking(ANOTHER)).await.entry, entry);
    assert_eq!(again.learning().veto_refusals, 1);
    again.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_started_over_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path());
    store(&cache, &asking(QUESTION), "kept").await;
    let entry = hit(&cache, &asking(REWORDED)).await.entry;
    cache.veto(entry, REWORDED).await.unwrap();
    cache.close().await;
    let file = dir.path().join("cache.learnt");
    let mut bytes = std::fs::read(&file).unwrap();
    let last = bytes.len() - 2;
    bytes[last] ^= 1;
    std::fs::write(&file, bytes).unwrap();

    let again = open(dir.path());
    let learnt = again.learning();
    assert_eq!((learnt.damaged, learnt.vetoes), (1, 0));
    drop(hit(&again, &asking(REWORDED)).await);
    again.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poisoned_route_loses_its_semantic_tier_over_restarts_and_the_others_keep_theirs() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path());
    let (poisoned, other) = (RouteName::from("poisoned"), RouteName::from("other"));
    store(&cache, &asking(QUESTION), "wrong").await;
    let pair = hit(&cache, &asking(REWORDED)).await.pair.unwrap();
    let mut seen = Vec::new();
    for _ in 0..20 {
        let under = (Some(&poisoned), &config());
        cache.judged(&pair, Verdict::Disagree, under).await.unwrap();
        let tier = cache.learning().routes[0].tier;
        if seen.last() != Some(&tier) {
            seen.push(tier);
        }
    }
    assert_eq!(seen, ["normal", "strict", "exact_only"]);
    cache.close().await;

    let again = open(dir.path());
    let on = async |route| {
        let (request, config) = (asking(ANOTHER), config());
        let looked = again.lookup_for(&request, &config, Some(route));
        let Lookup::Miss(ticket) = looked.await else {
            panic!("expected a miss")
        };
        *ticket.explained()
    };
    let off = on(&poisoned).await;
    assert_eq!(off.tier, TierState::ExactOnly);
    assert_eq!(off.reason, "over the error budget, exact answers only");
    assert_eq!(on(&other).await.tier, TierState::Normal);
    let shown = &again.learning().routes[0];
    assert!(
        shown.pause_left_s.is_some_and(|left| left > 3500),
        "{shown:?}"
    );
    // an identical request is still answered, and told so
    let ticket = miss(&again, &asking(QUESTION)).await;
    again.insert(ticket, answer("fresh"));
    let (request, config) = (asking(QUESTION), config());
    let looked = again.lookup_for(&request, &config, Some(&poisoned));
    let Lookup::Hit(exact) = looked.await else {
        panic!("expected a hit")
    };
    assert_eq!(
        (exact.tier, exact.explained.tier),
        (Tier::Exact, TierState::ExactOnly)
    );
    again.close().await;
}

#[tokio::test]
async fn a_tier_that_lost_trust_serves_only_what_is_within_half_the_budget() {
    let cache = cache();
    let route = RouteName::from("r");
    store(&cache, &asking(QUESTION), "a").await;
    let sure = hit(&cache, &asking(REWORDED)).await;
    let risk = sure.explained.nearest.unwrap().upper_bound;
    // a budget between the estimate and twice the estimate
    let tight = CacheConfig {
        max_error_rate: risk * 1.5,
        ..config()
    };
    let ask = async || {
        cache
            .lookup_for(&asking(REWORDED), &tight, Some(&route))
            .await
    };
    assert!(matches!(ask().await, Lookup::Hit(_)));
    // wrong answers of another entry
    store(&cache, &asking("How do plants make sugar?"), "b").await;
    let wrong = hit(&cache, &asking("How can plants make sugar?")).await;
    let pair = wrong.pair.unwrap();
    for _ in 0..2 {
        let under = (Some(&route), &tight);
        cache.judged(&pair, Verdict::Disagree, under).await.unwrap();
    }
    let Lookup::Miss(ticket) = ask().await else {
        panic!("expected a miss")
    };
    assert_eq!(ticket.explained().tier, TierState::Strict);
    let tolerated = ticket.explained().nearest.unwrap().tolerated;
    assert!((tolerated - risk * 0.75).abs() < 1e-12);
}

#[tokio::test]
async fn an_entry_deleted_while_its_request_is_under_way_does_not_come_back() {
    let cache = cache();
    let under_way = miss(&cache, &asking(QUESTION)).await;
    let unrelated = miss(&cache, &asking("How do plants make sugar?")).await;
    assert_eq!(
        cache.purge(Purge::Entry(under_way.entry())).await.unwrap(),
        Purged::default()
    );
    // whoever asks now asks anew instead of waiting for the deleted answer
    let anew = miss(&cache, &asking(QUESTION)).await;
    assert_eq!(
        cache.insert(under_way, answer("deleted")),
        Insertion::Refused("purged meanwhile")
    );
    assert_eq!(cache.insert(unrelated, answer("kept")), Insertion::Stored);
    drop(hit(&cache, &asking("How do plants make sugar?")).await);
    assert_eq!(cache.insert(anew, answer("fresh")), Insertion::Stored);
    assert_eq!(hit(&cache, &asking(QUESTION)).await.answer.text, "fresh");
}

#[tokio::test]
async fn nothing_asked_before_everything_was_purged_comes_back() {
    let cache = cache();
    let under_way = miss(&cache, &asking(QUESTION)).await;
    cache.purge(Purge::All).await.unwrap();
    assert!(matches!(
        cache.insert(under_way, answer("before")),
        Insertion::Refused(_)
    ));
    drop(miss(&cache, &asking(QUESTION)).await);
    drop(miss(&cache, &asking(REWORDED)).await);
}

#[tokio::test]
async fn every_hit_and_every_miss_says_why_without_a_word_of_the_text() {
    let cache = cache();
    store(&cache, &asking(QUESTION), "Click on forgot").await;
    let served = hit(&cache, &asking(REWORDED)).await;
    let weighed = served.explained.nearest.unwrap();
    assert_eq!(weighed.entry, served.entry);
    assert!(weighed.probability > 0.99 && weighed.upper_bound <= weighed.tolerated);
    let said = served.explained.to_string();
    assert!(
        said.contains("guards=passed") && said.contains("tier=normal"),
        "{said}"
    );

    let guarded = why_not(&cache, &asking("How do I not reset my account password?")).await;
    let said = guarded.to_string();
    assert!(
        said.starts_with("a guard objects; guard=negation"),
        "{said}"
    );
    let elsewhere = raw_request(
        r#"{"model":"other","messages":[{"role":"user","content":"How high is Mont Blanc?"}]}"#,
    );
    let nothing = why_not(&cache, &elsewhere).await;
    assert_eq!(nothing.reason, "nothing stored comes near");
    for said in [served.explained.to_string(), guarded.to_string()] {
        assert!(said.is_ascii() && said.len() < 256, "{said}");
        for word in ["reset", "password", "forgot", "account"] {
            assert!(!said.contains(word), "{said}");
        }
    }
}

#[tokio::test]
async fn the_operators_lookup_shows_age_evidence_and_vetoes_of_the_candidates() {
    let cache = cache();
    store(&cache, &asking(QUESTION), "a").await;
    let entry = hit(&cache, &asking(REWORDED)).await.entry;
    let before = cache.compare(REWORDED, None).await.unwrap();
    let near = &before.candidates[0];
    assert_eq!((near.decision, near.vetoed), ("hit", false));
    assert!(near.age_s < 60 && near.refused_by.is_empty());
    cache.veto(entry, REWORDED).await.unwrap();
    let after = cache.compare(REWORDED, None).await.unwrap();
    assert_eq!((after.decision, after.reason.as_str()), ("miss", "vetoed"));
    assert!(after.candidates[0].vetoed);
}
