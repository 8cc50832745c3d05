use super::{Caller, Claims, Door, Known, judge};
use crate::error::Refused;
use crate::identity::{ClusterId, MemberId, NodeId};

fn node(name: &str) -> NodeId {
    NodeId::parse(name).unwrap()
}

/// Member 2, called n2, speaks to member 1, called n1.
fn claims() -> Claims {
    Claims {
        cluster: Some("a".into()),
        from: node("n2"),
        member: Some(MemberId(2)),
        to: Some(MemberId(1)),
    }
}

fn known() -> Known {
    Known {
        cluster: Some(ClusterId::parse("a").unwrap()),
        node: node("n1"),
        member: Some(MemberId(1)),
        certificate: Some(node("n2")),
        claimed: Some(node("n2")),
        retired: false,
    }
}

#[test]
fn another_cluster_is_refused_at_every_door() {
    let theirs = Claims {
        cluster: Some("b".into()),
        ..claims()
    };
    for door in [Door::Join, Door::Member, Door::Raft] {
        let refused = judge(theirs.clone(), &known(), door).unwrap_err();
        let words = "this is cluster a; the caller belongs to b";
        assert_eq!(refused.to_string(), words);
    }
}

#[test]
fn only_who_joins_may_be_of_no_cluster() {
    let none = Claims {
        cluster: None,
        member: None,
        to: None,
        ..claims()
    };
    assert!(judge(none.clone(), &known(), Door::Member).is_err());
    assert!(judge(none.clone(), &known(), Door::Raft).is_err());
    let joins = Caller {
        node: node("n2"),
        member: None,
    };
    assert_eq!(judge(none, &known(), Door::Join), Ok(joins));
}

#[test]
fn a_name_that_is_not_the_certificate_s_is_refused_before_anything_else() {
    let claims = Claims {
        from: node("n3"),
        cluster: Some("b".into()),
        ..claims()
    };
    for door in [Door::Join, Door::Member, Door::Raft] {
        let refused = judge(claims.clone(), &known(), door).unwrap_err();
        let [certificate, claimed] = ["n2", "n3"].map(str::to_owned);
        assert_eq!(
            refused,
            Refused::Impostor {
                certificate,
                claimed
            }
        );
    }
}

#[test]
fn a_number_of_another_name_is_refused() {
    let known = Known {
        claimed: Some(node("n5")),
        ..known()
    };
    for door in [Door::Member, Door::Raft] {
        let refused = judge(claims(), &known, door).unwrap_err();
        assert!(matches!(refused, Refused::Impostor { .. }), "{refused}");
    }
}

#[test]
fn a_number_not_heard_of_yet_is_taken() {
    let known = Known {
        claimed: None,
        ..known()
    };
    assert!(judge(claims(), &known, Door::Raft).is_ok());
}

#[test]
fn a_number_that_was_taken_out_is_refused_by_its_name() {
    let known = Known {
        claimed: None,
        retired: true,
        ..known()
    };
    let refused = Refused::NotMember {
        name: "n2".to_owned(),
    };
    for door in [Door::Member, Door::Raft] {
        assert_eq!(judge(claims(), &known, door), Err(refused.clone()));
    }
}

#[test]
fn a_call_for_a_number_this_node_no_longer_has_is_refused() {
    for to in [None, Some(MemberId(7))] {
        let claims = Claims { to, ..claims() };
        assert!(judge(claims.clone(), &known(), Door::Raft).is_err());
        assert!(judge(claims, &known(), Door::Member).is_ok());
    }
}

#[test]
fn a_member_does_not_call_itself() {
    let own = Claims {
        from: node("n1"),
        member: Some(MemberId(1)),
        ..claims()
    };
    let known = Known {
        certificate: Some(node("n1")),
        claimed: Some(node("n1")),
        ..known()
    };
    let refused = judge(own, &known, Door::Raft).unwrap_err();
    assert!(refused.to_string().contains("does not call itself"));
}

#[test]
fn a_node_that_is_no_member_yet_answers_nobody() {
    let known = Known {
        cluster: None,
        member: None,
        ..known()
    };
    for door in [Door::Join, Door::Member, Door::Raft] {
        let refused = judge(claims(), &known, door).unwrap_err();
        assert_eq!(
            refused,
            Refused::NotMember {
                name: "n1".to_owned()
            }
        );
    }
}

#[test]
fn a_member_is_taken_at_its_word_without_a_certificate() {
    let known = Known {
        certificate: None,
        ..known()
    };
    let caller = judge(claims(), &known, Door::Raft).unwrap();
    assert_eq!(caller.member, Some(MemberId(2)));
}
