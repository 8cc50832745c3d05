//! One byte of a closed store changed, or a file cut short, anywhere: the store is refused, or has
//! lost nothing.

use openraft::storage::{RaftLogReader, RaftSnapshotBuilder, RaftStateMachine};

use super::*;

/// What a store holds.
#[derive(Debug, PartialEq)]
struct Memory {
    entries: Vec<Entry>,
    vote: Option<VoteOf<TypeConfig>>,
    identity: Option<Identity>,
    applied: Option<EntryId>,
    digest: [u8; 32],
}

async fn memory(store: &Store) -> Memory {
    Memory {
        entries: entries(store).await,
        vote: store.log().read_vote().await.unwrap(),
        identity: store.identity(),
        applied: store.machine().applied_state().await.unwrap().0,
        digest: store.states().borrow().digest(),
    }
}

/// A closed store with data in table files, in the write-ahead log and in a snapshot.
async fn closed() -> (Node, Memory) {
    let node = Node::new();
    let store = node.open();
    lived(&store).await;
    let builder = store.machine().try_create_snapshot_builder(true).await;
    builder.unwrap().build_snapshot().await.unwrap();
    store.log().purge(id(1, 9)).await.unwrap();
    drop(store);
    // opening it moves what the log holds into tables
    let store = node.open();
    for index in 40..60 {
        acknowledge(&store, [command(1, index)]).await;
    }
    apply(&store, (40..60).map(|index| command(1, index)))
        .await
        .unwrap();
    store.log().save_vote(&vote(2)).await.unwrap();
    let memory = memory(&store).await;
    drop(store);
    (node, memory)
}

#[derive(Debug, Default)]
struct Count {
    refused: usize,
    harmless: usize,
}

/// Opens the store with one file changed; what is not refused must be whole.
async fn try_with(node: &Node, file: &Path, bytes: &[u8], good: &Memory, count: &mut Count) {
    let copy = node.copy();
    std::fs::write(copy.data().join(file), bytes).unwrap();
    match copy.try_open() {
        Err(_) => count.refused += 1,
        Ok(store) => {
            // applying can be behind, for what it takes to catch up is there
            let now = memory(&store).await;
            let lost = now.entries != good.entries
                || now.vote != good.vote
                || now.identity != good.identity;
            assert!(
                !lost,
                "forgot silently: {} of {} bytes",
                file.display(),
                bytes.len()
            );
            if now.applied == good.applied {
                assert_eq!(now.digest, good.digest, "{}", file.display());
            }
            count.harmless += 1;
        }
    }
}

/// Files of a part of the store, by their ending.
fn files(node: &Node, part: &str, ending: &str) -> Vec<PathBuf> {
    let dir = std::fs::read_dir(node.data().join(part)).unwrap();
    let names = dir.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names
        .filter(|name| name.ends_with(ending) || name.starts_with(ending))
        .map(|name| Path::new(part).join(name))
        .collect();
    names.sort();
    assert!(!names.is_empty(), "{part} *{ending}");
    names
}

async fn damage(part: &str, ending: &str, tries: usize) -> Count {
    let (node, good) = closed().await;
    let mut count = Count::default();
    let files = files(&node, part, ending);
    let each = tries.div_ceil(files.len());
    for file in files {
        let bytes = std::fs::read(node.data().join(&file)).unwrap();
        // an odd step meets headers, checksums and bodies of records alike
        let step = (bytes.len() / each).max(1);
        for at in (0..bytes.len()).step_by(step) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            try_with(&node, &file, &flipped, &good, &mut count).await;
            if at % 2 == 0 {
                try_with(&node, &file, &bytes[..at], &good, &mut count).await;
            }
        }
    }
    println!("{part}/*{ending}: {count:?}");
    count
}

#[tokio::test]
async fn a_damaged_write_ahead_log_never_forgets_silently() {
    let count = damage("db", ".log", 120).await;
    assert!(count.refused > 100, "{count:?}");
}

#[tokio::test]
async fn the_last_records_of_a_write_ahead_log_are_not_lost_silently() {
    let (node, good) = closed().await;
    let mut count = Count::default();
    let file = files(&node, "db", ".log").pop().unwrap();
    let bytes = std::fs::read(node.data().join(&file)).unwrap();
    for back in 1..60 {
        let at = bytes.len() - back;
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x20;
        try_with(&node, &file, &flipped, &good, &mut count).await;
        try_with(&node, &file, &bytes[..at], &good, &mut count).await;
    }
    println!("tail: {count:?}");
    assert!(count.refused > 100, "{count:?}");
}

/// RocksDB alone would read such a file for ever.
#[tokio::test]
async fn a_record_of_any_other_type_is_refused() {
    let (node, good) = closed().await;
    let mut count = Count::default();
    for file in [files(&node, "db", ".log"), files(&node, "db", "MANIFEST")].concat() {
        let bytes = std::fs::read(node.data().join(&file)).unwrap();
        let second = 7 + usize::from(u16::from_le_bytes([bytes[4], bytes[5]]));
        for at in [6, second + 6] {
            for kind in (2..13).chain(128..132) {
                let mut other = bytes.clone();
                other[at] = kind;
                try_with(&node, &file, &other, &good, &mut count).await;
            }
        }
    }
    println!("types: {count:?}");
    assert_eq!(count.harmless, 0);
}

#[tokio::test]
async fn damaged_tables_never_forget_silently() {
    let count = damage("db", ".sst", 100).await;
    assert!(count.refused > 50, "{count:?}");
}

#[tokio::test]
async fn damaged_manifests_never_forget_silently() {
    let manifest = damage("db", "MANIFEST", 60).await;
    let current = damage("db", "CURRENT", 16).await;
    assert!(manifest.refused + current.refused > 40);
}

#[tokio::test]
async fn a_damaged_snapshot_or_watermark_is_refused() {
    let snapshot = damage("snapshots", ".snapshot", 40).await;
    let watermark = damage(".", "watermark", 40).await;
    assert_eq!((snapshot.harmless, watermark.harmless), (0, 0));
}
