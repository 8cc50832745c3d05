//! Nodes that lose messages, are cut off, crash and come back, under leaders that change: the
//! stated bound holds in every step.

use std::collections::VecDeque;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::coordinate::lender::split::{self, Want};
use crate::coordinate::outbox::Outbox;
use crate::pulse::{Directive, Share};

const NODES: usize = 3;
const STEP: Duration = Duration::from_millis(100);

/// What befalls one node in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Well,
    LoseReport,
    LoseDirective,
    /// The directive is under way for so many steps.
    Late(u8),
    Crash,
}

#[derive(Clone, Debug)]
struct Step {
    fates: Vec<Fate>,
    /// What each node would run.
    wants: Vec<u64>,
    /// Attempts that end on each node.
    ends: Vec<u64>,
    /// Nodes that are cut off from now on, if this changes.
    cut: Option<Vec<bool>>,
    /// A new leader.
    elect: bool,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        20 => Just(Fate::Well),
        2 => Just(Fate::LoseReport),
        2 => Just(Fate::LoseDirective),
        2 => (1_u8..40).prop_map(Fate::Late),
        1 => Just(Fate::Crash),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let cut = proptest::option::weighted(0.03, vec(prop::bool::weighted(0.4), NODES));
    (
        vec(fate(), NODES),
        vec(0_u64..15, NODES),
        vec(0_u64..4, NODES),
        cut,
        prop::bool::weighted(0.01),
    )
        .prop_map(|(fates, wants, ends, cut, elect)| Step {
            fates,
            wants,
            ends,
            cut,
            elect,
        })
}

/// What a node uses on its own.
fn even(limit: u64) -> u64 {
    (limit / NODES as u64).max(1)
}

/// A node as this crate and the one above it make it.
struct Node {
    outbox: Outbox,
    share: Option<(Share, Duration)>,
    /// Attempts that began by a share that is valid still.
    lent: u64,
    /// It began them on its own.
    own: u64,
    /// Their share has ended, or was taken back.
    left: u64,
    under_way: VecDeque<(Duration, Directive)>,
    boots: u64,
}

impl Node {
    fn new(boots: u64) -> Self {
        Node {
            outbox: Outbox::new(BootId(boots)),
            share: None,
            lent: 0,
            own: 0,
            left: 0,
            under_way: VecDeque::new(),
            boots,
        }
    }

    /// Attempts end, others begin as far as they may.
    fn run(&mut self, limit: u64, mut ends: u64, wants: u64, now: Duration) {
        for some in [&mut self.left, &mut self.own, &mut self.lent] {
            let ended = (*some).min(ends);
            *some -= ended;
            ends -= ended;
        }
        let more = |may: u64, running: u64| wants.min(may).saturating_sub(running);
        match self.share {
            Some((share, until)) if now < until => {
                self.lent += more(share.amount, self.running());
            }
            Some(_) | None => {
                self.left += std::mem::take(&mut self.lent);
                self.own += more(even(limit), self.running());
            }
        }
    }

    fn running(&self) -> u64 {
        self.lent + self.own + self.left
    }

    fn demand(&self, wants: u64) -> Demand {
        Demand {
            used: self.running(),
            wanted: wants.max(self.running()),
            taken: self.share.map_or(0, |(share, _)| share.number),
        }
    }
}

struct World {
    nodes: Vec<Node>,
    bank: Bank,
    term: u64,
    cut: Vec<bool>,
}

impl World {
    fn new(limit: u64) -> Self {
        World {
            nodes: (0..NODES).map(|n| Node::new(n as u64 * 1_000)).collect(),
            bank: Bank::new(LimitKind::Concurrency, limit, NODES as u64),
            term: 3,
            cut: vec![false; NODES],
        }
    }

    fn step(&mut self, step: &Step) {
        self.bank.now += STEP;
        if let Some(cut) = &step.cut {
            self.cut.clone_from(cut);
        }
        if step.elect {
            self.term += 1;
            self.bank
                .lender
                .begin(self.term, BTreeMap::new(), self.bank.now);
        }
        for index in 0..NODES {
            self.live(index, step);
        }
        self.bank.round();
        for index in 0..NODES {
            self.answer(index, step.fates[index]);
        }
    }

    /// A node takes what reached it, runs what it may, and reports.
    fn live(&mut self, index: usize, step: &Step) {
        let (now, limit, id) = (self.bank.now, self.bank.limit, self.bank.id.clone());
        let term = self.term;
        if step.fates[index] == Fate::Crash {
            let boots = self.nodes[index].boots + 1;
            self.nodes[index] = Node::new(boots);
        }
        let node = &mut self.nodes[index];
        while node.under_way.front().is_some_and(|(at, _)| *at <= now) {
            let Some((_, mut directive)) = node.under_way.pop_front() else {
                break;
            };
            if directive.term < term {
                continue;
            }
            node.outbox.take(&mut directive, now);
            // one that is not named goes on to its end
            if let Some(share) = directive.shares.get(&id) {
                node.share = Some((*share, now + Duration::from_millis(share.valid_ms)));
            }
        }
        node.run(limit, step.ends[index], step.wants[index], now);
        let report = Report {
            demand: BTreeMap::from([(id, node.demand(step.wants[index]))]),
            ..Report::default()
        };
        node.outbox.put(report, true, now);
        let report = node.outbox.next(now);
        if step.fates[index] != Fate::LoseReport && !self.cut[index] {
            let member = MemberId(index as u64 + 1);
            self.bank.lender.hear(member, &Arc::new(report), now);
        }
    }

    fn answer(&mut self, index: usize, fate: Fate) {
        let member = MemberId(index as u64 + 1);
        if self.cut[index] || fate == Fate::LoseDirective {
            return;
        }
        let latest = self.bank.lender.nodes.get(&member);
        let directive = Directive {
            term: self.term,
            sequence: latest.map_or(0, |node| node.latest.sequence()),
            shares: self.bank.lender.shares(member),
            ..Directive::default()
        };
        let late = if let Fate::Late(steps) = fate {
            steps
        } else {
            0
        };
        // a stream keeps its order: what comes after a late one is late too
        let node = &mut self.nodes[index];
        let at = self.bank.now + STEP * u32::from(late);
        let at = node.under_way.back().map_or(at, |(last, _)| at.max(*last));
        node.under_way.push_back((at, directive));
    }

    fn running(&self) -> Vec<u64> {
        self.nodes.iter().map(Node::running).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// What runs by valid shares never exceeds the limit. What runs beyond it is what `k` nodes
    /// without a share run on their own, each up to its even part, and what ran when their shares
    /// ended.
    #[test]
    fn the_bound_holds_in_every_step(
        limit in 1_u64..25,
        steps in vec(step(), 1..250),
    ) {
        let mut world = World::new(limit);
        for (number, step) in steps.iter().enumerate() {
            world.step(step);
            let lent: Vec<_> = world.nodes.iter().map(|node| node.lent).collect();
            prop_assert!(
                lent.iter().sum::<u64>() <= limit,
                "step {}: {:?} run of {}", number, lent, limit
            );
            let alone = world.nodes.iter().filter(|node| node.own > 0).count() as u64;
            let left: u64 = world.nodes.iter().map(|node| node.left).sum();
            let running = world.running();
            prop_assert!(
                running.iter().sum::<u64>() <= limit + alone * even(limit) + left,
                "step {}: {:?} run of {}, {} by themselves", number, running, limit, alone
            );
        }
    }

    /// Once nothing goes wrong any more, the limit itself holds and is used.
    #[test]
    fn what_is_wanted_is_given_once_faults_end(
        limit in 3_u64..25,
        steps in vec(step(), 1..100),
        wants in vec(0_u64..30, NODES),
    ) {
        let mut world = World::new(limit);
        for step in &steps {
            world.step(step);
        }
        let calm = Step {
            fates: vec![Fate::Well; NODES],
            wants: wants.clone(),
            ends: vec![0; NODES],
            cut: Some(vec![false; NODES]),
            elect: false,
        };
        // what ran ends, late directives arrive
        let settle = Step { ends: vec![100; NODES], wants: vec![0; NODES], ..calm.clone() };
        (0..80).for_each(|_| world.step(&settle));
        (0..6).for_each(|_| world.step(&calm));
        let stays = wants.iter().map(|slots| Want { slots: *slots, stays: true });
        let shares = split::slots(limit, &stays.collect::<Vec<_>>(), 0);
        let due: Vec<_> = shares.iter().zip(&wants).map(|(one, other)| *one.min(other)).collect();
        let running = world.running();
        let (total, due) = (running.iter().sum::<u64>(), due.iter().sum::<u64>());
        prop_assert!(total >= due, "{:?} run where {:?} are wanted", running, wants);
        let served = running.iter().zip(&wants).all(|(runs, wants)| *wants == 0 || *runs > 0);
        prop_assert!(served, "{:?} run where {:?} are wanted", running, wants);
    }
}
