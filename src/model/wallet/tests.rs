use std::time::Duration;

use llm_router_cluster::policy::LimitKind;

use super::Wallet;
use crate::bridge::Bridge;
use crate::bridge::testing::Stand;
use crate::config::routing::RateLimits;
use crate::model::purse::Terms;
use crate::types::Moment;

fn limits(rpm: u64, tpm: u64) -> RateLimits {
    RateLimits {
        rpm: Some(rpm),
        tpm: Some(tpm),
    }
}

fn soon() -> Moment {
    Moment::now() + Duration::from_secs(5)
}

#[tokio::test]
async fn without_a_cluster_an_empty_budget_refuses_at_once_and_says_when() {
    let wallet = Wallet::new(limits(1, 1_000), Bridge::alone());
    let mut drawn = wallet.draw(100, soon()).await.unwrap();
    drawn.begin();
    drawn.settle(Some(120));
    let asked = Moment::now();
    let limited = wallet.draw(100, soon()).await.unwrap_err();
    assert!(
        Moment::now().since(asked) < Duration::from_secs(1),
        "nobody could lend more"
    );
    assert_eq!(limited.kind, LimitKind::Requests);
    assert!(limited.retry_after > Duration::from_secs(58));
    assert_eq!(
        limited.to_string(),
        "limit of requests per minute is used up"
    );
}

#[tokio::test]
async fn what_was_not_sent_goes_back() {
    let wallet = Wallet::new(limits(1, 1_000), Bridge::alone());
    drop(wallet.draw(1_000, soon()).await.unwrap());
    let mut drawn = wallet.draw(1_000, soon()).await.unwrap();
    drawn.begin();
    drop(drawn); // sent, and never heard of: as much as was estimated
    let demand = |kind| wallet.demand(kind, Moment::now()).unwrap().used;
    assert_eq!(demand(LimitKind::Requests), 1);
    assert_eq!(demand(LimitKind::Tokens), 1_000);
}

#[tokio::test]
async fn a_loan_lets_the_one_who_waits_go_on_and_the_leader_is_asked_at_once() {
    let stand = Stand::new(3);
    let bridge = Bridge::over(stand.clone());
    let wallet = Wallet::new(limits(60, 6_000), bridge.clone());
    wallet.lend(LimitKind::Requests, Terms::Lent(0), Some(1));
    wallet.lend(LimitKind::Tokens, Terms::Lent(6_000), Some(1));
    let (drawn, ()) = tokio::join!(wallet.draw(100, soon()), async {
        bridge.urged().await;
        let wanted = wallet.demand(LimitKind::Requests, Moment::now()).unwrap();
        assert_eq!((wanted.wanted, wanted.taken), (1, 1));
        wallet.lend(LimitKind::Requests, Terms::Lent(1), Some(2));
    });
    assert!(drawn.is_ok());
    let after = wallet.demand(LimitKind::Requests, Moment::now()).unwrap();
    assert_eq!(after.wanted, 1, "the one that runs, nobody who waits");
}

#[tokio::test]
async fn a_loan_that_does_not_come_is_not_waited_for_beyond_the_deadline() {
    let bridge = Bridge::over(Stand::new(3));
    let wallet = Wallet::new(limits(60, 6_000), bridge);
    wallet.lend(LimitKind::Requests, Terms::Lent(0), Some(1));
    let deadline = Moment::now() + Duration::from_millis(100);
    let limited = wallet.draw(100, deadline).await.unwrap_err();
    assert_eq!(limited.kind, LimitKind::Requests);
    assert!(Moment::now().since(deadline) < Duration::from_secs(1));
}

#[tokio::test]
async fn a_rate_that_is_spent_is_waited_for_once_and_then_refused_at_once_for_a_while() {
    let wallet = Wallet::new(limits(60, 6_000), Bridge::over(Stand::new(3)));
    wallet.lend(LimitKind::Requests, Terms::Lent(0), Some(1));
    let asked = Moment::now();
    assert!(wallet.draw(10, soon()).await.is_err());
    let first = Moment::now().since(asked);
    assert!(first >= super::MAX_WAIT, "the leader may lend more");
    let asked = Moment::now();
    for _ in 0..10 {
        assert!(wallet.draw(10, soon()).await.is_err());
    }
    assert!(Moment::now().since(asked) < super::MAX_WAIT);
    // what is lent after all counts at once
    wallet.lend(LimitKind::Requests, Terms::Lent(1), Some(2));
    assert!(wallet.draw(10, soon()).await.is_ok());
}

#[tokio::test]
async fn a_node_of_three_that_was_lent_nothing_uses_a_third() {
    let wallet = Wallet::new(limits(3, 6_000), Bridge::over(Stand::new(3)));
    let mut drawn = wallet.draw(10, soon()).await.unwrap();
    drawn.begin();
    assert!(wallet.draw(10, soon()).await.is_err());
}
