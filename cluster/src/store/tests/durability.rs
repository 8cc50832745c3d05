//! What is answered is durable, and what is durable comes back.

use std::time::Duration;

use openraft::storage::{RaftLogReader, RaftLogStorage, RaftSnapshotBuilder, RaftStateMachine};
use tokio::time::timeout;

use super::*;
use crate::store::mark::Mark;

#[tokio::test]
async fn a_vote_is_durable_before_it_is_answered() {
    let node = Node::new();
    let store = node.open();
    node.fail("fsync delay:200");
    let mut log = store.log();
    let vote = vote(3);
    let mut saving = std::pin::pin!(log.save_vote(&vote));
    assert!(
        timeout(Duration::from_millis(50), &mut saving)
            .await
            .is_err(),
        "answered before the sync was over"
    );
    saving.await.unwrap();
    let left = node.copy().open();
    assert_eq!(left.log().read_vote().await.unwrap(), Some(vote));
}

#[tokio::test]
async fn an_entry_can_be_read_at_once_and_is_acknowledged_when_it_is_durable() {
    let node = Node::new();
    let store = node.open();
    node.fail("fsync delay:200");
    let mut flushed = append(&store, [blank(1, 0)]).await.unwrap();
    assert_eq!(entries(&store).await, [blank(1, 0)]);
    assert!(
        timeout(Duration::from_millis(50), &mut flushed)
            .await
            .is_err(),
        "acknowledged before the sync was over"
    );
    flushed.await.unwrap().unwrap();
    assert_eq!(entries(&node.copy().open()).await, [blank(1, 0)]);
}

#[tokio::test]
async fn one_sync_answers_all_that_wait_for_it() {
    let node = Node::new();
    let store = node.open();
    // the first sync is slow, the third would fail: five appends need no more than two
    node.fail("fsync delay:100 1\n");
    let mut waiting = Vec::new();
    for index in 0..5 {
        waiting.push(append(&store, [blank(1, index)]).await.unwrap());
    }
    let slow = waiting.remove(0);
    slow.await.unwrap().unwrap();
    node.fail("fsync error *");
    let answers = futures::future::join_all(waiting).await;
    let answers: Vec<bool> = answers
        .into_iter()
        .map(|answer| answer.unwrap().is_ok())
        .collect();
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{answers:?}"
    );
}

#[tokio::test]
async fn a_failed_sync_fails_everything_after_it_and_is_told() {
    let node = Node::new();
    let store = node.open();
    let mut failed = store.failed();
    acknowledge(&store, [blank(1, 0)]).await;
    node.fail("fsync error");
    let flushed = append(&store, [blank(1, 1)]).await.unwrap();
    flushed.await.unwrap().unwrap_err();
    failed.wait_for(Option::is_some).await.unwrap();

    // the fail point is spent: whoever tried again would be told that all is well
    store.log().save_vote(&vote(9)).await.unwrap_err();
    append(&store, [blank(1, 2)]).await.map(drop).unwrap_err();
    apply(&store, [blank(1, 0)]).await.unwrap_err();
    drop(store);

    let store = node.open();
    assert_eq!(store.log().read_vote().await.unwrap(), None);
    assert!(last(&store).await >= Some(id(1, 0)));
}

#[tokio::test]
async fn an_error_at_any_point_loses_nothing_that_was_acknowledged() {
    for rule in ["append error", "vote error", "apply error", "append enospc"] {
        let node = Node::new();
        let store = node.open();
        lived(&store).await;
        let digest = store.states().borrow().digest();
        node.fail(rule);
        let appended = append(&store, [command(1, 40)]).await.map(drop);
        let voted = store.log().save_vote(&vote(2)).await;
        let next = if appended.is_ok() { 40 } else { 39 };
        let applied = apply(&store, [command(1, next)]).await;
        let failures = [appended.is_err(), voted.is_err(), applied.is_err()];
        assert_eq!(
            failures.iter().filter(|failed| **failed).count(),
            1,
            "{rule}"
        );
        if applied.is_err() {
            let now = store.states().borrow().digest();
            assert_eq!(now, digest, "{rule}: half applied");
        }
        drop(store);
        node.fail("");

        let store = node.open();
        let kept = if appended.is_ok() { 40 } else { 39 };
        assert_eq!(last(&store).await, Some(id(1, kept)), "{rule}");
        let term = if voted.is_ok() { 2 } else { 1 };
        assert_eq!(
            store.log().read_vote().await.unwrap(),
            Some(vote(term)),
            "{rule}"
        );
        let (last_applied, _) = store.machine().applied_state().await.unwrap();
        let kept = if applied.is_ok() { next } else { 39 };
        assert_eq!(last_applied, Some(id(1, kept)), "{rule}");
    }
}

#[tokio::test]
async fn everything_comes_back_as_it_was() {
    let node = Node::new();
    let store = node.open();
    lived(&store).await;
    let before = entries(&store).await;
    let digest = store.states().borrow().digest();
    for _ in 0..2 {
        let crashed = node.copy().open();
        assert_eq!(entries(&crashed).await, before);
    }
    drop(store);

    let store = node.open();
    assert_eq!(entries(&store).await, before);
    assert_eq!(store.states().borrow().digest(), digest);
    assert_eq!(store.identity(), Some(identity(1)));
    let committed = store.log().read_committed().await.unwrap();
    assert_eq!(committed, Some(id(1, 39)));
    let (applied, membership) = store.machine().applied_state().await.unwrap();
    assert_eq!(applied, Some(id(1, 39)));
    assert_eq!(*membership.log_id(), Some(id(1, 0)));
}

#[tokio::test]
async fn a_directory_belongs_to_one_member_for_good() {
    let node = Node::new();
    let store = node.open();
    assert_eq!(store.identity(), None);
    store.found(&identity(1)).unwrap();
    store.found(&identity(1)).unwrap();
    store.found(&identity(2)).unwrap_err();
    let debug = format!("{store:?} {:?}", store.identity());
    assert!(!debug.contains("seal_key"), "{debug}");
    drop(store);
    assert_eq!(node.open().identity(), Some(identity(1)));
}

#[tokio::test]
async fn a_directory_is_used_by_one_process() {
    let node = Node::new();
    let _store = node.open();
    let text = refused(&node);
    assert!(text.contains("another process"), "{text}");
}

#[tokio::test]
async fn a_truncated_log_goes_on_in_another_term() {
    let node = Node::new();
    let store = node.open();
    acknowledge(&store, (0..100).map(|index| command(1, index))).await;
    wait_for_mark(&node, 99).await;
    store.log().truncate_after(Some(id(1, 49))).await.unwrap();
    let mark = Mark::read(&node.data()).unwrap().unwrap();
    assert!(
        mark.tail.id <= Some(id(1, 49)),
        "the watermark steps back first"
    );

    // a crash right there must not look like forgetting
    assert_eq!(last(&node.copy().open()).await, Some(id(1, 49)));
    acknowledge(&store, [command(2, 50), command(2, 51)]).await;
    drop(store);
    let store = node.open();
    assert_eq!(last(&store).await, Some(id(2, 51)));
    store.log().truncate_after(None).await.unwrap();
    drop(store);
    assert_eq!(last(&node.open()).await, None);
}

#[tokio::test]
async fn an_append_that_would_leave_a_hole_is_refused() {
    let node = Node::new();
    let store = node.open();
    acknowledge(&store, [blank(1, 0)]).await;
    append(&store, [blank(1, 2)]).await.map(drop).unwrap_err();
    acknowledge(&store, [blank(1, 1)]).await;
}

#[tokio::test]
async fn reading_for_a_peer_is_bounded_in_bytes_but_gives_one_entry() {
    let node = Node::new();
    let store = node.open();
    let large = |index| {
        let mut entry = command(1, index);
        if let EntryPayload::Normal(command) = &mut entry.payload {
            command.change = Change::Config {
                expected: None,
                text: format!("\"{}\"", "x".repeat(5 << 20)),
                note: String::new(),
            };
        }
        entry
    };
    acknowledge(&store, [blank(1, 0), large(1), large(2)]).await;
    let mut log = store.log();
    let lengths = [
        log.limited_get_log_entries(0, 3).await.unwrap().len(),
        log.limited_get_log_entries(1, 3).await.unwrap().len(),
        log.limited_get_log_entries(3, 3).await.unwrap().len(),
    ];
    assert_eq!(lengths, [2, 1, 0]);
    let stream = log.entries_stream(..).await;
    let all: Vec<_> = futures::StreamExt::collect(stream).await;
    assert_eq!(all.len(), 3);
}

#[tokio::test]
async fn a_log_that_was_purged_and_compacted_goes_on() {
    let node = Node::new();
    let store = node.open();
    let all: Vec<Entry> = (0..5000).map(|index| blank(1, index)).collect();
    for chunk in all.chunks(500) {
        acknowledge(&store, chunk.to_vec()).await;
    }
    apply(&store, all).await.unwrap();
    let builder = store.machine().try_create_snapshot_builder(true).await;
    builder.unwrap().build_snapshot().await.unwrap();
    store.log().purge(id(1, 4899)).await.unwrap();
    for _ in 0..2 {
        let state = store.log().get_log_state().await.unwrap();
        assert_eq!(state.last_purged_log_id, Some(id(1, 4899)));
        assert_eq!(entries(&store).await.len(), 100);
        wait_for_mark(&node, 4999).await;
    }
    drop(store);
    let store = node.open();
    assert_eq!(entries(&store).await.len(), 100);
    acknowledge(&store, [blank(2, 5000)]).await;
    drop(store);
    assert_eq!(last(&node.open()).await, Some(id(2, 5000)));
}

/// Waits until the watermark has reached an entry.
async fn wait_for_mark(node: &Node, index: u64) {
    let reached = || {
        let mark = Mark::read(&node.data()).unwrap().unwrap();
        mark.tail.id.is_some_and(|id| id.index >= index)
    };
    while !reached() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
