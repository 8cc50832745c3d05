//! Owns one model's admission buffer. Supervised by the model's actor. Never makes an attempt and
//! never sees a body: it hands out permits.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, MessagingErr};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::handle::{Denied, Permit, QueueHandle, QueueLimits};
use super::item::{Expired, Lapse};
use super::{Buffer, Item, ItemId, Limits, ServiceEstimate};
use crate::breaker::BreakerHandle;
use crate::mailbox::Posted;
use crate::telemetry::Metrics;
use crate::types::{ModelName, Moment};

/// Between two such calls; what is wanted in between goes with the next report, as soon as that.
const URGE_APART: Duration = Duration::from_millis(250);

/// Orders.
#[derive(Debug)]
pub(crate) enum Message {
    /// Let a request wait, or give it a permit at once.
    Admit {
        /// Who asks.
        item: Item,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Permit, Denied>>,
    },
    /// A waiting client went away.
    Cancel(ItemId),
    /// A permit came back.
    Freed,
    /// Something may have expired.
    Tick,
    /// The breaker opened.
    BreakerOpened,
    /// The bounds changed.
    Reconfigure(QueueLimits),
}

/// What the actor is born with.
pub(crate) struct Arguments {
    pub(crate) model: ModelName,
    pub(crate) handle: QueueHandle,
    pub(crate) breaker: BreakerHandle,
    pub(crate) limits: QueueLimits,
    pub(crate) metrics: Metrics,
}

/// What it changes.
pub(crate) struct State {
    given: Arguments,
    buffer: Buffer,
    waiting: HashMap<ItemId, oneshot::Sender<Result<Permit, Denied>>>,
    timer: Option<(Moment, Timer)>,
    /// When the leader was last told at once that more is wanted.
    urged: Option<Moment>,
}

/// A wake-up call to oneself.
type Timer = JoinHandle<Result<(), MessagingErr<Posted<Message>>>>;

/// The actor.
pub(crate) struct QueueActor;

impl Actor for QueueActor {
    type Msg = Posted<Message>;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        _: ActorRef<Self::Msg>,
        given: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let buffer = Buffer::new(limits(given.limits));
        given.handle.inner.depth.store(0, Ordering::Relaxed);
        Ok(State {
            given,
            buffer,
            waiting: HashMap::new(),
            timer: None,
            urged: None,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        posted: Self::Msg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let now = Moment::now();
        match posted.message {
            Message::Admit { item, reply } => state.admit(item, reply, now),
            Message::Cancel(id) => state.cancel(id),
            Message::Freed => {}
            Message::Tick => state.timer = None,
            Message::BreakerOpened => state.refuse_all(Denied::Broken),
            Message::Reconfigure(limits) => state.reconfigure(limits),
        }
        state.expire(now);
        state.dispatch(now);
        state.publish();
        state.rearm(&myself);
        Ok(())
    }
}

impl State {
    fn admit(&mut self, item: Item, reply: oneshot::Sender<Result<Permit, Denied>>, now: Moment) {
        let slots = &self.given.handle.inner.slots;
        if self.buffer.depth() == 0 && slots.take() {
            self.buffer.record_dispatch(&item.tenant, item.cost, now);
            let _ = reply.send(Ok(self.given.handle.permit()));
            return;
        }
        if self.given.breaker.is_open(now) {
            let _ = reply.send(Err(Denied::Broken));
            return;
        }
        let urged = self.urged.is_some_and(|at| now.since(at) < URGE_APART);
        if slots.is_capped() && !urged {
            self.urged = Some(now);
            self.given.handle.inner.bridge.urge(); // the leader may lend this node more at once
        }
        let id = item.id;
        match self.buffer.push(
            item,
            now,
            ServiceEstimate {
                p50: slots.service(),
            },
        ) {
            Ok(evicted) => {
                self.waiting.insert(id, reply);
                for evicted in evicted {
                    let retry_after = Some(evicted.retry_after);
                    self.refuse(
                        evicted.item.id,
                        Denied::Busy {
                            why: "evicted",
                            retry_after,
                        },
                    );
                }
            }
            Err(refused) => {
                self.given
                    .metrics
                    .queue_refused(&self.given.model, refused.as_str());
                let _ = reply.send(Err(refused.into()));
            }
        }
    }

    fn cancel(&mut self, id: ItemId) {
        self.buffer.cancel(id);
        self.waiting.remove(&id);
    }

    fn reconfigure(&mut self, given: QueueLimits) {
        self.given.limits = given;
        self.buffer.reconfigure(limits(given));
    }

    fn refuse(&mut self, id: ItemId, refused: Denied) {
        if let Some(reply) = self.waiting.remove(&id) {
            self.given
                .metrics
                .queue_refused(&self.given.model, refused.as_str());
            let _ = reply.send(Err(refused));
        }
    }

    fn refuse_all(&mut self, refused: Denied) {
        for item in self.buffer.drain_all() {
            self.refuse(item.id, refused);
        }
    }

    fn expire(&mut self, now: Moment) {
        let expired = self.buffer.expire(now);
        self.lapse(expired);
    }

    fn lapse(&mut self, expired: Vec<Expired>) {
        for Expired { item, lapse } in expired {
            let refused = match lapse {
                Lapse::Deadline => Denied::Expired,
                Lapse::MaxWait => Denied::Busy {
                    why: "max_wait",
                    retry_after: None,
                },
            };
            self.refuse(item.id, refused);
        }
    }

    /// Gives permits while there are slots and somebody waits.
    fn dispatch(&mut self, now: Moment) {
        while self.buffer.depth() > 0 && self.given.handle.inner.slots.take() {
            let permit = self.given.handle.permit();
            let popped = self.buffer.pop(now);
            self.lapse(popped.expired);
            let Some(item) = popped.item else { return };
            if let Some(reply) = self.waiting.remove(&item.id) {
                let wait = now.since(item.arrival);
                self.given
                    .metrics
                    .queue_waited(&self.given.model, item.priority, wait);
                // a client that just left drops the permit with the reply, which frees the slot
                let _ = reply.send(Ok(permit));
            }
        }
    }

    fn publish(&self) {
        let depth = self.buffer.depth();
        let lowest = self
            .buffer
            .depth_by_priority()
            .iter()
            .rposition(|waiting| *waiting > 0);
        self.given
            .handle
            .inner
            .depth
            .store(depth, Ordering::Relaxed);
        self.given
            .handle
            .inner
            .lowest
            .store(lowest.unwrap_or(0), Ordering::Relaxed);
        self.given
            .metrics
            .queue_depth(&self.given.model, u64::from(depth));
    }

    /// Wakes up when the next item expires, or a slow start lets one more run.
    fn rearm(&mut self, myself: &ActorRef<Posted<Message>>) {
        let slots = &self.given.handle.inner.slots;
        let waits = self.buffer.depth() > 0;
        let grows = slots.grows_at(Moment::now()).filter(|_| waits);
        let next = self.buffer.next_deadline().into_iter().chain(grows).min();
        if self.timer.as_ref().map(|(at, _)| *at) == next {
            return;
        }
        if let Some((_, timer)) = self.timer.take() {
            timer.abort();
        }
        if let Some(at) = next {
            let wait = Moment::now().until(at) + Duration::from_millis(1);
            let timer = myself.send_after(wait, || Posted::own(Message::Tick));
            self.timer = Some((at, timer));
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.given.handle.inner.depth.store(0, Ordering::Relaxed);
        if let Some((_, timer)) = self.timer.take() {
            timer.abort();
        }
    }
}

fn limits(given: QueueLimits) -> Limits {
    Limits {
        max_depth: given.max_depth,
        ..Limits::default()
    }
}
