//! One call to a peer: who makes it, how long it may take, and what its failure means.

use std::error::Error as StdError;
use std::future::Future;
use std::time::Duration;

use llm_router_proto::llm_router::cluster::v1;
use prost::Message as _;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::{Code, ConnectError, Request, Response, Status, TimeoutExpired};

use super::dial::Undialled;
use super::lines::{Lines, undialled};
use crate::error::{Error, Refused};
use crate::identity::MemberId;
use crate::raft::Peer;
use crate::wire::raft::BadWire;
use crate::wire::raft::fault::{Fault, fault_in, fault_out};

pub(crate) const CLUSTER: &str = "x-llm-router-cluster";
pub(crate) const FROM: &str = "x-llm-router-from";
pub(crate) const MEMBER: &str = "x-llm-router-member";
/// The member that is meant, on Raft's own calls: one that has another number since, at the same
/// address, must not answer for it.
pub(crate) const TO: &str = "x-llm-router-to";

/// Largest message taken, on both sides.
pub(crate) const MAX_MESSAGE: usize = 8 << 20;

/// Why a call came to nothing.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The peer answered, and refused.
    Refused(Error),
    /// The peer answered that another member leads.
    NotLeader(Option<(MemberId, Peer)>),
    /// There is no connection: nothing was sent.
    Unreached(Error),
    /// The connection broke: what was sent may have arrived.
    Broken(String),
    /// The deadline was over first.
    TimedOut,
}

impl Failure {
    /// In one word, for a trace.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Failure::Refused(_) => "refused",
            Failure::NotLeader(_) => "not_leader",
            Failure::Unreached(_) => "unreached",
            Failure::Broken(_) => "broken",
            Failure::TimedOut => "timeout",
        }
    }

    /// In words, for openraft's log.
    pub(crate) fn words(&self) -> String {
        match self {
            Failure::Refused(error) | Failure::Unreached(error) => error.to_string(),
            Failure::NotLeader(_) => "it does not lead".to_owned(),
            Failure::Broken(reason) => reason.clone(),
            Failure::TimedOut => "no answer in time".to_owned(),
        }
    }
}

/// A request with the caller's name on it. The cluster is left out of a request to join: there is
/// none yet.
pub(crate) fn signed<T>(lines: &Lines, message: T) -> Request<T> {
    let mut request = Request::new(message);
    sign(lines, request.metadata_mut());
    request
}

/// Puts the caller's name on.
pub(crate) fn sign(lines: &Lines, metadata: &mut MetadataMap) {
    put(metadata, FROM, lines.node().as_str());
    if let Some(place) = lines.place() {
        put(metadata, CLUSTER, place.cluster.as_str());
        metadata.insert(MEMBER, MetadataValue::from(place.member.0));
    }
}

fn put(metadata: &mut MetadataMap, key: &'static str, value: &str) {
    // names have no character that a header could not hold
    if let Ok(value) = value.parse::<MetadataValue<Ascii>>() {
        metadata.insert(key, value);
    }
}

/// Waits for an answer until the deadline.
pub(crate) async fn within<T>(
    patience: Duration,
    peer: &str,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(patience, call).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(failure(&status, peer)),
        Err(_) => Err(Failure::TimedOut),
    }
}

/// What a status means.
pub(crate) fn failure(status: &Status, peer: &str) -> Failure {
    if !status.details().is_empty() {
        let fault = v1::Fault::decode(status.details()).map_err(|error| error.to_string());
        return match fault.and_then(|fault| fault_in(fault).map_err(|bad| bad.to_string())) {
            Ok(Fault::Error(error)) => Failure::Refused(error),
            Ok(Fault::NotLeader(leader)) => Failure::NotLeader(leader),
            Err(reason) => Failure::Broken(format!("a refusal that cannot be read: {reason}")),
        };
    }
    if let Some(error) = caused::<Undialled>(status) {
        return Failure::Unreached(undialled(error, peer));
    }
    if caused::<ConnectError>(status).is_some() {
        return Failure::Unreached(Error::Unreachable {
            peer: peer.to_owned(),
            reason: chain(status),
        });
    }
    let code = status.code();
    let expired = caused::<TimeoutExpired>(status).is_some();
    // the word of tonic's server once a deadline is over
    let given_up = code == Code::Cancelled && status.message().contains("Timeout");
    if expired || given_up || code == Code::DeadlineExceeded {
        return Failure::TimedOut;
    }
    if code == Code::ResourceExhausted {
        return Failure::Refused(Error::Busy);
    }
    Failure::Broken(chain(status))
}

fn caused<'a, E: StdError + 'static>(status: &'a Status) -> Option<&'a E> {
    let mut next: Option<&'a (dyn StdError + 'static)> = status.source();
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// The whole chain in one line, without the repeats that wrappers make.
fn chain(status: &Status) -> String {
    let mut text = match status.message() {
        "" => status.code().description().to_owned(),
        message => message.to_owned(),
    };
    let mut next = status.source();
    while let Some(error) = next {
        let line = error.to_string();
        if !text.contains(&line) {
            text.push_str(": ");
            text.push_str(&line);
        }
        next = error.source();
    }
    text
}

/// A refusal as a status, to be read back by [`failure`].
pub(crate) fn status(fault: &Fault) -> Status {
    let (code, message) = match fault {
        Fault::NotLeader(_) => (Code::FailedPrecondition, "not the leader".to_owned()),
        Fault::Error(error) => (code(error), error.to_string()),
    };
    let details = fault_out(fault).encode_to_vec();
    Status::with_details(code, message, details.into())
}

fn code(error: &Error) -> Code {
    match error {
        Error::NoQuorum { .. } | Error::Unreachable { .. } | Error::Stopped => Code::Unavailable,
        Error::Timeout => Code::DeadlineExceeded,
        Error::Behind { .. } => Code::OutOfRange,
        Error::DiskFull { .. } | Error::Busy => Code::ResourceExhausted,
        Error::Rejected(_) => Code::Aborted,
        Error::Refused(Refused::Impostor { .. } | Refused::NotMember { .. }) => {
            Code::PermissionDenied
        }
        Error::Refused(
            Refused::WrongCluster { .. }
            | Refused::NameTaken { .. }
            | Refused::OtherData { .. }
            | Refused::TooOld { .. }
            | Refused::Unwise(_),
        ) => Code::FailedPrecondition,
        Error::Store(_) => Code::Internal,
    }
}

/// A message that says nothing sensible, as a status.
pub(crate) fn nonsense(bad: &BadWire) -> Status {
    if let BadWire::TooNew(theirs) = bad {
        return status(&Fault::Error(Error::Refused(Refused::TooOld {
            ours: *theirs,
            theirs: crate::command::LEVEL,
        })));
    }
    let words = bad.to_string();
    let fault = Fault::Error(Error::Refused(Refused::Unwise(words.clone())));
    let details = fault_out(&fault).encode_to_vec();
    Status::with_details(Code::InvalidArgument, words, details.into())
}
