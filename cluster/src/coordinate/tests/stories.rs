//! Leaders come and go, nodes drain and are cut off. In real time: what is waited for is an event.

use super::*;
use crate::command::BreakerStep;
use crate::policy::{BreakerPolicy, LimitId, LimitKind};
use crate::pulse::{Calls, Demand, Evidence};
use crate::state::{Cause, TargetId};

fn gpu() -> TargetId {
    TargetId("gpu".to_owned())
}

fn policy() -> Policy {
    let numbers = BreakerPolicy {
        failure_threshold: 5,
        recovery_ms: 1,
        success_threshold: 3,
        first_token_ms: 1_000,
    };
    let slots = LimitId {
        target: gpu(),
        kind: LimitKind::Concurrency,
    };
    Policy {
        breakers: BTreeMap::from([(gpu(), numbers)]),
        limits: BTreeMap::from([(slots, 9)]),
        ..Policy::default()
    }
}

fn failing() -> Report {
    let mut evidence = Evidence {
        failure_ages_ms: vec![0; 5],
        ..Evidence::default()
    };
    evidence.buckets[0] = Calls {
        hard: 5,
        ..Calls::default()
    };
    Report {
        evidence: BTreeMap::from([(gpu(), evidence)]),
        ..Report::default()
    }
}

fn served(requests: u64) -> Report {
    Report {
        usage: BTreeMap::from([("requests".to_owned(), requests)]),
        ..Report::default()
    }
}

#[tokio::test]
async fn a_node_that_does_not_lead_takes_no_exchange() {
    let net = Net::new(2);
    net.lead(1, 1);
    let door = &net.node(2).coordinator;
    let refused = door.accept(MemberId(1), futures::stream::pending().boxed());
    assert!(matches!(refused, Err(Error::NoQuorum { .. })));
}

#[tokio::test]
async fn urgent_news_are_proposed_at_once() {
    let mut net = Net::new(2);
    net.policy.send_replace(Arc::new(policy()));
    net.lead(1, 1);
    // the leader has led for long enough to have heard everybody
    net.node(2).hears(|told| told.figures.nodes == 2).await;
    net.node(1).hears_in(Duration::from_millis(600)).await;
    let told = tokio::time::Instant::now();
    net.node(2).coordinator.report(failing(), true);
    // the other has nothing to say against it
    net.node(1).coordinator.report(Report::default(), true);
    let changes = net.proposal().await;
    let took = told.elapsed();
    let [
        BreakerChange {
            target,
            expect: 0,
            to,
        },
    ] = &changes[..]
    else {
        panic!("{changes:?}");
    };
    assert_eq!(target, "gpu");
    let cause = Cause::Streak;
    assert!(matches!(to, BreakerStep::Open { cause: why, .. } if *why == cause));
    assert!(took < Duration::from_millis(200), "it took {took:?}");
}

#[tokio::test]
async fn a_new_leader_knows_everything_after_one_report_of_each() {
    let mut net = Net::new(3);
    net.policy.send_replace(Arc::new(policy()));
    net.lead(1, 1);
    net.node(2).coordinator.report(served(5), false);
    net.node(3).coordinator.report(served(7), false);
    let sum = |told: &Directive| told.figures.usage.get("requests").copied();
    net.node(2).hears(|told| sum(told) == Some(12)).await;
    net.node(1).wires.cut.send_replace(true);
    net.node(3).coordinator.report(failing(), true);
    net.lead(2, 2);
    let heard = net
        .node(3)
        .hears(|told| told.term == 2 && told.figures.nodes == 2)
        .await;
    assert_eq!(heard.directive.leader, MemberId(2));
    assert_eq!(sum(&heard.directive), Some(5));
    // nobody told anything again
    let changes = net.proposal().await;
    assert!(
        matches!(changes[0].to, BreakerStep::Open { .. }),
        "{changes:?}"
    );
    let alive = net.node(3).coordinator.alive();
    assert_eq!(
        alive.into_iter().collect::<Vec<_>>(),
        [MemberId(2), MemberId(3)]
    );
}

#[tokio::test]
async fn an_old_leaders_words_do_not_count_after_a_newer_term() {
    let net = Net::new(2);
    net.lead(1, 5);
    net.node(2).hears(|told| told.term == 5).await;
    net.node(2).leading.send_replace(Leadership {
        term: 6,
        leader: Some((MemberId(1), leadership(1, 6, 2).leader.expect("a peer").1)),
        leading: false,
    });
    // node 1 still believes in term 5
    net.node(2).hears_in(Duration::from_millis(300)).await;
    assert_eq!(net.node(2).hears_in(Duration::from_millis(500)).await, 0);
    net.node(1).leading.send_replace(leadership(1, 6, 1));
    net.node(2).hears(|told| told.term == 6).await;
}

#[tokio::test]
async fn an_isolated_follower_hears_nothing_until_it_is_healed() {
    let net = Net::new(2);
    net.lead(1, 1);
    net.node(2).hears(|told| told.figures.nodes == 2).await;
    assert!(net.node(2).hears_in(Duration::from_secs(1)).await >= 4);
    net.node(2).wires.cut.send_replace(true);
    assert_eq!(net.node(2).coordinator.alive().len(), 2);
    assert_eq!(net.node(2).hears_in(Duration::from_secs(1)).await, 0);
    let alone = net.node(2).coordinator.alive();
    assert_eq!(alone.into_iter().collect::<Vec<_>>(), [MemberId(2)]);
    net.node(2).wires.cut.send_replace(false);
    assert!(net.node(2).hears_in(Duration::from_secs(1)).await > 0);
}

#[tokio::test]
async fn a_draining_node_gets_no_probe_and_only_the_slots_it_wants() {
    let mut net = Net::new(2);
    net.policy.send_replace(Arc::new(policy()));
    net.lead(1, 1);
    let slots = |told: &Directive| {
        let mut shares = told.shares.values();
        shares.next().map(|share| share.amount)
    };
    net.node(2).hears(|told| slots(told) == Some(4)).await;
    net.node(2).coordinator.drain();
    net.node(2).hears(|told| slots(told) == Some(0)).await;
    net.node(1).hears(|told| slots(told) == Some(9)).await;
    let waiting = Demand {
        wanted: 2,
        ..Demand::default()
    };
    let limit = policy().limits.into_keys().next().expect("a limit");
    let demands = |demand| Report {
        demand: BTreeMap::from([(limit.clone(), demand)]),
        ..Report::default()
    };
    net.node(2).coordinator.report(demands(waiting), true);
    let heard = net.node(1).hears(|told| slots(told) == Some(7)).await;
    let number = heard.directive.shares[&limit].number;
    let taken = Demand {
        taken: number,
        ..Demand::default()
    };
    net.node(1).coordinator.report(demands(taken), true);
    net.node(2).hears(|told| slots(told) == Some(2)).await;
    // the turn would be node 2's
    net.agreed.apply(Change::Breaker(BreakerChange {
        target: gpu().0,
        expect: 0,
        to: BreakerStep::Open {
            cause: Cause::Streak,
            cooldown_ms: 1,
        },
    }));
    let changes = net.proposal().await;
    let BreakerStep::HalfOpen { holder, .. } = changes[0].to else {
        panic!("{changes:?}");
    };
    assert_eq!(holder, MemberId(1));
}

#[tokio::test]
async fn a_leader_that_lost_its_quorum_falls_silent() {
    let net = Net::new(2);
    net.lead(1, 1);
    net.node(2).hears(|told| told.figures.nodes == 2).await;
    net.node(1).leading.send_replace(Leadership {
        leading: false,
        ..leadership(1, 1, 1)
    });
    net.node(2).hears_in(Duration::from_millis(100)).await;
    assert_eq!(net.node(2).hears_in(Duration::from_millis(500)).await, 0);
    assert_eq!(net.node(1).hears_in(Duration::from_millis(500)).await, 0);
}

#[tokio::test]
async fn a_node_is_in_contact_while_it_hears_the_leader_and_has_its_log() {
    let net = Net::new(2);
    net.lead(1, 1);
    let heard = net.node(2).hears(|told| told.figures.nodes == 2).await;
    let committed = heard.directive.committed;
    assert_eq!(committed, 2, "two members were let in");
    let door = &net.node(2).coordinator;
    assert!(door.keeps_up(committed));
    assert!(!door.keeps_up(committed - 1), "it has to catch up first");
    net.node(2).wires.cut.send_replace(true);
    net.node(2).hears_in(door.contact * 2).await;
    assert!(!door.keeps_up(committed), "nothing is heard any more");
}

#[tokio::test]
async fn a_leader_knows_whose_disk_is_full() {
    let net = Net::new(2);
    net.lead(1, 1);
    net.node(2).hears(|told| told.figures.nodes == 2).await;
    assert!(net.node(1).coordinator.full().is_empty());
    *net.agreed.full.lock() = Some(12);
    let told = |count: u64| {
        net.node(2).coordinator.report(served(count), true);
        net.node(1).coordinator.full().get(&MemberId(2)).copied()
    };
    let known = async {
        let mut count = 0;
        while told(count) != Some(12) {
            count += 1;
            net.node(2).hears_in(Duration::from_millis(50)).await;
        }
    };
    timeout(LONG, known).await.expect("it is told");
}
