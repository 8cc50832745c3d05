//! A full disk takes no vote away.

use openraft::storage::{RaftLogStorage, RaftStateMachine};

use super::*;

#[tokio::test]
async fn a_full_disk_refuses_proposals_and_keeps_votes() {
    let node = Node::new();
    let reserve = Reserve {
        floor_bytes: u64::MAX,
        ..RESERVE
    };
    let faults = Faults::from_file(node.dir.path().join("faults"));
    let store = open_with(&node.data(), faults, reserve).unwrap();
    assert!(store.room().full, "whoever proposes asks first");
    let mut machine = store.machine();
    let put_off = machine.try_create_snapshot_builder(false).await.is_none();
    assert!(put_off, "a snapshot nobody needs can wait");
    assert!(machine.try_create_snapshot_builder(true).await.is_some());

    let ballast = node.data().join("ballast");
    assert!(ballast.exists());
    node.fail("append enospc");
    let error = append(&store, [blank(1, 0)]).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert!(!ballast.exists(), "the reserve is given up");
    store.log().save_vote(&vote(5)).await.unwrap();
    drop((store, machine));
    assert!(!node.open().room().full);
}

#[tokio::test]
async fn room_runs_out_on_order_and_the_store_goes_on() {
    let node = Node::new();
    let store = node.open();
    node.fail("room enospc *");
    assert_eq!((store.room().full, store.room().free_mib), (true, 0));
    acknowledge(&store, [blank(1, 0)]).await;
    assert!(store.failed().borrow().is_none(), "writes still find room");
    node.fail("");
    assert!(!store.room().full);
}

#[tokio::test]
async fn a_disk_with_room_takes_proposals() {
    let node = Node::new();
    let room = node.open().room();
    assert!(!room.full && room.free_mib > 0, "{room:?}");
}
