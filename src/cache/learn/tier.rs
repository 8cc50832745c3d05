//! How far one route trusts its semantic tier. Pure: time and verdicts come in, changes go out.
//!
//! ```text
//!            broken                    still broken
//!  ┌────────┐ ─────► ┌────────┐ ──────────────────► ┌────────────┐
//!  │ normal │        │ strict │                     │ exact only │◄─┐
//!  └────────┘ ◄───── └────────┘                     └────────────┘  │ broken,
//!       ▲      sound                                      │ time up │ twice the time
//!       │                 sound            ┌───────────┐◄─┘         │
//!       └──────────────────────────────────│ probation │────────────┘
//!                                          └───────────┘
//! ```
//! Broken: the lower confidence bound of the share of wrong answers is above the route's budget.
//! Sound: enough verdicts in this state, and their share of wrong answers is within it. Strict and
//! on probation the tier may risk half of the budget.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::bounds;

/// Verdicts kept; older ones no longer count.
const WINDOW: usize = 512;
/// The same in time: what was judged a week ago says little about today's questions.
const WINDOW_MILLIS: u64 = 7 * 24 * 3_600_000;
/// Latest verdicts looked at on their own as well, so that a long good past hides nothing.
const LATEST: usize = 64;
/// Least wrong answers before a tier in good standing is called broken: the judge errs as well.
const LEAST_WRONG: u32 = 2;
/// Verdicts in a state before it can be called sound.
const ENOUGH: u32 = 60;
/// One-sided confidence of every bound.
pub const CONFIDENCE: f64 = 0.95;
/// First time without the semantic tier.
const FIRST_PAUSE: u64 = 3_600_000;
/// Longest time without it.
const LONGEST_PAUSE: u64 = 24 * 3_600_000;
/// Share of the budget that may be risked while the tier is not in good standing.
const CAUTION: f64 = 0.5;

/// What the semantic tier of a route may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TierState {
    /// Serve within the budget.
    #[default]
    Normal,
    /// Serve within half of the budget.
    Strict,
    /// The same, after a time of exact answers only; checked more often.
    Probation,
    /// Nothing.
    ExactOnly,
}

impl TierState {
    /// The name shown to operators, and in the header.
    pub const fn as_str(self) -> &'static str {
        match self {
            TierState::Normal => "normal",
            TierState::Strict => "strict",
            TierState::Probation => "probation",
            TierState::ExactOnly => "exact_only",
        }
    }

    /// The gauge's value: how little it is trusted.
    pub const fn level(self) -> u64 {
        match self {
            TierState::Normal => 0,
            TierState::Strict => 1,
            TierState::Probation => 2,
            TierState::ExactOnly => 3,
        }
    }

    /// The share of wrong answers that may be risked of a budget of `max_error_rate`; `None` when
    /// the tier may not answer.
    pub fn risk(self, max_error_rate: f64) -> Option<f64> {
        match self {
            TierState::Normal => Some(max_error_rate),
            TierState::Strict | TierState::Probation => Some(max_error_rate * CAUTION),
            TierState::ExactOnly => None,
        }
    }
}

/// What a tier did of its own accord.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It risks half as much.
    Raised,
    /// It answers nothing for so many milliseconds.
    SwitchedOff {
        /// How long.
        pause_millis: u64,
    },
    /// It answers again, on probation.
    Reopened,
    /// It is back in good standing.
    Trusted,
}

/// One verdict.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Seen {
    at: u64,
    wrong: bool,
}

/// Verdicts counted, and what they say of the share of wrong answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Rate {
    /// Verdicts in the window.
    pub judged: u32,
    /// Wrong ones among them.
    pub wrong: u32,
    /// Their share; 0 when there are none.
    pub estimate: f64,
    /// With 95 % confidence it is at least this.
    pub lower: f64,
    /// With 95 % confidence it is at most this; 1 when there are none.
    pub upper: f64,
}

impl Rate {
    /// What `wrong` among `judged` say.
    pub fn of(wrong: u32, judged: u32) -> Self {
        let estimate = if judged == 0 {
            0.0
        } else {
            f64::from(wrong) / f64::from(judged)
        };
        Rate {
            judged,
            wrong,
            estimate,
            lower: bounds::lower(wrong, judged, CONFIDENCE),
            upper: bounds::upper(wrong, judged, CONFIDENCE),
        }
    }
}

/// One route's semantic tier. Times are milliseconds since 1970, so that a pause outlives the
/// process.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Tier {
    state: TierState,
    /// End of the time of exact answers only.
    until: u64,
    /// Length of the last such time; 0 when there was none since the tier was last trusted.
    pause: u64,
    /// Verdicts, the oldest first.
    window: VecDeque<Seen>,
    /// How many of the latest belong to this state.
    of_this_state: usize,
}

impl Tier {
    /// The state at `now`; a pause that is over ends here.
    pub fn at(&mut self, now: u64) -> (TierState, Option<Change>) {
        let state = self.state(now);
        let reopened = state != self.state;
        if reopened {
            self.enter(state);
        }
        (state, reopened.then_some(Change::Reopened))
    }

    /// The same, for showing: nothing changes.
    pub fn state(&self, now: u64) -> TierState {
        // a clock set back by more than a pause can last must not prolong it
        let over = now >= self.until || self.until - now > LONGEST_PAUSE;
        match self.state {
            TierState::ExactOnly if over => TierState::Probation,
            state @ (TierState::Normal
            | TierState::Strict
            | TierState::Probation
            | TierState::ExactOnly) => state,
        }
    }

    /// Takes a verdict in. `budget` is the route's `max_error_rate`.
    pub fn judge(&mut self, now: u64, wrong: bool, budget: f64) -> Option<Change> {
        self.window.push_back(Seen { at: now, wrong });
        self.of_this_state += 1;
        self.forget(now);
        match self.state {
            TierState::Normal if self.is_broken(LEAST_WRONG, budget) => {
                self.enter(TierState::Strict);
                Some(Change::Raised)
            }
            TierState::Strict if self.is_broken(LEAST_WRONG, budget) => Some(self.switch_off(now)),
            TierState::Probation if self.is_broken(1, budget) => Some(self.switch_off(now)),
            TierState::Strict | TierState::Probation if self.is_sound(budget) => {
                self.pause = 0;
                self.enter(TierState::Normal);
                Some(Change::Trusted)
            }
            // what was served before the pause and judged during it changes nothing
            TierState::Normal | TierState::Strict | TierState::Probation | TierState::ExactOnly => {
                None
            }
        }
    }

    /// Wrong verdicts in the window, and all of them.
    pub fn counted(&mut self, now: u64) -> (u32, u32) {
        self.forget(now);
        self.count(self.window.len())
    }

    /// Milliseconds until a pause is over, if there is one.
    pub fn pause_left(&self, now: u64) -> Option<u64> {
        (self.state(now) == TierState::ExactOnly).then(|| self.until.saturating_sub(now))
    }

    fn switch_off(&mut self, now: u64) -> Change {
        self.pause = match self.pause {
            0 => FIRST_PAUSE,
            pause => pause.saturating_mul(2).min(LONGEST_PAUSE),
        };
        self.until = now.saturating_add(self.pause);
        self.enter(TierState::ExactOnly);
        Change::SwitchedOff {
            pause_millis: self.pause,
        }
    }

    fn enter(&mut self, state: TierState) {
        self.state = state;
        self.of_this_state = 0;
    }

    fn forget(&mut self, now: u64) {
        while self.window.len() > WINDOW
            || self
                .window
                .front()
                .is_some_and(|seen| seen.at.saturating_add(WINDOW_MILLIS) < now)
        {
            self.window.pop_front();
        }
        self.of_this_state = self.of_this_state.min(self.window.len());
    }

    /// Of the `latest` verdicts.
    fn count(&self, latest: usize) -> (u32, u32) {
        let (mut wrong, mut judged) = (0, 0);
        for seen in self.window.iter().rev().take(latest) {
            wrong += u32::from(seen.wrong);
            judged += 1;
        }
        (wrong, judged)
    }

    fn is_broken(&self, least_wrong: u32, budget: f64) -> bool {
        [self.of_this_state, self.of_this_state.min(LATEST)]
            .into_iter()
            .map(|latest| self.count(latest))
            .any(|(wrong, judged)| {
                wrong >= least_wrong && bounds::lower(wrong, judged, CONFIDENCE) > budget
            })
    }

    fn is_sound(&self, budget: f64) -> bool {
        let (wrong, judged) = self.count(self.of_this_state);
        judged >= ENOUGH && f64::from(wrong) <= budget * f64::from(judged)
    }
}

#[cfg(test)]
mod tests;
