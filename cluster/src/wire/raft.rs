//! What `RaftService` carries, as messages and back.
//!
//! openraft's types and the generated ones are both foreign here, so the conversions are functions:
//! `…_out` cannot fail, `…_in` names the field that is missing or wrong. Whatever comes in is taken
//! for hostile until it has passed: openraft counts terms and indexes on without a check.

pub(crate) mod append;
pub(crate) mod entry;
pub(crate) mod fault;
pub(crate) mod member;
pub(crate) mod snapshot;
pub(crate) mod vote;

use openraft::impls::leader_id_adv::LeaderId;
use openraft::type_config::alias::{LogIdOf, VoteOf};
use openraft::{LogId, Vote};

use llm_router_proto::llm_router::cluster::v1;

use crate::command::BadCommand;
use crate::raft::TypeConfig;

/// Highest term taken from a peer. An election a millisecond reaches it in nine thousand years, and
/// adding to it never overflows.
pub(crate) const MAX_TERM: u64 = 1 << 48;
/// Highest log index taken from a peer, for the same reason.
pub(crate) const MAX_INDEX: u64 = 1 << 56;
/// Longest `host:port`: a DNS name has 253 bytes at most.
pub(crate) const MAX_ADDRESS: usize = 260;

/// A message that does not say what it should.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadWire {
    /// A field is not there.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A number or count is past what any cluster needs.
    #[error("{field} is more than {limit}")]
    TooMuch {
        /// Which.
        field: &'static str,
        /// The bound.
        limit: u64,
    },
    /// A field is there and makes no sense.
    #[error("{field}: {problem}")]
    Bad {
        /// Which.
        field: &'static str,
        /// Why.
        problem: String,
    },
    /// A newer program wrote a command.
    #[error("a command of level {0} is newer than this program understands: upgrade it")]
    TooNew(u16),
}

impl BadWire {
    pub(crate) fn bad(field: &'static str, problem: impl ToString) -> Self {
        BadWire::Bad {
            field,
            problem: problem.to_string(),
        }
    }
}

impl From<BadCommand> for BadWire {
    fn from(bad: BadCommand) -> Self {
        match bad {
            BadCommand::TooNew(level) => BadWire::TooNew(level),
            BadCommand::Damaged(problem) => BadWire::Bad {
                field: "command",
                problem,
            },
        }
    }
}

/// The value if it is within the bound.
pub(super) fn at_most(value: u64, limit: u64, field: &'static str) -> Result<u64, BadWire> {
    if value <= limit {
        Ok(value)
    } else {
        Err(BadWire::TooMuch { field, limit })
    }
}

/// Refuses more of something than the bound allows, before any of it is looked at.
pub(super) fn count(length: usize, limit: usize, field: &'static str) -> Result<(), BadWire> {
    let limit = limit as u64;
    at_most(length as u64, limit, field).map(drop)
}

pub(crate) fn vote_out(vote: &VoteOf<TypeConfig>) -> v1::Vote {
    v1::Vote {
        term: vote.leader_id.term,
        member: vote.leader_id.node_id,
        committed: vote.committed,
    }
}

pub(crate) fn vote_in(
    vote: Option<v1::Vote>,
    field: &'static str,
) -> Result<VoteOf<TypeConfig>, BadWire> {
    let vote = vote.ok_or(BadWire::Missing(field))?;
    at_most(vote.term, MAX_TERM, field)?;
    Ok(if vote.committed {
        Vote::new_committed(vote.term, vote.member)
    } else {
        Vote::new(vote.term, vote.member)
    })
}

pub(crate) fn log_id_out(id: &LogIdOf<TypeConfig>) -> v1::LogId {
    v1::LogId {
        term: id.leader_id.term,
        member: id.leader_id.node_id,
        index: id.index,
    }
}

pub(crate) fn log_id_in(
    id: Option<v1::LogId>,
    field: &'static str,
) -> Result<Option<LogIdOf<TypeConfig>>, BadWire> {
    let Some(id) = id else { return Ok(None) };
    at_most(id.term, MAX_TERM, field)?;
    at_most(id.index, MAX_INDEX, field)?;
    let leader = LeaderId {
        term: id.term,
        node_id: id.member,
    };
    Ok(Some(LogId::new(leader, id.index)))
}

#[cfg(test)]
pub(crate) mod arbitrary;
#[cfg(test)]
mod tests;
