//! Keys: ids are used once, revoking is for good, a rotation leaves a grace.

use super::super::KeyRecord;
use super::{Log, key};
use crate::command::{Change, Rejected};

fn rotate(digest: &str, grace_until_ms: u64) -> Change {
    Change::RotateKey {
        id: "k".to_owned(),
        digest: digest.to_owned(),
        grace_until_ms,
    }
}

fn revoke() -> Change {
    Change::RevokeKey { id: "k".to_owned() }
}

#[test]
fn an_id_is_never_used_again() {
    let mut log = Log::default();
    log.apply(Change::CreateKey(key("k"))).unwrap();
    let again = log.apply(Change::CreateKey(key("k")));
    assert!(matches!(again, Err(Rejected::Exists { .. })));
    log.apply(revoke()).unwrap();
    let again = log.apply(Change::CreateKey(key("k")));
    assert!(matches!(again, Err(Rejected::Exists { .. })));
}

#[test]
fn a_key_revoked_twice_stays_revoked_since_the_first_time() {
    let mut log = Log::default();
    assert!(matches!(
        log.apply(revoke()),
        Err(Rejected::NotFound { .. })
    ));
    log.apply(Change::CreateKey(key("k"))).unwrap();
    log.apply_at(5, revoke()).unwrap();
    log.apply_at(9, revoke()).unwrap();
    assert_eq!(log.state.keys()["k"].revoked_ms, Some(5));
    let rotated = log.apply(rotate("aa", 100));
    assert!(matches!(rotated, Err(Rejected::NotFound { .. })));
}

#[test]
fn a_rotation_keeps_the_secret_before_it_until_its_grace_is_over() {
    let mut log = Log::default();
    log.apply(Change::CreateKey(key("k"))).unwrap();
    log.apply(rotate("aa", 100)).unwrap();
    log.apply(rotate("aa", 200)).unwrap(); // asked twice, by two request ids
    let record = &log.state.keys()["k"];
    assert_eq!(record.digest, "aa");
    assert_eq!(record.previous, Some(("00ff".to_owned(), 100)));
    log.apply(revoke()).unwrap();
    assert_eq!(log.state.keys()["k"].previous, None);
}

#[test]
fn what_a_proposer_writes_into_the_agreed_fields_does_not_count() {
    let mut log = Log::default();
    let boastful = KeyRecord {
        created_ms: 1,
        revoked_ms: Some(2),
        previous: Some(("bb".to_owned(), u64::MAX)),
        ..key("k")
    };
    log.apply_at(7, Change::CreateKey(boastful)).unwrap();
    let record = &log.state.keys()["k"];
    assert_eq!((record.created_ms, record.revoked_ms), (7, None));
    assert_eq!(record.previous, None);
}

#[test]
fn the_last_key_that_can_make_others_stays_while_others_are_in_force() {
    let mut log = Log::default();
    let admin = |id: &str| KeyRecord {
        scopes: vec!["admin".to_owned()],
        expires_ms: None,
        ..key(id)
    };
    let user = KeyRecord {
        scopes: vec!["use".to_owned()],
        ..key("u")
    };
    for record in [admin("a"), admin("b"), user] {
        log.apply(Change::CreateKey(record)).unwrap();
    }
    let revoke = |id: &str| Change::RevokeKey { id: id.to_owned() };
    // asked for through two nodes at once, each of which still sees the other key
    log.apply(revoke("a")).unwrap();
    let second = log.apply(revoke("b"));
    assert!(matches!(second, Err(Rejected::Exists { .. })));
    log.apply(revoke("a")).unwrap();
    log.apply(revoke("u")).unwrap();
    log.apply(revoke("b")).unwrap();
}
