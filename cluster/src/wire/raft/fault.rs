//! Why a call was refused, in the details of its status, so that it comes back as itself.

use std::time::Duration;

use llm_router_proto::llm_router::cluster::v1;
use llm_router_proto::llm_router::cluster::v1::fault::Kind;
use llm_router_proto::llm_router::cluster::v1::refused_node::Reason;

use super::BadWire;
use super::member::{node_in, node_out};
use crate::error::{Error, Refused};
use crate::identity::MemberId;
use crate::raft::Peer;

/// Longest wait a peer may ask for; more is no answer.
const MAX_RETRY: Duration = Duration::from_secs(60);

/// What a peer refuses with.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It does not lead; this one does, as far as it knows.
    NotLeader(Option<(MemberId, Peer)>),
    /// Anything else.
    Error(Error),
}

pub(crate) fn fault_out(fault: &Fault) -> v1::Fault {
    let kind = match fault {
        Fault::NotLeader(leader) => Kind::NotLeader(v1::NotLeader {
            leader: leader.as_ref().map(|(id, peer)| node_out(id.0, peer)),
        }),
        Fault::Error(error) => error_out(error),
    };
    v1::Fault { kind: Some(kind) }
}

fn error_out(error: &Error) -> Kind {
    match error {
        Error::NoQuorum {
            retry_after,
            maybe_applied,
        } => Kind::NoQuorum(v1::NoQuorum {
            retry_after_ms: millis(*retry_after),
            maybe_applied: *maybe_applied,
        }),
        Error::Timeout => Kind::DeadlineOver(v1::DeadlineOver {}),
        Error::Behind { wanted, newest } => Kind::Behind(v1::Behind {
            wanted: *wanted,
            newest: *newest,
        }),
        Error::DiskFull { free_mib, place } => Kind::DiskFull(v1::DiskFull {
            free_mib: *free_mib,
            place: place.clone(),
        }),
        Error::Rejected(rejected) => {
            Kind::Rejected(serde_json::to_vec(rejected).unwrap_or_default())
        }
        Error::Busy => Kind::Busy(v1::Busy {}),
        Error::Refused(refused) => Kind::Refused(refused_out(refused)),
        Error::Unreachable { peer, reason } => Kind::Unreachable(v1::PeerUnreachable {
            peer: peer.clone(),
            reason: reason.clone(),
        }),
        Error::Store(reason) => Kind::Store(reason.clone()),
        Error::Stopped => Kind::Stopped(v1::Stopped {}),
    }
}

fn refused_out(refused: &Refused) -> v1::RefusedNode {
    let clusters = |ours: &String, theirs: &String| v1::Clusters {
        ours: ours.clone(),
        theirs: theirs.clone(),
    };
    let reason = match refused {
        Refused::WrongCluster { ours, theirs } => Reason::WrongCluster(clusters(ours, theirs)),
        Refused::NameTaken { name } => Reason::NameTaken(name.clone()),
        Refused::OtherData { ours, theirs } => Reason::OtherData(clusters(ours, theirs)),
        Refused::TooOld { ours, theirs } => Reason::TooOld(v1::Levels {
            ours: u32::from(*ours),
            theirs: u32::from(*theirs),
        }),
        Refused::Impostor {
            certificate,
            claimed,
        } => Reason::Impostor(v1::Identities {
            certificate: certificate.clone(),
            claimed: claimed.clone(),
        }),
        Refused::NotMember { name } => Reason::NotMember(name.clone()),
        Refused::Unwise(words) => Reason::Unwise(words.clone()),
    };
    v1::RefusedNode {
        reason: Some(reason),
    }
}

pub(crate) fn fault_in(fault: v1::Fault) -> Result<Fault, BadWire> {
    let error = match fault.kind.ok_or(BadWire::Missing("fault.kind"))? {
        Kind::NotLeader(not) => return Ok(Fault::NotLeader(not.leader.map(node_in).transpose()?)),
        Kind::NoQuorum(no) => Error::NoQuorum {
            retry_after: Duration::from_millis(no.retry_after_ms).min(MAX_RETRY),
            maybe_applied: no.maybe_applied,
        },
        Kind::DeadlineOver(v1::DeadlineOver {}) => Error::Timeout,
        Kind::Behind(behind) => Error::Behind {
            wanted: behind.wanted,
            newest: behind.newest,
        },
        Kind::DiskFull(full) => Error::DiskFull {
            free_mib: full.free_mib,
            place: full.place,
        },
        Kind::Rejected(json) => Error::Rejected(
            serde_json::from_slice(&json).map_err(|error| BadWire::bad("fault.rejected", error))?,
        ),
        Kind::Busy(v1::Busy {}) => Error::Busy,
        Kind::Refused(refused) => Error::Refused(refused_in(refused)?),
        Kind::Unreachable(v1::PeerUnreachable { peer, reason }) => {
            Error::Unreachable { peer, reason }
        }
        Kind::Store(reason) => Error::Store(reason),
        Kind::Stopped(v1::Stopped {}) => Error::Stopped,
    };
    Ok(Fault::Error(error))
}

fn refused_in(refused: v1::RefusedNode) -> Result<Refused, BadWire> {
    let reason = refused.reason.ok_or(BadWire::Missing("refused.reason"))?;
    let level =
        |level: u32| u16::try_from(level).map_err(|error| BadWire::bad("refused.level", error));
    Ok(match reason {
        Reason::WrongCluster(v1::Clusters { ours, theirs }) => {
            Refused::WrongCluster { ours, theirs }
        }
        Reason::NameTaken(name) => Refused::NameTaken { name },
        Reason::OtherData(v1::Clusters { ours, theirs }) => Refused::OtherData { ours, theirs },
        Reason::TooOld(levels) => Refused::TooOld {
            ours: level(levels.ours)?,
            theirs: level(levels.theirs)?,
        },
        Reason::Impostor(v1::Identities {
            certificate,
            claimed,
        }) => Refused::Impostor {
            certificate,
            claimed,
        },
        Reason::NotMember(name) => Refused::NotMember { name },
        Reason::Unwise(words) => Refused::Unwise(words),
    })
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
