//! Upstreams that fail: the others stand in for them, and the nodes leave them alone together.

use std::time::Duration;

use anyhow::Context;
use tokio::time::{Instant, sleep, sleep_until};

use super::{Carried, Hand};
use crate::check::Verdict;
use crate::cluster::breakers::agreed;
use crate::compose::chaos::fault::{Sick, Step};
use crate::eventually;
use crate::orders;

/// The upstreams that do nothing wrong of their own.
pub(super) const WHOLE: [&str; 2] = ["fast", "slow"];
/// How long an upstream is left alone at first; see the routing.
const COOL_DOWN: Duration = Duration::from_secs(5);
/// Requests let go before a breaker opened arrive until then.
const ARRIVE: Duration = Duration::from_millis(500);

impl Hand {
    /// One upstream fails; the others stand in for it.
    pub(super) async fn sicken(&self, sick: Sick, step: &Step) -> anyhow::Result<Carried> {
        let order = match sick {
            Sick::Refuses => "trouble status 503",
            Sick::Silent => "trouble silent",
            Sick::Cuts => "trouble cut by reset 2",
        };
        let name = WHOLE[step.pick % WHOLE.len()];
        let address = self.plan.orders(name).context("no such upstream")?;
        orders::give(address, order).await?;
        self.sets_in();
        let watched = self.left_alone(name, step.lasts).await;
        orders::give(address, "heal").await?;
        self.is_lifted();
        self.probes.lock().extend(watched?);
        Ok(Carried::Done)
    }

    /// Waits for `lasts`. From when all nodes know that the upstream's breaker is open: how long that
    /// was, and how often it was asked; `None` where nobody asked often enough.
    async fn left_alone(
        &self,
        name: &str,
        lasts: Duration,
    ) -> anyhow::Result<Option<(Duration, u64)>> {
        let address = self.plan.orders(name).context("no such upstream")?;
        let until = Instant::now() + lasts;
        let open = eventually("every node leaves it alone", lasts, async || {
            for id in self.crew.ids() {
                let (epoch, state) = agreed(self.crew.node(id), name).await?;
                (epoch > 0 && state != "closed").then_some(())?;
            }
            Some(())
        });
        if open.await.is_err() {
            return Ok(None);
        }
        // requests let go before that arrive
        sleep(ARRIVE).await;
        let began = Instant::now();
        let asked = async || {
            let stats = orders::give(address, "stats").await?;
            stats["requests"].as_u64().context("no count of requests")
        };
        let before = asked().await?;
        // a failing probe each cool-down, and something to see at least one
        sleep_until(until.max(began + COOL_DOWN)).await;
        let watched = (began.elapsed(), asked().await?.saturating_sub(before));
        Ok(Some(watched))
    }

    /// While all nodes left an upstream alone it was asked about once in a cool-down, not once by each.
    pub(in crate::compose::chaos) fn probed_seldom(&self) -> Verdict {
        let watched = self.probes.lock();
        let most = |time: &Duration| 2 + time.as_secs() / COOL_DOWN.as_secs();
        let wrong = watched.iter().filter(|(time, asked)| *asked > most(time));
        let wrong = wrong.map(|(time, asked)| format!("asked {asked} times within {time:?}"));
        let promise = "an upstream left alone is probed by one node at a time";
        Verdict::new(promise, watched.len(), wrong.collect())
    }
}
