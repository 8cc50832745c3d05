//! What one caller alone can and cannot make of a shared scope.

use super::super::tests::*;
use super::super::{AnswerCache, Lookup, Purge, Settings, Tier};
use super::*;
use crate::cache::answer::Insertion;
use crate::config::routing::CacheScope;
use crate::types::ChatRequest;

fn shared() -> CacheConfig {
    CacheConfig {
        scope: CacheScope::Shared,
        ..config()
    }
}

fn of(tenant: &str, text: &str) -> ChatRequest {
    let mut request = asking(text);
    request.tenant = tenant.into();
    request
}

async fn look(cache: &AnswerCache, request: &ChatRequest) -> Lookup {
    cache.lookup(request, &shared()).await
}

async fn say(cache: &AnswerCache, request: &ChatRequest, text: &str) {
    let Lookup::Miss(ticket) = look(cache, request).await else {
        panic!("expected a miss")
    };
    assert_eq!(cache.insert(ticket, answer(text)), Insertion::Stored);
    settled(cache).await;
}

async fn served(cache: &AnswerCache, request: &ChatRequest) -> Option<(Tier, String)> {
    match look(cache, request).await {
        Lookup::Hit(hit) => Some((hit.tier, hit.answer.text.clone())),
        Lookup::Attached(_) | Lookup::Miss(_) | Lookup::Bypass(_) => None,
    }
}

#[tokio::test]
async fn one_tenant_alone_serves_only_itself_however_often_it_says_so() {
    let cache = cache();
    // two keys of one tenant carry one tenant's name: the second is served the first's answer,
    // and saying it anew is still one tenant's word
    say(&cache, &of("evil", QUESTION), "send money to me").await;
    for _ in 0..5 {
        let mut again = of("evil", QUESTION);
        again.cache = crate::types::CacheMode::Refresh;
        say(&cache, &again, "send money to me").await;
    }
    let mut elsewhere = of("evil", REWORDED);
    elsewhere.cache = crate::types::CacheMode::Refresh;
    say(&cache, &elsewhere, "send money to me").await;
    assert_eq!(cache.stats().promoted, 0);
    for text in [QUESTION, REWORDED] {
        assert_eq!(served(&cache, &of("good", text)).await, None);
        assert!(served(&cache, &of("evil", text)).await.is_some());
    }
}

#[tokio::test]
async fn an_answer_two_tenants_agree_on_serves_a_third_in_both_tiers() {
    let cache = cache();
    say(&cache, &of("a", QUESTION), "Click on Forgot.").await;
    assert_eq!(served(&cache, &of("c", QUESTION)).await, None);
    say(&cache, &of("b", QUESTION), "click on forgot").await;
    assert_eq!(cache.stats().promoted, 1);
    let exact = served(&cache, &of("c", QUESTION)).await.unwrap();
    assert_eq!(exact, (Tier::Exact, "Click on Forgot.".to_owned()));
    let semantic = served(&cache, &of("c", REWORDED)).await.unwrap();
    assert_eq!(semantic, (Tier::Semantic, "Click on Forgot.".to_owned()));
}

#[tokio::test]
async fn a_reworded_question_may_bear_witness() {
    let cache = cache();
    say(&cache, &of("a", QUESTION), "click on forgot").await;
    say(&cache, &of("b", REWORDED), "click on forgot").await;
    assert!(served(&cache, &of("c", QUESTION)).await.is_some());
}

#[tokio::test]
async fn tenants_who_disagree_keep_their_own_answers() {
    let cache = cache();
    say(&cache, &of("evil", QUESTION), "send money to me").await;
    say(&cache, &of("good", QUESTION), "click on forgot").await;
    assert_eq!(served(&cache, &of("c", QUESTION)).await, None);
    let own = |tier| Some((tier, "click on forgot".to_owned()));
    assert_eq!(
        served(&cache, &of("good", QUESTION)).await,
        own(Tier::Exact)
    );
    // the third opinion decides
    say(&cache, &of("c", QUESTION), "Click on forgot!").await;
    assert_eq!(served(&cache, &of("d", QUESTION)).await, own(Tier::Exact));
}

#[tokio::test]
async fn without_a_shared_scope_nothing_is_everyones() {
    let cache = cache();
    for tenant in ["a", "b"] {
        store(&cache, &of(tenant, QUESTION), "click on forgot").await;
    }
    say(&cache, &of("c", QUESTION), "click on forgot").await;
    assert_eq!(cache.stats().promoted, 0);
    // and a route without it does not read what has become everyone's elsewhere
    say(&cache, &of("d", QUESTION), "click on forgot").await;
    assert_eq!(cache.stats().promoted, 1);
    drop(miss(&cache, &of("e", QUESTION)).await);
}

#[tokio::test]
async fn a_purge_of_either_tenant_takes_what_they_agreed_on() {
    for tenant in ["a", "b"] {
        let cache = cache();
        say(&cache, &of("a", QUESTION), "click on forgot").await;
        say(&cache, &of("b", QUESTION), "click on forgot").await;
        cache.purge(Purge::Tenant(tenant.into())).await.unwrap();
        assert_eq!(served(&cache, &of("c", QUESTION)).await, None);
    }
}

#[tokio::test]
async fn a_purged_statement_bears_no_witness() {
    let cache = cache();
    say(&cache, &of("a", QUESTION), "click on forgot").await;
    cache.purge(Purge::Tenant("a".into())).await.unwrap();
    say(&cache, &of("b", QUESTION), "click on forgot").await;
    assert_eq!(cache.stats().promoted, 0);
    let own = look(&cache, &of("b", QUESTION)).await;
    let Lookup::Hit(own) = own else {
        panic!("a hit")
    };
    cache.purge(Purge::Entry(own.entry)).await.unwrap();
    say(&cache, &of("c", QUESTION), "click on forgot").await;
    assert_eq!(cache.stats().promoted, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_everyones_survives_a_restart_and_dies_with_either_key() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        AnswerCache::open(Settings {
            dir: Some(dir.path().to_owned()),
            ..settings()
        })
        .unwrap()
    };
    let first = open();
    say(&first, &of("a", QUESTION), "click on forgot").await;
    say(&first, &of("b", QUESTION), "click on forgot").await;
    first.close().await;
    let second = open();
    assert!(served(&second, &of("c", REWORDED)).await.is_some());
    second.purge(Purge::Tenant("b".into())).await.unwrap();
    second.close().await;
    let third = open();
    assert_eq!(served(&third, &of("c", QUESTION)).await, None);
    assert!(served(&third, &of("a", QUESTION)).await.is_some());
    third.close().await;
}

fn statement(id: u8, tenant: &str, bytes: usize) -> Statement {
    Statement {
        id: EntryId([id; 16]),
        own: EntryId([id.wrapping_add(1); 16]),
        tenant: tenant.into(),
        tags: Vec::new(),
        meaning: None,
        vector: None,
        answer: Arc::new(StoredAnswer {
            text: "x".repeat(bytes),
            usage: crate::types::Usage::default(),
            model: "m".into(),
            shown_model: "m".to_owned(),
            created: 0,
        }),
        created: 0,
        expires: 100,
        epoch: 0,
    }
}

#[test]
fn statements_that_wait_are_bounded_in_number_and_bytes() {
    let mut statements = Statements::default();
    for at in 0..3 * MAX_STATEMENTS {
        statements.add(statement(1, &format!("t{at}"), 10));
    }
    assert_eq!(statements.waiting.len(), MAX_STATEMENTS);
    for at in 0..80 {
        statements.add(statement(2, &format!("t{at}"), 1 << 20));
        assert!(statements.bytes <= MAX_BYTES);
    }
    assert!(statements.waiting.len() < 33);
}

#[test]
fn expired_statements_and_the_same_tenants_bear_no_witness() {
    let mut statements = Statements::default();
    statements.add(statement(1, "a", 1));
    let asked = |statements: &Statements, by: &str, now| {
        statements
            .others(&statement(1, by, 1), now, |_| false)
            .len()
    };
    assert_eq!(asked(&statements, "a", 0), 0);
    assert_eq!(asked(&statements, "b", 99), 1);
    assert_eq!(asked(&statements, "b", 100), 0);
}
