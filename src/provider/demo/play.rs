//! A script performed in time: the same steps for every wire.

use std::time::Duration;

use super::pause;
use super::script::{Called, Script};
use super::words;
use crate::types::{Finish, Moment, Usage};

/// The delays of one answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pace {
    /// Before the answer's head.
    pub(super) latency: Duration,
    /// From the head until the first word.
    pub(super) first_token: Duration,
    /// From one word to the next.
    pub(super) between: Duration,
}

/// One step of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The assistant announces itself.
    Role,
    /// A word and the white space after it.
    Word(String),
    /// A tool call's id and name.
    CallBegins(Called),
    /// A part of its arguments.
    CallContinues(String),
    /// The end.
    Finish(Finish),
    /// Token counts.
    Usage(Usage),
}

/// Where the performance stands.
#[derive(Debug)]
pub(super) struct Play {
    script: Script,
    ends: Vec<usize>,
    pace: Pace,
    started: Moment,
    next: usize,
}

impl Play {
    /// Starts now; the head's latency has passed.
    pub(super) fn start(script: Script, pace: Pace) -> Self {
        let said = script
            .call
            .as_ref()
            .map_or(script.text.as_str(), |call| call.arguments.as_str());
        let ends = words::ends(said);
        Play {
            ends,
            script,
            pace,
            started: Moment::now(),
            next: 0,
        }
    }

    /// All that will be said.
    pub(super) fn script(&self) -> &Script {
        &self.script
    }

    /// When the last word is due.
    pub(super) fn ready_at(&self) -> Moment {
        self.due(self.ends.len().saturating_sub(1))
    }

    /// A schedule rather than pauses: late words catch up, so the rate holds on a busy machine.
    fn due(&self, word: usize) -> Moment {
        let words = u32::try_from(word).unwrap_or(u32::MAX);
        self.started + self.pace.first_token + self.pace.between.saturating_mul(words)
    }

    /// The next step when it is due; `None` after the last.
    pub(super) async fn next(&mut self) -> Option<Step> {
        let opening = if self.script.call.is_some() { 2 } else { 1 };
        let at = self.next;
        let word = at.checked_sub(opening);
        if at > 0 && at < opening + self.ends.len() {
            pause(Moment::now().until(self.due(word.unwrap_or(0)))).await;
        }
        self.next += 1;
        match (at, word) {
            (0, _) => Some(Step::Role),
            (_, None) => self.script.call.clone().map(Step::CallBegins),
            (_, Some(word)) if word < self.ends.len() => Some(self.say(word)),
            (_, Some(word)) if word == self.ends.len() => Some(Step::Finish(self.script.finish)),
            (_, Some(word)) if word == self.ends.len() + 1 => Some(Step::Usage(self.script.usage)),
            (_, Some(_)) => None,
        }
    }

    fn say(&self, word: usize) -> Step {
        let start = word.checked_sub(1).map_or(0, |before| self.ends[before]);
        let part = start..self.ends[word];
        match &self.script.call {
            Some(call) => Step::CallContinues(call.arguments[part].to_owned()),
            None => Step::Word(self.script.text[part].to_owned()),
        }
    }
}
