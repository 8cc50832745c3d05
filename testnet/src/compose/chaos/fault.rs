//! What is done to containers, and when: a deck of all faults, shuffled anew by the seed for every round.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};

/// Which nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whom {
    /// The one that leads.
    Leader,
    /// One that does not.
    Follower,
    /// All of them.
    All,
}

/// What an upstream does to those who ask it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sick {
    /// Says 503.
    Refuses,
    /// Says nothing.
    Silent,
    /// Cuts answers off in their middle.
    Cuts,
}

/// One kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A process ends at once.
    Kill(Whom),
    /// A process stands still.
    Pause(Whom),
    /// Nodes lose every link to others: a minority, or everybody.
    Cut(Whom),
    /// A node is not heard by another, and hears it.
    OneWay,
    /// A link takes its time.
    Slow,
    /// A link loses packets.
    Lossy,
    /// A node has a fifth of a processor.
    Processor,
    /// A node has little memory.
    Memory,
    /// A node's disk fills up.
    Disk,
    /// A node's clock is wrong.
    Clock,
    /// Every node's certificate is replaced.
    Certificates,
    /// One node after the other is ended in order and started again.
    Restart,
    /// The same, each with another image.
    Upgrade,
    /// An upstream fails.
    Upstream(Sick),
    /// More is asked than can be answered.
    Overload,
}

impl Fault {
    const KINDS: [Fault; 22] = [
        Fault::Kill(Whom::Leader),
        Fault::Kill(Whom::Follower),
        Fault::Kill(Whom::All),
        Fault::Pause(Whom::Leader),
        Fault::Pause(Whom::Follower),
        Fault::Cut(Whom::Leader),
        Fault::Cut(Whom::Follower),
        Fault::Cut(Whom::All),
        Fault::OneWay,
        Fault::Slow,
        Fault::Lossy,
        Fault::Processor,
        Fault::Memory,
        Fault::Disk,
        Fault::Clock,
        Fault::Certificates,
        Fault::Restart,
        Fault::Upgrade,
        Fault::Upstream(Sick::Refuses),
        Fault::Upstream(Sick::Silent),
        Fault::Upstream(Sick::Cuts),
        Fault::Overload,
    ];

    /// Its name in tables and arguments.
    pub const fn as_str(self) -> &'static str {
        match self {
            Fault::Kill(Whom::Leader) => "kill-leader",
            Fault::Kill(Whom::Follower) => "kill-follower",
            Fault::Kill(Whom::All) => "kill-all",
            Fault::Pause(Whom::Leader) => "pause-leader",
            Fault::Pause(Whom::Follower) => "pause-follower",
            Fault::Pause(Whom::All) => "pause-all",
            Fault::Cut(Whom::Leader) => "cut-leader",
            Fault::Cut(Whom::Follower) => "cut-follower",
            Fault::Cut(Whom::All) => "cut-all",
            Fault::OneWay => "one-way",
            Fault::Slow => "slow-link",
            Fault::Lossy => "lossy-link",
            Fault::Processor => "processor",
            Fault::Memory => "memory",
            Fault::Disk => "disk-full",
            Fault::Clock => "clock",
            Fault::Certificates => "certificates",
            Fault::Restart => "rolling-restart",
            Fault::Upgrade => "rolling-upgrade",
            Fault::Upstream(Sick::Refuses) => "upstream-refuses",
            Fault::Upstream(Sick::Silent) => "upstream-silent",
            Fault::Upstream(Sick::Cuts) => "upstream-cuts",
            Fault::Overload => "overload",
        }
    }

    /// Those whose names begin with `name`: `kill` is all three kinds of it.
    pub fn named(name: &str) -> Vec<Fault> {
        let meant = |fault: &Fault| fault.as_str().starts_with(name);
        let mut found: Vec<Fault> = Fault::all().filter(meant).collect();
        // a whole name means itself, whatever else begins with it
        if let Some(exact) = found.iter().find(|fault| fault.as_str() == name) {
            found = vec![*exact];
        }
        found
    }

    /// Every kind.
    pub fn all() -> impl Iterator<Item = Fault> {
        Fault::KINDS.into_iter()
    }
}

/// One fault, and whom it meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Quiet before it.
    pub(super) quiet: Duration,
    /// What happens.
    pub(super) fault: Fault,
    /// How long it lasts, where that is not its own affair.
    pub(super) lasts: Duration,
    /// Chooses among nodes and manners, by remainder.
    pub(super) pick: usize,
}

/// Faults without end; every one that is wanted comes once in each round.
#[derive(Debug)]
pub(super) struct Deck {
    random: StdRng,
    wanted: Vec<Fault>,
    left: Vec<Fault>,
}

impl Deck {
    /// The deck of a seed.
    pub(super) fn new(seed: u64, wanted: &[Fault]) -> Self {
        Deck {
            random: StdRng::seed_from_u64(seed),
            wanted: wanted.to_vec(),
            left: Vec::new(),
        }
    }
}

impl Iterator for Deck {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        if self.left.is_empty() {
            self.left.clone_from(&self.wanted);
            self.left.shuffle(&mut self.random);
        }
        let fault = self.left.pop()?;
        Some(Step {
            quiet: Duration::from_millis(self.random.random_range(1_000..3_000)),
            fault,
            lasts: Duration::from_millis(self.random.random_range(4_000..9_000)),
            pick: self.random.random_range(0..1_000_000),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_round_has_every_fault_once() {
        let all: Vec<Fault> = Fault::all().collect();
        let mut deck = Deck::new(3, &all);
        for _ in 0..3 {
            let round: BTreeSet<Fault> = deck.by_ref().take(all.len()).map(|s| s.fault).collect();
            assert_eq!(round.len(), all.len());
        }
    }

    #[test]
    fn a_seed_says_all() {
        let all: Vec<Fault> = Fault::all().collect();
        let run = |seed| -> Vec<Step> { Deck::new(seed, &all).take(60).collect() };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }

    #[test]
    fn a_name_means_one_fault_or_a_family() {
        assert_eq!(Fault::named("kill").len(), 3);
        assert_eq!(Fault::named("clock"), [Fault::Clock]);
        assert!(Fault::named("rain").is_empty());
        for fault in Fault::all() {
            assert!(Fault::named(fault.as_str()).contains(&fault));
        }
    }

    #[test]
    fn nothing_wanted_is_nothing_done() {
        assert_eq!(Deck::new(1, &[]).next(), None);
    }
}
