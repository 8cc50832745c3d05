//! TLS between a door and its callers.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{Chair, Open, certificates, cluster, command, files, keyring, n2, node, peers};
use crate::certs::{create, renew};
use crate::error::{Error, Refused};
use crate::tls::Keyring;
use crate::transport::dial::{Whom, dial};
use crate::transport::stream::Stream;

const PATIENCE: Duration = Duration::from_secs(5);

fn whom(door: &Open, name: Option<&str>) -> Whom {
    Whom {
        address: door.address.to_string(),
        node: name.map(node),
    }
}

/// The certificate the door shows to a new connection.
async fn shown(door: &Open, ours: Keyring) -> CertificateDer<'static> {
    let stream = dial(whom(door, Some("n1")), Some(ours)).await.unwrap();
    let Stream::Client(stream) = stream else {
        panic!("{stream:?}");
    };
    let chain = stream.get_ref().1.peer_certificates().unwrap();
    chain[0].clone().into_owned()
}

/// Nodes of a cluster whose authority we do not have.
fn foreign() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    create(
        dir.path(),
        Some(cluster("a")),
        &[node("n1"), node("n2")],
        30,
    )
    .unwrap();
    dir
}

async fn unreachable(door: &Open, ours: Option<Keyring>) -> String {
    let refused = peers(&n2(ours))
        .propose(&door.peer(), &command(), PATIENCE)
        .await;
    let refused = refused.unwrap_err();
    if let Error::Unreachable { reason, .. } = refused {
        return reason;
    }
    // in TLS 1.3 the caller hears of a refused certificate with its first answer
    assert!(
        matches!(
            refused,
            Error::NoQuorum {
                maybe_applied: true,
                ..
            }
        ),
        "{refused:?}"
    );
    "refused after the handshake".to_owned()
}

#[tokio::test]
async fn a_door_of_another_authority_is_not_talked_to() {
    let [ours, theirs] = [certificates(), foreign()];
    let chair = Arc::new(Chair::default());
    let door = Open::tls(&chair, theirs.path()).await;
    let asked = peers(&n2(Some(keyring(ours.path(), "n2"))))
        .propose(&door.peer(), &command(), PATIENCE)
        .await;
    // whoever would join hears of it at once, rather than after all its tries
    let Err(Error::Refused(Refused::Unwise(why))) = asked else {
        panic!("{asked:?}");
    };
    assert!(why.contains("of another authority"), "{why}");
    assert!(chair.proposed.lock().is_empty());
}

#[tokio::test]
async fn the_door_of_another_node_is_not_talked_to() {
    let dir = certificates();
    let chair = Arc::new(Chair::default());
    let door = Open::at("127.0.0.1:0", &chair, Some(keyring(dir.path(), "n3"))).await;
    let refused = peers(&n2(Some(keyring(dir.path(), "n2"))))
        .propose(&door.peer(), &command(), PATIENCE)
        .await;
    let Err(Error::Refused(Refused::Impostor {
        certificate,
        claimed,
    })) = refused
    else {
        panic!("{refused:?}");
    };
    assert_eq!((certificate.as_str(), claimed.as_str()), ("n3", "n1"));
    // one that joins takes any node of the cluster
    let any = dial(whom(&door, None), Some(keyring(dir.path(), "n2"))).await;
    assert!(any.is_ok());
}

#[tokio::test]
async fn plaintext_and_tls_do_not_mix() {
    let dir = certificates();
    let chair = Arc::new(Chair::default());
    let tls = Open::tls(&chair, dir.path()).await;
    unreachable(&tls, None).await;
    let plain = Open::new(&chair).await;
    let why = unreachable(&plain, Some(keyring(dir.path(), "n2"))).await;
    assert!(why.contains("speaks no TLS"), "{why}");
    assert!(chair.proposed.lock().is_empty());
}

#[tokio::test]
async fn a_caller_of_another_authority_reaches_nothing() {
    let [ours, theirs] = [certificates(), foreign()];
    // it trusts our authority and shows a certificate of its own
    let mixed = tempfile::tempdir().unwrap();
    for (from, name) in [(&ours, "ca.pem"), (&theirs, "n2.pem"), (&theirs, "n2.key")] {
        std::fs::copy(from.path().join(name), mixed.path().join(name)).unwrap();
    }
    let refused = Keyring::open(files(mixed.path(), "n2"), &node("n2")).unwrap_err();
    assert!(
        refused.to_string().contains("another authority"),
        "{refused}"
    );
}

#[tokio::test]
async fn without_certificates_the_door_opens_on_loopback_only() {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let seat = Arc::new(Chair::default());
    let open = crate::transport::Door::serve(listener, seat, None, std::future::pending());
    let refused = open.await.unwrap_err().to_string();
    assert!(refused.contains("loopback only"), "{refused}");
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_the_next_caller() {
    let dir = certificates();
    let chair = Arc::new(Chair::default());
    let ours = keyring(dir.path(), "n1");
    let door = Open::at("127.0.0.1:0", &chair, Some(ours.clone())).await;
    let caller = || keyring(dir.path(), "n2");
    let before = shown(&door, caller()).await;
    assert_eq!(shown(&door, caller()).await, before);

    std::fs::write(dir.path().join("n1.pem"), "broken").unwrap();
    assert!(!ours.look());
    assert_eq!(shown(&door, caller()).await, before);

    renew(dir.path(), &[node("n1")], 30).unwrap();
    // the door looks for itself every few seconds; the test does not wait for it
    ours.look();
    assert_ne!(shown(&door, caller()).await, before);
}

#[tokio::test]
async fn members_with_certificates_work_together() {
    let dir = certificates();
    let chair = Arc::new(Chair::default());
    let door = Open::tls(&chair, dir.path()).await;
    let lines = n2(Some(keyring(dir.path(), "n2")));
    let done = peers(&lines)
        .propose(&door.peer(), &command(), PATIENCE)
        .await;
    assert!(done.is_ok(), "{done:?}");
    assert_eq!(chair.proposed.lock().len(), 1);
    door.close().await;
}

#[tokio::test]
async fn a_host_that_accepts_and_says_nothing_costs_a_second() {
    let dir = certificates();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let begun = tokio::time::Instant::now();
    let whom = Whom {
        address,
        node: None,
    };
    let failed = dial(whom, Some(keyring(dir.path(), "n2")))
        .await
        .unwrap_err();
    assert!(failed.to_string().contains("no answer to the handshake"));
    assert!(begun.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn callers_that_say_nothing_hold_up_nobody() {
    let dir = certificates();
    let chair = Arc::new(Chair::default());
    let door = Open::tls(&chair, dir.path()).await;
    let mut idle = JoinSet::new();
    for _ in 0..50 {
        idle.spawn(TcpStream::connect(door.address));
    }
    let idle: Vec<_> = idle.join_all().await;
    let lines = n2(Some(keyring(dir.path(), "n2")));
    let done = peers(&lines)
        .propose(&door.peer(), &command(), PATIENCE)
        .await;
    assert!(done.is_ok(), "{done:?}");
    drop(idle);
}
