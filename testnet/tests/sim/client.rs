//! Clients: they set the config by compare-and-set, read it, and move a breaker, at any node, and
//! write down what they were told.

use std::sync::Arc;

use llm_router_cluster::command::{BreakerChange, BreakerStep, Change, RequestId};
use llm_router_cluster::state::{BreakerRecord, Cause, Mode, Phase, TargetId};
use llm_router_cluster::{Command, Done, MemberId, Outcome, Rejected, Revision, State};
use llm_router_testnet::check::history::{Answer, Call};
use openraft::{AsyncRuntime, ReadPolicy};
use openraft_rt_sim::SimRuntime;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::types::{ms, now, pause};
use crate::world::{Failed, World};

/// Times one request is tried, with the same id: that it is done once is the state's promise.
const ATTEMPTS: u32 = 4;

/// A client.
pub(crate) struct Client {
    world: Arc<World>,
    number: u64,
    rng: SmallRng,
    requests: u64,
    /// Who leads, as far as it heard.
    leader: Option<u64>,
}

impl Client {
    pub(crate) fn new(world: &Arc<World>, number: u64) -> Self {
        Client {
            world: Arc::clone(world),
            number,
            rng: SmallRng::seed_from_u64(world.seed ^ (number << 48)),
            requests: 0,
            leader: None,
        }
    }

    /// Works as long as the storm lasts.
    pub(crate) async fn work(mut self) {
        while self.world.is_stormy() {
            match self.rng.random_range(0..10) {
                0..=3 => {
                    self.set().await;
                }
                4..=5 => self.read().await,
                6..=7 => self.read_local(),
                _ => self.move_breaker().await,
            }
            let think = ms(self.rng.random_range(5..150));
            pause(think).await;
        }
    }

    /// Sets a value that nobody else sets, over the newest revision it knows of.
    pub(crate) async fn set(&mut self) -> Answer {
        let any = self.any_node();
        let expected = self
            .world
            .shown(any)
            .map_or(0, |(_, state)| state.revision().0);
        let value = self.next_request();
        let command = self.command(Change::Config {
            expected: Some(Revision(expected)),
            text: value.to_string(),
            note: format!("client {}", self.number),
        });
        let call = Call::Set {
            expected: Some(expected),
            value,
        };
        let ticket = self.world.recorder.call(self.number, call, now());
        let answer = match self.insist(&command).await {
            Ok(Outcome::Done(Done::Config { revision })) => Answer::Set {
                revision: revision.0,
            },
            Ok(Outcome::Rejected(Rejected::Stale { current, .. })) => Answer::Stale { current },
            Ok(other) => {
                self.world
                    .witness
                    .accuse(|| format!("a set came to {other:?}"));
                Answer::Unknown
            }
            Err(Failed::NotTaken(_)) => Answer::Refused,
            Err(Failed::Unknown) => Answer::Unknown,
        };
        self.world.recorder.answer(ticket, answer.clone(), now());
        answer
    }

    /// Proposes where the leader should be, and again where that is not known to be in vain.
    async fn insist(&mut self, command: &Command) -> Result<Outcome, Failed> {
        let mut failed = Failed::NotTaken(None);
        for _ in 0..ATTEMPTS {
            let target = self.leader.unwrap_or_else(|| self.any_node());
            match self.world.propose(target, command, ms(800)).await {
                Ok(outcome) => return Ok(outcome),
                Err(Failed::NotTaken(leader)) => {
                    self.leader = leader.filter(|leader| *leader != target);
                    let wait = ms(self.rng.random_range(10..120));
                    pause(wait).await;
                }
                Err(Failed::Unknown) => {
                    failed = Failed::Unknown;
                    self.leader = None;
                }
            }
        }
        Err(failed)
    }

    /// A linearizable read: the leader says up to where, a node that has applied so far shows it.
    async fn read(&mut self) {
        let ticket = self.world.recorder.call(self.number, Call::Read, now());
        let answer = SimRuntime::timeout(ms(1_500), self.read_through()).await;
        let answer = answer.ok().flatten().unwrap_or(Answer::Unknown);
        self.world.recorder.answer(ticket, answer, now());
    }

    async fn read_through(&mut self) -> Option<Answer> {
        let leader = self.leader.take().unwrap_or_else(|| self.any_node());
        let leader = self.world.net.process(leader)?;
        let linearizer = leader
            .raft
            .get_read_linearizer(ReadPolicy::ReadIndex)
            .await
            .ok()?;
        if leader.is_gone() {
            return None;
        }
        self.leader = Some(leader.node.id);
        let reader = if self.rng.random_bool(0.5) {
            leader.node.id
        } else {
            self.any_node()
        };
        let reader = self.world.net.process(reader)?;
        let ready = linearizer
            .try_await_ready(&reader.raft, Some(ms(1_000)))
            .await;
        ready.ok()?.ok()?;
        let (boot, state) = self.world.shown(reader.node.id)?;
        (boot == reader.boot).then(|| shows(&state))
    }

    fn read_local(&mut self) {
        let node = self.any_node();
        let Some((boot, state)) = self.world.shown(node) else {
            return;
        };
        let run = format!("n{node}/{boot}");
        let ticket = self
            .world
            .recorder
            .call(self.number, Call::ReadLocal { run }, now());
        self.world.recorder.answer(ticket, shows(&state), now());
    }

    /// Moves the one breaker there is from where some node sees it, as a leader would, or one that
    /// does not know yet that it leads no more.
    async fn move_breaker(&mut self) {
        let any = self.any_node();
        let Some((_, state)) = self.world.shown(any) else {
            return;
        };
        let target = "upstream".to_owned();
        let record = state
            .breakers()
            .get(&TargetId(target.clone()))
            .cloned()
            .unwrap_or_default();
        let change = BreakerChange {
            target,
            expect: record.epoch,
            to: self.step(&record),
        };
        let command = self.command(Change::Breaker(change));
        drop(self.insist(&command).await);
    }

    fn step(&mut self, record: &BreakerRecord) -> BreakerStep {
        if record.mode != Mode::Auto || self.rng.random_bool(0.05) {
            let mode = [Mode::Auto, Mode::ForceOpen, Mode::ForceClosed];
            return BreakerStep::Override {
                mode: mode[self.rng.random_range(0..3)],
            };
        }
        let half_open = BreakerStep::HalfOpen {
            holder: MemberId(self.any_node()),
            lease_ms: 1_000,
            need_ok: 3,
        };
        let (cause, cooldown_ms) = (Cause::Streak, 5_000);
        match record.phase {
            Phase::Closed if record.opens > 2 => BreakerStep::Decay,
            Phase::Closed => BreakerStep::Open { cause, cooldown_ms },
            Phase::Open => half_open,
            Phase::HalfOpen => match self.rng.random_range(0..3) {
                0 => BreakerStep::Close,
                1 => BreakerStep::Reopen { cause, cooldown_ms },
                _ => half_open,
            },
        }
    }

    fn any_node(&mut self) -> u64 {
        self.rng.random_range(1..=self.world.nodes.len() as u64)
    }

    fn next_request(&mut self) -> u64 {
        self.requests += 1;
        (self.number << 32) | self.requests
    }

    /// A command by this client's own clock, which is not like the others'.
    fn command(&mut self, change: Change) -> Command {
        let at_ms = u64::try_from(now().as_millis()).unwrap_or(0) + self.rng.random_range(0..3_000);
        Command {
            request: RequestId(u128::from(self.next_request())),
            at_ms,
            by: format!("client {}", self.number),
            change,
        }
    }
}

/// What a state says of the config.
pub(crate) fn shows(state: &State) -> Answer {
    let current = state.config().current();
    Answer::Read {
        revision: state.revision().0,
        value: current
            .and_then(|current| current.text.parse().ok())
            .unwrap_or(0),
    }
}
