//! Whole nodes in one process: real store, real network, real consensus.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpListener;

use super::{Options, Timing, TlsFiles, assemble, begin, start};
use crate::certs::create;
use crate::clock::unix_ms;
use crate::command::{Change, Command, Done, LEVEL, RequestId};
use crate::error::{Error, Refused};
use crate::handle::{Author, Consistency, Handle, Order};
use crate::identity::{ClusterId, NodeId, Revision};
use crate::raft::Peer;
use crate::status::Role;
use crate::transport::JoinRequest;

const PATIENCE: Duration = Duration::from_secs(10);

async fn node(name: &str, dir: &Path, join: &[&str]) -> Result<Handle, Error> {
    with_tls(name, dir, join, None).await
}

/// A node whose data is in `dir`, with its certificate of `certificates` if there are any.
async fn with_tls(
    name: &str,
    dir: &Path,
    join: &[&str],
    certificates: Option<&Path>,
) -> Result<Handle, Error> {
    start(options(name, dir, join, certificates).await).await
}

async fn options(name: &str, dir: &Path, join: &[&str], certificates: Option<&Path>) -> Options {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Options {
        node: NodeId::parse(name).unwrap(),
        dir: dir.to_owned(),
        advertise: listener.local_addr().unwrap().to_string(),
        listener,
        join: join.iter().map(|address| (*address).to_owned()).collect(),
        dial: BTreeMap::new(),
        tls: certificates.map(|made| TlsFiles {
            ca: made.join("ca.pem"),
            cert: made.join(format!("{name}.pem")),
            key: made.join(format!("{name}.key")),
        }),
        timing: Timing {
            heartbeat: Duration::from_millis(100),
            election_min: Duration::from_millis(400),
            election_max: Duration::from_millis(800),
        },
        faults: None,
    }
}

fn address(node: &Handle) -> String {
    let status = node.status();
    let mine = status.nodes.iter().find(|member| member.id == status.node);
    mine.unwrap().address.clone()
}

fn config(text: &str) -> Change {
    Change::Config {
        expected: None,
        text: text.to_owned(),
        note: String::new(),
    }
}

async fn put(node: &Handle, text: &str) -> Result<Done, Error> {
    node.propose(config(text), Author::new("test"), PATIENCE)
        .await
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_alone_is_a_cluster_and_remembers_what_it_agreed_on() {
    let dir = TempDir::new().unwrap();
    let alone = node("n1", dir.path(), &[]).await.unwrap();
    assert!(matches!(
        put(&alone, "{\"a\":1}").await,
        Ok(Done::Config { .. })
    ));
    let cluster = alone.cluster().clone();
    alone.shutdown().await;
    drop(alone);

    let again = node("n1", dir.path(), &[]).await.unwrap();
    assert_eq!(again.cluster(), &cluster);
    assert_eq!(again.state().revision(), Revision(1));
    assert!(put(&again, "{\"a\":2}").await.is_ok());
    let read = again
        .read(Consistency::Linearizable, PATIENCE)
        .await
        .unwrap();
    assert_eq!(read.config().current().unwrap().text, "{\"a\":2}");
    again.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn data_of_another_node_is_refused_and_left_as_it_is() {
    let dir = TempDir::new().unwrap();
    let first = node("n1", dir.path(), &[]).await.unwrap();
    put(&first, "{}").await.unwrap();
    first.shutdown().await;
    drop(first);
    let refused = node("n2", dir.path(), &[]).await.unwrap_err();
    assert!(refused.to_string().contains("is of node n1"), "{refused}");
    let again = node("n1", dir.path(), &[]).await.unwrap();
    assert_eq!(again.state().revision(), Revision(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_agree_and_outlive_their_leader() {
    let dirs = [(); 3].map(|()| TempDir::new().unwrap());
    let n1 = node("n1", dirs[0].path(), &[]).await.unwrap();
    put(&n1, "{\"a\":1}").await.unwrap();
    let seed = address(&n1);
    let n2 = node("n2", dirs[1].path(), &[&seed]).await.unwrap();
    let n3 = node("n3", dirs[2].path(), &[&seed]).await.unwrap();
    let voters = |node: &Handle| {
        let nodes = node.status().nodes;
        nodes
            .iter()
            .filter(|member| member.role != Role::Learner)
            .count()
    };
    eventually("three voters everywhere", || {
        [&n1, &n2, &n3].iter().all(|node| voters(node) == 3)
    })
    .await;
    assert_eq!(n3.seal_key(), n1.seal_key());

    let same_name = TempDir::new().unwrap();
    let refused = node("n2", same_name.path(), &[&seed]).await.unwrap_err();
    assert!(
        matches!(refused, Error::Refused(Refused::NameTaken { .. })),
        "{refused}"
    );
    // what it was told once must not be told again when the cause is gone
    assert!(!same_name.path().join("joining").exists());

    let done = put(&n2, "{\"a\":2}").await.unwrap();
    assert_eq!(
        done,
        Done::Config {
            revision: Revision(2)
        }
    );
    assert_eq!(
        n2.state().revision(),
        Revision(2),
        "applied where it was asked"
    );
    n3.at_least(Revision(2), PATIENCE).await.unwrap();
    let read = n3.read(Consistency::Linearizable, PATIENCE).await.unwrap();
    assert_eq!(read.digest(), n1.state().digest());

    n2.order(Order::TransferLeader(Some(n3.node().clone())), PATIENCE)
        .await
        .unwrap();
    eventually("n3 leads", || {
        n1.status().leader.as_ref() == Some(n3.node())
    })
    .await;
    n3.shutdown().await;
    drop(n3);
    eventually("another leads", || {
        let leader = n1.status().leader;
        leader.is_some_and(|leader| leader.as_str() != "n3") && n1.is_connected()
    })
    .await;
    put(&n1, "{\"a\":3}").await.unwrap();
    n2.at_least(Revision(3), PATIENCE).await.unwrap();

    n1.order(Order::Remove(NodeId::parse("n3").unwrap()), PATIENCE)
        .await
        .unwrap();
    eventually("n3 is forgotten", || n2.status().nodes.len() == 2).await;
    // it was away when that was agreed on
    let n3 = node("n3", dirs[2].path(), &[&seed]).await.unwrap();
    let failure = tokio::time::timeout(PATIENCE, n3.failed()).await.unwrap();
    assert_eq!(failure.code, 78, "{failure:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_removed_ends_and_is_not_heard_any_more() {
    let dirs = [(); 3].map(|()| TempDir::new().unwrap());
    let n1 = node("n1", dirs[0].path(), &[]).await.unwrap();
    let seed = address(&n1);
    let n2 = node("n2", dirs[1].path(), &[&seed]).await.unwrap();
    let n3 = node("n3", dirs[2].path(), &[&seed]).await.unwrap();
    eventually("all are in contact", || {
        let alive = |node: &Handle| node.status().nodes.iter().filter(|one| one.alive).count();
        [&n1, &n2, &n3].iter().all(|node| alive(node) == 3)
    })
    .await;
    n1.order(Order::Remove(n3.node().clone()), PATIENCE)
        .await
        .unwrap();
    let failure = tokio::time::timeout(PATIENCE, n3.failed()).await.unwrap();
    assert_eq!(failure.code, 78, "{failure:?}");
    assert!(failure.reason.contains("was removed"), "{failure:?}");
    let refused = put(&n3, "{}").await.unwrap_err();
    assert!(
        matches!(&refused, Error::Refused(Refused::NotMember { name }) if name == "n3"),
        "{refused}"
    );
    eventually("n3 is out of contact", || !n3.is_connected()).await;
    put(&n2, "{}").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn data_of_one_cluster_does_not_join_another() {
    let dirs = [(); 2].map(|()| TempDir::new().unwrap());
    let ours = node("n1", dirs[0].path(), &[]).await.unwrap();
    let theirs = node("n2", dirs[1].path(), &[]).await.unwrap();
    theirs.shutdown().await;
    drop(theirs);
    let refused = node("n2", dirs[1].path(), &[&address(&ours)])
        .await
        .unwrap_err();
    assert!(
        matches!(refused, Error::Refused(Refused::OtherData { .. })),
        "{refused}"
    );
    assert_eq!(ours.status().nodes.len(), 1);
    assert!(
        node("n2", dirs[1].path(), &[]).await.is_ok(),
        "nothing changed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_ended_before_it_noted_its_number_gets_the_same_again() {
    let dirs = [(); 2].map(|()| TempDir::new().unwrap());
    let n1 = node("n1", dirs[0].path(), &[]).await.unwrap();
    let asking = dirs[1].path().join("joining");
    let id = format!("{:032x}", 7);
    std::fs::write(&asking, &id).unwrap();
    let n2 = node("n2", dirs[1].path(), &[&address(&n1)]).await.unwrap();
    let number = n2.member();
    assert!(!asking.exists(), "answered and noted");
    n2.shutdown().await;
    drop(n2);

    let as_before = TempDir::new().unwrap();
    std::fs::write(as_before.path().join("joining"), &id).unwrap();
    let n2 = node("n2", as_before.path(), &[&address(&n1)]).await;
    assert_eq!(n2.unwrap().member(), number);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_that_comes_before_the_cluster_has_begun_succeeds_when_it_is_repeated() {
    let dir = TempDir::new().unwrap();
    let (n1, first) = assemble(options("n1", dir.path(), &[], None).await)
        .await
        .unwrap();
    assert!(first);
    let (raft, alone) = (n1.raft.get().unwrap(), n1.me().0);
    let itself = Peer {
        name: n1.identity.node.clone(),
        address: n1.address.clone(),
    };
    let members = BTreeMap::from([(alone, itself)]);
    raft.initialize(members).await.unwrap();
    let patient = raft.wait(Some(PATIENCE));
    patient.current_leader(alone, "it leads").await.unwrap();

    let join = JoinRequest {
        cluster: None,
        node: NodeId::parse("n2").unwrap(),
        address: "127.0.0.1:1".to_owned(),
        level: LEVEL,
        request: RequestId(7),
    };
    let early = n1.let_in(join.clone()).await;
    assert!(matches!(early, Err(Error::NoQuorum { .. })), "{early:?}");
    begin(&n1).await.unwrap();
    n1.let_in(join).await.unwrap();
    assert_eq!(n1.state().members().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_comes_back_elsewhere_is_found_again() {
    let dirs = [(); 3].map(|()| TempDir::new().unwrap());
    let n1 = node("n1", dirs[0].path(), &[]).await.unwrap();
    let seed = address(&n1);
    let n2 = node("n2", dirs[1].path(), &[&seed]).await.unwrap();
    let n3 = node("n3", dirs[2].path(), &[&seed]).await.unwrap();
    let all_vote = || {
        let nodes = n2.status().nodes;
        nodes.len() == 3 && nodes.iter().all(|member| member.role != Role::Learner)
    };
    eventually("three voters", all_vote).await;
    n1.shutdown().await;
    drop(n1);
    eventually("another leads, and both know", || {
        let known = |node: &Handle| {
            let leader = node.status().leader;
            let leader = leader.filter(|leader| leader.as_str() != "n1");
            leader.filter(|_| node.is_connected())
        };
        known(&n2).is_some() && known(&n2) == known(&n3)
    })
    .await;
    put(&n2, "{}").await.unwrap();

    // somebody else has its old address by now, so it cannot be given it again
    let taken = std::net::TcpListener::bind(&*seed);
    let n1 = node("n1", dirs[0].path(), &[]).await.unwrap();
    drop(taken);
    n1.at_least(Revision(1), PATIENCE).await.unwrap();
    eventually("it is connected", || n1.is_connected()).await;
    // a leader may reach it before the others have agreed where it is
    eventually("its new address is agreed on", || address(&n1) != seed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_begun_again_under_the_same_certificates_is_another_one() {
    let made = TempDir::new().unwrap();
    let names = ["n1", "n2"].map(|name| NodeId::parse(name).unwrap());
    let prod = ClusterId::parse("prod").unwrap();
    create(made.path(), Some(prod.clone()), &names, 30).unwrap();
    let start = async |name: &str, dir: &TempDir, join: &[&str]| {
        with_tls(name, dir.path(), join, Some(made.path())).await
    };
    let dirs = [(); 3].map(|()| TempDir::new().unwrap());
    let n1 = start("n1", &dirs[0], &[]).await.unwrap();
    assert_eq!(n1.cluster().certified(), prod);
    let strayed = start("n2", &dirs[1], &[]).await.unwrap();
    assert_ne!(n1.cluster(), strayed.cluster(), "begun twice");
    strayed.shutdown().await;
    drop(strayed);

    let refused = start("n2", &dirs[1], &[&address(&n1)]).await.unwrap_err();
    assert!(
        matches!(refused, Error::Refused(Refused::OtherData { .. })),
        "{refused}"
    );
    let n2 = start("n2", &dirs[2], &[&address(&n1)]).await.unwrap();
    assert_eq!(n2.cluster(), n1.cluster());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_ahead_takes_the_agreed_time_a_few_minutes_along_at_most() {
    let dir = TempDir::new().unwrap();
    let n1 = node("n1", dir.path(), &[]).await.unwrap();
    let year_ahead = Command {
        request: RequestId(1),
        at_ms: unix_ms() + 365 * 24 * 3600 * 1000,
        by: "test".to_owned(),
        change: config("{}"),
    };
    n1.inside().append(year_ahead).await.unwrap();
    let told = n1.state().clock_ms();
    assert!(told < unix_ms() + 10 * 60 * 1000, "{told}");
    let large = config(&"x".repeat(7 << 20));
    let refused = n1.propose(large, Author::new("test"), PATIENCE).await;
    assert!(matches!(refused, Err(Error::Rejected(_))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_looked_at_from_all_sides_goes_on() {
    let dir = TempDir::new().unwrap();
    let n1 = node("n1", dir.path(), &[]).await.unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let lookers: Vec<_> = (0..4)
        .map(|_| {
            let (n1, over) = (n1.clone(), Arc::clone(&over));
            std::thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let _ = (n1.status(), n1.is_connected());
                }
            })
        })
        .collect();
    for number in 0..300 {
        put(&n1, &number.to_string()).await.unwrap();
    }
    over.store(true, Ordering::Relaxed);
    for looker in lookers {
        looker.join().unwrap();
    }
}
