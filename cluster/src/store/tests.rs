//! The store, held to its promises.

mod conformance;
mod damage;
mod disk;
mod durability;
mod forgetting;
mod raft;
mod snapshots;

use std::io;
use std::path::{Path, PathBuf};

use openraft::storage::{IOFlushed, RaftLogReader, RaftLogStorage, RaftStateMachine};
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::{OneshotReceiverOf, VoteOf};
use openraft::vote::RaftVote;
use openraft::{EntryPayload, Membership};

use super::disk::Reserve;
use super::entry::{Entry, EntryId, entry_id};
use super::{Faults, Identity, Store, open_with};
use crate::command::{Change, Command, RequestId};
use crate::error::Error;
use crate::identity::{ClusterId, MemberId, NodeId};
use crate::raft::{Peer, TypeConfig};

/// Room enough on any disk, and little of it reserved.
const RESERVE: Reserve = Reserve {
    ballast_bytes: 1 << 16,
    ballast_needs_bytes: 0,
    floor_bytes: 0,
};

/// A directory, and the fail points of the stores opened on it.
struct Node {
    dir: tempfile::TempDir,
}

type Flushed = OneshotReceiverOf<TypeConfig, io::Result<()>>;

impl Node {
    fn new() -> Self {
        Node {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn try_open(&self) -> Result<Store, Error> {
        let faults = Faults::from_file(self.dir.path().join("faults"));
        open_with(&self.data(), faults, RESERVE)
    }

    fn open(&self) -> Store {
        self.try_open().unwrap()
    }

    /// Sets the fail points, in place of those there were.
    fn fail(&self, rules: &str) {
        std::fs::write(self.dir.path().join("faults"), rules).unwrap();
    }

    /// A node that has this one's directory as it is now: what a crash would leave. In memory
    /// where that can be, for there are hundreds of them and none is to last.
    fn copy(&self) -> Node {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let copy = Node { dir: dir.unwrap() };
        copy_dir(&self.data(), &copy.data());
        copy
    }
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else if entry.file_name() != "ballast" {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn id(term: u64, index: u64) -> EntryId {
    entry_id(term, 1, index)
}

fn vote(term: u64) -> VoteOf<TypeConfig> {
    VoteOf::<TypeConfig>::from_leader_id(id(term, 0).leader_id, false)
}

fn blank(term: u64, index: u64) -> Entry {
    Entry {
        log_id: id(term, index),
        payload: EntryPayload::Blank,
    }
}

fn member(term: u64, index: u64) -> Entry {
    let peer = Peer {
        name: NodeId::parse("n1").unwrap(),
        address: "127.0.0.1:7400".to_owned(),
    };
    let nodes = std::collections::BTreeMap::from([(1, peer)]);
    Entry {
        log_id: id(term, index),
        payload: EntryPayload::Membership(Membership::from(nodes)),
    }
}

/// Lets the cache epoch of a scope of its own grow.
fn command(term: u64, index: u64) -> Entry {
    let change = Change::CacheEpoch {
        scope: format!("tag/{index}"),
    };
    Entry {
        log_id: id(term, index),
        payload: EntryPayload::Normal(Command {
            request: RequestId(u128::from(index)),
            at_ms: index,
            by: "test".to_owned(),
            change,
        }),
    }
}

fn identity(number: u64) -> Identity {
    Identity {
        cluster: ClusterId::parse("c1").unwrap(),
        member: MemberId(number),
        node: NodeId::parse(&format!("n{number}")).unwrap(),
        seal_key: [7; 32],
    }
}

/// Hands entries to the log; what is returned resolves once they are acknowledged.
async fn append(store: &Store, entries: impl IntoIterator<Item = Entry>) -> io::Result<Flushed> {
    let (done, flushed) = TypeConfig::oneshot();
    let entries: Vec<Entry> = entries.into_iter().collect();
    let callback = IOFlushed::signal(done);
    store.log().append(entries, callback).await?;
    Ok(flushed)
}

/// Appends, and waits until it is acknowledged.
async fn acknowledge(store: &Store, entries: impl IntoIterator<Item = Entry>) {
    let flushed = append(store, entries).await.unwrap();
    flushed.await.unwrap().unwrap();
}

async fn apply(store: &Store, entries: impl IntoIterator<Item = Entry>) -> io::Result<()> {
    let entries: Vec<_> = entries.into_iter().map(|entry| Ok((entry, None))).collect();
    let mut machine = store.machine();
    machine.apply(futures::stream::iter(entries)).await
}

async fn entries(store: &Store) -> Vec<Entry> {
    store.log().try_get_log_entries(..).await.unwrap()
}

async fn last(store: &Store) -> Option<EntryId> {
    store.log().get_log_state().await.unwrap().last_log_id
}

/// The words of a refusal.
fn refused(node: &Node) -> String {
    let error = node.try_open().map(drop).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::Store(_)), "{text}");
    text
}

/// An entry of each kind, a vote, an owner, something applied.
async fn lived(store: &Store) {
    store.found(&identity(1)).unwrap();
    store.log().save_vote(&vote(1)).await.unwrap();
    let first = [member(1, 0), blank(1, 1)];
    let rest = (2..40).map(|index| command(1, index));
    let all: Vec<Entry> = first.into_iter().chain(rest).collect();
    for entry in all.clone() {
        acknowledge(store, [entry]).await;
    }
    store.log().save_committed(Some(id(1, 39))).await.unwrap();
    apply(store, all).await.unwrap();
}
