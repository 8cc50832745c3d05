//! The connections of a node to its peers: one for each purpose, made when first used, made again
//! by themselves when they break.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use parking_lot::{Mutex, RwLock};
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use super::dial::{Undialled, Whom, dial};
use crate::error::{Error, Refused};
use crate::identity::{ClusterId, MemberId, NodeId};
use crate::raft::Peer;
use crate::tls::Keyring;

/// How often an idle connection is asked whether it lives, and how long the answer may take: a
/// broken one is replaced within two seconds.
const KEEP_ALIVE: Duration = Duration::from_secs(1);
/// Most connections kept. Five for each of the members there may be in earnest; past it all are
/// let go and made again as they are needed.
const MAX_LINES: usize = 1280;

/// What a connection carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Purpose {
    /// Entries and votes.
    Append,
    /// The sign that the leader lives.
    Heartbeat,
    /// Snapshots.
    Snapshot,
    /// Proposals, orders and the pulse.
    Ask,
    /// What the node's cache asks of other nodes' caches.
    Guest,
}

/// Who dials, and how.
#[derive(Debug)]
pub(crate) struct Origin {
    /// This node.
    pub(crate) node: NodeId,
    /// Addresses to dial instead of those that peers advertise.
    pub(crate) dial: BTreeMap<NodeId, String>,
    /// Certificates; without them only loopback is dialled.
    pub(crate) keyring: Option<Keyring>,
}

/// Who this node is in its cluster, once it is a member.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) cluster: ClusterId,
    pub(crate) member: MemberId,
}

/// All of a node's connections. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Lines {
    inner: Arc<Inner>,
}

struct Inner {
    origin: Origin,
    place: RwLock<Option<Place>>,
    /// Where members are now; what Raft's membership says may be where they once were.
    addresses: Arc<RwLock<BTreeMap<NodeId, String>>>,
    /// Where connections live, whichever thread asks for them first; a guest's live with the guest.
    runtime: tokio::runtime::Handle,
    open: Mutex<BTreeMap<(Purpose, NodeId, String), Channel>>,
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lines(of {})", self.inner.origin.node)
    }
}

impl Lines {
    /// Connections that live on the runtime this is called on: Raft's own.
    pub(crate) fn new(origin: Origin) -> Self {
        let inner = Inner {
            origin,
            place: RwLock::new(None),
            addresses: Arc::default(),
            runtime: tokio::runtime::Handle::current(),
            open: Mutex::new(BTreeMap::new()),
        };
        Lines {
            inner: Arc::new(inner),
        }
    }

    /// Says who this node is, as soon as it is a member.
    pub(crate) fn introduce(&self, cluster: ClusterId, member: MemberId) {
        *self.inner.place.write() = Some(Place { cluster, member });
    }

    /// Says where the members are now. Connections look here whenever they are made anew.
    pub(crate) fn addresses(&self, addresses: BTreeMap<NodeId, String>) {
        *self.inner.addresses.write() = addresses;
    }

    pub(crate) fn node(&self) -> &NodeId {
        &self.inner.origin.node
    }

    /// When the certificate in use ends, if there is one.
    pub(crate) fn certificate_ends_ms(&self) -> Option<u64> {
        self.inner.origin.keyring.as_ref().map(Keyring::ends_ms)
    }

    pub(crate) fn place(&self) -> Option<Place> {
        self.inner.place.read().clone()
    }

    /// The connection to a member for a purpose.
    pub(crate) fn to(&self, peer: &Peer, purpose: Purpose) -> Channel {
        let key = (purpose, peer.name.clone(), peer.address.clone());
        let mut open = self.inner.open.lock();
        if let Some(channel) = open.get(&key) {
            return channel.clone();
        }
        if open.len() >= MAX_LINES {
            open.clear();
        }
        let dial = self.inner.origin.dial.get(&peer.name);
        let whom = Whom {
            address: dial.unwrap_or(&peer.address).clone(),
            node: Some(peer.name.clone()),
        };
        let here = tokio::runtime::Handle::try_current();
        let channel = match (purpose, here) {
            // its bytes are the caller's business: Raft's threads are kept free of them
            (Purpose::Guest, Ok(here)) => self.make(whom, &here),
            _ => self.make(whom, &self.inner.runtime),
        };
        open.insert(key, channel.clone());
        channel
    }

    /// A connection of its own to whichever node of the cluster is there.
    pub(crate) fn to_address(&self, address: &str) -> Channel {
        let whom = Whom {
            address: address.to_owned(),
            node: None,
        };
        self.make(whom, &self.inner.runtime)
    }

    /// How many connections are kept.
    #[cfg(test)]
    pub(super) fn open(&self) -> usize {
        self.inner.open.lock().len()
    }

    fn make(&self, whom: Whom, runtime: &tokio::runtime::Handle) -> Channel {
        let _runtime = runtime.enter();
        let keyring = self.inner.origin.keyring.clone();
        let addresses = Arc::clone(&self.inner.addresses);
        let overrides = &self.inner.origin.dial;
        let named = whom.node.as_ref();
        let overridden = named.is_some_and(|node| overrides.contains_key(node));
        // the name stands in the requests; where they go is the connector's business
        Endpoint::from_static("http://node.llm-router.internal")
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .keep_alive_while_idle(true)
            .connect_with_connector_lazy(service_fn(move |_| {
                let (mut whom, keyring) = (whom.clone(), keyring.clone());
                let moved = whom.node.as_ref().filter(|_| !overridden);
                if let Some(now) = moved.and_then(|node| addresses.read().get(node).cloned()) {
                    whom.address = now;
                }
                async move { dial(whom, keyring).await.map(TokioIo::new) }
            }))
    }
}

/// What a failure to dial means to whoever asked.
pub(crate) fn undialled(error: &Undialled, peer: &str) -> Error {
    match error {
        Undialled::Refused(refused) => Error::Refused(Refused::clone(refused)),
        Undialled::Failed(reason) => Error::Unreachable {
            peer: peer.to_owned(),
            reason: reason.clone(),
        },
    }
}
