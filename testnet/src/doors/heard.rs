//! What a client heard, in no dialect.

use serde_json::Value;

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The model was done.
    Stop,
    /// A limit cut it off.
    Length,
    /// Tools are asked for.
    Tools,
    /// A filter stopped it.
    Filtered,
}

/// A tool asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Called {
    /// The call's id.
    pub id: String,
    /// The tool.
    pub name: String,
    /// Its arguments, as text.
    pub arguments: String,
}

/// All that was heard.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// HTTP status, or 200 over gRPC; 0 where there was no head.
    pub status: u16,
    /// The answer's text.
    pub text: String,
    /// Tools asked for, in order.
    pub calls: Vec<Called>,
    /// The model's thinking.
    pub thinking: String,
    /// The model's refusal, where it is not plain text; read over gRPC.
    pub refusal: String,
    /// Why it ended; `None` where that was not said.
    pub ended: Option<Ended>,
    /// Prompt and answer tokens.
    pub usage: Option<(u64, u64)>,
    /// The error that was told in the dialect's own form.
    pub error: Option<String>,
    /// Breaks of the dialect's grammar, and of the connection.
    pub wrong: Vec<String>,
    /// The model that answered, as the node names it.
    pub answered_by: String,
    /// The model that carried the answer on, where another one had begun it.
    pub recovered_by: Option<String>,
    /// Tries made, as the node says.
    pub attempts: Option<u64>,
    /// The cache's part, as the node says; empty over gRPC.
    pub cache: String,
    /// The entry that the cache answered from; empty for none.
    pub entry: String,
    /// Nobody listened, so that nothing was sent.
    pub unsent: bool,
    /// The whole answer as it came, to be sent back with the next turn.
    pub raw: Value,
    /// The time limit passed first.
    pub hung: bool,
}

/// What it comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An answer that says why it ended.
    Answered,
    /// One error, well told.
    Refused,
    /// Neither.
    Broken,
    /// No end within the limit.
    Hung,
}

impl Heard {
    /// What it comes to.
    pub fn outcome(&self) -> Outcome {
        if self.hung {
            return Outcome::Hung;
        }
        match (&self.error, self.ended) {
            _ if !self.wrong.is_empty() => Outcome::Broken,
            (Some(_), None) => Outcome::Refused,
            (None, Some(_)) => Outcome::Answered,
            (Some(_), Some(_)) | (None, None) => Outcome::Broken,
        }
    }

    /// In one line, for a report.
    pub fn told(&self) -> String {
        let clip = |text: &str| text.chars().take(160).collect::<String>();
        let mut parts = vec![format!("status {}", self.status)];
        if self.hung {
            parts.push("hung".to_owned());
        }
        if !self.text.is_empty() {
            parts.push(format!("text {:?}", clip(&self.text)));
        }
        if !self.refusal.is_empty() {
            parts.push(format!("refusal {:?}", clip(&self.refusal)));
        }
        for call in &self.calls {
            parts.push(format!("{}({})", call.name, clip(&call.arguments)));
        }
        if let Some(ended) = self.ended {
            parts.push(format!("ended {ended:?}"));
        }
        if let Some(error) = &self.error {
            parts.push(format!("error {:?}", clip(error)));
        }
        parts.extend(
            self.wrong
                .iter()
                .map(|wrong| format!("WRONG {}", clip(wrong))),
        );
        parts.join(", ")
    }

    /// Notes a break of the grammar unless `held`.
    pub(super) fn must(&mut self, held: bool, otherwise: impl FnOnce() -> String) {
        if !held {
            self.wrong.push(otherwise());
        }
    }

    /// A piece of the call at `index`.
    pub(super) fn call(&mut self, index: usize) -> &mut Called {
        // no answer of a test has more
        let index = index.min(63);
        if self.calls.len() <= index {
            self.calls.resize(index + 1, Called::default());
        }
        &mut self.calls[index]
    }
}
