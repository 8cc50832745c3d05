//! How many attempts may run at once, counted without a message.
//!
//! The count outlives the queue's actor: permits of an earlier incarnation still count, so a
//! restart never lets more run than allowed.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Running attempts against their limit.
#[derive(Debug)]
pub(super) struct Slots {
    limit: AtomicU32,
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
            running: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            service_micros: AtomicU64::new(0),
        }
    }

    pub(super) fn set_limit(&self, limit: u32) {
        self.limit.store(limit, Ordering::SeqCst);
    }

    /// Takes a slot, if one is free.
    pub(super) fn take(&self) -> bool {
        let limit = self.limit.load(Ordering::SeqCst);
        let one_more = |running| (running < limit).then_some(running + 1);
        self.running
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more)
            .is_ok()
    }

    /// Gives a slot back; `held` is how long an attempt was made with it. True when somebody may be
    /// waiting for it.
    pub(super) fn give_back(&self, held: Option<std::time::Duration>) -> bool {
        if let Some(held) = held {
            self.observe(held);
        }
        self.running.fetch_sub(1, Ordering::SeqCst);
        self.anyone_waiting()
    }

    /// Exponential moving average with weight 1/8 (as TCP's smoothed round-trip time, RFC 6298).
    fn observe(&self, held: std::time::Duration) {
        let held = u64::try_from(held.as_micros()).unwrap_or(u64::MAX).max(1);
        let old = self.service_micros.load(Ordering::Relaxed);
        let new = if old == 0 {
            held
        } else {
            old - old / 8 + held / 8
        };
        self.service_micros.store(new.max(1), Ordering::Relaxed);
    }

    pub(super) fn service(&self) -> Option<std::time::Duration> {
        let micros = self.service_micros.load(Ordering::Relaxed);
        (micros > 0).then(|| std::time::Duration::from_micros(micros))
    }

    pub(super) fn running(&self) -> u32 {
        self.running.load(Ordering::SeqCst)
    }

    pub(super) fn is_saturated(&self) -> bool {
        self.running() >= self.limit.load(Ordering::SeqCst)
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
