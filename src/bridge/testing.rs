//! A stand-in for the cluster: a test says what is agreed and hears what is reported.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};
use llm_router_cluster::command::{BreakerStep, Change};
use llm_router_cluster::handle::Heard;
use llm_router_cluster::policy::LimitId;
use llm_router_cluster::pulse::{Directive, Report, Share};
use llm_router_cluster::state::{BreakerRecord, TargetId};
use llm_router_cluster::{Author, Done, Error, MemberId, Policy};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::Link;

/// Cheap to clone; all clones are the same cluster.
#[derive(Clone)]
pub(crate) struct Stand {
    inner: Arc<Inner>,
}

struct Inner {
    members: u32,
    isolated: AtomicBool,
    draining: AtomicBool,
    records: Mutex<BTreeMap<TargetId, BreakerRecord>>,
    changed: watch::Sender<u64>,
    heard: watch::Sender<Arc<Heard>>,
    reported: watch::Sender<(Report, u64)>,
    policy: Mutex<Policy>,
}

impl Stand {
    pub(crate) fn new(members: u32) -> Self {
        let inner = Inner {
            members,
            isolated: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            records: Mutex::default(),
            changed: watch::Sender::new(0),
            heard: watch::Sender::default(),
            reported: watch::Sender::default(),
            policy: Mutex::default(),
        };
        Stand {
            inner: Arc::new(inner),
        }
    }

    /// Something else is agreed about an upstream.
    pub(crate) fn agree(&self, target: &TargetId, record: BreakerRecord) {
        self.inner.records.lock().insert(target.clone(), record);
        self.inner.changed.send_modify(|count| *count += 1);
    }

    /// Contact with the leader is lost.
    pub(crate) fn isolate(&self) {
        self.inner.isolated.store(true, Ordering::SeqCst);
    }

    /// Contact with the leader is there again.
    pub(crate) fn heal(&self) {
        self.inner.isolated.store(false, Ordering::SeqCst);
    }

    /// The node is about to leave.
    pub(crate) fn drain(&self) {
        self.inner.draining.store(true, Ordering::SeqCst);
    }

    /// The leader lends these shares and no others.
    pub(crate) fn lend(&self, shares: impl IntoIterator<Item = (LimitId, Share)>) {
        let directive = Directive {
            shares: shares.into_iter().collect(),
            ..Directive::default()
        };
        let at = Some(tokio::time::Instant::now());
        self.inner
            .heard
            .send_replace(Arc::new(Heard { directive, at }));
    }

    /// Waits for a report that fits.
    pub(crate) async fn reported(&self, fits: impl Fn(&Report) -> bool) -> Report {
        let mut reports = self.inner.reported.subscribe();
        let fitting = reports.wait_for(|(report, _)| fits(report));
        let fitting = tokio::time::timeout(Duration::from_secs(10), fitting).await;
        fitting
            .expect("no such report")
            .expect("kept open")
            .0
            .clone()
    }

    /// How many reports were urgent.
    pub(crate) fn urgent(&self) -> u64 {
        self.inner.reported.borrow().1
    }

    /// What the node said the leader should go by.
    pub(crate) fn policy(&self) -> Policy {
        self.inner.policy.lock().clone()
    }
}

#[async_trait]
impl Link for Stand {
    fn member(&self) -> MemberId {
        MemberId(1)
    }

    fn is_connected(&self) -> bool {
        !self.inner.isolated.load(Ordering::SeqCst)
    }

    fn is_draining(&self) -> bool {
        self.inner.draining.load(Ordering::SeqCst)
    }

    fn members(&self) -> u32 {
        self.inner.members
    }

    fn name_of(&self, member: MemberId) -> Option<String> {
        Some(format!("n{member}"))
    }

    fn record(&self, target: &TargetId) -> BreakerRecord {
        let records = self.inner.records.lock();
        records.get(target).cloned().unwrap_or_default()
    }

    fn changes(&self) -> BoxStream<'static, ()> {
        let mut changed = self.inner.changed.subscribe();
        changed.mark_changed();
        stream::unfold(changed, |mut changed| async move {
            changed.changed().await.ok()?;
            Some(((), changed))
        })
        .boxed()
    }

    fn heard(&self) -> watch::Receiver<Arc<Heard>> {
        self.inner.heard.subscribe()
    }

    fn report(&self, report: Report, urgent: bool) {
        self.inner.reported.send_modify(|(last, count)| {
            *last = report;
            *count += u64::from(urgent);
        });
    }

    fn set_policy(&self, policy: Policy) {
        *self.inner.policy.lock() = policy;
    }

    async fn propose(&self, change: Change, _: Author, _: Duration) -> Result<Done, Error> {
        let Change::Breaker(change) = change else {
            return Err(Error::Stopped);
        };
        let BreakerStep::Override { mode } = change.to else {
            return Err(Error::Stopped);
        };
        let target = TargetId(change.target);
        let mut record = self.record(&target);
        record.mode = mode;
        record.epoch += 1;
        self.agree(&target, record.clone());
        Ok(Done::Breaker {
            record: Some(record),
        })
    }
}
