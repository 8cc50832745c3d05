//! What the files show, what they do not, and what is left after a key is destroyed.

use std::fs;
use std::path::Path;

use super::super::answer::StoredAnswer;
use super::super::entry::Meaning;
use super::super::guard::Features;
use super::super::key::{EntryId, PartitionId};
use super::*;
use crate::types::Usage;

const SECRET: [u8; 32] = [3; 32];

fn put(serial: u64, tenant: &str, text: &str) -> Put {
    let id = EntryId([u8::try_from(serial).unwrap(); 16]);
    let entry = Entry {
        id,
        serial,
        tenant: tenant.into(),
        witness: None,
        tags: vec![("team".to_owned(), "blue team".to_owned())],
        meaning: Some(Meaning {
            partition: PartitionId([1; 16]),
            text: text.into(),
            features: Arc::new(Features::of(text)),
        }),
        epoch: 0,
        created: 1,
        expires: u64::MAX,
        borrowed: false,
        answer: Arc::new(StoredAnswer {
            text: format!("the answer to {text}"),
            usage: Usage::default(),
            model: "m".into(),
            shown_model: "m".to_owned(),
            created: 1,
        }),
    };
    Put {
        entry: Arc::new(entry),
        space: "space".into(),
        vector: Some(Compact::of(&[0.25f32; 64])),
    }
}

fn opened(dir: &Path) -> (Disk, Found) {
    open(dir, &SECRET).unwrap()
}

fn settled(disk: &Disk) {
    disk.db.flush().unwrap();
    disk.db.flush_cf(disk.keys().unwrap()).unwrap();
}

/// Some file under `dir` holds `needle`.
fn holds(dir: &Path, needle: &[u8]) -> bool {
    fs::read_dir(dir).unwrap().any(|file| {
        let bytes = fs::read(file.unwrap().path()).unwrap_or_default();
        bytes.windows(needle.len()).any(|part| part == needle)
    })
}

#[test]
fn the_files_show_neither_texts_nor_vectors_nor_names() {
    let dir = tempfile::tempdir().unwrap();
    let (mut disk, _) = opened(dir.path());
    disk.put(&put(1, "acme corporation", "a telling question"))
        .unwrap();
    disk.flush_log(true).unwrap();
    let secrets = [
        &b"acme corporation"[..],
        b"telling question",
        b"the answer to",
        b"blue team",
        &0.25f32.to_le_bytes().repeat(4),
    ];
    for secret in secrets {
        assert!(!holds(dir.path(), secret), "in the log");
    }
    settled(&disk);
    drop(disk);
    for secret in secrets {
        assert!(!holds(dir.path(), secret), "in the tables");
    }
    assert_eq!(opened(dir.path()).1.records.len(), 1);
}

#[test]
fn rows_copied_back_after_their_key_was_destroyed_do_not_open() {
    let dir = tempfile::tempdir().unwrap();
    let (mut disk, _) = opened(dir.path());
    disk.put(&put(1, "gone", "a question")).unwrap();
    disk.put(&put(2, "stays", "a question")).unwrap();
    settled(&disk);
    let backup: Vec<_> = [1u64, 2]
        .map(|serial| (serial, disk.db.get(serial.to_be_bytes()).unwrap().unwrap()))
        .into();
    let id = disk.key_of(&"gone".into());
    let wrapped = disk.db.get_cf(disk.keys().unwrap(), id.0).unwrap().unwrap();
    assert!(holds(dir.path(), &wrapped));
    disk.delete(&[1, 2]).unwrap();
    disk.destroy(&Doomed::Tenant("gone".into())).unwrap();
    assert!(
        !holds(dir.path(), &wrapped),
        "no file has the wrapped key any more"
    );
    // the tenant comes back, under a key of his own again
    disk.put(&put(3, "gone", "a question")).unwrap();
    for (serial, row) in backup {
        disk.db.put(serial.to_be_bytes(), row).unwrap();
    }
    settled(&disk);
    drop(disk);
    let (_disk, found) = opened(dir.path());
    let tenants: Vec<_> = found
        .records
        .iter()
        .map(|record| (record.entry.serial, record.entry.tenant.as_str()))
        .collect();
    assert_eq!(tenants, [(2, "stays"), (3, "gone")]);
    assert_eq!(found.corrupt, [1]);
}

#[test]
fn destroying_all_keys_leaves_nothing_readable() {
    let dir = tempfile::tempdir().unwrap();
    let (mut disk, _) = opened(dir.path());
    disk.put(&put(1, "a", "a question")).unwrap();
    disk.put(&put(2, "b", "a question")).unwrap();
    disk.destroy(&Doomed::All).unwrap();
    drop(disk);
    let (_disk, found) = opened(dir.path());
    assert_eq!((found.records.len(), found.corrupt.len()), (0, 2));
}

#[test]
fn rows_of_two_tenants_changed_for_each_other_are_corrupt() {
    let dir = tempfile::tempdir().unwrap();
    let (mut disk, _) = opened(dir.path());
    disk.put(&put(1, "a", "a question")).unwrap();
    disk.put(&put(2, "b", "a question")).unwrap();
    let [a, b] = [1u64, 2].map(|serial| disk.db.get(serial.to_be_bytes()).unwrap().unwrap());
    disk.db.put(1u64.to_be_bytes(), b).unwrap();
    disk.db.put(2u64.to_be_bytes(), a).unwrap();
    drop(disk);
    let (_disk, found) = opened(dir.path());
    assert_eq!((found.records.len(), found.corrupt), (0, vec![1, 2]));
}

#[test]
fn rows_that_were_not_sealed_are_dropped_and_leave_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, _) = opened(dir.path());
    let mut plain = vec![1];
    plain.extend_from_slice(b"checksum and a header with a telling question");
    disk.db.put(9u64.to_be_bytes(), &plain).unwrap();
    settled(&disk);
    assert!(holds(dir.path(), b"telling question"));
    drop(disk);
    let (disk, found) = opened(dir.path());
    assert_eq!((found.records.len(), found.corrupt.len()), (0, 0));
    assert!(!holds(dir.path(), b"telling question"));
    assert!(disk.db.get(9u64.to_be_bytes()).unwrap().is_none());
}

#[test]
fn a_database_from_before_the_keys_opens_and_its_rows_go() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = Options::default();
    options.create_if_missing(true);
    let old = DB::open(&options, dir.path()).unwrap();
    old.put(1u64.to_be_bytes(), [1, 1, 2, 3]).unwrap();
    drop(old);
    let (mut disk, found) = opened(dir.path());
    assert!(found.records.is_empty());
    disk.put(&put(2, "a", "a question")).unwrap();
    drop(disk);
    assert_eq!(opened(dir.path()).1.records.len(), 1);
}

#[test]
fn keys_no_row_needs_are_dropped_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let (mut disk, _) = opened(dir.path());
    disk.put(&put(1, "a", "a question")).unwrap();
    disk.put(&put(2, "b", "a question")).unwrap();
    disk.delete(&[1]).unwrap();
    drop(disk);
    let (disk, _) = opened(dir.path());
    assert_eq!(disk.vault.ids(), [disk.key_of(&"b".into())]);
}

#[test]
fn another_nodes_secret_opens_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (mut disk, _) = opened(dir.path());
    disk.put(&put(1, "a", "a question")).unwrap();
    drop(disk);
    let (_disk, found) = open(dir.path(), &[4; 32]).unwrap();
    assert_eq!((found.records.len(), found.corrupt), (0, vec![1]));
}
