//! The routing config: compare-and-set, history, rollback.

use super::super::{MAX_HISTORY, MAX_HISTORY_BYTES, MAX_TEXT};
use super::{Log, config};
use crate::command::{Change, Done, Rejected};
use crate::identity::Revision;

fn revision(number: u64) -> Result<Done, Rejected> {
    Ok(Done::Config {
        revision: Revision(number),
    })
}

#[test]
fn a_change_made_from_another_revision_is_refused() {
    let mut log = Log::default();
    assert_eq!(log.apply(config(Some(0), "a")), revision(1));
    let stale = Rejected::Stale {
        expected: 0,
        current: 1,
    };
    assert_eq!(log.apply(config(Some(0), "b")), Err(stale));
    let ahead = Rejected::Stale {
        expected: 7,
        current: 1,
    };
    assert_eq!(log.apply(config(Some(7), "b")), Err(ahead));
    assert_eq!(log.state.config().current().unwrap().text, "a");
    assert_eq!(log.apply(config(Some(1), "b")), revision(2));
    assert_eq!(log.apply(config(None, "c")), revision(3));
}

#[test]
fn the_text_in_force_again_makes_no_revision_whatever_was_expected() {
    let mut log = Log::default();
    log.apply(config(None, "a")).unwrap();
    log.apply(config(None, "b")).unwrap();
    for expected in [None, Some(0), Some(2), Some(9)] {
        assert_eq!(log.apply(config(expected, "b")), revision(2));
    }
    assert_eq!(log.state.config().history().count(), 2);
}

#[test]
fn a_rollback_is_a_new_revision_that_says_so() {
    let mut log = Log::default();
    for text in ["a", "b", "c"] {
        log.apply_at(50, config(None, text)).unwrap();
    }
    let back = |to, expected| Change::Rollback {
        to: Revision(to),
        expected: Some(Revision(expected)),
    };
    assert!(matches!(log.apply(back(1, 2)), Err(Rejected::Stale { .. })));
    assert!(matches!(
        log.apply(back(9, 3)),
        Err(Rejected::NotFound { .. })
    ));
    assert_eq!(log.apply_at(40, back(1, 3)), revision(4));
    let current = log.state.config().current().unwrap();
    assert_eq!(current.text, "a");
    assert_eq!(current.note, "rollback to 1");
    assert_eq!(current.at_ms, 50, "the agreed clock does not go back");
    assert_eq!(log.apply(back(4, 4)), revision(4), "that is where it is");
}

#[test]
fn history_is_bounded_by_number_and_by_bytes() {
    let mut log = Log::default();
    for n in 0..MAX_HISTORY + 20 {
        log.apply(config(None, &format!("{n}"))).unwrap();
    }
    assert_eq!(log.state.config().history().count(), MAX_HISTORY);
    assert!(log.state.config().get(Revision(20)).is_none());
    assert!(log.state.config().get(Revision(21)).is_some());

    let large = "x".repeat(MAX_TEXT - 4);
    for n in 0..40 {
        log.apply(config(None, &format!("{large}{n}"))).unwrap();
    }
    let bytes: usize = log
        .state
        .config()
        .history()
        .map(|kept| kept.text.len())
        .sum();
    assert!(bytes <= MAX_HISTORY_BYTES && bytes > MAX_HISTORY_BYTES - 2 * MAX_TEXT);
}
