//! What each tenant was served lately, and who is served lower for it.
//!
//! A tenant could call everything critical. So whoever takes more than twice its fair share while
//! others wait is served one level lower, above four times two levels, until the next boost, when
//! everybody starts again where they asked to be.

use std::collections::BTreeMap;
use std::time::Duration;

use super::item::MIN_COST;
use crate::types::{Moment, TenantId};

/// Time after which what was served weighs half.
const HALF_LIFE_SECONDS: f64 = 10.0;

/// How often all tenants return to the levels they ask for.
const BOOST_EVERY: Duration = Duration::from_secs(5);

/// Largest costs a tenant may be ahead before it proves anything: critical goes eight times before
/// low goes once, and that is how it should be.
const BENEFIT_OF_DOUBT: f64 = 8.0;

/// Most tenants remembered. The next one is served without being watched until a boost makes room.
const MAX_TENANTS: usize = 4_096;

/// A cost that fades.
#[derive(Clone, Copy, Debug, Default)]
struct Fading {
    value: f64,
    at: Moment,
}

impl Fading {
    fn value(self, now: Moment) -> f64 {
        self.value * (-now.since(self.at).as_secs_f64() / HALF_LIFE_SECONDS).exp2()
    }

    fn add(&mut self, cost: f64, now: Moment) {
        *self = Fading {
            value: self.value(now) + cost,
            at: now,
        };
    }

    fn raise(&mut self, cost: f64, now: Moment) {
        *self = Fading {
            value: self.value(now).max(cost),
            at: now,
        };
    }
}

/// Usage of all tenants of one queue.
#[derive(Clone, Debug, Default)]
pub(super) struct Feedback {
    usage: BTreeMap<TenantId, Fading>,
    total: Fading,
    /// The largest cost served lately.
    largest: Fading,
    demoted: BTreeMap<TenantId, u8>,
    boosted: Moment,
}

impl Feedback {
    /// How many levels lower a tenant is served, 0 to 2.
    pub(super) fn demotion(&self, tenant: &TenantId) -> u8 {
        self.demoted.get(tenant).copied().unwrap_or(0)
    }

    /// A tenant was served while so many tenants wanted to be; returns its demotion if that changed.
    pub(super) fn served(
        &mut self,
        tenant: &TenantId,
        cost: u64,
        contenders: usize,
        now: Moment,
    ) -> Option<u8> {
        let cost = cost as f64;
        self.total.add(cost, now);
        self.largest.raise(cost, now);
        if !self.usage.contains_key(tenant) && self.usage.len() >= MAX_TENANTS {
            return None;
        }
        let usage = self.usage.entry(tenant.clone()).or_default();
        usage.add(cost, now);
        let beyond_doubt = usage.value - BENEFIT_OF_DOUBT * self.largest.value;
        let fair = self.total.value / contenders.max(1) as f64;
        let deserved = u8::from(beyond_doubt > 2.0 * fair) + u8::from(beyond_doubt > 4.0 * fair);
        if deserved <= self.demotion(tenant) {
            return None;
        }
        self.demoted.insert(tenant.clone(), deserved);
        Some(deserved)
    }

    /// When a boost is due, forgives everybody and forgets the idle; returns who was demoted.
    pub(super) fn boost(&mut self, now: Moment) -> Vec<TenantId> {
        if now.since(self.boosted) < BOOST_EVERY {
            return Vec::new();
        }
        self.boosted = now;
        self.usage
            .retain(|_, usage| usage.value(now) >= MIN_COST as f64);
        std::mem::take(&mut self.demoted).into_keys().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    #[test]
    fn two_tenants_are_never_demoted() {
        let mut feedback = Feedback::default();
        for _ in 0..1_000 {
            assert_eq!(feedback.served(&"greedy".into(), 1_000, 2, at(0)), None);
        }
    }

    #[test]
    fn the_first_dispatches_prove_nothing() {
        let mut feedback = Feedback::default();
        for _ in 0..8 {
            assert_eq!(feedback.served(&"a".into(), 1_000, 100, at(0)), None);
        }
        assert_eq!(feedback.served(&"a".into(), 1_000, 100, at(0)), Some(2));
    }

    #[test]
    fn above_twice_its_share_a_tenant_sinks_one_level_and_above_four_times_two() {
        let mut feedback = Feedback::default();
        let greedy = TenantId::from("greedy");
        let mut changes = Vec::new();
        for _ in 0..100 {
            changes.extend(feedback.served(&greedy, 100, 8, at(0)));
            feedback.served(&"other".into(), 10, 8, at(0));
        }
        assert_eq!(changes, [1, 2]);
        assert_eq!(feedback.demotion(&greedy), 2);
        assert_eq!(feedback.demotion(&"other".into()), 0);
    }

    #[test]
    fn the_boost_comes_every_five_seconds_and_forgives_all() {
        let mut feedback = Feedback::default();
        let greedy = TenantId::from("greedy");
        for _ in 0..100 {
            feedback.served(&greedy, 100, 8, at(0));
        }
        assert_eq!(feedback.boost(at(4_999)), []);
        assert_eq!(feedback.boost(at(5_000)), std::slice::from_ref(&greedy));
        assert_eq!(feedback.demotion(&greedy), 0);
    }

    #[test]
    fn remembered_tenants_are_bounded_and_the_idle_are_forgotten() {
        let mut feedback = Feedback::default();
        for number in 0..10_000 {
            feedback.served(&format!("t{number}").into(), 100, 3, at(0));
        }
        assert_eq!(feedback.usage.len(), MAX_TENANTS);
        feedback.boost(at(60_000));
        assert!(feedback.usage.is_empty());
    }
}
