//! Members: numbers are the log's and never come again.

use super::{Log, node};
use crate::command::{Change, Done, Rejected};
use crate::identity::MemberId;

fn begin() -> Change {
    Change::Begin {
        cluster: "lab".to_owned(),
        name: node("n1"),
        address: "a:1".to_owned(),
        level: 1,
    }
}

fn admit(name: &str, level: u16) -> Change {
    Change::Admit {
        name: node(name),
        address: format!("{name}:1"),
        level,
    }
}

fn member(number: u64) -> Result<Done, Rejected> {
    Ok(Done::Member {
        member: MemberId(number),
    })
}

#[test]
fn a_cluster_begins_once() {
    let mut log = Log::default();
    assert!(matches!(
        log.apply(admit("n2", 1)),
        Err(Rejected::NotFound { .. })
    ));
    assert_eq!(log.apply(begin()), member(1));
    assert!(matches!(log.apply(begin()), Err(Rejected::Exists { .. })));
    assert_eq!(log.state.cluster(), Some("lab"));
}

#[test]
fn a_node_that_lost_its_data_cannot_come_back_as_the_one_that_had_it() {
    let mut log = Log::default();
    log.apply(begin()).unwrap();
    assert_eq!(log.apply(admit("n2", 1)), member(2));
    assert!(matches!(
        log.apply(admit("n2", 1)),
        Err(Rejected::Exists { .. })
    ));
    log.apply(Change::Dismiss {
        member: MemberId(2),
    })
    .unwrap();
    let again = log.apply(Change::Dismiss {
        member: MemberId(2),
    });
    assert!(matches!(again, Err(Rejected::NotFound { .. })));
    assert_eq!(log.apply(admit("n2", 1)), member(6), "the log index, not 2");
    log.index = 3;
    assert!(matches!(
        log.apply(admit("n3", 1)),
        Err(Rejected::Stale { .. })
    ));
}

#[test]
fn the_level_is_that_of_the_oldest_program() {
    let mut log = Log::default();
    assert_eq!(log.state.level(), 1);
    log.apply(begin()).unwrap();
    log.apply(admit("n2", 3)).unwrap();
    assert_eq!(log.state.level(), 1);
    let update = Change::Update {
        member: MemberId(1),
        address: "a:9".to_owned(),
        level: 2,
    };
    log.apply(update).unwrap();
    assert_eq!(log.state.level(), 2);
    assert_eq!(log.state.members()[&MemberId(1)].address, "a:9");
}
