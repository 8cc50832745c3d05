use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::{cluster_of, create, expires, node_of, renew};
use crate::identity::{ClusterId, NodeId};

fn node(name: &str) -> NodeId {
    NodeId::parse(name).unwrap()
}

fn cluster(name: &str) -> Option<ClusterId> {
    Some(ClusterId::parse(name).unwrap())
}

#[test]
fn the_authority_of_another_cluster_is_refused_and_nothing_is_made() {
    let dir = tempfile::tempdir().unwrap();
    create(dir.path(), cluster("a"), &[], 30).unwrap();
    let refused = create(dir.path(), cluster("b"), &[node("n1")], 30).unwrap_err();
    let refused = refused.to_string();
    assert!(
        refused.contains("authority of cluster a, not of b"),
        "{refused}"
    );
    assert!(!dir.path().join("n1.pem").exists());
}

#[test]
fn a_key_that_is_not_the_authority_s_is_refused() {
    let [dir, other] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    create(dir.path(), cluster("a"), &[], 30).unwrap();
    create(other.path(), cluster("a"), &[], 30).unwrap();
    fs::copy(other.path().join("ca.key"), dir.path().join("ca.key")).unwrap();
    let refused = create(dir.path(), None, &[node("n1")], 30).unwrap_err();
    assert!(
        refused.to_string().contains("is not the key of"),
        "{refused}"
    );
}

#[test]
fn days_and_names_that_make_no_sense_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    assert!(create(dir.path(), None, &[], 0).is_err());
    assert!(create(dir.path(), None, &[], 100_000).is_err());
    assert!(create(dir.path(), None, &[node("ca")], 30).is_err());
    assert!(renew(dir.path(), &[node("n1")], 30).is_err());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_node_s_files_stay_unless_they_are_renewed() {
    let dir = tempfile::tempdir().unwrap();
    let made = create(dir.path(), None, &[node("n1")], 30).unwrap();
    assert!(made.new_ca);
    let cert = dir.path().join("n1.pem");
    let before = fs::read(&cert).unwrap();

    let again = create(dir.path(), None, &[node("n1"), node("n2")], 30).unwrap();
    assert_eq!((again.new_ca, again.cluster), (false, made.cluster.clone()));
    assert_eq!(
        (again.nodes, again.kept),
        (vec![node("n2")], vec![node("n1")])
    );
    assert_eq!(fs::read(&cert).unwrap(), before);

    let renewed = renew(dir.path(), &[node("n1")], 30).unwrap();
    assert_eq!((renewed.nodes, renewed.kept), (vec![node("n1")], vec![]));
    assert_ne!(fs::read(&cert).unwrap(), before);
    assert_eq!(cluster_of(&cert).unwrap(), made.cluster);
}

#[test]
fn certificates_say_whose_they_are_and_when_they_end() {
    let dir = tempfile::tempdir().unwrap();
    let made = create(dir.path(), cluster("prod"), &[node("n1")], 30).unwrap();
    let cert = dir.path().join("n1.pem");
    assert_eq!(cluster_of(&cert).unwrap().as_str(), "prod");
    assert_eq!(cluster_of(&made.ca).unwrap().as_str(), "prod");
    assert_eq!(node_of(&cert).unwrap(), node("n1"));
    assert!(node_of(&made.ca).is_err());
    let days = expires(&cert).unwrap().abs_diff(crate::clock::unix_ms()) / 86_400_000;
    assert!((29..=30).contains(&days), "{days}");
}

#[test]
fn keys_are_their_owner_s_alone() {
    let dir = tempfile::tempdir().unwrap();
    create(dir.path(), None, &[node("n1")], 30).unwrap();
    for (file, mode) in [("ca.key", 0o600), ("n1.key", 0o600), ("n1.pem", 0o644)] {
        let found = fs::metadata(dir.path().join(file)).unwrap();
        assert_eq!(found.permissions().mode() & 0o777, mode, "{file}");
    }
}
