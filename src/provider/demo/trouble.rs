//! Everything that can go wrong between a node and its upstream, for
//! [`Upstream`](super::upstream::Upstream) to bring about on any wire it speaks.
//!
//! ```
//! use llm_router::provider::demo::trouble::Trouble;
//! let once = Trouble::Stall.after(3).first(1); // three tokens, then silence; only the first time
//! ```

use super::fault::Fault;

/// What goes wrong. Where an answer is under way first, [`Trouble::after`] says how far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    #[default]
    None,
    /// The connection is closed in good order before an answer begins.
    Closed,
    /// The connection is reset before an answer begins.
    Reset,
    /// Another status than 200, with the dialect's own error.
    Status {
        /// 300 to 599.
        status: u16,
        /// How it asks for patience.
        wait: Wait,
    },
    /// Silence for so long, then a closed connection.
    Hang {
        /// Length of the silence in milliseconds.
        millis: u64,
    },
    /// The request is taken and never answered.
    Silent,
    /// The head of an answer, and nothing after it.
    SilentAfterHead,
    /// The head, signs of life for so long, then the answer.
    SlowStart {
        /// Length of the wait in milliseconds.
        millis: u64,
    },
    /// The connection is closed in the middle of the answer.
    Cut,
    /// The connection is reset in the middle of the answer.
    CutByReset,
    /// The answer stops in the middle, the connection stays.
    Stall,
    /// A message in between that is no JSON and never was one.
    Noise,
    /// A message with a part of the answer in it is cut off.
    Torn,
    /// All of the answer, without the mark that ends the dialect's streams.
    Unterminated,
    /// All of the words, and then a clean end without a reason to finish.
    Unfinished,
    /// The prompt is too long, says the dialect's own error.
    ContextLength,
    /// A filter refuses the prompt, in the dialect's own way.
    Refused,
    /// A filter ends the answer in the middle, as the dialect says so.
    Filtered,
    /// A load balancer's page under this status.
    Page {
        /// 300 to 599.
        status: u16,
    },
    /// A page under status 200.
    Garbled,
    /// An error object under status 200, in a stream after some of the answer.
    ErrorInside,
    /// `content-length` promises more than comes.
    LengthTooLong,
    /// `content-length` promises less than comes.
    LengthTooShort,
    /// The answer goes on for ever.
    Endless,
    /// The end is announced twice.
    FinishTwice,
    /// Messages in between that say nothing.
    Heartbeats,
    /// A body compressed although nobody asked for that.
    Gzip,
    /// One message of two mebibytes.
    HugeLine,
}

/// How an upstream asks for patience.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wait {
    /// Not at all.
    #[default]
    Unsaid,
    /// `retry-after` in seconds.
    Seconds(u64),
    /// `retry-after` as the date so many seconds ahead.
    Date(u64),
    /// `retry-after-ms`.
    Millis(u64),
    /// In the body, as Gemini does; other dialects have no place for it.
    Body(u64),
}

/// One of each kind, in the order of the enum.
pub const ALL: [Trouble; 34] = [
    Trouble::Closed,
    Trouble::Reset,
    status(500, Wait::Unsaid),
    status(503, Wait::Unsaid),
    status(401, Wait::Unsaid),
    status(429, Wait::Unsaid),
    status(429, Wait::Seconds(1)),
    status(429, Wait::Date(1)),
    status(429, Wait::Millis(100)),
    status(429, Wait::Body(1)),
    Trouble::Hang { millis: 300 },
    Trouble::Silent,
    Trouble::SilentAfterHead,
    Trouble::SlowStart { millis: 400 },
    Trouble::Cut,
    Trouble::CutByReset,
    Trouble::Stall,
    Trouble::Noise,
    Trouble::Torn,
    Trouble::Unterminated,
    Trouble::Unfinished,
    Trouble::ContextLength,
    Trouble::Refused,
    Trouble::Filtered,
    Trouble::Page { status: 502 },
    Trouble::Garbled,
    Trouble::ErrorInside,
    Trouble::LengthTooLong,
    Trouble::LengthTooShort,
    Trouble::Endless,
    Trouble::FinishTwice,
    Trouble::Heartbeats,
    Trouble::Gzip,
    Trouble::HugeLine,
];

const fn status(status: u16, wait: Wait) -> Trouble {
    Trouble::Status { status, wait }
}

impl Trouble {
    /// After so many tokens of the answer; at once when not said.
    pub fn after(self, tokens: u64) -> Orders {
        Orders {
            after_tokens: tokens,
            ..Orders::from(self)
        }
    }

    /// For the next so many requests; for all of them when not said.
    pub fn first(self, requests: u64) -> Orders {
        Orders::from(self).first(requests)
    }

    /// In a few letters, for tables.
    pub fn name(self) -> String {
        match self {
            Trouble::Status { status, wait } => match wait {
                Wait::Unsaid => format!("status {status}"),
                Wait::Seconds(_) => format!("status {status}, retry-after"),
                Wait::Date(_) => format!("status {status}, retry-after date"),
                Wait::Millis(_) => format!("status {status}, retry-after-ms"),
                Wait::Body(_) => format!("status {status}, delay in the body"),
            },
            Trouble::Hang { .. } => "hang".to_owned(),
            Trouble::SlowStart { .. } => "slow start".to_owned(),
            Trouble::Page { status } => format!("page {status}"),
            Trouble::None
            | Trouble::Closed
            | Trouble::Reset
            | Trouble::Silent
            | Trouble::SilentAfterHead
            | Trouble::Cut
            | Trouble::CutByReset
            | Trouble::Stall
            | Trouble::Noise
            | Trouble::Torn
            | Trouble::Unterminated
            | Trouble::Unfinished
            | Trouble::ContextLength
            | Trouble::Refused
            | Trouble::Filtered
            | Trouble::Garbled
            | Trouble::ErrorInside
            | Trouble::LengthTooLong
            | Trouble::LengthTooShort
            | Trouble::Endless
            | Trouble::FinishTwice
            | Trouble::Heartbeats
            | Trouble::Gzip
            | Trouble::HugeLine => spaced(&format!("{self:?}")),
        }
    }
}

/// `LikeThis` as `like this`.
fn spaced(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

/// Trouble, when it begins and how often it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Orders {
    pub(super) trouble: Trouble,
    pub(super) after_tokens: u64,
    pub(super) requests: u64,
}

impl Orders {
    /// For the next so many requests; for all of them when not said.
    pub fn first(self, requests: u64) -> Orders {
        Orders { requests, ..self }
    }

    /// What holds for the request that comes now; it counts.
    pub(super) fn take(&mut self) -> Orders {
        if self.requests == 0 {
            return Orders::default();
        }
        if self.requests != u64::MAX {
            self.requests -= 1;
        }
        *self
    }
}

impl Default for Orders {
    fn default() -> Self {
        Orders::from(Trouble::None)
    }
}

impl From<Trouble> for Orders {
    fn from(trouble: Trouble) -> Self {
        Orders {
            trouble,
            after_tokens: 0,
            requests: u64::MAX,
        }
    }
}

impl From<Fault> for Orders {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::None => Trouble::None.into(),
            Fault::Connect => Trouble::Closed.into(),
            Fault::Status {
                status,
                retry_after_s,
            } => Orders::from(Trouble::Status {
                status,
                wait: retry_after_s.map_or(Wait::Unsaid, Wait::Seconds),
            }),
            Fault::Cut { after_tokens } => Trouble::Cut.after(after_tokens),
            Fault::Hang { millis } => Trouble::Hang { millis }.into(),
            Fault::Garbled => Trouble::Garbled.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_that_was_counted_ends() {
        let mut orders = Trouble::Reset.first(2);
        let seen: Vec<Trouble> = (0..3).map(|_| orders.take().trouble).collect();
        assert_eq!(seen, [Trouble::Reset, Trouble::Reset, Trouble::None]);
        let mut always = Orders::from(Trouble::Reset);
        assert_eq!(always.take(), always.take());
    }

    #[test]
    fn every_kind_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<String> =
            ALL.iter().map(|trouble| trouble.name()).collect();
        assert_eq!(names.len(), ALL.len());
        assert_eq!(Trouble::SilentAfterHead.name(), "silent after head");
    }
}
