//! How many attempts may run at once, counted without a message.
//!
//! The count outlives the queue's actor: permits of an earlier incarnation still count, so a
//! restart never lets more run than allowed.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::ramp;
use crate::types::Moment;

/// Running attempts against their limit.
#[derive(Debug)]
pub(super) struct Slots {
    /// As configured.
    limit: AtomicU32,
    /// This node's part of it; `u32::MAX` without a cluster.
    cap: AtomicU32,
    /// When a slow start begins, in milliseconds and one more; 0 when there is none.
    ramp: AtomicU64,
    running: AtomicU32,
    /// Callers between asking and being answered by the actor.
    waiting: AtomicU32,
    /// Smoothed time an attempt takes, in microseconds; 0 while unknown.
    service_micros: AtomicU64,
}

impl Slots {
    pub(super) fn new(limit: u32) -> Self {
        Slots {
            limit: AtomicU32::new(limit),
            cap: AtomicU32::new(u32::MAX),
            ramp: AtomicU64::new(0),
            running: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            service_micros: AtomicU64::new(0),
        }
    }

    pub(super) fn set_limit(&self, limit: u32) {
        self.limit.store(limit, Ordering::SeqCst);
    }

    /// This node may use so many of them. True when it may use more than before.
    pub(super) fn set_cap(&self, cap: u32) -> bool {
        self.cap.swap(cap, Ordering::SeqCst) < cap
    }

    /// Attempts come back slowly from `begins` on.
    pub(super) fn start_slowly(&self, begins: Moment) {
        let millis = u64::try_from(begins.as_duration().as_millis()).unwrap_or(u64::MAX - 1);
        self.ramp.store(millis + 1, Ordering::SeqCst);
    }

    /// The node may use fewer than are configured.
    pub(super) fn is_capped(&self) -> bool {
        self.cap.load(Ordering::SeqCst) < self.limit.load(Ordering::SeqCst)
    }

    /// How many may run now.
    fn allowed(&self) -> u32 {
        let limit = self.most();
        match self.ramp() {
            None => limit,
            Some(begins) => {
                let now = Moment::now();
                if ramp::is_over(begins, now) {
                    self.ramp.store(0, Ordering::SeqCst);
                }
                ramp::allowed(limit, begins, now)
            }
        }
    }

    /// How many may run once every slow start is over.
    fn most(&self) -> u32 {
        let limit = self.limit.load(Ordering::SeqCst);
        limit.min(self.cap.load(Ordering::SeqCst))
    }

    fn ramp(&self) -> Option<Moment> {
        let millis = self.ramp.load(Ordering::SeqCst);
        millis.checked_sub(1).map(Moment::from_millis)
    }

    /// When a slow start lets one more run.
    pub(super) fn grows_at(&self, now: Moment) -> Option<Moment> {
        ramp::grows_at(self.most(), self.ramp()?, now)
    }

    /// Takes a slot, if one is free.
    pub(super) fn take(&self) -> bool {
        let limit = self.allowed();
        let one_more = |running| (running < limit).then_some(running + 1);
        self.running
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more)
            .is_ok()
    }

    /// Gives a slot back; `held` is how long an attempt was made with it. True when somebody may be
    /// waiting for it.
    pub(super) fn give_back(&self, held: Option<Duration>) -> bool {
        if let Some(held) = held {
            self.observe(held);
        }
        self.running.fetch_sub(1, Ordering::SeqCst);
        self.anyone_waiting()
    }

    /// Exponential moving average with weight 1/8 (as TCP's smoothed round-trip time, RFC 6298).
    fn observe(&self, held: Duration) {
        let held = u64::try_from(held.as_micros()).unwrap_or(u64::MAX).max(1);
        let old = self.service_micros.load(Ordering::Relaxed);
        let new = if old == 0 {
            held
        } else {
            old - old / 8 + held / 8
        };
        self.service_micros.store(new.max(1), Ordering::Relaxed);
    }

    pub(super) fn service(&self) -> Option<Duration> {
        let micros = self.service_micros.load(Ordering::Relaxed);
        (micros > 0).then(|| Duration::from_micros(micros))
    }

    pub(super) fn running(&self) -> u32 {
        self.running.load(Ordering::SeqCst)
    }

    pub(super) fn is_saturated(&self) -> bool {
        self.running() >= self.allowed()
    }

    pub(super) fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::SeqCst)
    }

    pub(super) fn anyone_waiting(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    pub(super) fn begin_waiting(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn end_waiting(&self) {
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Slots;
    use crate::types::Moment;

    #[test]
    fn a_node_uses_its_part_of_the_limit_and_never_more_than_the_limit() {
        let slots = Slots::new(3);
        assert!(!slots.is_capped());
        slots.set_cap(1);
        assert!(slots.is_capped() && slots.take() && !slots.take());
        assert!(slots.set_cap(9) && !slots.is_capped());
        assert!(slots.take() && slots.take() && !slots.take());
        slots.set_cap(0);
        assert_eq!(slots.running(), 3, "what runs may end");
    }

    #[test]
    fn a_slow_start_lets_one_run_at_once() {
        let slots = Slots::new(100);
        slots.start_slowly(Moment::now() + Duration::from_millis(400));
        assert!(slots.take() && !slots.take());
        slots.give_back(None);
        assert!(slots.take());
    }

    #[test]
    fn a_lowered_limit_lets_running_attempts_end_and_no_new_one_begin() {
        let slots = Slots::new(2);
        assert!(slots.take() && slots.take() && !slots.take());
        slots.set_limit(1);
        slots.give_back(Some(Duration::from_millis(1)));
        assert!(!slots.take());
        slots.give_back(Some(Duration::from_millis(1)));
        assert!(slots.take());
    }
}
