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
    /// A word of its thinking.
    Thinking(String),
    /// The seal on that.
    Signature(String),
    /// A word and the white space after it.
    Word(String),
    /// A tool call's id and name; calls are counted from 0.
    CallBegins(u32, Called),
    /// A part of its arguments.
    CallContinues(u32, String),
    /// The end.
    Finish(Finish),
    /// Token counts.
    Usage(Usage),
}

impl Step {
    /// It is a part of the answer, and counts as a token.
    pub(super) fn is_said(&self) -> bool {
        match self {
            Step::Thinking(_) | Step::Word(_) | Step::CallBegins(..) | Step::CallContinues(..) => {
                true
            }
            Step::Role | Step::Signature(_) | Step::Finish(_) | Step::Usage(_) => false,
        }
    }
}

/// Where the performance stands.
#[derive(Debug)]
pub(super) struct Play {
    script: Script,
    /// Each step, and the number of the word it is due with.
    steps: Vec<(Option<usize>, Step)>,
    words: usize,
    pace: Pace,
    started: Moment,
    next: usize,
}

impl Play {
    /// Starts now; the head's latency has passed.
    pub(super) fn start(script: Script, pace: Pace) -> Self {
        let (steps, words) = steps(&script);
        Play {
            script,
            steps,
            words,
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
        self.due(self.words.saturating_sub(1))
    }

    /// A schedule rather than pauses: late words catch up, so the rate holds on a busy machine.
    fn due(&self, word: usize) -> Moment {
        let words = u32::try_from(word).unwrap_or(u32::MAX);
        self.started + self.pace.first_token + self.pace.between.saturating_mul(words)
    }

    /// The next step when it is due; `None` after the last.
    pub(super) async fn next(&mut self) -> Option<Step> {
        let (word, step) = self.steps.get(self.next)?;
        if let Some(word) = word {
            pause(Moment::now().until(self.due(*word))).await;
        }
        self.next += 1;
        Some(step.clone())
    }

    /// The step that came last comes again.
    pub(super) fn back(&mut self) {
        self.next = self.next.saturating_sub(1);
    }
}

/// All steps of a script, and how many of them are words.
fn steps(script: &Script) -> (Vec<(Option<usize>, Step)>, usize) {
    let mut steps = vec![(None, Step::Role)];
    let mut word = 0;
    let mut said = |steps: &mut Vec<_>, text: &str, step: &dyn Fn(String) -> Step| {
        let mut start = 0;
        for end in words::ends(text) {
            steps.push((Some(word), step(text[start..end].to_owned())));
            (start, word) = (end, word + 1);
        }
        word
    };
    if let Some(thought) = &script.thought {
        let at = said(&mut steps, &thought.text, &Step::Thinking);
        steps.push((Some(at), Step::Signature(thought.signature.clone())));
    }
    said(&mut steps, &script.text, &Step::Word);
    for (index, call) in (0..).zip(&script.calls) {
        let at = said(&mut steps, "", &Step::Word);
        steps.push((Some(at), Step::CallBegins(index, call.clone())));
        said(&mut steps, &call.arguments, &|part| {
            Step::CallContinues(index, part)
        });
    }
    let words = said(&mut steps, "", &Step::Word);
    steps.push((None, Step::Finish(script.finish)));
    steps.push((None, Step::Usage(script.usage)));
    (steps, words)
}
