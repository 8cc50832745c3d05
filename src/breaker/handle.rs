//! A typed handle on one model's breaker. While it is closed, admitting costs one atomic read.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use llm_router_cluster::pulse::Evidence;
use llm_router_cluster::state::TargetId;
use tokio::sync::oneshot;

use super::actor::Message;
use super::admission::{Reason, Refused, Snapshot, Ticket, Verdict};
use super::evidence::Ledger;
use super::goods::Goods;
use super::machine::Machine;
use super::outcome::Outcome;
use super::settings::Settings;
use super::transition::{Mode, State};
use crate::bridge::{Agreed, Bridge};
use crate::mailbox::Mailbox;
use crate::routing::{Bar, Barred};
use crate::types::Moment;

/// Unhandled orders a breaker actor may have.
const BREAKER_MAILBOX: usize = 1024;
/// Longest a request waits for the breaker's word.
const MAX_WAIT: Duration = Duration::from_millis(500);

/// The breaker's actor did not answer: it is being restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Restarting;

/// Why no attempt may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// The machine said so.
    Left(Refused),
    /// The breaker's actor is being restarted.
    Restarting,
}

impl Denied {
    pub(crate) const fn retry_after(self) -> Option<Duration> {
        match self {
            Denied::Left(why) => Some(why.retry_after),
            Denied::Restarting => None,
        }
    }

    /// What kind of bar it is to routing.
    pub(crate) const fn bar(self) -> Bar {
        match self {
            Denied::Left(Refused {
                cause: Reason::Gated,
                ..
            }) => Bar::Gated,
            Denied::Left(_) | Denied::Restarting => Bar::Broken,
        }
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Denied::Left(why) => f.write_str(why.cause.as_str()),
            Denied::Restarting => f.write_str("breaker is restarting"),
        }
    }
}

/// One model's breaker. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct BreakerHandle {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    mailbox: Mailbox<Message>,
    published: ArcSwap<Snapshot>,
    goods: Goods,
    /// What is evidence besides the goods; stays empty without a cluster.
    ledger: ArcSwap<Ledger>,
    bridge: Bridge,
    target: TargetId,
}

/// Leave on its way to whoever asked. Lost on the way, it comes back as a cancelled attempt, so
/// that a probe nobody makes is not waited for.
#[derive(Debug)]
pub(crate) struct Offered {
    ticket: Ticket,
    taken: bool,
    handle: BreakerHandle,
}

impl Offered {
    pub(super) fn new(ticket: Ticket, handle: BreakerHandle) -> Self {
        Offered {
            ticket,
            taken: false,
            handle,
        }
    }

    fn take(mut self) -> Ticket {
        self.taken = true;
        self.ticket
    }
}

impl Drop for Offered {
    fn drop(&mut self) {
        if !self.taken {
            self.handle.record(self.ticket, Outcome::Cancelled);
        }
    }
}

/// The published state, read without a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BreakerView(Snapshot);

impl BreakerHandle {
    pub(crate) fn new(settings: Settings, bridge: Bridge, target: TargetId) -> Self {
        let snapshot = Machine::new(settings).snapshot(Moment::ZERO);
        let mailbox = Mailbox::new(BREAKER_MAILBOX);
        BreakerHandle {
            inner: Arc::new(Inner {
                mailbox,
                published: ArcSwap::from_pointee(snapshot),
                goods: Goods::default(),
                ledger: ArcSwap::default(),
                bridge,
                target,
            }),
        }
    }

    /// The way to the cluster.
    pub(super) fn bridge(&self) -> &Bridge {
        &self.inner.bridge
    }

    /// The upstream, as every node knows it.
    pub(crate) fn target(&self) -> &TargetId {
        &self.inner.target
    }

    /// What is agreed about the upstream.
    pub(super) fn agreed(&self, now: Moment) -> Option<Agreed> {
        self.inner.bridge.agreed(&self.inner.target, now)
    }

    /// What is agreed has changed, or contact with the leader has.
    pub(crate) fn look_again(&self) {
        self.inner.mailbox.post_owed(Message::Agreed(None));
    }

    /// As [`BreakerHandle::look_again`]; returns once what is agreed holds here.
    pub(crate) async fn caught_up(&self) -> Result<(), Restarting> {
        let (reply, done) = oneshot::channel();
        self.inner
            .mailbox
            .try_post(Message::Agreed(Some(reply)))
            .map_err(|_| Restarting)?;
        let done = tokio::time::timeout(MAX_WAIT, done).await;
        done.map_err(|_| Restarting)?.map_err(|_| Restarting)
    }

    /// This node is the one to probe the upstream, and no probe runs.
    pub(crate) fn awaits_probe(&self, now: Moment) -> bool {
        let BreakerView(snapshot) = self.view();
        self.may_probe(&snapshot) && snapshot.verdict(now) == Verdict::Probe
    }

    /// How many probes were good by the lease that this node holds, under which epoch; nothing
    /// without one.
    pub(crate) fn proved(&self) -> Option<(u64, u32)> {
        let BreakerView(snapshot) = self.view();
        self.may_probe(&snapshot)
            .then(|| self.inner.ledger.load().proved())
    }

    fn may_probe(&self, snapshot: &Snapshot) -> bool {
        let leased = snapshot
            .overlay
            .is_some_and(|overlay| overlay.lease_until.is_some());
        leased && snapshot.mode == Mode::Auto && !self.inner.bridge.is_draining()
    }

    /// This node holds a lease and begins no probe by it. To be asked before what runs is counted:
    /// once it declines, nothing begins any more.
    pub(crate) fn declines(&self) -> bool {
        let overlay = self.view().0.overlay;
        let draining = self.inner.bridge.is_draining();
        overlay.is_some_and(|overlay| overlay.declined || draining && overlay.lease_until.is_some())
    }

    /// What this node has seen, for the leader; counts are read, not taken.
    pub(crate) fn evidence(&self, in_flight: u32, now: Moment) -> Option<Evidence> {
        let ledger = self.inner.ledger.load();
        ledger.evidence(&self.inner.goods, in_flight, now)
    }

    pub(super) fn publish_ledger(&self, ledger: Ledger) {
        self.inner.ledger.store(Arc::new(ledger));
    }

    /// Counts that nobody has taken belong to an epoch that is over.
    pub(super) fn forget_goods(&self) {
        self.inner.goods.forget();
    }

    /// The actor's address, for the supervisor.
    pub(crate) fn mailbox(&self) -> &Mailbox<Message> {
        &self.inner.mailbox
    }

    pub(super) fn publish(&self, snapshot: Snapshot) {
        self.inner.published.store(Arc::new(snapshot));
    }

    /// Good answers counted since they were last taken.
    pub(super) fn take_goods(&self) -> impl Iterator<Item = (Moment, u32)> {
        self.inner.goods.take()
    }

    /// The published state.
    pub(crate) fn view(&self) -> BreakerView {
        let snapshot = **self.inner.published.load();
        if snapshot.minds_contact() {
            let connected = self.inner.bridge.is_connected();
            return BreakerView(snapshot.with_contact(connected));
        }
        BreakerView(snapshot)
    }

    /// It lets nothing through right now.
    pub(crate) fn is_open(&self, now: Moment) -> bool {
        self.view().0.state_at(now) == State::Open
    }

    /// Asks for leave to make one attempt. Only a probe costs a message.
    pub(crate) async fn admit(&self, now: Moment) -> Result<Ticket, Denied> {
        let view = self.view();
        match view.0.verdict(now) {
            Verdict::Pass => Ok(Ticket {
                epoch: view.0.epoch,
                era: view.0.overlay.map_or(0, |overlay| overlay.era),
                probe: None,
                admitted: now,
                lease_until: None,
            }),
            Verdict::Refuse(why) => Err(Denied::Left(why)),
            Verdict::Probe => self.ask().await,
        }
    }

    async fn ask(&self) -> Result<Ticket, Denied> {
        let (reply, answer) = oneshot::channel();
        self.inner
            .mailbox
            .try_post(Message::Admit(reply))
            .map_err(|_| Denied::Restarting)?;
        let answered = tokio::time::timeout(MAX_WAIT, answer).await;
        let offered = answered.map_err(|_| Denied::Restarting)?;
        match offered.map_err(|_| Denied::Restarting)? {
            Ok(offered) => Ok(offered.take()),
            Err(why) => Err(Denied::Left(why)),
        }
    }

    /// Reports how an attempt ended.
    pub(crate) fn record(&self, ticket: Ticket, outcome: Outcome) {
        let view = self.view().0;
        let quiet = view.state == State::Closed && view.failure_count == 0 && !view.quarantined;
        if outcome == Outcome::Ok && ticket.probe.is_none() && ticket.epoch == view.epoch && quiet {
            self.inner.goods.note(Moment::now());
            return;
        }
        self.inner
            .mailbox
            .post_owed(Message::Record { ticket, outcome });
    }

    /// A probe's answer has begun: the upstream answers, however long the rest of it takes. The
    /// probe keeps its place until it is recorded.
    pub(crate) fn answers(&self, ticket: Ticket) {
        if ticket.probe.is_some() && ticket.lease_until.is_some() {
            self.inner.mailbox.post_owed(Message::Answers(ticket));
        }
    }

    /// Reports an active health check.
    pub(crate) fn health(&self, up: bool) {
        self.inner.mailbox.post_owed(Message::Health(up));
    }

    /// Changes the settings.
    pub(crate) fn reconfigure(&self, settings: Settings) {
        self.inner.mailbox.post_owed(Message::Reconfigure(settings));
    }

    /// Overrules the breaker; returns once the override holds.
    pub(crate) async fn force(&self, mode: Mode) -> Result<(), Restarting> {
        let (reply, done) = oneshot::channel();
        self.inner
            .mailbox
            .try_post(Message::Force(mode, reply))
            .map_err(|_| Restarting)?;
        let done = tokio::time::timeout(MAX_WAIT, done).await;
        done.map_err(|_| Restarting)?.map_err(|_| Restarting)
    }
}

impl BreakerView {
    /// Why routing should not even try it now.
    pub(crate) fn barred(&self, now: Moment) -> Option<Barred> {
        match self.0.verdict(now) {
            Verdict::Pass | Verdict::Probe => None,
            Verdict::Refuse(why) => Some(Barred {
                reason: why.cause.as_str().to_owned(),
                retry_after: Some(why.retry_after),
                cause: Denied::Left(why).bar(),
            }),
        }
    }

    /// An attempt would pass, and not as a probe.
    pub(crate) fn passes(&self, now: Moment) -> bool {
        self.0.verdict(now) == Verdict::Pass
    }

    /// As operators see it.
    pub(crate) fn state(&self, now: Moment) -> &'static str {
        self.0.state_at(now).as_str()
    }

    /// The operator's word.
    pub(crate) fn mode(&self) -> &'static str {
        self.0.mode.as_str()
    }

    pub(crate) fn failure_count(&self) -> u32 {
        self.0.failure_count
    }

    /// The agreed epoch; without a cluster the breaker's own.
    pub(crate) fn epoch(&self) -> u64 {
        self.0.overlay.map_or(self.0.epoch, |overlay| overlay.epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::{BreakerView, Machine, Moment, Outcome, Settings};
    use crate::breaker::Admission;

    #[test]
    fn who_may_only_send_a_probe_does_not_pass() {
        let at = Moment::from_millis;
        let mut machine = Machine::new(Settings::default());
        assert!(BreakerView(machine.snapshot(at(0))).passes(at(0)));
        for _ in 0..3 {
            let (Admission::Pass(ticket), _) = machine.admit(at(1)) else {
                panic!("it is closed")
            };
            machine.record(Outcome::Credential, ticket, at(1), 0.0);
        }
        // closed and barred by nothing, but the credential is tried with one request only
        let (view, due) = (BreakerView(machine.snapshot(at(2))), at(400_000));
        assert_eq!((view.state(due), view.barred(due)), ("closed", None));
        assert!(!view.passes(due));
    }
}
