//! What can end a node: a signal, its actors, its consensus.

use llm_router_cluster::Handle;
use llm_router_cluster::handle::Failure;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::node::Node;

/// The exit code of a node whose actors kept failing (EX_SOFTWARE).
const BROKEN: u8 = 70;

/// Why a node ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Somebody asked it to.
    Asked,
    /// Its actors kept failing: it drains, then ends with this code.
    Broken(u8),
    /// Consensus or the disk failed: nothing of it is tried again, so it ends now.
    Failed(Failure),
}

/// SIGINT and SIGTERM, heard from when this is made.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Begins to hear them.
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The next of them.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Resolves when the node has to end.
pub(super) async fn end(node: &Node, cluster: &Handle, signals: &mut Signals) -> End {
    tokio::select! {
        () = signals.next() => End::Asked,
        () = node.engine.broken() => End::Broken(BROKEN),
        failure = cluster.failed() => End::Failed(failure),
    }
}
