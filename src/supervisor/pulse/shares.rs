//! What the leader has lent this node, and whether it still holds. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use llm_router_cluster::handle::Heard;
use llm_router_cluster::policy::LimitId;
use llm_router_cluster::pulse::Share;
use tokio::time::Instant;

/// A node's part of one limit, now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// What the leader lent.
    Lent {
        /// How much.
        amount: u64,
        /// Which loan.
        number: u64,
    },
    /// Nothing is lent, or not any more: what a node may use on its own word.
    Own,
}

/// Everything lent.
#[derive(Debug, Default)]
pub(super) struct Loans {
    /// Each with the end of its time.
    shares: BTreeMap<LimitId, (Share, Instant)>,
    /// When the leader last spoke.
    at: Option<Instant>,
    /// Limits that models have here.
    served: BTreeSet<LimitId>,
}

impl Loans {
    /// Takes over what the leader said last. A loan it does not name goes on to its end: a new leader
    /// names none in its first word, and counts on what the last one lent.
    pub(super) fn hear(&mut self, heard: &Heard) {
        let Some(at) = heard.at.filter(|_| self.at != heard.at) else {
            return;
        };
        self.at = heard.at;
        self.shares.retain(|_, (_, end)| *end > at);
        for (limit, share) in &heard.directive.shares {
            if let Some(end) = at.checked_add(Duration::from_millis(share.valid_ms)) {
                self.shares.insert(limit.clone(), (*share, end));
            }
        }
    }

    /// Takes note of the limits that models have here. A loan of one that is gone goes with it: where it
    /// comes back, what was spent is counted anew.
    pub(super) fn serve(&mut self, limits: impl Iterator<Item = LimitId>) {
        let now = limits.collect();
        let gone = self.served.difference(&now);
        gone.for_each(|limit| {
            self.shares.remove(limit);
        });
        self.served = now;
    }

    /// The node's part. A loan holds until its time is over, whether or not a leader is in reach: so
    /// long nobody else is lent what this node holds, and this node keeps off what others hold.
    pub(super) fn part(&self, limit: &LimitId, now: Instant) -> Part {
        match self.shares.get(limit) {
            Some((share, end)) if now < *end => Part::Lent {
                amount: share.amount,
                number: share.number,
            },
            Some(_) | None => Part::Own,
        }
    }

    /// Number of the loan taken over last, 0 when there is none.
    pub(super) fn taken(&self, limit: &LimitId) -> u64 {
        self.shares.get(limit).map_or(0, |(share, _)| share.number)
    }

    /// When the next loan's time is over.
    pub(super) fn next_expiry(&self, now: Instant) -> Option<Instant> {
        let ends = self.shares.values().map(|(_, end)| *end);
        ends.filter(|end| *end > now).min()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use llm_router_cluster::handle::Heard;
    use llm_router_cluster::policy::{LimitId, LimitKind};
    use llm_router_cluster::pulse::{Directive, Share};
    use llm_router_cluster::state::TargetId;
    use tokio::time::Instant;

    use super::{Loans, Part};

    fn limit() -> LimitId {
        LimitId {
            target: TargetId("m@0".to_owned()),
            kind: LimitKind::Concurrency,
        }
    }

    fn heard(at: Instant, number: u64, amount: u64) -> Heard {
        let share = Share {
            number,
            amount,
            valid_ms: 800,
        };
        let directive = Directive {
            shares: [(limit(), share)].into(),
            ..Directive::default()
        };
        Heard {
            directive,
            at: Some(at),
        }
    }

    const LATE: Duration = Duration::from_millis(800);

    const fn lent(number: u64, amount: u64) -> Part {
        Part::Lent { amount, number }
    }

    #[test]
    fn a_loan_ends_with_its_time() {
        let (now, mut loans) = (Instant::now(), Loans::default());
        assert_eq!(loans.part(&limit(), now), Part::Own);
        loans.hear(&heard(now, 7, 3));
        assert_eq!(loans.part(&limit(), now), lent(7, 3));
        assert_eq!(loans.next_expiry(now), Some(now + LATE));
        assert_eq!(loans.part(&limit(), now + LATE), Part::Own);
        assert_eq!(loans.next_expiry(now + LATE), None);
    }

    #[test]
    fn a_later_word_replaces_what_it_names_and_the_rest_goes_on_to_its_end() {
        let (now, mut loans) = (Instant::now(), Loans::default());
        let later = now + Duration::from_millis(100);
        loans.hear(&heard(now, 7, 3));
        loans.hear(&heard(later, 8, 0));
        assert_eq!(loans.taken(&limit()), 8);
        assert_eq!(loans.part(&limit(), later), lent(8, 0));

        let silent = |at| Heard {
            at: Some(at),
            ..Heard::default()
        };
        loans.hear(&silent(now + LATE));
        assert_eq!(loans.part(&limit(), now + LATE), lent(8, 0));
        assert_eq!(loans.part(&limit(), later + LATE), Part::Own);
        loans.hear(&silent(later + LATE));
        assert_eq!(loans.taken(&limit()), 0);
    }

    #[test]
    fn a_loan_goes_with_its_limit_and_not_before_there_is_one() {
        let (now, mut loans) = (Instant::now(), Loans::default());
        loans.hear(&heard(now, 7, 3));
        loans.serve([].into_iter());
        assert_eq!(loans.part(&limit(), now), lent(7, 3), "it came early");
        loans.serve([limit()].into_iter());
        assert_eq!(loans.part(&limit(), now), lent(7, 3));
        loans.serve([].into_iter());
        assert_eq!(loans.part(&limit(), now), Part::Own);
    }
}
