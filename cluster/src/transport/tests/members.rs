//! openraft over the real store and the real network: members that agree through the door.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use openraft::{ChangeMembers, Config, RaftMetrics};
use tokio::net::TcpListener;
use tokio::sync::OnceCell;
use tokio::task::JoinSet;

use super::{certificates, cluster, keyring, node};
use crate::command::{Change, Command, RequestId};
use crate::error::Error;
use crate::handle::Order;
use crate::identity::{ClusterId, MemberId, NodeId};
use crate::pulse::{Directive, Report};
use crate::raft::{Peer, TypeConfig};
use crate::store::{self, Faults, Identity, Store};
use crate::tls::Keyring;
use crate::transport::{
    Core, Door, GuestRoom, JoinRequest, Joined, Lines, Network, Origin, Proposed, Raft, Seat,
};

const PATIENCE: Duration = Duration::from_secs(20);

struct Member {
    number: u64,
    store: Store,
    raft: OnceCell<Raft>,
    guests: GuestRoom,
    _dir: tempfile::TempDir,
}

#[tonic::async_trait]
impl Seat for Member {
    fn raft(&self) -> Option<Arc<dyn Core>> {
        let raft = self.raft.get().cloned()?;
        Some(Arc::new(raft))
    }

    fn cluster(&self) -> Option<ClusterId> {
        Some(cluster("a"))
    }

    fn node(&self) -> NodeId {
        node(&format!("n{}", self.number))
    }

    fn member(&self) -> Option<MemberId> {
        Some(MemberId(self.number))
    }

    fn leader(&self) -> Option<(MemberId, Peer)> {
        None
    }

    fn name_of(&self, member: MemberId) -> Option<NodeId> {
        Some(node(&format!("n{member}")))
    }

    fn has_retired(&self, _: MemberId) -> bool {
        false
    }

    fn guests(&self) -> &GuestRoom {
        &self.guests
    }

    fn receiving(&self) -> io::Result<PathBuf> {
        self.store.receiving()
    }

    async fn propose(&self, _: Command) -> Result<Proposed, Error> {
        Err(Error::Stopped)
    }

    async fn read_index(&self) -> Result<u64, Error> {
        Err(Error::Stopped)
    }

    async fn join(&self, _: JoinRequest) -> Result<Joined, Error> {
        Err(Error::Stopped)
    }

    async fn order(&self, _: Order) -> Result<(), Error> {
        Err(Error::Stopped)
    }

    fn exchange(
        &self,
        _: MemberId,
        _: BoxStream<'static, Report>,
    ) -> Result<BoxStream<'static, Directive>, Error> {
        Err(Error::Stopped)
    }
}

fn command(number: u64) -> Command {
    Command {
        request: RequestId(u128::from(number)),
        at_ms: number,
        by: "test".into(),
        change: Change::CacheEpoch {
            scope: format!("tenant/t{number}"),
        },
    }
}

fn settings() -> Arc<Config> {
    let config = Config {
        heartbeat_interval: 100,
        election_timeout_min: 400,
        election_timeout_max: 800,
        enable_pre_vote: Some(true),
        install_snapshot_timeout: 10_000,
        max_in_snapshot_log_to_keep: 0,
        purge_batch_size: 1,
        ..Config::default()
    };
    Arc::new(config.validate().unwrap())
}

/// A running member and where it is.
async fn member(
    number: u64,
    keyring: Option<Keyring>,
    doors: &mut JoinSet<()>,
) -> (Arc<Member>, Peer) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = Peer {
        name: node(&format!("n{number}")),
        address: listener.local_addr().unwrap().to_string(),
    };
    let dir = tempfile::tempdir().unwrap();
    let store = store::open(dir.path(), Faults::none()).unwrap();
    let identity = Identity {
        cluster: cluster("a"),
        member: MemberId(number),
        node: peer.name.clone(),
        seal_key: [0; 32],
    };
    store.found(&identity).unwrap();
    let lines = Lines::new(Origin {
        node: peer.name.clone(),
        dial: BTreeMap::new(),
        keyring: keyring.clone(),
    });
    lines.introduce(cluster("a"), MemberId(number));
    let raft = Raft::new(
        number,
        settings(),
        Network::new(lines),
        store.log(),
        store.machine(),
    );
    let member = Arc::new(Member {
        number,
        raft: OnceCell::new_with(Some(raft.await.unwrap())),
        guests: GuestRoom::default(),
        store,
        _dir: dir,
    });
    let seat: Arc<dyn Seat> = member.clone();
    doors.spawn(async move {
        let served = Door::serve(listener, seat, keyring, std::future::pending());
        served.await.unwrap();
    });
    (member, peer)
}

fn raft(member: &Member) -> &Raft {
    member.raft.get().unwrap()
}

/// What the commands came to, as this member has it.
fn epochs(member: &Member) -> Vec<u64> {
    let state = Arc::clone(&member.store.states().borrow());
    let scopes = (0..20).map(|number| format!("tenant/t{number}"));
    let epochs = state.cache_scopes();
    scopes
        .map(|scope| u64::from(epochs.contains_key(&scope)))
        .collect()
}

/// Waits until the member's metrics say so.
async fn until(member: &Member, what: &str, so: impl Fn(&RaftMetrics<TypeConfig>) -> bool + Send) {
    let wait = raft(member).wait(Some(PATIENCE));
    wait.metrics(so, what).await.unwrap();
}

/// Writes through this member, as soon as it leads with a quorum; where in the log that is.
async fn write(member: &Member, number: u64) -> u64 {
    let write = async {
        loop {
            match raft(member).client_write(command(number)).await {
                Ok(written) => return written.log_id.index,
                // a new leader hears from its quorum first
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, write).await.unwrap()
}

async fn applied(member: &Member, index: u64) {
    until(member, "applied", |metrics| {
        metrics.last_applied.is_some_and(|last| last.index >= index)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_members_agree_and_a_fourth_that_comes_late_gets_a_snapshot() {
    let dir = certificates();
    crate::certs::create(dir.path(), None, &[node("n4")], 30).unwrap();
    let ring = |name| Some(keyring(dir.path(), name));
    let mut doors = JoinSet::new();
    let (first, at_first) = member(1, ring("n1"), &mut doors).await;
    let (second, at_second) = member(2, ring("n2"), &mut doors).await;
    let (third, at_third) = member(3, ring("n3"), &mut doors).await;
    let all = BTreeMap::from([(1, at_first), (2, at_second), (3, at_third)]);
    raft(&first).initialize(all).await.unwrap();
    until(&first, "it leads", |metrics| {
        metrics.current_leader == Some(1)
    })
    .await;

    assert!(epochs(&first).iter().all(|epoch| *epoch == 0));
    let mut last = 0;
    for number in 0..20 {
        last = write(&first, number).await;
    }
    for member in [&first, &second, &third] {
        applied(member, last).await;
        assert_eq!(epochs(member), epochs(&first));
    }

    assert!(epochs(&first).iter().all(|epoch| *epoch > 0));

    // leadership goes where it is told to, through the door
    raft(&first).trigger().transfer_leader(2).await.unwrap();
    until(&third, "the second leads", |metrics| {
        metrics.current_leader == Some(2)
    })
    .await;

    // the log before the snapshot is gone: only the snapshot can tell the fourth of it
    raft(&second).trigger().snapshot().await.unwrap();
    until(&second, "the log is purged", |metrics| {
        metrics.purged.is_some_and(|purged| purged.index >= last)
    })
    .await;
    let (fourth, at_fourth) = member(4, ring("n4"), &mut doors).await;
    raft(&second).add_learner(4, at_fourth, true).await.unwrap();
    applied(&fourth, last).await;
    until(&fourth, "it has the snapshot", |metrics| {
        metrics
            .snapshot
            .is_some_and(|snapshot| snapshot.index >= last)
    })
    .await;
    assert_eq!(epochs(&fourth), epochs(&second));

    // five need no more than what three have shown; a vote for the fourth is one more entry
    let votes = ChangeMembers::AddVoterIds(BTreeSet::from([4]));
    raft(&second).change_membership(votes, false).await.unwrap();
    let after = write(&second, 99).await;
    for member in [&first, &second, &third, &fourth] {
        applied(member, after).await;
    }
}
