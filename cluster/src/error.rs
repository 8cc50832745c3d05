//! Why the cluster could not do what it was asked.

use std::time::Duration;

use crate::command::Rejected;

/// What failed, and whether trying again could help.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No leader with a quorum is known: nothing can be agreed now.
    #[error("no leader with a quorum is known, so nothing can be changed now")]
    NoQuorum {
        /// When asking again makes sense.
        retry_after: Duration,
        /// The change was sent to a leader before contact was lost: it may yet take effect.
        maybe_applied: bool,
    },
    /// The time given was over first. A change may yet take effect.
    #[error("the cluster did not answer in time")]
    Timeout,
    /// This node has not caught up with what the caller has seen.
    #[error("revision {wanted} is not here yet, the newest is {newest}")]
    Behind {
        /// The revision asked for.
        wanted: u64,
        /// The newest here.
        newest: u64,
    },
    /// The disk is full, or nearly: changes are refused, routing goes on.
    #[error("not enough disk space to keep a change: {free_mib} MiB free on {place}")]
    DiskFull {
        /// What is left, in MiB.
        free_mib: u64,
        /// The node's name.
        place: String,
    },
    /// The state machine said no; nothing changed.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// More changes wait than may.
    #[error("too many changes are waiting")]
    Busy,
    /// A node must not or cannot be a member, in words for its operator.
    #[error("{0}")]
    Refused(Refused),
    /// A peer could not be reached.
    #[error("{peer} cannot be reached: {reason}")]
    Unreachable {
        /// Its name or address.
        peer: String,
        /// Why.
        reason: String,
    },
    /// The data directory cannot be used.
    #[error("{0}")]
    Store(String),
    /// The node is stopping, or has failed and is about to end.
    #[error("this node is stopping")]
    Stopped,
}

impl Error {
    /// In one word, for a trace.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Error::NoQuorum { .. } => "no_quorum",
            Error::Timeout => "timeout",
            Error::Behind { .. } => "behind",
            Error::DiskFull { .. } => "disk_full",
            Error::Rejected(_) => "rejected",
            Error::Busy => "busy",
            Error::Refused(_) => "refused",
            Error::Unreachable { .. } => "unreached",
            Error::Store(_) => "store",
            Error::Stopped => "stopped",
        }
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Error::Refused(refused)
    }
}

/// Why a node is not let in, or an order about members is not followed. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It belongs to another cluster.
    #[error("this is cluster {ours}; the caller belongs to {theirs}")]
    WrongCluster {
        /// Ours.
        ours: String,
        /// What it said.
        theirs: String,
    },
    /// Its name is taken.
    #[error(
        "a node called {name} is a member already; if it lost its data, take it out first with \
         `llm-router cluster remove {name} --yes`, or choose another name"
    )]
    NameTaken {
        /// The name.
        name: String,
    },
    /// Its data directory is a member of another cluster, or begins one of its own.
    #[error(
        "the data directory belongs to cluster {theirs}, not to {ours}; join with an empty one"
    )]
    OtherData {
        /// The cluster to be joined.
        ours: String,
        /// The cluster the data is of.
        theirs: String,
    },
    /// Its program is too old for what the log may hold.
    #[error(
        "it understands command level {theirs}, this cluster uses level {ours}: upgrade it first"
    )]
    TooOld {
        /// What is used.
        ours: u16,
        /// What it understands.
        theirs: u16,
    },
    /// Its certificate and its words differ.
    #[error("the certificate is of {certificate}, the caller says {claimed}")]
    Impostor {
        /// Whom the certificate names.
        certificate: String,
        /// Whom the caller claims to be.
        claimed: String,
    },
    /// It is no member, or not any more.
    #[error("{name} is not a member of this cluster")]
    NotMember {
        /// The name.
        name: String,
    },
    /// It would leave the cluster without a quorum, or the order makes no sense now.
    #[error("{0}")]
    Unwise(String),
}
