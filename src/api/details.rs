//! What a program needs to know of an error beside its message, the same at both doors: every
//! problem of a config with its place, both revisions of a lost race, whether a change may yet take
//! effect.

use llm_router_cluster::{Error as Refusal, Rejected};
use serde_json::Value;

use crate::config::Problems;
use crate::error::Error;

/// Details of one error; empty for most.
#[derive(Debug, Default)]
pub(super) struct Details<'a> {
    /// Numbers and yes or no, by name.
    pub(super) facts: Vec<(&'static str, Value)>,
    /// What is wrong with a config.
    pub(super) problems: Option<&'a Problems>,
}

/// The details of an error.
pub(super) fn of(error: &Error) -> Details<'_> {
    let Some(source) = std::error::Error::source(error) else {
        return Details::default();
    };
    if let Some(problems) = source.downcast_ref() {
        return Details {
            problems: Some(problems),
            ..Details::default()
        };
    }
    let facts = source.downcast_ref().map(facts).unwrap_or_default();
    Details {
        facts,
        problems: None,
    }
}

fn facts(refusal: &Refusal) -> Vec<(&'static str, Value)> {
    match refusal {
        Refusal::Rejected(Rejected::Stale { expected, current }) => vec![
            ("expected_revision", (*expected).into()),
            ("current_revision", (*current).into()),
        ],
        Refusal::Behind { wanted, newest } => vec![
            ("min_revision", (*wanted).into()),
            ("newest_revision", (*newest).into()),
        ],
        Refusal::NoQuorum { maybe_applied, .. } => {
            vec![("maybe_applied", (*maybe_applied).into())]
        }
        Refusal::Timeout => vec![("maybe_applied", true.into())],
        Refusal::Rejected(
            Rejected::Illegal { .. }
            | Rejected::NotFound { .. }
            | Rejected::Exists { .. }
            | Rejected::TooMuch { .. },
        )
        | Refusal::DiskFull { .. }
        | Refusal::Busy
        | Refusal::Refused(_)
        | Refusal::Unreachable { .. }
        | Refusal::Store(_)
        | Refusal::Stopped => Vec::new(),
    }
}
