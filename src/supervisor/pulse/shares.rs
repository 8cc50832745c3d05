//! What the leader has lent this node, and whether it still holds. Pure.

use std::collections::BTreeMap;
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
    shares: BTreeMap<LimitId, Share>,
    /// When the leader said so.
    at: Option<Instant>,
}

impl Loans {
    /// Takes over what the leader said last: all of the node's shares, so one it does not name is
    /// gone.
    pub(super) fn hear(&mut self, heard: &Heard) {
        if self.at != heard.at {
            self.shares.clone_from(&heard.directive.shares);
            self.at = heard.at;
        }
    }

    /// The node's part. A loan holds while a leader is in reach and its time is not over.
    pub(super) fn part(&self, limit: &LimitId, connected: bool, now: Instant) -> Part {
        match self.shares.get(limit) {
            Some(share) if connected && self.holds(share, now) => Part::Lent {
                amount: share.amount,
                number: share.number,
            },
            Some(_) | None => Part::Own,
        }
    }

    /// Number of the loan taken over last, 0 when there is none.
    pub(super) fn taken(&self, limit: &LimitId) -> u64 {
        self.shares.get(limit).map_or(0, |share| share.number)
    }

    /// When the next loan's time is over.
    pub(super) fn next_expiry(&self, now: Instant) -> Option<Instant> {
        let ends = self.shares.values().filter_map(|share| self.ends(share));
        ends.filter(|end| *end > now).min()
    }

    fn holds(&self, share: &Share, now: Instant) -> bool {
        self.ends(share).is_some_and(|end| now < end)
    }

    fn ends(&self, share: &Share) -> Option<Instant> {
        self.at?.checked_add(Duration::from_millis(share.valid_ms))
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

    #[test]
    fn a_loan_ends_with_its_time_and_with_the_leader() {
        let (now, mut loans) = (Instant::now(), Loans::default());
        assert_eq!(loans.part(&limit(), true, now), Part::Own);
        loans.hear(&heard(now, 7, 3));
        let lent = Part::Lent {
            amount: 3,
            number: 7,
        };
        let late = now + Duration::from_millis(800);
        assert_eq!(loans.part(&limit(), true, now), lent);
        assert_eq!(loans.part(&limit(), false, now), Part::Own);
        assert_eq!(loans.next_expiry(now), Some(late));
        assert_eq!(loans.part(&limit(), true, late), Part::Own);
        assert_eq!(loans.next_expiry(late), None);
    }

    #[test]
    fn a_later_word_replaces_all_that_was_lent() {
        let (now, mut loans) = (Instant::now(), Loans::default());
        loans.hear(&heard(now, 7, 3));
        loans.hear(&heard(now + Duration::from_millis(100), 8, 0));
        assert_eq!(loans.taken(&limit()), 8);
        let lent = Part::Lent {
            amount: 0,
            number: 8,
        };
        assert_eq!(loans.part(&limit(), true, now), lent);
        loans.hear(&Heard {
            at: Some(now + Duration::from_millis(200)),
            ..Heard::default()
        });
        assert_eq!(loans.taken(&limit()), 0);
    }
}
