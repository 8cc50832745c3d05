//! The latest report, and when it goes out.

use std::time::Duration;

use super::holdings::Holdings;
use crate::identity::BootId;
use crate::pulse::{BUCKETS, Calls, Directive, Evidence, Report};

/// Between two reports, however urgent: a burst of failures is one report.
const URGENT: Duration = Duration::from_millis(10);
/// A change waits for others no longer than this.
const CHANGED: Duration = Duration::from_millis(250);
/// Nothing new is told so often, as a sign of life.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    boot: BootId,
    sequence: u64,
    latest: Report,
    made: Duration,
    urgent: bool,
    changed: bool,
    draining: bool,
    /// When the last one went out on the stream there is now.
    sent: Option<Duration>,
    holdings: Holdings,
}

impl Outbox {
    pub(super) fn new(boot: BootId) -> Self {
        Outbox {
            boot,
            ..Outbox::default()
        }
    }

    /// The node tells something new; what it told before and was not sent is forgotten.
    pub(super) fn put(&mut self, report: Report, urgent: bool, now: Duration) {
        self.changed |= report != self.latest;
        self.urgent |= urgent;
        self.latest = report;
        self.made = now;
    }

    /// The node drains from now on.
    pub(super) fn drain(&mut self) {
        self.draining = true;
        self.urgent = true;
    }

    pub(super) const fn is_draining(&self) -> bool {
        self.draining
    }

    /// Another stream: the next report goes at once.
    pub(super) fn begin(&mut self) {
        self.sent = None;
    }

    /// When the next report goes.
    pub(super) fn due(&self) -> Duration {
        let Some(sent) = self.sent else {
            return Duration::ZERO;
        };
        sent + match (self.urgent, self.changed) {
            (true, _) => URGENT,
            (false, true) => CHANGED,
            (false, false) => HEARTBEAT,
        }
    }

    /// The report to send now: aged by the time it lay here.
    pub(super) fn next(&mut self, now: Duration) -> Report {
        self.sequence += 1;
        self.sent = Some(now);
        (self.urgent, self.changed) = (false, false);
        let lain = now.saturating_sub(self.made);
        let mut report = self.latest.clone();
        report.boot = self.boot;
        report.sequence = self.sequence;
        report.draining |= self.draining;
        for evidence in report.evidence.values_mut() {
            age(evidence, lain);
        }
        self.holdings.fill(&mut report, now);
        report
    }

    /// See [`Holdings::take`].
    pub(super) fn take(&mut self, directive: &mut Directive, now: Duration) {
        self.holdings.take(directive, now);
    }
}

/// Makes what was seen older.
fn age(evidence: &mut Evidence, by: Duration) {
    let millis = u32::try_from(by.as_millis()).unwrap_or(u32::MAX);
    for age in evidence.failure_ages_ms.iter_mut() {
        *age = age.saturating_add(millis);
    }
    if let Some(age) = &mut evidence.last_ok_age_ms {
        *age = age.saturating_add(millis);
    }
    if let Some(left) = &mut evidence.retry_after_ms {
        *left = left.saturating_sub(millis.into());
    }
    let seconds = usize::try_from(by.as_secs())
        .unwrap_or(BUCKETS)
        .min(BUCKETS);
    evidence.buckets.rotate_right(seconds % BUCKETS);
    evidence.buckets[..seconds].fill(Calls::default());
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::Outbox;
    use crate::identity::BootId;
    use crate::policy::{LimitId, LimitKind};
    use crate::pulse::{Calls, Demand, Directive, Evidence, Report, Share};
    use crate::state::TargetId;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn report(ok: u32) -> Report {
        let mut evidence = Evidence {
            last_ok_age_ms: Some(100),
            retry_after_ms: Some(5_000),
            failure_ages_ms: vec![7],
            ..Evidence::default()
        };
        evidence.buckets[0] = Calls {
            ok,
            ..Calls::default()
        };
        Report {
            evidence: BTreeMap::from([(TargetId("gpu".to_owned()), evidence)]),
            ..Report::default()
        }
    }

    #[test]
    fn urgent_news_wait_ten_milliseconds_changes_a_quarter_and_nothing_a_second() {
        let mut outbox = Outbox::new(BootId(9));
        assert_eq!(outbox.due(), ms(0));
        let first = outbox.next(ms(1_000));
        assert_eq!((first.boot, first.sequence), (BootId(9), 1));
        assert_eq!(outbox.due(), ms(2_000));
        outbox.put(report(1), false, ms(1_005));
        assert_eq!(outbox.due(), ms(1_250));
        outbox.put(report(2), true, ms(1_006));
        assert_eq!(outbox.due(), ms(1_010));
        assert_eq!(outbox.next(ms(1_010)).sequence, 2);
        assert_eq!(outbox.due(), ms(2_010));
    }

    #[test]
    fn what_lies_here_grows_older() {
        let mut outbox = Outbox::new(BootId(9));
        outbox.put(report(3), false, ms(1_000));
        let sent = outbox.next(ms(3_200));
        let evidence = &sent.evidence[&TargetId("gpu".to_owned())];
        assert_eq!(evidence.buckets[2].ok, 3);
        assert_eq!(evidence.buckets[0], Calls::default());
        assert_eq!(evidence.last_ok_age_ms, Some(2_300));
        assert_eq!(evidence.failure_ages_ms, [2_207]);
        assert_eq!(evidence.retry_after_ms, Some(2_800));
    }

    #[test]
    fn a_share_is_valid_from_the_report_it_answers() {
        let id = LimitId {
            target: TargetId("gpu".to_owned()),
            kind: LimitKind::Concurrency,
        };
        let share = Share {
            number: 1,
            amount: 6,
            valid_ms: 3_000,
        };
        let directive = |sequence| Directive {
            sequence,
            shares: BTreeMap::from([(id.clone(), share)]),
            ..Directive::default()
        };
        let mut outbox = Outbox::new(BootId(9));
        outbox.next(ms(1_000));
        let mut late = directive(1);
        outbox.take(&mut late, ms(2_800));
        assert_eq!(late.shares[&id].valid_ms, 1_200);
        assert_eq!(outbox.next(ms(3_900)).held[&id].amount, Some(6));
        let mut unknown = directive(77);
        outbox.take(&mut unknown, ms(3_950));
        assert_eq!(unknown.shares[&id].valid_ms, 0);
        assert!(
            !outbox.next(ms(4_000)).held.contains_key(&id) || {
                outbox
                    .next(ms(4_001))
                    .held
                    .get(&id)
                    .and_then(|held| held.amount)
                    .is_none()
            }
        );
    }

    #[test]
    fn a_report_tells_what_was_spent_in_the_last_minute() {
        let id = LimitId {
            target: TargetId("gpu".to_owned()),
            kind: LimitKind::Tokens,
        };
        let spent = |used| Report {
            demand: BTreeMap::from([(
                id.clone(),
                Demand {
                    used,
                    ..Demand::default()
                },
            )]),
            ..Report::default()
        };
        let mut outbox = Outbox::new(BootId(9));
        for (at, used) in [(1_000, 10), (30_000, 25), (31_000, 30)] {
            outbox.put(spent(used), false, ms(at));
            outbox.next(ms(at));
        }
        let lately = outbox.next(ms(36_000)).held[&id].lately;
        assert_eq!(lately, [0, 20, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0]);
        let lately = outbox.next(ms(61_000)).held[&id].lately;
        assert_eq!(lately.iter().sum::<u64>(), 20);
    }
}
