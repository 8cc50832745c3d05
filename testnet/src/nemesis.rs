//! Which faults come when: a schedule that follows from a seed, and the hand that carries it out.
//!
//! ```
//! use llm_router_testnet::nemesis::Schedule;
//! let first: Vec<_> = Schedule::new(7).take(100).collect();
//! assert_eq!(first, Schedule::new(7).take(100).collect::<Vec<_>>());
//! ```

mod act;
pub mod board;
pub mod frail;

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::cluster::Break;

pub use act::{Carried, carry_out, rebuild};
pub use board::Board;
pub use frail::{Frail, Trouble};

/// One kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The leader's process ends at once.
    KillLeader,
    /// A follower's process ends at once.
    KillFollower,
    /// All processes end at once.
    KillAll,
    /// The leader stands still.
    PauseLeader,
    /// A follower stands still.
    PauseFollower,
    /// One node stands still for longer than anybody waits for it.
    PauseLong,
    /// Links break.
    Network(Wire),
    /// A sync to disk fails once on one node, which ends.
    SyncFails,
    /// Syncs to disk take 200 ms on one node.
    SyncStalls,
    /// One node dies at a fail point: a write that finds no room, or just before or after a step.
    Crash,
    /// One node's disk has no room for changes, and some for what must be kept.
    DiskFull,
    /// The leader dies as it writes a snapshot.
    CrashInSnapshot,
    /// A follower that was away for too long dies as it puts a snapshot in its state's place.
    CrashInInstall,
    /// The leader writes a snapshot and drops the log before it.
    Snapshot,
    /// Leadership is handed over.
    Transfer,
    /// A follower is taken out, emptied, and joins again.
    Replace,
    /// The upstream of one model fails; another model stands in for it.
    Upstream(Trouble),
    /// A byte on one node's disk changes while it is down. If it refuses to start, it is taken out,
    /// emptied, and joins again.
    Corrupt,
}

/// One kind of fault of the links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wire {
    /// The leader reaches nobody.
    CutOffLeader,
    /// A follower reaches nobody.
    CutOffFollower,
    /// Nobody reaches anybody.
    CutOffAll,
    /// One node is not heard by another, and hears it.
    OneWay,
    /// Two nodes do not reach one another, the others reach both.
    Bridge,
    /// One link takes 50 to 500 ms.
    SlowLink,
    /// One link carries 64 KiB a second.
    NarrowLink,
}

impl Fault {
    /// All of them, with how often each comes.
    const WEIGHTS: [(Fault, u32); 26] = [
        (Fault::KillLeader, 12),
        (Fault::KillFollower, 8),
        (Fault::KillAll, 4),
        (Fault::PauseLeader, 8),
        (Fault::PauseFollower, 4),
        (Fault::PauseLong, 3),
        (Fault::Network(Wire::CutOffLeader), 10),
        (Fault::Network(Wire::CutOffFollower), 6),
        (Fault::Network(Wire::CutOffAll), 3),
        (Fault::Network(Wire::OneWay), 8),
        (Fault::Network(Wire::Bridge), 8),
        (Fault::Network(Wire::SlowLink), 4),
        (Fault::Network(Wire::NarrowLink), 2),
        (Fault::SyncFails, 5),
        (Fault::SyncStalls, 4),
        (Fault::Crash, 10),
        (Fault::DiskFull, 4),
        (Fault::CrashInSnapshot, 4),
        (Fault::CrashInInstall, 4),
        (Fault::Snapshot, 6),
        (Fault::Transfer, 6),
        (Fault::Replace, 4),
        (Fault::Upstream(Trouble::Dead), 8),
        (Fault::Upstream(Trouble::Flapping), 4),
        (Fault::Upstream(Trouble::DeadForOne), 4),
        (Fault::Corrupt, 4),
    ];

    /// Its name in tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Fault::KillLeader => "kill the leader",
            Fault::KillFollower => "kill a follower",
            Fault::KillAll => "kill all nodes",
            Fault::PauseLeader => "pause the leader",
            Fault::PauseFollower => "pause a follower",
            Fault::PauseLong => "pause for long",
            Fault::Network(Wire::CutOffLeader) => "cut off the leader",
            Fault::Network(Wire::CutOffFollower) => "cut off a follower",
            Fault::Network(Wire::CutOffAll) => "cut off all nodes",
            Fault::Network(Wire::OneWay) => "one way only",
            Fault::Network(Wire::Bridge) => "bridge",
            Fault::Network(Wire::SlowLink) => "slow link",
            Fault::Network(Wire::NarrowLink) => "narrow link",
            Fault::SyncFails => "a sync fails",
            Fault::SyncStalls => "syncs stall",
            Fault::Crash => "crash at a fail point",
            Fault::DiskFull => "disk full",
            Fault::CrashInSnapshot => "crash in a snapshot",
            Fault::CrashInInstall => "crash in an install",
            Fault::Snapshot => "snapshot and purge",
            Fault::Transfer => "transfer leadership",
            Fault::Replace => "take out and let in",
            Fault::Upstream(Trouble::Dead) => "upstream dead",
            Fault::Upstream(Trouble::Flapping) => "upstream flapping",
            Fault::Upstream(Trouble::DeadForOne) => "upstream dead for one",
            Fault::Corrupt => "corrupt and rebuild",
        }
    }

    /// It needs nodes that are in step and links that are whole: what is rebuilt is rebuilt from the
    /// others, and a breaker is everybody's only among those who hear of the leader.
    pub const fn needs_peace(self) -> bool {
        self.takes_out() || matches!(self, Fault::Upstream(_))
    }

    /// A node may be taken out and let in again: all others have to vote meanwhile.
    pub const fn takes_out(self) -> bool {
        matches!(self, Fault::Corrupt | Fault::Replace)
    }

    /// It is about the network alone, so that another fault can come while it lasts.
    pub const fn is_of_the_network(self) -> bool {
        matches!(self, Fault::Network(_))
    }
}

/// One fault, when it comes and whom it meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Quiet before it.
    pub quiet: Duration,
    /// What happens.
    pub fault: Fault,
    /// How links break, where they do.
    pub how: Break,
    /// How long it lasts.
    pub lasts: Duration,
    /// Chooses nodes, delays and files, by remainder.
    pub pick: usize,
}

/// Faults without end.
#[derive(Debug)]
pub struct Schedule(StdRng);

impl Schedule {
    /// The schedule of a seed.
    pub fn new(seed: u64) -> Self {
        Schedule(StdRng::seed_from_u64(seed))
    }

    fn fault(&mut self) -> Fault {
        let total: u32 = Fault::WEIGHTS.iter().map(|(_, weight)| weight).sum();
        let mut place = self.0.random_range(0..total);
        for (fault, weight) in Fault::WEIGHTS {
            if place < weight {
                return fault;
            }
            place -= weight;
        }
        Fault::KillLeader
    }
}

impl Iterator for Schedule {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let fault = self.fault();
        let how = match self.0.random_range(0..3) {
            0 => Break::Drop,
            1 => Break::Reset,
            _ => Break::Swallow,
        };
        Some(Step {
            quiet: Duration::from_millis(self.0.random_range(500..2_500)),
            fault,
            how,
            lasts: Duration::from_millis(self.0.random_range(300..3_500)),
            pick: self.0.random_range(0..1_000_000),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_fault_comes_within_a_run_of_ten_minutes() {
        let step = |step: &Step| step.quiet + step.lasts;
        let mut spent = Duration::ZERO;
        let seen: BTreeSet<Fault> = Schedule::new(1)
            .take_while(|next| {
                spent += step(next);
                spent < Duration::from_secs(600)
            })
            .map(|step| step.fault)
            .collect();
        assert_eq!(seen.len(), Fault::WEIGHTS.len());
    }
}
