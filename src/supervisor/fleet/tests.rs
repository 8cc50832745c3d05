use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;

use super::super::testing::request;
use super::Fleet;
use crate::bridge::Bridge;
use crate::config::routing::{BreakerConfig, ModelConfig, ProviderKind};
use crate::inference::Deployment;
use crate::model::{Attempt, AttemptError, Attempted, ModelHandle};
use crate::provider::Demo;
use crate::telemetry::{Metrics, Recorder};
use crate::types::{ModelName, Moment, TenantId};

fn deployment(name: &str, slots: u32) -> Deployment {
    let mut config = ModelConfig::new(ProviderKind::Demo, "echo");
    config.max_concurrency = slots;
    Deployment {
        name: name.into(),
        config,
        provider: Arc::new(Demo::new("echo")),
        identity: blake3::hash(name.as_bytes()),
    }
}

async fn fleet(names: &[&str]) -> (Fleet, IndexMap<ModelName, ModelHandle>) {
    let fleet = Fleet::start(&Recorder::new(Metrics::detached()), Bridge::alone())
        .await
        .unwrap();
    let deployments = names.iter().map(|name| deployment(name, 1)).collect();
    let models = fleet
        .apply(deployments, &BreakerConfig::default())
        .await
        .unwrap();
    (fleet, models)
}

async fn answers(model: &ModelHandle) -> bool {
    let request = request();
    let attempted = model
        .attempt(Attempt {
            request: &request,
            number: 1,
            sent: None,
        })
        .await;
    matches!(attempted, Ok(Attempted::Whole(..)))
}

async fn eventually(mut holds: impl AsyncFnMut() -> bool) -> bool {
    for _ in 0..200 {
        if holds().await {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    false
}

#[tokio::test]
async fn a_killed_actor_restarts_and_only_its_own_model_notices() {
    let (fleet, models) = fleet(&["a", "b"]).await;
    let (a, b) = (&models["a"], &models["b"]);
    assert!(answers(a).await && answers(b).await);

    let before = a.shared.mailbox.actor().unwrap().get_id();
    a.shared.mailbox.actor().unwrap().kill();
    let restarted = async || {
        assert!(answers(b).await, "the other model never notices");
        a.shared
            .mailbox
            .actor()
            .is_some_and(|actor| actor.get_id() != before)
    };
    assert!(eventually(restarted).await, "the model's actor comes back");
    assert!(eventually(async || answers(a).await).await);
    fleet.stop().await;
}

#[tokio::test]
async fn whoever_waits_in_a_killed_queue_is_told_and_no_slot_is_given_twice() {
    let (fleet, models) = fleet(&["a"]).await;
    let a = models["a"].clone();
    let ticket = || crate::queue::Ticket {
        tenant: TenantId::default(),
        priority: crate::types::Priority::Normal,
        deadline: Moment::now() + Duration::from_secs(5),
        cost: 100,
        bytes: 10,
    };
    let running = a.shared.queue.admit(ticket()).await.unwrap();
    let waiting = {
        let (a, ticket) = (a.clone(), ticket());
        tokio_util::task::TaskTracker::new()
            .spawn(async move { a.shared.queue.admit(ticket).await.map(drop) })
    };
    assert!(eventually(async || a.shared.queue.depth() == 1).await);

    let killed = a.shared.queue.mailbox().actor().unwrap();
    killed.kill();
    assert_eq!(
        waiting.await.unwrap(),
        Err(crate::queue::Denied::Restarting)
    );
    let back = async || {
        let queue = a.shared.queue.mailbox().actor();
        queue.is_some_and(|actor| actor.get_id() != killed.get_id())
    };
    assert!(eventually(back).await);
    assert_eq!(
        a.shared.queue.in_flight(),
        1,
        "the permit of before still counts"
    );
    let impatient = crate::queue::Ticket {
        deadline: Moment::now() + Duration::from_millis(100),
        ..ticket()
    };
    assert_eq!(
        a.shared.queue.admit(impatient).await.map(drop),
        Err(crate::queue::Denied::Expired)
    );
    drop(running);
    assert!(a.shared.queue.admit(ticket()).await.is_ok());
    fleet.stop().await;
}

#[tokio::test]
async fn a_removed_model_lets_its_waiters_go_and_a_kept_one_keeps_its_breaker() {
    let (fleet, models) = fleet(&["a", "b"]).await;
    let (a, b) = (models["a"].clone(), models["b"].clone());
    let kept = fleet
        .apply(vec![deployment("b", 7)], &BreakerConfig::default())
        .await
        .unwrap();
    assert!(!kept.contains_key("a"));
    assert!(Arc::ptr_eq(&kept["b"].shared, &b.shared));
    assert!(answers(&kept["b"]).await);
    // a request that still holds the old plan is sent on, not left waiting
    let _slot = a.shared.queue.admit(crate::queue::Ticket {
        tenant: TenantId::default(),
        priority: crate::types::Priority::Normal,
        deadline: Moment::now() + Duration::from_secs(5),
        cost: 100,
        bytes: 10,
    });
    let request = request();
    let late = a
        .attempt(Attempt {
            request: &request,
            number: 1,
            sent: None,
        })
        .await;
    assert!(!matches!(late, Err(AttemptError::Deadline)));
    fleet.stop().await;
}

#[tokio::test]
async fn what_was_spent_of_a_limit_stays_spent_when_the_secret_changes() {
    let (fleet, _) = fleet(&[]).await;
    let serve = async |secret: &[u8]| {
        let mut model = deployment("a", 1);
        model.config.limits.rpm = Some(1);
        model.identity = blake3::hash(secret);
        let models = fleet.apply(vec![model], &BreakerConfig::default()).await;
        models.unwrap()["a"].clone()
    };
    let before = serve(b"old").await;
    assert!(answers(&before).await);
    let after = serve(b"new").await;
    assert!(!Arc::ptr_eq(&before.shared, &after.shared));
    assert!(!answers(&after).await);
    fleet.stop().await;
}
