//! What is too large is refused and changes nothing.

use super::super::{
    BreakerRecord, Centroids, KeyRecord, MAX_BREAKERS, MAX_EPOCHS, MAX_TEXT, TargetId,
};
use super::{Log, config, key, node};
use crate::command::{BreakerChange, BreakerStep, Change, Rejected};
use crate::state::Mode;

fn refused(log: &mut Log, change: Change) {
    let name = change.name();
    match log.apply(change) {
        Err(Rejected::TooMuch { what }) => assert!(what.len() < 200, "{name}: {what}"),
        other => panic!("{name}: {other:?}"),
    }
}

fn forced(target: String) -> BreakerChange {
    BreakerChange {
        target,
        expect: 0,
        to: BreakerStep::Override {
            mode: Mode::ForceOpen,
        },
    }
}

fn centroids(dimensions: u32, data: &str) -> Change {
    with_shares(dimensions, data, &[])
}

fn with_shares(dimensions: u32, data: &str, shares: &[f32]) -> Change {
    Change::Centroids {
        expected: None,
        centroids: Centroids {
            space: "s".to_owned(),
            dimensions,
            data: data.to_owned(),
            shares: shares.to_vec(),
        },
    }
}

#[test]
fn texts_that_are_too_long_are_refused() {
    let mut log = Log::default();
    let long = "x".repeat(600);
    refused(&mut log, config(None, &"x".repeat(MAX_TEXT + 1)));
    let note = Change::Config {
        expected: None,
        text: "a".to_owned(),
        note: long.clone(),
    };
    refused(&mut log, note);
    for id in ["", "a/b", &long] {
        refused(&mut log, Change::CreateKey(key(id)));
    }
    let digest = |digest: &str| KeyRecord {
        digest: digest.to_owned(),
        ..key("k")
    };
    refused(&mut log, Change::CreateKey(digest("secret!")));
    refused(&mut log, Change::CreateKey(digest(&long)));
    let scopes = KeyRecord {
        scopes: vec!["use".to_owned(); 99],
        ..key("k")
    };
    refused(&mut log, Change::CreateKey(scopes));
    refused(
        &mut log,
        Change::CacheEpoch {
            scope: long.clone(),
        },
    );
    refused(&mut log, Change::Breaker(forced(long.clone())));
    let begin = Change::Begin {
        cluster: "c".to_owned(),
        name: node("n"),
        address: long,
        level: 1,
    };
    refused(&mut log, begin);
    assert!(log.state.cluster().is_none());
}

#[test]
fn a_name_that_came_unchecked_over_the_wire_is_checked() {
    let mut log = Log::default();
    let admit = Change::Begin {
        cluster: "c".to_owned(),
        name: serde_json::from_str(r#""../up""#).unwrap(),
        address: "a:1".to_owned(),
        level: 1,
    };
    refused(&mut log, admit);
}

#[test]
fn tables_have_room_for_so_many_and_what_is_there_still_changes() {
    let mut log = Log::default();
    for n in 0..MAX_BREAKERS / 100 {
        let moves = (0..100)
            .map(|m| forced(format!("t{}", n * 100 + m)))
            .collect();
        log.apply(Change::Breakers(moves)).unwrap();
    }
    assert_eq!(log.state.breakers().len(), MAX_BREAKERS);
    refused(&mut log, Change::Breaker(forced("one more".to_owned())));
    log.apply(Change::Breaker(forced("t7".to_owned()))).unwrap();
    let BreakerRecord { epoch, .. } = log.state.breakers()[&TargetId("t7".to_owned())];
    assert_eq!(epoch, 2);
    refused(
        &mut log,
        Change::Breakers(vec![forced("t7".to_owned()); 300]),
    );
}

#[test]
fn a_full_table_of_epochs_forgets_the_oldest_and_calls_off_all_that_is_as_old() {
    let mut log = Log::default();
    let grow = |log: &mut Log, scope: &str| {
        let scope = scope.to_owned();
        log.apply(Change::CacheEpoch { scope }).unwrap();
    };
    grow(&mut log, "entry/0");
    grow(&mut log, "all");
    for n in 1..MAX_EPOCHS {
        grow(&mut log, &format!("entry/{n}"));
    }
    assert_eq!(log.state.cache_scopes().len(), MAX_EPOCHS);
    assert_eq!(log.state.cache_floor(), 1, "entry/0 was the oldest");
    grow(&mut log, "all");
    assert_eq!(
        log.state.cache_floor(),
        1,
        "a scope that is known takes no room"
    );
    grow(&mut log, "entry/new");
    assert_eq!(log.state.cache_floor(), 3, "now entry/1 is forgotten");
    let last = log.state.cache_epoch();
    assert_eq!(log.state.cache_scopes()["entry/new"], last);
    assert_eq!(log.state.cache_scopes()["all"], last - 1);
}

#[test]
fn centroids_are_whole_rows_and_replace_the_epoch_they_were_made_from() {
    let mut log = Log::default();
    for (dimensions, data) in [
        (1, ""),
        (1, "AAAA"),
        (0, "AAAAAA=="),
        (2, "AAAAAA=="),
        (1, "?AAAAA=="),
    ] {
        refused(&mut log, centroids(dimensions, data));
    }
    refused(&mut log, centroids(1, &"A".repeat(3 << 20)));
    for shares in [&[0.5, 0.5][..], &[-0.1], &[f32::NAN], &[f32::INFINITY]] {
        refused(&mut log, with_shares(1, "AAAAAA==", shares));
    }
    log.apply(with_shares(1, "AAAAAA==", &[0.3])).unwrap();
    assert_eq!(log.state.centroids("s").unwrap().1.shares, [0.3]);
    let again = log.apply(centroids(1, "AAAAAA=="));
    assert!(matches!(again, Err(Rejected::Stale { current: 1, .. })));
    assert_eq!(log.state.centroids("s").unwrap().0, 1);
}
