//! Snapshots: whole or not at all, and never an older one for a newer.

use openraft::storage::{RaftLogStorage, RaftSnapshotBuilder, RaftStateMachine, Snapshot};

use super::*;
use crate::store::SnapshotFile;
use crate::store::snapshot::{self, Meta};

type Taken = openraft::type_config::alias::SnapshotOf<TypeConfig, SnapshotFile>;

async fn build(store: &Store) -> io::Result<Taken> {
    let builder = store.machine().try_create_snapshot_builder(true).await;
    builder.unwrap().build_snapshot().await
}

async fn current(store: &Store) -> Option<Meta> {
    let current = store.machine().get_current_snapshot().await.unwrap();
    current.map(|current| current.meta)
}

async fn install(store: &Store, snapshot: Taken) -> io::Result<()> {
    let mut machine = store.machine();
    machine
        .install_snapshot(&snapshot.meta, snapshot.snapshot)
        .await
}

/// The snapshot, as the transport leaves it with another node.
fn received(store: &Store, snapshot: &Taken) -> Taken {
    let path = store.receiving().unwrap();
    std::fs::copy(&snapshot.snapshot.path, &path).unwrap();
    Snapshot {
        meta: snapshot.meta.clone(),
        snapshot: SnapshotFile {
            path,
            ..snapshot.snapshot.clone()
        },
    }
}

/// A leader with a snapshot at entry 39.
async fn leader() -> (Node, Store, Taken) {
    let node = Node::new();
    let store = node.open();
    lived(&store).await;
    let snapshot = build(&store).await.unwrap();
    (node, store, snapshot)
}

/// A follower with a state of its own, at entry 4.
async fn follower() -> (Node, Store) {
    let node = Node::new();
    let store = node.open();
    let few = [
        member(1, 0),
        blank(1, 1),
        command(1, 2),
        command(1, 3),
        command(1, 4),
    ];
    acknowledge(&store, few.clone()).await;
    apply(&store, few).await.unwrap();
    (node, store)
}

fn digest(store: &Store) -> [u8; 32] {
    store.states().borrow().digest()
}

/// The rows, and how far the store says they go: rows of one moment under the id of another would
/// never be put right.
async fn stands(store: &Store) -> (Option<EntryId>, [u8; 32]) {
    let (applied, _) = store.machine().applied_state().await.unwrap();
    (applied, digest(store))
}

fn snapshot_files(node: &Node) -> usize {
    std::fs::read_dir(node.data().join("snapshots"))
        .unwrap()
        .count()
}

#[tokio::test]
async fn an_installed_snapshot_takes_the_place_of_everything() {
    let (_leader, leading, snapshot) = leader().await;
    let (node, store) = follower().await;
    let mut states = store.states();
    states.mark_unchanged();
    let incoming = received(&store, &snapshot);
    install(&store, incoming.clone()).await.unwrap();
    assert!(states.has_changed().unwrap(), "it is published");
    assert_eq!(digest(&store), digest(&leading));
    assert!(!incoming.snapshot.path.exists(), "moved into place");
    store.log().purge(id(1, 39)).await.unwrap();
    assert_eq!(last(&store).await, Some(id(1, 39)));
    acknowledge(&store, [command(1, 40)]).await;
    drop(store);

    let store = node.open();
    assert_eq!(digest(&store), digest(&leading));
    assert_eq!(current(&store).await, Some(snapshot.meta));
    let (applied, _) = store.machine().applied_state().await.unwrap();
    assert_eq!(
        (applied, last(&store).await),
        (Some(id(1, 39)), Some(id(1, 40)))
    );
}

#[tokio::test]
async fn an_install_that_fails_anywhere_leaves_the_old_state_or_can_be_done_again() {
    for rule in [
        "snapshot_write error",
        "install error",
        "snapshot_write enospc",
        "install enospc",
    ] {
        let (_leader, leading, snapshot) = leader().await;
        let (node, store) = follower().await;
        let before = stands(&store).await;
        let incoming = received(&store, &snapshot);
        node.fail(rule);
        install(&store, incoming).await.unwrap_err();
        assert_eq!(stands(&store).await, before, "{rule}");
        let on_disk = stands(&node.copy().open()).await;
        assert_eq!(on_disk, before, "{rule}: on disk");
        drop(store);
        node.fail("");

        // on start openraft installs a snapshot that is newer than the state
        let store = node.open();
        assert_eq!(stands(&store).await, before, "{rule}: after a restart");
        let there = store.machine().get_current_snapshot().await.unwrap();
        let published = rule.starts_with("install");
        assert_eq!(there.is_some(), published, "{rule}");
        let again = there.unwrap_or_else(|| received(&store, &snapshot));
        install(&store, again).await.unwrap();
        assert_eq!(digest(&store), digest(&leading), "{rule}");
        drop(store);
        assert_eq!(digest(&node.open()), digest(&leading), "{rule}");
    }
}

#[tokio::test]
async fn a_snapshot_that_is_not_what_was_announced_changes_nothing() {
    let (_leader, _leading, snapshot) = leader().await;
    let (node, store) = follower().await;
    let before = digest(&store);
    type Change = fn(&mut Taken);
    let cases: [(&str, Change); 6] = [
        ("a flipped byte", |taken| {
            let mut bytes = std::fs::read(&taken.snapshot.path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(&taken.snapshot.path, bytes).unwrap();
        }),
        ("cut short", |taken| {
            let bytes = std::fs::read(&taken.snapshot.path).unwrap();
            std::fs::write(&taken.snapshot.path, &bytes[..bytes.len() - 1]).unwrap();
        }),
        ("another length", |taken| taken.snapshot.bytes += 1),
        ("another digest", |taken| taken.snapshot.sha256[0] ^= 1),
        ("another moment", |taken| {
            taken.meta.last_log_id = Some(id(1, 38))
        }),
        ("rows of no state", |taken| {
            let rows = [Ok((b"nonsense/1".to_vec(), b"x".to_vec()))];
            taken.snapshot =
                snapshot::write(&taken.snapshot.path, &taken.meta, rows.into_iter()).unwrap();
        }),
    ];
    for (what, change) in cases {
        let mut taken = received(&store, &snapshot);
        change(&mut taken);
        let path = taken.snapshot.path.clone();
        install(&store, taken).await.expect_err(what);
        assert!(!path.exists(), "{what}");
        assert_eq!(digest(&store), before, "{what}");
        assert_eq!(current(&store).await, None, "{what}");
    }
    drop(store);
    assert_eq!(digest(&node.open()), before);
}

#[tokio::test]
async fn an_older_snapshot_never_takes_the_place_of_a_newer() {
    let (_leader, _leading, newer) = leader().await;
    let (_node, store) = follower().await;
    // a build that saw entry 4, and is published after entry 39 came in
    let older = build(&store).await.unwrap();
    let kept = store.receiving().unwrap();
    std::fs::copy(&older.snapshot.path, &kept).unwrap();
    let late = SnapshotFile {
        path: kept.clone(),
        ..older.snapshot.clone()
    };
    install(&store, received(&store, &newer)).await.unwrap();
    assert_eq!(current(&store).await, Some(newer.meta.clone()));

    let published = store.shared.shelf.publish(&older.meta, &late).unwrap();
    assert_eq!(published.meta, newer.meta);
    assert!(!kept.exists());
    std::fs::write(&kept, "").unwrap();
    let late = received(&store, &newer);
    let late = Snapshot {
        meta: older.meta,
        ..late
    };
    install(&store, late).await.unwrap_err();
    assert_eq!(current(&store).await, Some(newer.meta));
}

#[tokio::test]
async fn a_snapshot_holds_one_moment_while_entries_are_applied() {
    let node = Node::new();
    let store = node.open();
    acknowledge(&store, [member(1, 0)]).await;
    apply(&store, [member(1, 0)]).await.unwrap();
    let applying = async {
        for index in 1..200 {
            apply(&store, [command(1, index)]).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let building = async {
        let mut seen = 0;
        for _ in 0..10 {
            let taken = build(&store).await.unwrap();
            let rows = snapshot::read(&taken.snapshot.path).unwrap().rows;
            let state = crate::State::from_rows(rows).unwrap();
            let last = taken.meta.last_log_id.unwrap().index;
            assert_eq!(
                state.clock_ms(),
                last,
                "data of another moment than its meta"
            );
            assert_eq!(snapshot_files(&node), 1, "the one before it is gone");
            seen += 1;
        }
        seen
    };
    let ((), seen) = tokio::join!(applying, building);
    assert_eq!(seen, 10);
}

#[tokio::test]
async fn a_build_that_fails_leaves_the_snapshot_before_it() {
    let (node, store, snapshot) = leader().await;
    acknowledge(&store, [command(1, 40)]).await;
    apply(&store, [command(1, 40)]).await.unwrap();
    node.fail("snapshot_write error");
    build(&store).await.map(drop).unwrap_err();
    assert_eq!(current(&store).await, Some(snapshot.meta.clone()));
    drop(store);
    node.fail("");
    let store = node.open();
    assert_eq!(current(&store).await, Some(snapshot.meta));
    assert_eq!(snapshot_files(&node), 1);
    let next = build(&store).await.unwrap();
    assert_eq!(next.meta.last_log_id, Some(id(1, 40)));
}

#[tokio::test]
async fn what_a_crash_left_half_written_goes_and_the_newer_of_two_stays() {
    let (node, store, first) = leader().await;
    let first_path = first.snapshot.path.clone();
    let saved = std::fs::read(&first_path).unwrap();
    acknowledge(&store, [command(1, 40)]).await;
    apply(&store, [command(1, 40)]).await.unwrap();
    let second = build(&store).await.unwrap();
    drop(store);
    std::fs::write(&first_path, saved).unwrap();
    std::fs::write(node.data().join("snapshots/7.part"), "half").unwrap();
    std::fs::write(node.data().join("receiving/7.part"), "half").unwrap();
    let store = node.open();
    assert_eq!(current(&store).await, Some(second.meta));
    assert_eq!(snapshot_files(&node), 1);
}

#[tokio::test]
async fn a_damaged_snapshot_is_refused_and_so_is_a_missing_one() {
    let (node, store, snapshot) = leader().await;
    store.log().purge(id(1, 20)).await.unwrap();
    drop(store);
    let path = snapshot.snapshot.path;
    let good = std::fs::read(&path).unwrap();
    for at in (0..good.len()).step_by(37) {
        let mut bytes = good.clone();
        bytes[at] ^= 0x40;
        std::fs::write(&path, bytes).unwrap();
        assert!(refused(&node).contains("snapshot"), "byte {at}");
    }
    std::fs::remove_file(&path).unwrap();
    assert!(refused(&node).contains("no snapshot"));
    std::fs::write(&path, good).unwrap();
    node.open();
}

#[tokio::test]
async fn incoming_files_are_few() {
    let node = Node::new();
    let store = node.open();
    let all: Vec<_> = (0..10).map(|_| store.receiving().unwrap()).collect();
    let left: Vec<_> = all.iter().filter(|path| path.exists()).collect();
    assert_eq!(
        left,
        all[6..].iter().collect::<Vec<_>>(),
        "the oldest give way"
    );
}
