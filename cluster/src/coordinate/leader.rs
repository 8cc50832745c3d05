//! The leader part: judges and lends while this node leads.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::board::{Board, Told};
use super::{Judge, Leadership, Lender, Propose};
use crate::command::{BreakerChange, BreakerStep, Change, Done, Outcome};
use crate::error::Error;
use crate::identity::MemberId;
use crate::policy::Policy;
use crate::pulse::{Directive, Figures};
use crate::state::{State, TargetId};

/// How often breakers are judged by time alone, and shares lent if a report came.
const TICK: Duration = Duration::from_millis(50);
/// Every node hears of its leader at least so often.
const BEAT: Duration = Duration::from_millis(200);
/// A proposal that is not applied by then may be made again.
const PATIENCE: Duration = Duration::from_secs(5);
/// Who proposes, for the history.
const LEADER: &str = "leader";

/// See the module.
pub(super) struct Leader {
    board: Arc<Board>,
    states: watch::Receiver<Arc<State>>,
    policy: watch::Receiver<Arc<Policy>>,
    propose: Arc<dyn Propose>,
    judge: Judge,
    lender: Lender,
    proposals: JoinSet<Vec<TargetId>>,
    leadership: Leadership,
    figures: Figures,
    /// A report came since shares were last lent.
    news: bool,
    beat: Duration,
}

impl Leader {
    pub(super) fn new(
        board: Arc<Board>,
        states: watch::Receiver<Arc<State>>,
        policy: watch::Receiver<Arc<Policy>>,
        propose: Arc<dyn Propose>,
    ) -> Self {
        Leader {
            judge: Judge::new(rand::random()),
            lender: Lender::default(),
            proposals: JoinSet::new(),
            leadership: Leadership::default(),
            figures: Figures::default(),
            news: false,
            beat: Duration::ZERO,
            board,
            states,
            policy,
            propose,
        }
    }

    /// Runs for as long as the coordinator.
    pub(super) async fn run(
        mut self,
        mut leading: watch::Receiver<Leadership>,
        mut inbox: mpsc::Receiver<Told>,
    ) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.see();
        self.lead(leading.borrow_and_update().clone());
        loop {
            tokio::select! {
                biased;
                changed = leading.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.lead(leading.borrow_and_update().clone());
                }
                changed = self.states.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.see();
                }
                Some(done) = self.proposals.join_next() => self.settle(done.unwrap_or_default()),
                // before the reports: a flood of them holds up no beat
                _ = ticks.tick() => self.tick(),
                told = inbox.recv() => match told {
                    Some(told) => self.hear(told),
                    None => return,
                },
            }
        }
    }

    /// Leadership came, went, or is another's.
    fn lead(&mut self, leadership: Leadership) {
        let before = std::mem::replace(&mut self.leadership, leadership);
        let same = before.term == self.leadership.term && before.leading;
        if self.leadership.leading && !same {
            let now = self.board.now();
            let prior = self.board.heard.borrow().directive.figures.spent.clone();
            self.judge.begin(now);
            self.lender.begin(self.leadership.term, prior.clone(), now);
            // until the first beat what the last leader knew: nothing, told on, would be forgotten
            self.figures = Figures {
                spent: prior,
                ..Figures::default()
            };
            self.board.full.lock().clear();
        }
        if !self.leadership.leading {
            self.board.streams.lock().end();
        }
    }

    /// The agreed state changed.
    fn see(&mut self) {
        let now = self.board.now();
        let state = Arc::clone(&self.states.borrow_and_update());
        self.judge.see(state.breakers(), now);
        self.board
            .streams
            .lock()
            .retain(|member| !state.is_retired(member));
    }

    fn hear(&mut self, (from, report): Told) {
        if !self.leadership.leading {
            return;
        }
        if self.states.borrow().is_retired(from) {
            // what it is lent ends by its silence
            self.board.streams.lock().retain(|member| member != from);
            return;
        }
        let (report, now) = (Arc::new(report), self.board.now());
        if self.judge.hear(from, &report, now) {
            self.lender.hear(from, &report, now);
            self.news = true;
            self.decide(now);
            // what it is answered carries its shares on, and ends its wait if it wanted some
            self.say(from);
        }
    }

    fn tick(&mut self) {
        if !self.leadership.leading {
            return;
        }
        let now = self.board.now();
        self.decide(now);
        *self.board.full.lock() = self.judge.full(now);
        let beat = now.saturating_sub(self.beat) >= BEAT;
        if !beat && !self.news {
            return;
        }
        self.news = false;
        let policy = Arc::clone(&self.policy.borrow());
        let state = Arc::clone(&self.states.borrow());
        let members: BTreeSet<_> = state.members().keys().copied().collect();
        let changed = self.lender.round(&policy.limits, &members, now);
        if beat {
            self.beat = now;
            self.figures = self.judge.figures(now);
            self.figures.spent = self.lender.spent(now);
            let connected = self.board.streams.lock().members();
            self.say(self.board.me);
            connected.into_iter().for_each(|member| self.say(member));
        } else {
            changed.into_iter().for_each(|member| self.say(member));
        }
    }

    /// Judges, and proposes what comes of it.
    fn decide(&mut self, now: Duration) {
        let policy = Arc::clone(&self.policy.borrow());
        let state = Arc::clone(&self.states.borrow());
        let changes = self.judge.judge(state.breakers(), &policy, now);
        if changes.is_empty() {
            return;
        }
        let flaps = |change: &&BreakerChange| {
            let opens = matches!(change.to, BreakerStep::Open { .. });
            opens && self.judge.flaps(&TargetId(change.target.clone()), now)
        };
        let flapping = changes.iter().filter(flaps);
        let flapping: BTreeSet<_> = flapping.map(|change| change.target.clone()).collect();
        let propose = Arc::clone(&self.propose);
        self.proposals.spawn(async move {
            let targets = changes.iter().map(|change| TargetId(change.target.clone()));
            let targets = targets.collect();
            let proposed = propose.propose(Change::Breakers(changes.clone()), LEADER);
            let outcome = timeout(PATIENCE, proposed).await;
            tell_outcome(&changes, &flapping, outcome.unwrap_or(Err(Error::Timeout)));
            targets
        });
    }

    fn settle(&mut self, targets: Vec<TargetId>) {
        // applied before it is settled, lest it be proposed again from the old record
        self.see();
        self.judge.settle(&targets);
    }

    fn say(&self, member: MemberId) {
        let progress = self.propose.progress();
        let directive = Directive {
            term: self.leadership.term,
            leader: self.board.me,
            sequence: self.judge.heard(member),
            committed: progress.committed,
            shares: self.lender.shares(member),
            figures: self.figures.clone(),
        };
        if member == self.board.me {
            self.board.hear(directive, progress.applied);
        } else {
            self.board.streams.lock().say(member, directive);
        }
    }
}

fn tell(change: &BreakerChange, flaps: bool) {
    let (target, epoch) = (&change.target, change.expect);
    match &change.to {
        // each cool-down of one that stays dead: nothing new
        BreakerStep::Reopen { cause, cooldown_ms } => {
            let cause = cause.as_str();
            tracing::info!(target, epoch, cause, cooldown_ms, "breaker stays open");
        }
        BreakerStep::Open { cause, cooldown_ms } => {
            tracing::warn!(
                target,
                epoch,
                cause = cause.as_str(),
                cooldown_ms,
                "breaker opens"
            );
            if flaps {
                tracing::warn!(
                    target,
                    cooldown_ms,
                    "breaker flaps: it stays open for longer where others stand in"
                );
            }
        }
        BreakerStep::HalfOpen { holder, .. } => {
            tracing::info!(target, epoch, holder = holder.0, "breaker is probed");
        }
        BreakerStep::Close => tracing::info!(target, epoch, "breaker closes"),
        BreakerStep::Decay | BreakerStep::Override { .. } | BreakerStep::Forget => {}
    }
}

/// What became of them. Told once it is agreed: before that nothing has happened.
fn tell_outcome(
    changes: &[BreakerChange],
    flapping: &BTreeSet<String>,
    outcome: Result<Outcome, Error>,
) {
    match outcome {
        Ok(Outcome::Done(Done::Several { outcomes })) => {
            for (change, outcome) in changes.iter().zip(outcomes) {
                match outcome {
                    Outcome::Done(_) => tell(change, flapping.contains(&change.target)),
                    Outcome::Rejected(reason) => {
                        let target = &change.target;
                        tracing::warn!(target, %reason, "a breaker's transition is refused");
                    }
                }
            }
        }
        Ok(Outcome::Done(_)) => {}
        Ok(Outcome::Rejected(reason)) => {
            tracing::warn!(%reason, "breakers' transitions are refused");
        }
        Err(error) => tracing::warn!(%error, "breakers' transitions are not agreed"),
    }
}
