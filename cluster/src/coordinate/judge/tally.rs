//! What all nodes together have seen of one upstream lately.

use std::time::Duration;

use crate::identity::MemberId;
use crate::pulse::{BUCKETS, Evidence, MAX_FAILURE_AGES, Probe};

/// How far back calls count: the seconds of evidence a node keeps.
pub(super) const WINDOW: Duration = Duration::from_secs(BUCKETS as u64);

/// One node's part. Times are milliseconds of the leader's own clock, below zero before it began.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) member: MemberId,
    pub(super) ok: u64,
    pub(super) hard: u64,
    pub(super) slow: u64,
    /// When the failures of its streak happened.
    pub(super) failures: Vec<i64>,
    pub(super) last_ok: Option<i64>,
    pub(super) suspect: bool,
    pub(super) healthy: bool,
    pub(super) probe: Option<Probe>,
    /// Attempts run there.
    pub(super) busy: bool,
    /// It holds the lease and makes nothing of it.
    pub(super) declines: bool,
    /// What is left of the time the upstream asked for, in milliseconds.
    pub(super) retry_after: u64,
}

impl Seen {
    /// One node's evidence, heard at `heard`, as it counts at `now`.
    pub(super) fn of(
        member: MemberId,
        evidence: &Evidence,
        heard: Duration,
        now: Duration,
    ) -> Self {
        let since = now.saturating_sub(heard);
        let second = |bucket: usize| since + Duration::from_secs(bucket as u64);
        let counted = evidence.buckets.iter().enumerate();
        let counted = counted.filter(|(bucket, _)| second(*bucket) < WINDOW);
        let [mut ok, mut hard, mut slow] = [0; 3];
        for (_, calls) in counted {
            ok += u64::from(calls.ok);
            hard += u64::from(calls.hard);
            slow += u64::from(calls.slow);
        }
        let at = |age: u32| millis(heard) - i64::from(age);
        let ages = evidence.failure_ages_ms.iter().copied();
        Seen {
            member,
            ok,
            hard,
            slow,
            failures: ages.map(at).collect(),
            last_ok: evidence.last_ok_age_ms.map(at),
            suspect: evidence.suspect,
            healthy: evidence.healthy,
            probe: evidence.probe,
            busy: evidence.in_flight > 0,
            declines: evidence.declines,
            retry_after: evidence.retry_after_ms.map_or(0, |asked| {
                let passed = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
                asked.saturating_sub(passed)
            }),
        }
    }

    pub(super) const fn calls(&self) -> u64 {
        self.ok + self.hard
    }

    /// At least half of its calls failed.
    pub(super) const fn fails(&self) -> bool {
        self.hard > 0 && self.hard * 2 >= self.calls()
    }

    /// At least four in five of its calls were slow.
    pub(super) const fn is_slow(&self) -> bool {
        self.slow > 0 && self.slow * 5 >= self.calls() * 4
    }

    /// Failures in a row since somebody else was answered well last.
    pub(super) fn streak(&self, others_ok: Option<i64>) -> u64 {
        let later = |failure: &&i64| others_ok.is_none_or(|ok| **failure > ok);
        let told = self.failures.iter().filter(later).count();
        // a longer streak than can be told: the window's failures are part of it, all of them
        // where nothing went well in it
        let untold = told == MAX_FAILURE_AGES && self.ok == 0 && others_ok.is_none();
        let told = told as u64;
        if untold { told.max(self.hard) } else { told }
    }
}

pub(super) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
