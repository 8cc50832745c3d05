//! A node that has forgotten what it acknowledged does not start.

use openraft::storage::RaftLogStorage;

use super::*;
use crate::store::db::{Db, Family};
use crate::store::entry;
use crate::store::mark::Mark;

/// Changes a closed store behind its back.
fn tamper(node: &Node, change: impl FnOnce(&Db)) {
    let db = Db::open(&node.data().join("db"), false).unwrap();
    change(&db);
    db.sync().unwrap();
}

async fn closed() -> Node {
    let node = Node::new();
    let store = node.open();
    lived(&store).await;
    drop(store);
    node
}

#[tokio::test]
async fn a_log_behind_its_watermark_is_refused_with_what_to_do() {
    let node = closed().await;
    tamper(&node, |db| {
        let mut batch = db.batch();
        batch.delete(Family::Logs, &entry::key(39)).unwrap();
        batch.write().unwrap();
    });
    let text = refused(&node);
    for words in [
        "entry 39",
        "must not vote",
        "llm-router cluster remove n1",
        "empty directory",
    ] {
        assert!(text.contains(words), "{text}");
    }
    refused(&node);
}

#[tokio::test]
async fn a_log_that_is_another_than_the_one_acknowledged_is_refused() {
    let node = closed().await;
    let store = node.open();
    store.log().truncate_after(Some(id(1, 30))).await.unwrap();
    acknowledge(&store, (31..60).map(|index| command(2, index))).await;
    drop(store);
    let other = Mark::read(&node.data()).unwrap().unwrap();
    let node = closed().await;
    let store = node.open();
    acknowledge(&store, (40..70).map(|index| command(1, index))).await;
    drop(store);
    other.write(&node.data()).unwrap();
    let text = refused(&node);
    assert!(text.contains("not the one it acknowledged"), "{text}");
}

#[tokio::test]
async fn a_forgotten_vote_is_refused() {
    let node = closed().await;
    let mut mark = Mark::read(&node.data()).unwrap().unwrap();
    assert_eq!(mark.vote, Some(vote(1)));
    mark.vote = Some(vote(2));
    mark.write(&node.data()).unwrap();
    assert!(refused(&node).contains("forgotten a vote"));
}

#[tokio::test]
async fn a_forgotten_owner_is_refused() {
    let node = closed().await;
    tamper(&node, |db| {
        let mut batch = db.batch();
        batch.delete(Family::Meta, b"identity").unwrap();
        batch.write().unwrap();
    });
    assert!(refused(&node).contains("forgotten that it is member 1, n1"));
}

#[tokio::test]
async fn a_missing_watermark_is_refused_once_there_is_something_to_forget() {
    let node = closed().await;
    std::fs::remove_file(node.data().join("watermark")).unwrap();
    assert!(refused(&node).contains("watermark is missing"));

    let node = Node::new();
    drop(node.open());
    std::fs::remove_file(node.data().join("watermark")).unwrap();
    node.open();
}

#[tokio::test]
async fn a_missing_database_is_refused() {
    let node = closed().await;
    std::fs::remove_dir_all(node.data().join("db")).unwrap();
    refused(&node);
}

#[tokio::test]
async fn a_hole_a_stranger_and_a_damaged_row_are_refused() {
    type Change = fn(&Db);
    let cases: [(&str, Change); 6] = [
        ("a hole", |db| {
            let mut batch = db.batch();
            batch.delete(Family::Logs, &entry::key(20)).unwrap();
            batch.write().unwrap();
        }),
        ("the beginning gone", |db| {
            let mut batch = db.batch();
            batch.delete(Family::Logs, &entry::key(0)).unwrap();
            batch.write().unwrap();
        }),
        ("an entry under another's index", |db| {
            let value = db.get(Family::Logs, &entry::key(20)).unwrap().unwrap();
            let mut batch = db.batch();
            batch.put(Family::Logs, &entry::key(21), &value).unwrap();
            batch.write().unwrap();
        }),
        ("an entry of another log", |db| {
            let tail = entry::Tail::default();
            let (value, _) = entry::encode(&blank(1, 21), &tail).unwrap();
            let mut batch = db.batch();
            batch.put(Family::Logs, &entry::key(21), &value).unwrap();
            batch.write().unwrap();
        }),
        ("a row of the state that cannot be read", |db| {
            let mut batch = db.batch();
            batch.put(Family::SmData, b"nonsense/1", b"x").unwrap();
            batch.write().unwrap();
        }),
        ("a state without its place in the log", |db| {
            let mut batch = db.batch();
            batch.delete(Family::SmMeta, b"applied").unwrap();
            batch.write().unwrap();
        }),
    ];
    for (what, change) in cases {
        let node = closed().await;
        tamper(&node, change);
        let text = refused(&node);
        assert!(text.contains("must not be used"), "{what}: {text}");
    }
}

#[test]
fn an_entry_of_a_newer_program_stops_with_its_level() {
    let (mut newer, _) = entry::encode(&command(1, 40), &entry::Tail::default()).unwrap();
    // behind index, chain, leader, kind and the command's format stands its level
    newer[42..44].fill(0xff);
    let text = match entry::Stored::read(40, &newer).unwrap().entry() {
        Ok(entry) => panic!("{entry:?}"),
        Err(error) => error.to_string(),
    };
    assert!(
        text.contains("log entry 40") && text.contains("level 65535"),
        "{text}"
    );
}
