//! Two tenants ask the same, and neither may be answered from what the other was told.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use rand::RngExt as _;
use rand::rngs::SmallRng;
use tokio::time::sleep;

use super::{BREATH, LIMIT, Seat};
use crate::check::Verdict;
use crate::doors::{Door, Heard, Question};

/// Doors that say what the cache did.
const DOORS: [Door; 3] = [Door::Chat, Door::Messages, Door::Responses];

/// What was seen of it.
#[derive(Debug, Default)]
pub(in crate::compose::chaos) struct Apart {
    /// Questions that one tenant asked after the other had been answered.
    pub(in crate::compose::chaos) crossed: usize,
    /// Answers that a tenant got from what it had been told itself.
    pub(in crate::compose::chaos) hits: usize,
    /// Who was answered from which entry.
    entries: BTreeMap<String, usize>,
    wrong: Vec<String>,
}

impl Apart {
    /// What the promise comes to. A run without hits has shown nothing.
    pub(in crate::compose::chaos) fn verdict(&self) -> Verdict {
        let mut wrong = self.wrong.clone();
        if self.crossed > 20 && self.hits == 0 {
            wrong.push("nobody was ever answered from the cache: this checks nothing".to_owned());
        }
        let promise = "no tenant is answered from what another was told";
        Verdict::new(promise, self.crossed + self.hits, wrong)
    }

    fn heard(&mut self, tenant: usize, heard: &Heard) {
        if heard.entry.is_empty() {
            return;
        }
        let owner = *self.entries.entry(heard.entry.clone()).or_insert(tenant);
        if owner != tenant {
            let told = format!("entry {} answered both tenants", heard.entry);
            self.wrong.push(told);
        }
    }
}

/// Asks the same as one tenant twice, and then as the other, each time of any node.
pub(super) async fn watch(seat: Seat, apart: Arc<Mutex<Apart>>, mut random: SmallRng) {
    while seat.goes_on() {
        sleep(BREATH).await;
        let prompt = format!(
            "what is known of number {} in list {}?",
            random.random_range(0..u32::MAX),
            seat.log.serial()
        );
        let door = DOORS[random.random_range(0..DOORS.len())];
        let question = Question {
            limit: LIMIT,
            cached: true,
            ..Question::new("auto", prompt)
        };
        let tenant = random.random_range(0..2);
        let mut answered = Vec::new();
        for who in [tenant, tenant, 1 - tenant] {
            let node = random.random_range(1..=seat.crew.admin.len());
            if !seat.board.may_be_asked(node) {
                answered.push(None);
                continue;
            }
            let at = &seat.crew.tenants[who][node - 1];
            let heard = seat.once(node, door, at, &question).await;
            answered.push(heard.map(|heard| (who, heard)));
        }
        let mut apart = apart.lock();
        for (who, heard) in answered.iter().flatten() {
            apart.heard(*who, heard);
        }
        if let Some(Some((_, again))) = answered.get(1) {
            apart.hits += usize::from(is_hit(again));
        }
        if let (Some(Some(_)), Some(Some((_, other)))) = (answered.first(), answered.get(2)) {
            apart.crossed += 1;
            if other.cache == "exact" {
                let told = format!(
                    "a first question was answered from the cache: {}",
                    other.told()
                );
                apart.wrong.push(told);
            }
        }
    }
}

fn is_hit(heard: &Heard) -> bool {
    matches!(heard.cache.as_str(), "exact" | "semantic")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_that_answers_both_is_found() {
        let heard = Heard {
            entry: "e1".to_owned(),
            ..Heard::default()
        };
        let mut apart = Apart::default();
        apart.heard(0, &heard);
        apart.heard(0, &heard);
        assert!(apart.verdict().holds());
        apart.heard(1, &heard);
        assert!(!apart.verdict().holds());
    }

    #[test]
    fn a_run_without_hits_has_shown_nothing() {
        let apart = Apart {
            crossed: 100,
            ..Apart::default()
        };
        assert!(!apart.verdict().holds());
    }
}
