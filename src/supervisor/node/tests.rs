//! Promises of a node that is one of several, with a stand-in for the others.

mod probes;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use llm_router_cluster::MemberId;
use llm_router_cluster::policy::{LimitId, LimitKind};
use llm_router_cluster::pulse::{Report, Share};
use llm_router_cluster::state::{BreakerRecord, Mode, Phase};

use super::super::Fleet;
use super::super::testing::request;
use crate::bridge::Bridge;
use crate::bridge::testing::Stand;
use crate::config::routing::{BreakerConfig, ModelConfig, ProviderKind};
use crate::inference::Deployment;
use crate::model::{Attempt, AttemptError, Attempted, ModelHandle, Refusal};
use crate::provider::{Answer, Call, Class, Demo, Failure, Provider};
use crate::telemetry::{Metrics, Recorder};
use crate::types::{Moment, TenantId};

/// Answers, or fails; counts how often it was asked.
#[derive(Default)]
struct Upstream {
    asked: AtomicU32,
    fails: Option<Class>,
    hangs: bool,
}

#[async_trait]
impl Provider for Upstream {
    fn kind(&self) -> &'static str {
        "upstream"
    }

    async fn generate(&self, call: Call) -> Result<Answer, Failure> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.hangs {
            return std::future::pending().await;
        }
        if let Some(class) = self.fails {
            return Err(Failure::new(class, "no"));
        }
        Demo::new("echo").generate(call).await
    }

    async fn health(&self) -> Result<(), Failure> {
        Ok(())
    }
}

struct Node {
    stand: Stand,
    fleet: Fleet,
    model: ModelHandle,
    upstream: Arc<Upstream>,
}

/// One of three nodes with one model of four slots.
async fn node(failing: bool) -> Node {
    node_of(failing.then_some(Class::Hard)).await
}

/// The same, and how its upstream fails.
async fn node_of(fails: Option<Class>) -> Node {
    let upstream = Upstream {
        fails,
        ..Upstream::default()
    };
    node_over(upstream, |_| {}).await
}

/// The same over this upstream, with these changes to the model.
async fn node_over(upstream: Upstream, change: impl FnOnce(&mut ModelConfig)) -> Node {
    let (stand, upstream) = (Stand::new(3), Arc::new(upstream));
    let recorder = Recorder::new(Metrics::detached());
    let bridge = Bridge::over(stand.clone());
    let fleet = Fleet::start(&recorder, bridge).await.unwrap();
    let mut config = ModelConfig::new(ProviderKind::Custom, "echo");
    config.max_concurrency = 4;
    change(&mut config);
    let deployment = Deployment {
        name: "m".into(),
        config,
        provider: Arc::clone(&upstream) as Arc<_>,
        identity: blake3::hash(b"m"),
    };
    let models = fleet
        .apply(vec![deployment], &BreakerConfig::default())
        .await
        .unwrap();
    let model = models["m"].clone();
    Node {
        stand,
        fleet,
        model,
        upstream,
    }
}

impl Node {
    fn agree(&self, record: BreakerRecord) {
        self.stand.agree(&self.model.spec.target, record);
    }

    fn limit(&self) -> LimitId {
        LimitId {
            target: self.model.spec.target.clone(),
            kind: LimitKind::Concurrency,
        }
    }

    /// The node has told that it goes by this share.
    async fn takes(&self, number: u64) {
        let limit = self.limit();
        self.stand
            .reported(|report| {
                let demand = report.demand.get(&limit);
                demand.is_some_and(|demand| demand.taken == number)
            })
            .await;
    }

    fn asked(&self) -> u32 {
        self.upstream.asked.load(Ordering::SeqCst)
    }

    fn state(&self) -> &'static str {
        self.model.status(Moment::now()).circuit_breaker.state
    }

    fn share(&self, number: u64, amount: u64) {
        self.share_for(60_000, number, amount);
    }

    fn share_for(&self, valid_ms: u64, number: u64, amount: u64) {
        let share = Share {
            number,
            amount,
            valid_ms,
        };
        self.stand.lend([(self.limit(), share)]);
    }
}

fn record(epoch: u64, phase: Phase) -> BreakerRecord {
    BreakerRecord {
        epoch,
        phase,
        cooldown_ms: 60_000,
        lease_ms: 60_000,
        need_ok: 3,
        ..BreakerRecord::default()
    }
}

async fn ask(model: &ModelHandle) -> Result<(), AttemptError> {
    let request = request();
    let attempt = Attempt {
        request: &request,
        number: 1,
        sent: None,
    };
    match model.attempt(attempt).await? {
        Attempted::Whole(..) => Ok(()),
        Attempted::Stream(..) => panic!("nobody asked for a stream"),
    }
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..500 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

#[tokio::test]
async fn an_agreed_opening_lets_nothing_through_and_outlives_its_breakers_actor() {
    let node = node(false).await;
    ask(&node.model).await.unwrap();
    node.agree(record(1, Phase::Open));
    eventually("open", async || node.state() == "open").await;
    let refused = ask(&node.model).await.unwrap_err();
    assert!(matches!(
        refused,
        AttemptError::Refused(Refusal::Breaker(_))
    ));
    assert_eq!(node.model.status(Moment::now()).circuit_breaker.epoch, 1);

    let mailbox = node.model.shared.breaker.mailbox();
    let before = mailbox.actor().unwrap();
    before.kill();
    eventually("restarted", async || {
        mailbox
            .actor()
            .is_some_and(|actor| actor.get_id() != before.get_id())
    })
    .await;
    assert_eq!(node.state(), "open");
    assert!(ask(&node.model).await.is_err());
    assert_eq!(node.asked(), 1);
    node.fleet.stop().await;
}

#[tokio::test]
async fn whoever_waits_for_an_upstream_that_opens_is_sent_elsewhere() {
    let node = node(false).await;
    node.share(1, 0);
    node.stand
        .reported(|report| report.demand.values().any(|demand| demand.taken == 1))
        .await;
    let waiting = async { ask(&node.model).await.unwrap_err() };
    let opening = async {
        eventually("waits", async || node.model.shared.queue.depth() == 1).await;
        node.agree(record(1, Phase::Open));
    };
    let (refused, ()) = tokio::join!(waiting, opening);
    let AttemptError::Refused(Refusal::Queue(why)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(why, crate::queue::Denied::Broken);
    assert_eq!(node.asked(), 0);
    node.fleet.stop().await;
}

#[tokio::test]
async fn a_hard_failure_is_told_at_once_with_everything_seen() {
    let node = node(true).await;
    let before = node.stand.urgent();
    ask(&node.model).await.unwrap_err();
    let target = node.model.spec.target.clone();
    let report = node
        .stand
        .reported(|report| {
            let evidence = report.evidence.get(&target);
            evidence.is_some_and(|evidence| !evidence.failure_ages_ms.is_empty())
        })
        .await;
    eventually("urgent", async || node.stand.urgent() > before).await;
    let evidence = &report.evidence[&target];
    assert_eq!(evidence.epoch, 0);
    assert_eq!(
        evidence.buckets.iter().map(|calls| calls.hard).sum::<u32>(),
        1
    );
    node.fleet.stop().await;
}

#[tokio::test]
async fn a_node_whose_share_is_used_up_asks_at_once_and_goes_on_when_lent_more() {
    let node = node(false).await;
    node.share(1, 0);
    let limit = node.limit();
    node.takes(1).await;
    let before = node.stand.urgent();
    let lending = async {
        let starved = |demand: &llm_router_cluster::pulse::Demand| demand.wanted == 1;
        node.stand
            .reported(|report| report.demand.get(&limit).is_some_and(starved))
            .await;
        eventually("urgent", async || node.stand.urgent() > before).await;
        node.share(2, 1);
    };
    let (answered, ()) = tokio::join!(ask(&node.model), lending);
    answered.unwrap();
    node.fleet.stop().await;
}

#[tokio::test]
async fn without_a_leader_a_loan_holds_to_its_end_and_then_an_equal_part_and_at_least_one() {
    let node = node(false).await;
    node.share(1, 4);
    node.takes(1).await;
    let ticket = || crate::queue::Ticket {
        tenant: TenantId::default(),
        priority: crate::types::Priority::Normal,
        deadline: Moment::now() + Duration::from_millis(50),
        cost: 1,
        bytes: 1,
    };
    let queue = &node.model.shared.queue;
    node.stand.isolate();
    let first = queue.admit(ticket()).await.unwrap();
    let second = queue.admit(ticket()).await.unwrap();
    let limit = node.limit();
    // told, and so looked at, since the leader was lost
    node.stand
        .reported(|report| report.demand.get(&limit).is_some_and(|now| now.used == 2))
        .await;
    let third = queue.admit(ticket()).await.unwrap();

    node.share_for(0, 2, 4);
    eventually("noticed", async || queue.is_saturated()).await;
    drop((first, second));
    assert!(
        queue.admit(ticket()).await.is_err(),
        "one of four for each of three"
    );
    drop(third);
    assert!(queue.admit(ticket()).await.is_ok());
    node.fleet.stop().await;
}

#[tokio::test]
async fn without_a_leader_a_rate_that_is_spent_gives_way_to_an_equal_part() {
    let node = node_over(Upstream::default(), |config| config.limits.rpm = Some(30)).await;
    let requests = LimitId {
        kind: LimitKind::Requests,
        ..node.limit()
    };
    let one = Share {
        number: 1,
        amount: 1,
        valid_ms: 60_000,
    };
    node.stand.lend([(requests.clone(), one)]);
    node.stand
        .reported(|report| report.demand.get(&requests).is_some_and(|it| it.taken == 1))
        .await;
    ask(&node.model).await.unwrap();
    assert!(
        ask(&node.model).await.is_err(),
        "the leader lends no more, and is there"
    );

    node.stand.isolate();
    eventually("goes on", async || ask(&node.model).await.is_ok()).await;
    for number in 3..=10 {
        assert!(ask(&node.model).await.is_ok(), "{number} of ten");
    }
    assert!(
        ask(&node.model).await.is_err(),
        "ten of thirty for each of three"
    );
    node.fleet.stop().await;
}

#[tokio::test]
async fn an_operators_word_is_seen_on_every_node_and_after_a_restart_of_the_actor() {
    let node = node(false).await;
    node.agree(BreakerRecord {
        mode: Mode::ForceOpen,
        ..record(1, Phase::Closed)
    });
    eventually("open", async || node.state() == "open").await;
    let mode = node.model.status(Moment::now()).circuit_breaker.mode;
    assert_eq!(mode, "force_open");
    node.model.shared.breaker.mailbox().actor().unwrap().kill();
    eventually("refused", async || ask(&node.model).await.is_err()).await;
    assert_eq!(node.asked(), 0);
    node.fleet.stop().await;
}
