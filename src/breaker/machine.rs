//! The breaker of one model: what failures, gates and probes do to it.

use std::time::Duration;

use super::admission::{Admission, ProbeId, Snapshot, Ticket, Verdict};
use super::evidence::Ledger;
use super::outcome::Outcome;
use super::overlay::Overlay;
use super::settings::Settings;
use super::transition::{Cause, Mode, State, Transition};
use super::window::Window;
use crate::types::Moment;

mod adopt;

/// A gate whose length the upstream did not say.
const GATE_DEFAULT: Duration = Duration::from_secs(1);

/// The longest an upstream may shut us out by asking; it is asked again after that.
const GATE_MAX: Duration = Duration::from_secs(300);

/// How far nodes spread their return after a gate.
pub(crate) const GATE_SPREAD: Duration = Duration::from_secs(1);

/// Refused credentials in a row that mean the credential and not one odd answer.
const CREDENTIAL_THRESHOLD: u32 = 3;

/// How often a quarantined credential is tried, should somebody have mended it at the upstream.
const QUARANTINE_PROBE_EVERY: Duration = Duration::from_secs(300);

/// Most of the recovery timeout that jitter adds, so that nodes do not probe in step.
const JITTER: f64 = 0.1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Closed,
    Open {
        until: Moment,
        /// The last time health brought the probe forward it was wrong.
        health_misled: bool,
        /// By this node's own evidence; otherwise it follows from what was agreed.
        own: bool,
    },
    HalfOpen {
        good: u32,
        by_health: bool,
        /// As for open.
        own: bool,
    },
}

#[derive(Clone, Copy, Debug)]
struct Quarantine {
    since: Moment,
    next_probe: Moment,
}

#[derive(Clone, Copy, Debug)]
struct Probe {
    id: ProbeId,
    lost_at: Moment,
    /// Its answer has begun, which counted as a good probe.
    answers: bool,
}

/// One model's breaker.
///
/// ```text
///            failure_threshold hard failures in a row,
///            or half of at least 10 calls in 10 s
///  ┌────────┐ ─────────────────────────────────────────► ┌────────┐
///  │ Closed │                                            │  Open  │ ◄──┐
///  └────────┘                                            └────────┘    │
///      ▲                 recovery_timeout passed,            │         │
///      │                 or a health check is up             ▼         │
///      │   success_threshold good probes in a row      ┌───────────┐   │
///      └───────────────────────────────────────────────│ Half-open │───┘
///                                                      └───────────┘
///                                  one probe at a time;  a hard failure of it
/// ```
///
/// Beside the state, and without changing it:
/// - a gate: after a 429 the upstream is left alone for as long as it asks, at most 300 s;
/// - a quarantine: after three refused credentials in a row one probe every 5 min goes through.
///
/// An attempt carries the epoch it was admitted under. What ends under a later epoch neither opens
/// nor closes anything, it can only shut a gate. A probe keeps its place until it reports or its
/// lease ends, across transitions, so there are never two.
///
/// The time it stays open is the same each time: operators set it, and only the upstream's own
/// Retry-After makes it longer.
///
/// In a cluster these are the node's own rules, and what is agreed stands above them
/// ([`super::overlay`]). The node's own open time then doubles with each opening in a row up to
/// 60 s, give or take a fifth, and at least 10 answers of which 80 % are slow open it too: both
/// only bridge the time until the leader has judged.
#[derive(Clone, Debug)]
pub struct Machine {
    settings: Settings,
    mode: Mode,
    phase: Phase,
    epoch: u64,
    streak: u32,
    window: Window,
    gated_until: Moment,
    credentials_refused: u32,
    quarantine: Option<Quarantine>,
    probe: Option<Probe>,
    probes: u64,
    /// Openings in a row by this node's own evidence.
    suspicions: u32,
    /// What the nodes agreed on; nothing without a cluster.
    overlay: Option<Overlay>,
    ledger: Ledger,
    connected: bool,
}

impl Machine {
    /// A closed breaker at epoch 0.
    pub fn new(settings: Settings) -> Self {
        Machine {
            settings,
            mode: Mode::Auto,
            phase: Phase::Closed,
            epoch: 0,
            streak: 0,
            window: Window::default(),
            gated_until: Moment::ZERO,
            credentials_refused: 0,
            quarantine: None,
            probe: None,
            probes: 0,
            suspicions: 0,
            overlay: None,
            ledger: Ledger::default(),
            connected: false,
        }
    }

    /// Changes the numbers from now on; a time already running keeps its length.
    pub fn reconfigure(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// The state as of `now`.
    pub fn state(&self, now: Moment) -> State {
        self.snapshot(now).state_at(now)
    }

    /// All that decides an admission, as of `now`.
    pub fn snapshot(&self, now: Moment) -> Snapshot {
        let open_until = match (self.mode, self.phase) {
            (Mode::Auto, Phase::Open { until, .. }) => Some(until),
            _ => None,
        };
        let snapshot = Snapshot {
            state: self.resting_state(),
            mode: self.mode,
            failure_count: self.streak,
            epoch: self.epoch,
            open_until,
            gated_until: Some(self.gated_until).filter(|until| *until > now),
            quarantined: self.quarantine.is_some(),
            quarantine_probe_at: self.quarantine.map(|quarantine| quarantine.next_probe),
            probe_until: self
                .probe
                .map(|probe| probe.lost_at)
                .filter(|lost_at| *lost_at > now),
            overlay: self.overlay,
            connected: self.connected,
        };
        Snapshot {
            state: snapshot.state_at(now),
            ..snapshot
        }
    }

    /// Makes the end of an open time a transition, so that it can be told. Worth calling at
    /// `open_until`; [`Machine::admit`] does the same.
    pub fn tick(&mut self, now: Moment) -> Option<Transition> {
        match (self.mode, self.phase) {
            (Mode::Auto, Phase::Open { until, own, .. })
                if until <= now && !self.is_governed(now) =>
            {
                let phase = Phase::HalfOpen {
                    good: 0,
                    by_health: false,
                    own,
                };
                Some(self.enter(phase, Cause::Recovery))
            }
            _ => None,
        }
    }

    /// Asks for one attempt. Whatever is admitted must be recorded, even when it is dropped.
    pub fn admit(&mut self, now: Moment) -> (Admission, Option<Transition>) {
        let transition = self.tick(now);
        let ticket = Ticket {
            epoch: self.epoch,
            era: self.overlay.map_or(0, |overlay| overlay.era),
            probe: None,
            admitted: now,
            lease_until: None,
        };
        let admission = match self.snapshot(now).verdict(now) {
            Verdict::Refuse(refused) => Admission::Refuse(refused),
            Verdict::Pass => Admission::Pass(ticket),
            Verdict::Probe => Admission::Probe(Ticket {
                probe: Some(self.start_probe(now)),
                lease_until: self.overlay.and_then(|overlay| overlay.lease_until),
                ..ticket
            }),
        };
        (admission, transition)
    }

    /// Hears how an attempt ended. `jitter` in `[0, 1)` spreads the open time over a tenth of it.
    pub fn record(
        &mut self,
        outcome: Outcome,
        ticket: Ticket,
        now: Moment,
        jitter: f64,
    ) -> Option<Transition> {
        let counted = self.counted(ticket) && outcome.is_answer();
        let on_time = self.return_probe(ticket, now);
        self.hear_gate(outcome, now, jitter);
        self.hear_credential(outcome, ticket, now);
        if !counted {
            self.testify(outcome, ticket, now);
        }
        let judged = on_time && ticket.epoch == self.epoch && self.mode == Mode::Auto;
        if !judged || self.is_governed(now) {
            return None;
        }
        match outcome {
            Outcome::Ok => self.succeeded(now),
            Outcome::Slow => self.dragged(now, jitter),
            Outcome::Hard => self.failed(now, jitter),
            Outcome::Gate { .. } | Outcome::Credential | Outcome::Caller | Outcome::Cancelled => {
                None
            }
        }
    }

    /// Hears of good answers that were counted elsewhere while nothing failed: none of them was a
    /// probe, and all of them came before whatever is recorded next.
    pub fn record_good(&mut self, at: Moment, count: u32) {
        if self.mode == Mode::Auto && self.phase == Phase::Closed {
            self.streak = 0;
            self.credentials_refused = 0;
            self.window.good_many(at, count);
        }
        self.ledger.record_good(at, count);
    }

    /// Hears a health check. Up lets an open breaker probe at once, unless the last such probe
    /// failed; only answers close it, and only answers open it.
    pub fn health(&mut self, up: bool, now: Moment) -> Option<Transition> {
        let transition = self.tick(now);
        let agreed_open = self
            .overlay
            .is_some_and(|overlay| overlay.state != State::Closed);
        if agreed_open {
            self.ledger.healthy = up; // the leader may let a probe go sooner
            return transition;
        }
        match (self.mode, self.phase) {
            (
                Mode::Auto,
                Phase::Open {
                    health_misled: false,
                    own,
                    ..
                },
            ) if up => {
                let phase = Phase::HalfOpen {
                    good: 0,
                    by_health: true,
                    own,
                };
                Some(self.enter(phase, Cause::Health))
            }
            _ => transition,
        }
    }

    /// Hears an operator. Back to auto from forced open means probing first.
    pub fn force(&mut self, mode: Mode, now: Moment) -> Option<Transition> {
        if mode == self.mode {
            return None;
        }
        let from = self.state(now);
        let phase = match (mode, self.mode) {
            (Mode::ForceOpen, _) => self.phase,
            (Mode::ForceClosed, _) | (Mode::Auto, Mode::ForceClosed | Mode::Auto) => Phase::Closed,
            (Mode::Auto, Mode::ForceOpen) => Phase::HalfOpen {
                good: 0,
                by_health: false,
                own: true,
            },
        };
        self.mode = mode;
        Some(Transition {
            from,
            ..self.enter(phase, Cause::Forced(mode))
        })
    }

    /// The state without looking at the clock.
    fn resting_state(&self) -> State {
        match (self.mode, self.phase) {
            (Mode::ForceOpen, _) | (Mode::Auto, Phase::Open { .. }) => State::Open,
            (Mode::ForceClosed, _) | (Mode::Auto, Phase::Closed) => State::Closed,
            (Mode::Auto, Phase::HalfOpen { .. }) => State::HalfOpen,
        }
    }

    fn enter(&mut self, phase: Phase, cause: Cause) -> Transition {
        let from = self.resting_state();
        self.phase = phase;
        self.epoch += 1;
        self.window = Window::default();
        if phase == Phase::Closed {
            self.streak = 0;
        }
        Transition {
            from,
            to: self.resting_state(),
            cause,
            epoch: self.epoch,
        }
    }

    fn start_probe(&mut self, now: Moment) -> ProbeId {
        self.probes += 1;
        let id = ProbeId(self.probes);
        self.probe = Some(Probe {
            id,
            lost_at: now + self.settings.probe_lease,
            answers: false,
        });
        if let Some(quarantine) = &mut self.quarantine {
            quarantine.next_probe = now + QUARANTINE_PROBE_EVERY;
        }
        id
    }

    /// Frees the probe's place. False when the report comes after its lease.
    fn return_probe(&mut self, ticket: Ticket, now: Moment) -> bool {
        let Some(id) = ticket.probe else { return true };
        match self.probe.filter(|probe| probe.id == id) {
            Some(probe) => {
                self.probe = None;
                now < probe.lost_at
            }
            None => false,
        }
    }

    /// What the upstream asks for holds whenever the attempt began.
    ///
    /// Nodes of a cluster come back spread over a second, not all at the moment it named.
    fn hear_gate(&mut self, outcome: Outcome, now: Moment, jitter: f64) {
        let Outcome::Gate { retry_after } = outcome else {
            return;
        };
        let asked = retry_after.unwrap_or(GATE_DEFAULT).min(GATE_MAX);
        let spread = if self.is_clustered() {
            GATE_SPREAD.mul_f64(unit(jitter))
        } else {
            Duration::ZERO
        };
        let until = now + asked.saturating_add(spread);
        self.gated_until = self.gated_until.max(until);
        if let Phase::Open {
            until: open_until, ..
        } = &mut self.phase
        {
            *open_until = (*open_until).max(until);
        }
    }

    fn hear_credential(&mut self, outcome: Outcome, ticket: Ticket, now: Moment) {
        match outcome {
            // An answer that began before the quarantine says nothing about the credential now.
            Outcome::Ok | Outcome::Slow
                if self.quarantine.is_none_or(|it| ticket.admitted >= it.since) =>
            {
                self.credentials_refused = 0;
                self.quarantine = None;
            }
            Outcome::Credential => {
                self.credentials_refused = self.credentials_refused.saturating_add(1);
                if self.credentials_refused >= CREDENTIAL_THRESHOLD && self.quarantine.is_none() {
                    let next_probe = now + QUARANTINE_PROBE_EVERY;
                    self.quarantine = Some(Quarantine {
                        since: now,
                        next_probe,
                    });
                }
            }
            Outcome::Ok
            | Outcome::Slow
            | Outcome::Hard
            | Outcome::Gate { .. }
            | Outcome::Caller
            | Outcome::Cancelled => {}
        }
    }

    fn succeeded(&mut self, now: Moment) -> Option<Transition> {
        match &mut self.phase {
            Phase::Closed => {
                self.streak = 0;
                self.window.good(now);
                None
            }
            Phase::HalfOpen { good, .. } => {
                *good += 1;
                let enough = *good >= self.settings.success_threshold;
                enough.then(|| {
                    self.suspicions = 0;
                    self.enter(Phase::Closed, Cause::ProbesGood)
                })
            }
            Phase::Open { .. } => None,
        }
    }

    fn failed(&mut self, now: Moment, jitter: f64) -> Option<Transition> {
        let (cause, health_misled) = match self.phase {
            Phase::Closed => {
                self.streak = self.streak.saturating_add(1);
                self.window.hard(now);
                (self.trip(now)?, false)
            }
            Phase::HalfOpen { by_health, .. } => {
                self.streak = self.streak.saturating_add(1);
                (Cause::ProbeFailed, by_health)
            }
            Phase::Open { .. } => return None,
        };
        Some(self.open((cause, health_misled), now, jitter))
    }

    fn open(
        &mut self,
        (cause, health_misled): (Cause, bool),
        now: Moment,
        jitter: f64,
    ) -> Transition {
        let until = now + self.open_time(unit(jitter));
        let until = until.max(self.gated_until);
        self.suspicions = self.suspicions.saturating_add(1);
        let phase = Phase::Open {
            until,
            health_misled,
            own: true,
        };
        self.enter(phase, cause)
    }

    fn trip(&self, now: Moment) -> Option<Cause> {
        if self.streak >= self.settings.failure_threshold {
            return Some(Cause::Streak);
        }
        let calls = self.window.calls(now);
        let (hard, all) = (u64::from(calls.hard), calls.answered());
        let enough = all >= u64::from(self.settings.rate_min_calls);
        let failing = hard * 100 >= all * u64::from(self.settings.rate_percent);
        (enough && failing).then_some(Cause::Rate)
    }
}

/// A random number as it should be.
const fn unit(random: f64) -> f64 {
    if random.is_finite() {
        random.clamp(0.0, 1.0)
    } else {
        0.0
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
