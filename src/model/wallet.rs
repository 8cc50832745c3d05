//! The budgets per minute of one model, and waiting for the leader to lend more.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use llm_router_cluster::policy::LimitKind;
use llm_router_cluster::pulse::Demand;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::purse::{Purse, Short, Terms};
use crate::bridge::Bridge;
use crate::config::routing::RateLimits;
use crate::types::Moment;

/// Longest a request waits for a budget, and holds its place in the queue meanwhile: a leader that
/// can lend more answers within a tenth of a second.
const MAX_WAIT: Duration = Duration::from_millis(250);
/// What the leader did not lend to one who waited, nobody waits for so soon after.
const DRY: Duration = Duration::from_secs(1);

/// A budget is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limited {
    /// Which.
    pub(crate) kind: LimitKind,
    /// When to come back.
    pub(crate) retry_after: Duration,
}

impl fmt::Display for Limited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.as_str();
        write!(f, "limit of {kind} per minute is used up")
    }
}

/// A model's budgets. Cheap to clone; all clones are the same wallet.
#[derive(Clone, Debug)]
pub(crate) struct Wallet {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    purses: Mutex<Purses>,
    /// Rung when there may be more in one of them.
    filled: Notify,
    bridge: Bridge,
}

/// None where nothing is limited.
#[derive(Debug, Default)]
struct Purses {
    requests: Option<Purse>,
    tokens: Option<Purse>,
}

impl Purses {
    fn of(&mut self, kind: LimitKind) -> Option<&mut Purse> {
        match kind {
            LimitKind::Requests => self.requests.as_mut(),
            LimitKind::Tokens => self.tokens.as_mut(),
            LimitKind::Concurrency => None,
        }
    }
}

/// What one attempt has drawn. Dropped before it begins, all of it goes back; dropped later without
/// being settled, it cost what was estimated.
#[derive(Debug)]
pub(crate) struct Drawn {
    wallet: Wallet,
    request: u64,
    tokens: u64,
    begun: bool,
}

impl Wallet {
    pub(crate) fn new(limits: RateLimits, bridge: Bridge) -> Self {
        let inner = Inner {
            purses: Mutex::default(),
            filled: Notify::new(),
            bridge,
        };
        let wallet = Wallet {
            inner: Arc::new(inner),
        };
        wallet.reconfigure(limits);
        wallet
    }

    /// Other limits. A purse that stays keeps what was spent; what it may spend in a cluster is
    /// told by [`Wallet::lend`].
    pub(crate) fn reconfigure(&self, limits: RateLimits) {
        let clustered = self.inner.bridge.is_clustered();
        let change = |purse: &mut Option<Purse>, limit: Option<u64>| match (limit, &mut *purse) {
            (None, _) => *purse = None,
            (Some(limit), None) => {
                let part = self.inner.bridge.part_of(limit);
                *purse = Some(Purse::new(limit, Terms::Own(part)));
            }
            (Some(limit), Some(purse)) => {
                purse.resize(limit);
                if !clustered {
                    purse.set(Terms::Own(limit));
                }
            }
        };
        let mut purses = self.inner.purses.lock();
        change(&mut purses.requests, limits.rpm);
        change(&mut purses.tokens, limits.tpm);
        drop(purses);
        self.inner.filled.notify_waiters();
    }

    /// Other terms for one budget; `taken` is the loan's number, if it is one.
    pub(crate) fn lend(&self, kind: LimitKind, terms: Terms, taken: Option<u64>) {
        let mut purses = self.inner.purses.lock();
        let Some(purse) = purses.of(kind) else { return };
        purse.taken = taken.unwrap_or(purse.taken);
        let more = purse.set(terms);
        drop(purses);
        if more {
            self.inner.filled.notify_waiters();
        }
    }

    /// Whether a loan of this number and amount is of no use any more where nobody can lend more.
    pub(crate) fn outgrew(&self, kind: LimitKind, loan: (u64, u64), now: Moment) -> bool {
        let mut purses = self.inner.purses.lock();
        purses
            .of(kind)
            .is_some_and(|purse| purse.outgrew(loan, now))
    }

    /// As the leader hears it; nothing where nothing is limited.
    pub(crate) fn demand(&self, kind: LimitKind, now: Moment) -> Option<Demand> {
        let mut purses = self.inner.purses.lock();
        purses.of(kind).map(|purse| purse.demand(now))
    }

    /// Takes one request and so many tokens; waits a little where the leader may lend more, unless
    /// somebody has waited just now and got nothing.
    pub(crate) async fn draw(&self, tokens: u64, deadline: Moment) -> Result<Drawn, Limited> {
        let asked = Moment::now();
        if let Ok(drawn) = self.take(tokens, asked) {
            return Ok(drawn);
        }
        let until = deadline.min(asked + MAX_WAIT);
        loop {
            let filled = self.inner.filled.notified();
            tokio::pin!(filled);
            filled.as_mut().enable(); // a loan between looking and waiting is not missed
            let now = Moment::now();
            let (kind, cost, short) = match self.take(tokens, now) {
                Ok(drawn) => return Ok(drawn),
                Err(missing) => missing,
            };
            let limited = Limited {
                kind,
                retry_after: short.retry_after,
            };
            let free = now + short.retry_after;
            if now >= asked + MAX_WAIT && short.lendable {
                self.found_dry(kind, now);
            }
            let hopeless = if short.lendable {
                short.dry
            } else {
                free > until
            };
            if now >= until || hopeless {
                return Err(limited);
            }
            let _plea = short.lendable.then(|| Plea::new(self, kind, cost));
            let wake = if short.lendable { until } else { free };
            let _ = tokio::time::timeout(now.until(wake), filled).await;
        }
    }

    /// So much can be drawn and plenty stays for others.
    pub(crate) fn can_spare(&self, tokens: u64, now: Moment) -> Result<(), Limited> {
        let mut purses = self.inner.purses.lock();
        for (kind, cost) in [(LimitKind::Requests, 1), (LimitKind::Tokens, tokens)] {
            if purses
                .of(kind)
                .is_some_and(|purse| !purse.can_spare(cost, now))
            {
                return Err(Limited {
                    kind,
                    retry_after: Duration::ZERO,
                });
            }
        }
        Ok(())
    }

    fn found_dry(&self, kind: LimitKind, now: Moment) {
        if let Some(purse) = self.inner.purses.lock().of(kind) {
            purse.dry_until = now + DRY;
        }
    }

    fn take(&self, tokens: u64, now: Moment) -> Result<Drawn, (LimitKind, u64, Short)> {
        let mut purses = self.inner.purses.lock();
        let request = match &mut purses.requests {
            Some(purse) => purse
                .reserve(1, now)
                .map_err(|short| (LimitKind::Requests, 1, short))?,
            None => 0,
        };
        let reserved = match &mut purses.tokens {
            Some(purse) => purse.reserve(tokens, now),
            None => Ok(0),
        };
        match reserved {
            Ok(tokens) => Ok(Drawn {
                wallet: self.clone(),
                request,
                tokens,
                begun: false,
            }),
            Err(short) => {
                if let Some(purse) = &mut purses.requests {
                    purse.release(request);
                }
                Err((LimitKind::Tokens, tokens, short))
            }
        }
    }
}

impl Drawn {
    /// The attempt begins: the request is spent whatever comes of it.
    pub(crate) fn begin(&mut self) {
        self.begun = true;
        if self.request == 0 {
            return; // not limited
        }
        let mut purses = self.wallet.inner.purses.lock();
        if let Some(purse) = &mut purses.requests {
            purse.settle(self.request, self.request, Moment::now());
        }
        self.request = 0;
    }

    /// The attempt cost so many tokens; without a count, what was estimated.
    pub(crate) fn settle(mut self, tokens: Option<u64>) {
        let cost = tokens.unwrap_or(self.tokens);
        self.close(Some(cost));
    }

    fn close(&mut self, cost: Option<u64>) {
        let (request, tokens) = (self.request, self.tokens);
        (self.request, self.tokens, self.begun) = (0, 0, false);
        if request == 0 && tokens == 0 {
            return; // not limited
        }
        let mut purses = self.wallet.inner.purses.lock();
        if let Some(purse) = &mut purses.requests {
            purse.release(request);
        }
        if let Some(purse) = &mut purses.tokens {
            match cost {
                Some(cost) => purse.settle(tokens, cost, Moment::now()),
                None => purse.release(tokens),
            }
        }
        drop(purses);
        if cost.is_none_or(|cost| cost < tokens) {
            self.wallet.inner.filled.notify_waiters();
        }
    }
}

impl Drop for Drawn {
    fn drop(&mut self) {
        self.close(self.begun.then_some(self.tokens));
    }
}

/// Somebody waits for a loan; the leader is told at once.
struct Plea<'a> {
    wallet: &'a Wallet,
    kind: LimitKind,
    cost: u64,
}

impl<'a> Plea<'a> {
    fn new(wallet: &'a Wallet, kind: LimitKind, cost: u64) -> Self {
        if let Some(purse) = wallet.inner.purses.lock().of(kind) {
            purse.plead(cost);
        }
        wallet.inner.bridge.urge();
        Plea { wallet, kind, cost }
    }
}

impl Drop for Plea<'_> {
    fn drop(&mut self) {
        if let Some(purse) = self.wallet.inner.purses.lock().of(self.kind) {
            purse.unplead(self.cost);
        }
    }
}

#[cfg(test)]
mod tests;
