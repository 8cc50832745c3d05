//! The buffer's promises under arbitrary histories. Q1 to Q8 number them as the design does.

use std::collections::{BTreeMap, VecDeque};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const UNKNOWN: ServiceEstimate = ServiceEstimate { p50: None };

/// One thing that happens to a buffer.
#[derive(Clone, Debug)]
enum Event {
    Push {
        tenant: u8,
        priority: Priority,
        patience: u64,
        cost: u64,
        bytes: u64,
        p50: u64,
    },
    Pop,
    Cancel {
        which: usize,
    },
    Expire,
    Wait {
        millis: u64,
    },
    Bypass {
        tenant: u8,
        cost: u64,
    },
}

fn priority() -> impl Strategy<Value = Priority> {
    prop::sample::select(Priority::ALL.to_vec())
}

fn event() -> impl Strategy<Value = Event> {
    let push = (
        0..5_u8,
        priority(),
        0..40_000_u64,
        0..5_000_u64,
        0..300_u64,
        0..2_000_u64,
    );
    prop_oneof![
        6 => push.prop_map(|(tenant, priority, patience, cost, bytes, p50)| Event::Push {
            tenant, priority, patience, cost, bytes, p50,
        }),
        4 => Just(Event::Pop),
        1 => any::<usize>().prop_map(|which| Event::Cancel { which }),
        1 => Just(Event::Expire),
        4 => (0..3_000_u64).prop_map(|millis| Event::Wait { millis }),
        1 => (0..5_u8, 0..5_000_u64).prop_map(|(tenant, cost)| Event::Bypass { tenant, cost }),
    ]
}

fn limits() -> impl Strategy<Value = Limits> {
    (
        0..40_u32,
        prop_oneof![Just(u64::MAX), 200..4_000_u64],
        any::<bool>(),
    )
        .prop_map(|(max_depth, max_bytes, impatient)| {
            let max_wait = if impatient { 1 } else { 1_000 };
            let max_wait = [2, 10, 30, 300].map(|wait| Duration::from_secs(wait * max_wait));
            Limits {
                max_depth,
                max_wait,
                max_bytes,
            }
        })
}

/// What an outside observer knows of one item that waits.
#[derive(Clone, Debug)]
struct Seen {
    item: Item,
    gives_up: Moment,
}

/// Replays events, holding the buffer to its word after each.
struct Observer {
    buffer: Buffer,
    limits: Limits,
    now: Moment,
    next_id: u64,
    waiting: BTreeMap<ItemId, Seen>,
    log: Vec<String>,
}

impl Observer {
    fn new(limits: Limits) -> Self {
        Observer {
            buffer: Buffer::new(limits),
            limits,
            now: Moment::ZERO,
            next_id: 0,
            waiting: BTreeMap::new(),
            log: Vec::new(),
        }
    }

    fn replay(limits: Limits, events: &[Event]) -> Result<Self, TestCaseError> {
        let mut observer = Observer::new(limits);
        for event in events {
            observer.happens(event)?;
            observer.check_counts()?;
        }
        Ok(observer)
    }

    fn happens(&mut self, event: &Event) -> Result<(), TestCaseError> {
        match event {
            Event::Push {
                tenant,
                priority,
                patience,
                cost,
                bytes,
                p50,
            } => {
                self.next_id += 1;
                let item = Item {
                    id: ItemId(self.next_id),
                    tenant: format!("t{tenant}").into(),
                    priority: *priority,
                    deadline: self.now + Duration::from_millis(*patience),
                    arrival: self.now,
                    cost: *cost,
                    bytes: *bytes,
                };
                let service = ServiceEstimate {
                    p50: Some(Duration::from_millis(*p50)),
                };
                self.push(item, service)?;
            }
            Event::Pop => {
                let popped = self.buffer.pop(self.now);
                self.log.push(format!("{popped:?}"));
                self.gone(popped.expired)?;
                let idle = self.waiting.is_empty();
                match popped.item {
                    None => prop_assert!(idle, "somebody waits and nobody goes"),
                    Some(item) => {
                        prop_assert!(
                            item.deadline > self.now,
                            "Q6: dispatched after its deadline"
                        );
                        prop_assert!(self.waiting.remove(&item.id).is_some(), "Q1: left twice");
                    }
                }
            }
            Event::Cancel { which } => {
                let id = self
                    .waiting
                    .keys()
                    .nth(which % self.waiting.len().max(1))
                    .copied();
                let id = id.unwrap_or(ItemId(u64::MAX));
                let cancelled = self.buffer.cancel(id);
                prop_assert_eq!(cancelled.is_some(), self.waiting.remove(&id).is_some());
            }
            Event::Expire => {
                let expired = self.buffer.expire(self.now);
                self.gone(expired)?;
                let overdue = self.waiting.values().any(|seen| seen.gives_up <= self.now);
                prop_assert!(!overdue, "Q3: waits beyond its time");
            }
            Event::Wait { millis } => self.now = self.now + Duration::from_millis(*millis),
            Event::Bypass { tenant, cost } => {
                self.buffer
                    .record_dispatch(&format!("t{tenant}").into(), *cost, self.now);
            }
        }
        Ok(())
    }

    fn push(&mut self, item: Item, service: ServiceEstimate) -> Result<(), TestCaseError> {
        let before = self.buffer.depth();
        let tenants = self.tenants_with(&item.tenant);
        let levels = self.count(|seen| seen.item.priority != item.priority);
        let result = self.buffer.push(item.clone(), self.now, service);
        self.log.push(format!("{result:?}"));
        let Ok(evicted) = result else {
            prop_assert_eq!(self.buffer.depth(), before, "a refusal changes nothing");
            return Ok(());
        };
        for Evicted { item: victim, .. } in evicted {
            prop_assert!(victim.priority > item.priority, "evicted by an equal");
            prop_assert!(self.waiting.remove(&victim.id).is_some(), "Q1: left twice");
        }
        let gives_up = item
            .deadline
            .min(self.now + self.limits.max_wait_of(item.priority));
        self.waiting.insert(
            item.id,
            Seen {
                item: item.clone(),
                gives_up,
            },
        );
        if tenants > 1 {
            let own = self.count(|seen| seen.item.tenant == item.tenant);
            prop_assert!(own <= self.limits.tenant_items(), "Q2: tenant's share");
        }
        if levels > 0 {
            let own = self.count(|seen| seen.item.priority == item.priority);
            prop_assert!(own <= self.limits.level_items(), "Q2: level's share");
        }
        Ok(())
    }

    fn gone(&mut self, expired: Vec<Expired>) -> Result<(), TestCaseError> {
        for Expired { item, .. } in expired {
            let seen = self.waiting.remove(&item.id);
            prop_assert!(seen.is_some(), "Q1: left twice");
            prop_assert!(
                seen.is_some_and(|seen| seen.gives_up <= self.now),
                "expired too soon"
            );
        }
        Ok(())
    }

    fn tenants_with(&self, tenant: &TenantId) -> usize {
        let mut tenants: Vec<_> = self
            .waiting
            .values()
            .map(|seen| &seen.item.tenant)
            .collect();
        tenants.push(tenant);
        tenants.sort();
        tenants.dedup();
        tenants.len()
    }

    fn count(&self, wanted: impl Fn(&Seen) -> bool) -> u32 {
        u32::try_from(self.waiting.values().filter(|seen| wanted(seen)).count()).unwrap()
    }

    fn check_counts(&self) -> Result<(), TestCaseError> {
        let bytes: u64 = self.waiting.values().map(|seen| seen.item.bytes).sum();
        let next = self.waiting.values().map(|seen| seen.gives_up).min();
        prop_assert_eq!(
            self.buffer.depth(),
            self.count(|_| true),
            "Q1: conservation"
        );
        prop_assert_eq!(self.buffer.bytes(), bytes);
        prop_assert_eq!(self.buffer.next_deadline(), next);
        prop_assert!(self.buffer.depth() <= self.limits.max_depth, "Q2: depth");
        prop_assert!(bytes <= self.limits.max_bytes, "Q2: bytes");
        Ok(())
    }
}

fn waiting(id: u64, tenant: &str, priority: Priority, cost: u64) -> Item {
    Item {
        id: ItemId(id),
        tenant: tenant.into(),
        priority,
        deadline: Moment::from_millis(1 << 40),
        arrival: Moment::ZERO,
        cost,
        bytes: 0,
    }
}

fn endless() -> Limits {
    Limits {
        max_depth: 1 << 20,
        max_wait: [Duration::from_secs(1 << 30); 4],
        max_bytes: u64::MAX,
    }
}

/// Costs of one user after another, repeated for ever.
struct Costs(VecDeque<u64>);

impl Costs {
    fn next(&mut self) -> u64 {
        self.0.rotate_left(1);
        self.0[0]
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Q1, Q2, Q6 and the first half of Q3: everybody leaves exactly once and in time, and no
    /// bound is ever exceeded.
    #[test]
    fn everybody_leaves_exactly_once_and_no_bound_is_exceeded(
        limits in limits(),
        events in vec(event(), 0..300),
    ) {
        let mut observer = Observer::replay(limits, &events)?;
        while !observer.waiting.is_empty() {
            observer.happens(&Event::Pop)?;
        }
        prop_assert_eq!(observer.buffer.depth(), 0);
    }

    /// Q7: the same history has the same outcome.
    #[test]
    fn the_same_history_has_the_same_outcome(
        limits in limits(),
        events in vec(event(), 0..300),
    ) {
        let first = Observer::replay(limits, &events)?;
        let second = Observer::replay(limits, &events)?;
        prop_assert_eq!(first.log, second.log);
    }

    /// Q3: while all levels have work, each gets at least 0.9 of its share of any stretch of 400
    /// largest costs. (Shorter stretches are dominated by a single large item of the level.)
    #[test]
    fn no_level_is_starved_of_its_share(costs in vec(64..1_000_u64, 1..50)) {
        let mut costs = Costs(costs.into());
        let mut buffer = Buffer::new(endless());
        let mut served: Vec<(Priority, u64)> = Vec::new();
        for (id, priority) in (0..).zip(Priority::ALL.repeat(2)) {
            let item = waiting(id, "a", priority, costs.next());
            prop_assert!(buffer.push(item, Moment::ZERO, UNKNOWN).is_ok());
        }
        for id in 100..4_100 {
            let item = buffer.pop(Moment::ZERO).item.unwrap();
            served.push((item.priority, item.cost));
            let next = waiting(id, "a", item.priority, costs.next());
            prop_assert!(buffer.push(next, Moment::ZERO, UNKNOWN).is_ok());
        }
        let largest = served.iter().map(|(_, cost)| *cost).max().unwrap();
        let (mut start, mut total, mut shares) = (0, 0, [0_u64; 4]);
        let mut windows = 0;
        for (level, cost) in &served {
            total += cost;
            shares[level.index()] += cost;
            while total - served[start].1 >= 400 * largest {
                total -= served[start].1;
                shares[served[start].0.index()] -= served[start].1;
                start += 1;
            }
            if total >= 400 * largest {
                windows += 1;
                for level in Priority::ALL {
                    let due = total * level.weight() * 9 / 150;
                    prop_assert!(shares[level.index()] >= due, "{} of {}", level, total);
                }
            }
        }
        prop_assert!(windows > 0);
    }

    /// Q4: tenants that always have work are never further apart than two largest costs.
    #[test]
    fn backlogged_tenants_stay_within_two_largest_costs(
        tenants in 2..6_u64,
        priority in priority(),
        costs in vec(64..10_000_u64, 1..50),
    ) {
        let largest = *costs.iter().max().unwrap();
        let mut costs = Costs(costs.into());
        let mut buffer = Buffer::new(endless());
        let mut served: BTreeMap<TenantId, u64> = BTreeMap::new();
        for id in 0..3 * tenants {
            let tenant = format!("t{}", id % tenants);
            served.insert(tenant.as_str().into(), 0);
            let item = waiting(id, &tenant, priority, costs.next());
            prop_assert!(buffer.push(item, Moment::ZERO, UNKNOWN).is_ok());
        }
        for id in 100..1_100 {
            let item = buffer.pop(Moment::ZERO).item.unwrap();
            *served.get_mut(&item.tenant).unwrap() += item.cost;
            let next = waiting(id, item.tenant.as_str(), priority, costs.next());
            prop_assert!(buffer.push(next, Moment::ZERO, UNKNOWN).is_ok());
            let most = served.values().max().unwrap();
            let least = served.values().min().unwrap();
            prop_assert!(most - least <= 2 * largest, "{served:?}");
        }
    }

    /// Q5: a flood of one tenant delays the others by at most one largest item per active tenant.
    #[test]
    fn a_flood_delays_others_by_at_most_one_item_per_tenant(
        priority in priority(),
        arrivals in vec((0..400_u64, 1..8_u8, 64..1_000_u64), 1..40),
    ) {
        let quiet = waits(&arrivals, priority, false);
        let flooded = waits(&arrivals, priority, true);
        let allowed = 4 * 1_000 / COST_PER_MILLISECOND;
        for (id, wait) in flooded {
            prop_assert!(wait <= quiet[&id] + allowed, "{id:?}: {} then {wait} ms", quiet[&id]);
        }
    }

    /// Q8, counted rather than timed: the steps per item do not grow with the items waiting.
    #[test]
    fn the_work_per_item_does_not_grow_with_the_backlog(
        backlog in prop::sample::select(vec![100_u64, 1_000, 10_000]),
        tenants in 1..200_u64,
    ) {
        let mut buffer = Buffer::new(endless());
        let mut pushed = 0;
        for id in 0..backlog {
            let priority = Priority::ALL[usize::try_from(id % 4).unwrap()];
            let item = waiting(id, &format!("t{}", id % tenants), priority, 64 + id % 1_000);
            // A tenant may be over its share; that is not what this is about.
            pushed += u64::from(buffer.push(item, Moment::ZERO, UNKNOWN).is_ok());
        }
        // two tenants alone may not hold more than a thousand items each
        prop_assert!(pushed >= (backlog / 4).min(tenants * 1_000));
        let mut popped = 0;
        while buffer.pop(Moment::from_millis(popped)).item.is_some() {
            popped += 1;
        }
        prop_assert_eq!(popped, pushed);
        prop_assert!(buffer.steps() <= 60 * pushed, "{} steps for {pushed}", buffer.steps());
    }
}

const COST_PER_MILLISECOND: u64 = 10;

/// Serves one item after the other at a fixed pace; how long each of the quiet tenants' items waited.
fn waits(arrivals: &[(u64, u8, u64)], priority: Priority, flood: bool) -> BTreeMap<ItemId, u64> {
    let mut buffer = Buffer::new(endless());
    let mut due: Vec<(u64, Item)> = Vec::new();
    let mut clock = 0;
    for (gap, tenants, cost) in arrivals {
        // Three tenants at no more than a quarter of the capacity each leave room for a fourth.
        clock += gap + 400;
        for tenant in (0..3).filter(|tenant| tenants & (1 << tenant) != 0) {
            let id = u64::try_from(due.len()).unwrap();
            due.push((
                clock,
                waiting(id, &format!("quiet{tenant}"), priority, *cost),
            ));
        }
    }
    let expected = due.len();
    let mut due: VecDeque<_> = due.into();
    let mut waits = BTreeMap::new();
    let mut arrived = BTreeMap::new();
    let mut now = 0;
    let mut flood_id = 1 << 32;
    while waits.len() < expected {
        let moment = Moment::from_millis(now);
        while flood && buffer.depth() < 30 {
            flood_id += 1;
            buffer
                .push(waiting(flood_id, "flood", priority, 1_000), moment, UNKNOWN)
                .unwrap();
        }
        while let Some((at, item)) = due.pop_front_if(|(at, _)| *at <= now) {
            arrived.insert(item.id, at);
            buffer.push(item, moment, UNKNOWN).unwrap();
        }
        match buffer.pop(moment).item {
            Some(item) => {
                if let Some(at) = arrived.get(&item.id) {
                    waits.insert(item.id, now - at);
                }
                now += item.cost.div_ceil(COST_PER_MILLISECOND);
            }
            None => now = due.front().map_or(now, |(at, _)| *at),
        }
    }
    waits
}
