use std::fs;
use std::path::Path;

use super::identity::certified;
use super::{Keyring, loopback_only, read_certificates};
use crate::certs::{create, issue_between, renew};
use crate::clock::unix_ms;
use crate::error::Error;
use crate::identity::{ClusterId, NodeId};
use crate::start::TlsFiles;

const DAY: u64 = 24 * 3600;

fn node(name: &str) -> NodeId {
    NodeId::parse(name).unwrap()
}

fn files(dir: &Path, name: &str) -> TlsFiles {
    TlsFiles {
        ca: dir.join("ca.pem"),
        cert: dir.join(format!("{name}.pem")),
        key: dir.join(format!("{name}.key")),
    }
}

fn open(dir: &Path, name: &str) -> Result<Keyring, Error> {
    Keyring::open(files(dir, name), &node(name))
}

fn set(cluster: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let cluster = ClusterId::parse(cluster).unwrap();
    create(dir.path(), Some(cluster), &[node("n1"), node("n2")], 30).unwrap();
    dir
}

fn why(result: Result<Keyring, Error>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn a_certificate_outside_its_dates_is_refused_at_the_start() {
    let dir = set("a");
    let now = unix_ms() / 1000;
    issue_between(dir.path(), &node("old"), [now - 9 * DAY, now - DAY]).unwrap();
    issue_between(dir.path(), &node("new"), [now + DAY, now + 9 * DAY]).unwrap();
    let old = why(open(dir.path(), "old"));
    assert!(old.contains("has expired"), "{old}");
    let new = why(open(dir.path(), "new"));
    assert!(new.contains("is not valid yet"), "{new}");
}

#[test]
fn a_certificate_of_another_authority_is_refused_at_the_start() {
    let [ours, theirs] = [set("a"), set("a")];
    let mixed = TlsFiles {
        ca: theirs.path().join("ca.pem"),
        ..files(ours.path(), "n1")
    };
    let why = why(Keyring::open(mixed, &node("n1")));
    assert!(why.contains("of another authority"), "{why}");
}

#[test]
fn a_key_of_another_certificate_is_refused_at_the_start() {
    let dir = set("a");
    let mixed = TlsFiles {
        key: dir.path().join("n2.key"),
        ..files(dir.path(), "n1")
    };
    let why = why(Keyring::open(mixed, &node("n1")));
    assert!(why.contains("the key is not the certificate's"), "{why}");
    assert!(!why.contains("PRIVATE"));
}

#[test]
fn a_certificate_of_another_node_or_of_nobody_is_refused_at_the_start() {
    let dir = set("a");
    let other = Keyring::open(files(dir.path(), "n2"), &node("n1"));
    assert!(why(other).contains("the certificate is of n2, the caller says n1"));
    let authority = TlsFiles {
        cert: dir.path().join("ca.pem"),
        key: dir.path().join("ca.key"),
        ..files(dir.path(), "n1")
    };
    assert!(why(Keyring::open(authority, &node("n1"))).contains("an authority's"));
    let missing = why(open(dir.path(), "n9"));
    assert!(missing.contains("cannot be read"), "{missing}");
}

#[test]
fn a_certificate_that_names_no_node_names_nobody() {
    let key = rcgen::KeyPair::generate().unwrap();
    let named = |uris: &[&str]| {
        let mut params = rcgen::CertificateParams::default();
        let uris = uris.iter().map(|uri| (*uri).try_into().unwrap());
        params.subject_alt_names = uris.map(rcgen::SanType::URI).collect();
        certified(params.self_signed(&key).unwrap().der())
    };
    assert!(named(&[]).unwrap_err().contains("names no node"));
    assert!(
        named(&["https://example.org"])
            .unwrap_err()
            .contains("names no node")
    );
    for bad in ["a/node/", "a/node/b/c", "/node/b", "a/nod/b", "a b/node/c"] {
        assert!(
            named(&[&format!("llm-router://cluster/{bad}")]).is_err(),
            "{bad}"
        );
    }
    let two = [
        "llm-router://cluster/a/node/b",
        "llm-router://cluster/a/node/c",
    ];
    assert!(named(&two).unwrap_err().contains("more than one"));
    let one = named(&two[..1]).unwrap();
    assert_eq!(one.to_string(), "node b of cluster a");
}

#[test]
fn a_renewed_certificate_is_taken_over_and_a_broken_one_is_not() {
    let dir = set("a");
    let keyring = open(dir.path(), "n1").unwrap();
    let (first, ends) = (keyring.pair().digest, keyring.ends_ms());
    assert!(ends > unix_ms() + 29 * DAY * 1000);
    assert!(!keyring.look());

    fs::write(dir.path().join("n1.pem"), "nothing of use").unwrap();
    assert!(!keyring.look());
    assert!(!keyring.look());
    assert_eq!(keyring.pair().digest, first);

    renew(dir.path(), &[node("n1")], 60).unwrap();
    assert!(keyring.look());
    assert_ne!(keyring.pair().digest, first);
    assert!(keyring.ends_ms() > ends + 29 * DAY * 1000);
    assert!(!keyring.look());
}

#[test]
fn a_certificate_of_another_node_is_not_taken_over() {
    let dir = set("a");
    let keyring = open(dir.path(), "n1").unwrap();
    let first = keyring.pair().digest;
    for kind in ["pem", "key"] {
        let [from, to] = ["n2", "n1"].map(|name| dir.path().join(format!("{name}.{kind}")));
        fs::copy(from, to).unwrap();
    }
    assert!(!keyring.look());
    fs::remove_file(dir.path().join("n1.pem")).unwrap();
    assert!(!keyring.look());
    assert_eq!(keyring.pair().digest, first);
}

#[test]
fn a_peer_of_another_cluster_is_not_recognised() {
    let [ours, theirs] = [set("a"), set("b")];
    let keyring = open(ours.path(), "n1").unwrap();
    let chain = |dir: &Path, name: &str| read_certificates(&dir.join(name)).unwrap();
    let friend = keyring.recognise(Some(&chain(ours.path(), "n2.pem")));
    assert_eq!(friend, Ok(node("n2")));
    let stranger = keyring.recognise(Some(&chain(theirs.path(), "n2.pem")));
    assert_eq!(
        stranger,
        Err("the certificate is of cluster b, this is cluster a".into())
    );
    assert!(keyring.recognise(None).is_err());
    assert!(
        keyring
            .recognise(Some(&chain(ours.path(), "ca.pem")))
            .is_err()
    );
}

#[test]
fn without_certificates_only_loopback_will_do() {
    for good in [
        "127.0.0.1:1",
        "127.8.9.1:1",
        "[::1]:1",
        "[::ffff:127.0.0.1]:1",
    ] {
        assert_eq!(loopback_only(good.parse().unwrap(), "it"), Ok(()));
    }
    for bad in ["10.0.0.1:1", "0.0.0.0:1", "[::]:1", "192.168.1.1:1"] {
        let refused = loopback_only(bad.parse().unwrap(), "the door").unwrap_err();
        assert!(refused.to_string().contains("certs create"), "{refused}");
    }
}
