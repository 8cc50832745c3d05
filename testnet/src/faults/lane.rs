//! One door over one dialect, one trouble after the other.

use std::time::Duration;

use llm_router::provider::demo::trouble::Trouble;
use tokio::time::{Instant, sleep};

use super::report::Cell;
use crate::backends::Backend;
use crate::doors::{Door, Ended, Heard, Outcome, Question};
use crate::node::Node;
use crate::upstream::Upstream;

/// No client waits longer, whatever happens: three tries of four seconds, and what lies between.
const BOUND: Duration = Duration::from_secs(15);
/// A model answers again this long after its upstream has healed: a breaker that opened again and
/// again stays open for a minute, give or take a fifth.
const RECOVERY: Duration = Duration::from_secs(80);
/// Models that take turns at one upstream, so that no breaker opens again and again.
const MODELS: usize = 12;
/// Most tries on the faulty model.
const MOST_TRIES: u64 = 3;
/// Tokens said before trouble in the middle.
const TOKENS: u64 = 2;
const PROMPT: &str = "one two three four five six";

pub(super) struct Lane {
    door: Door,
    backend: Backend,
    /// Where the turns begin.
    turn: usize,
    pub(super) upstream: Upstream,
    /// Models at that upstream, each with a route that has a fallback.
    pub(super) models: Vec<(String, String)>,
}

/// One way to ask.
#[derive(Clone, Copy, Debug)]
struct Way {
    stream: bool,
    fallback: bool,
}

const WAYS: [Way; 4] = [
    way(false, false),
    way(true, true),
    way(true, false),
    way(false, true),
];

const fn way(stream: bool, fallback: bool) -> Way {
    Way { stream, fallback }
}

impl Lane {
    pub(super) async fn new(door: Door, backend: Backend, turn: usize) -> anyhow::Result<Self> {
        let pair = format!("{}-{}", door.name(), backend.name());
        Ok(Lane {
            door,
            backend,
            turn,
            upstream: backend.upstream().await?,
            models: (0..MODELS)
                .map(|nth| (format!("faulty-{pair}-{nth}"), format!("safe-{pair}-{nth}")))
                .collect(),
        })
    }

    pub(super) async fn run(self, node: &Node, troubles: &[Trouble], thorough: bool) -> Vec<Cell> {
        let mut cells = Vec::new();
        for (at, trouble) in troubles.iter().copied().enumerate() {
            if trouble == Trouble::Filtered && !self.backend.can_filter() {
                continue;
            }
            let ways = if thorough {
                WAYS.to_vec()
            } else {
                vec![WAYS[(self.turn + at) % WAYS.len()]]
            };
            for way in ways {
                let names = &self.models[cells.len() % MODELS];
                cells.push(self.cell(node, (trouble, way), names).await);
            }
        }
        cells
    }

    async fn cell(
        &self,
        node: &Node,
        (trouble, way): (Trouble, Way),
        (model, route): &(String, String),
    ) -> Cell {
        let asked = if way.fallback { route } else { model };
        let mut question = Question::new(asked, PROMPT).streamed(way.stream);
        question.limit = BOUND;
        self.upstream.set_fault(trouble.after(TOKENS));
        let before = self.upstream.requests();
        let began = Instant::now();
        let heard = self.door.ask(node, &question).await;
        let took = began.elapsed();
        let tries = self.upstream.requests() - before;
        let mut problems = self.verdict(trouble, way, &heard);
        if tries > MOST_TRIES {
            problems.push(format!("{tries} tries on the faulty model"));
        }
        self.upstream.heal();
        problems.extend(recovers(node, model).await.err());
        Cell {
            door: self.door,
            backend: self.backend,
            trouble,
            way: format!(
                "{}{}",
                if way.stream { "streamed" } else { "whole" },
                if way.fallback {
                    ", with a fallback"
                } else {
                    ""
                }
            ),
            outcome: heard.outcome(),
            took,
            problem: (!problems.is_empty())
                .then(|| format!("{}; heard {}", problems.join("; "), heard.told())),
        }
    }
}

/// The healed model answers again, and not only its fallback.
async fn recovers(node: &Node, model: &str) -> Result<(), String> {
    let began = Instant::now();
    let question = Question::new(model, "well again");
    loop {
        let heard = Door::Chat.ask(node, &question).await;
        if heard.outcome() == Outcome::Answered && heard.text == "well again" {
            return Ok(());
        }
        if began.elapsed() > RECOVERY {
            return Err(format!("not well after {RECOVERY:?}: {}", heard.told()));
        }
        sleep(Duration::from_millis(50)).await;
    }
}

impl Lane {
    /// What is wrong with what was heard.
    fn verdict(&self, trouble: Trouble, way: Way, heard: &Heard) -> Vec<String> {
        let mut problems = Vec::new();
        let carried_on = way.stream && way.fallback && self.is_carried_on(trouble);
        match heard.outcome() {
            Outcome::Hung => problems.push(format!("no end within {BOUND:?}")),
            Outcome::Broken => problems.push("neither an answer nor a clear error".to_owned()),
            Outcome::Refused => {
                if self.is_harmless(trouble, way) {
                    problems.push("an error for nothing".to_owned());
                }
                if way.fallback && is_passed_over(trouble, way.stream) {
                    problems.push("the fallback was not asked".to_owned());
                }
                if carried_on {
                    problems.push("the fallback did not carry it on".to_owned());
                }
            }
            Outcome::Answered => {
                let filtered = heard.ended == Some(Ended::Filtered);
                let told = trouble == Trouble::Filtered || trouble == Trouble::Refused;
                let right = match filtered && told {
                    true => PROMPT.starts_with(&heard.text),
                    false => heard.text == PROMPT && heard.ended == Some(Ended::Stop),
                };
                if !right {
                    problems.push("an answer that is not the upstream's".to_owned());
                }
                if carried_on && heard.recovered_by.as_deref() != Some("healthy") {
                    problems.push("nobody was told who carried it on".to_owned());
                }
            }
        }
        problems
    }

    /// The answer is all there, so it has to arrive.
    fn is_harmless(&self, trouble: Trouble, way: Way) -> bool {
        if trouble == Trouble::Noise {
            // lines have no room for noise, and a plugin says that it lost some
            return way.stream && !matches!(self.backend, Backend::Ollama | Backend::Plugin);
        }
        matches!(
            trouble,
            Trouble::None
                | Trouble::SlowStart { .. }
                | Trouble::Unterminated
                | Trouble::FinishTwice
                | Trouble::Heartbeats
        )
    }

    /// Some of the answer is out, and another upstream gives all of it.
    fn is_carried_on(&self, trouble: Trouble) -> bool {
        // passed on as it came, its events have places that two upstreams do not share
        let as_it_came = (self.door, self.backend) == (Door::Messages, Backend::Anthropic);
        let in_the_middle = matches!(
            trouble,
            Trouble::Cut
                | Trouble::CutByReset
                | Trouble::Stall
                | Trouble::Torn
                | Trouble::LengthTooShort
                | Trouble::ErrorInside
        );
        in_the_middle && !as_it_came
    }
}

/// Nothing has been said and another upstream could answer, so it has to.
fn is_passed_over(trouble: Trouble, stream: bool) -> bool {
    match trouble {
        Trouble::Closed
        | Trouble::Reset
        | Trouble::Hang { .. }
        | Trouble::Silent
        | Trouble::SilentAfterHead
        | Trouble::Page { .. }
        | Trouble::ContextLength
        | Trouble::Garbled
        | Trouble::Gzip => true,
        Trouble::Status { status, .. } => status >= 500 || status == 429,
        // a whole answer is not passed on before its end
        Trouble::Cut
        | Trouble::CutByReset
        | Trouble::Stall
        | Trouble::Torn
        | Trouble::LengthTooLong
        | Trouble::LengthTooShort
        | Trouble::ErrorInside
        | Trouble::Endless => !stream,
        Trouble::None
        | Trouble::SlowStart { .. }
        | Trouble::Noise
        | Trouble::Unterminated
        | Trouble::Unfinished
        | Trouble::Refused
        | Trouble::Filtered
        | Trouble::FinishTwice
        | Trouble::Heartbeats
        | Trouble::HugeLine => false,
    }
}
