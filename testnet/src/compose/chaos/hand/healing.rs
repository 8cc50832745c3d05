//! After a fault: are all in step, and is all well?

use std::time::Duration;

use tokio::time::Instant;

use super::Hand;
use super::upstream::WHOLE;
use crate::check::Verdict;
use crate::cluster::breakers::breaker;
use crate::compose::chaos::crew::LIMIT;
use crate::doors::{Door, Outcome, Question};
use crate::eventually;

/// How it went after a fault.
#[derive(Clone, Copy, Debug)]
pub(in crate::compose::chaos) struct Healed {
    /// When it had set in, from the start of the run.
    pub(in crate::compose::chaos) harmed: Duration,
    /// From its end until every node was ready and in step.
    pub(in crate::compose::chaos) in_step: Duration,
    /// From its end until every upstream that is whole got traffic from every node, changes were agreed and
    /// every node answered; `None` when that did not come to be.
    pub(in crate::compose::chaos) well: Option<Duration>,
}

impl Hand {
    /// Waits until every node is in step again, and then for all that is not consensus.
    ///
    /// # Errors
    /// The nodes do not come back. What else is not well is for [`Hand::became_well`].
    pub(in crate::compose::chaos) async fn healed(
        &self,
        what: &str,
        started: Instant,
    ) -> anyhow::Result<Healed> {
        let (harmed, lifted) = *self.moments.lock();
        for id in self.crew.ids() {
            self.crew.ready(id).await?;
        }
        let revision = self.crew.in_step(LIMIT).await?;
        let now = Instant::now();
        let lifted = lifted.unwrap_or(now);
        let harmed = harmed.unwrap_or(lifted);
        let well = self.is_well(revision).await;
        if let Err(error) = &well {
            self.unwell.lock().push(format!("after {what}: {error:#}"));
        }
        Ok(Healed {
            harmed: harmed.saturating_duration_since(started),
            in_step: now - lifted,
            well: well.is_ok().then(|| lifted.elapsed()),
        })
    }

    async fn is_well(&self, revision: u64) -> anyhow::Result<()> {
        for name in WHOLE {
            let what = format!("every node trusts {name}");
            eventually(&what, LIMIT, async || {
                for id in self.crew.ids() {
                    let (state, _) = breaker(self.crew.node(id), name).await?;
                    (state == "closed").then_some(())?;
                }
                Some(())
            })
            .await?;
        }
        eventually("changes go on", LIMIT, async || {
            let now = self.crew.in_step(LIMIT).await.ok()?;
            (now > revision).then_some(())
        })
        .await?;
        for id in self.crew.ids() {
            let what = format!("n{id} answers");
            let question = Question::new("auto", what.clone());
            eventually(&what, LIMIT, async || {
                let at = &self.crew.tenants[0][id - 1];
                let heard = Door::Chat.ask_at(at, &question).await;
                (heard.outcome() == Outcome::Answered).then_some(())
            })
            .await?;
        }
        Ok(())
    }

    /// After each of so many faults all was well again.
    pub(in crate::compose::chaos) fn became_well(&self, faults: usize) -> Verdict {
        let promise = "breakers close, changes and answers go on";
        Verdict::new(promise, faults, self.unwell.lock().clone())
    }
}
