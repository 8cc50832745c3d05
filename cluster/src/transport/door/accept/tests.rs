use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;

use super::shake;
use crate::certs::issue_between;
use crate::clock::unix_ms;
use crate::tls::NODE_DNS;
use crate::transport::tests::{certificates, cluster, keyring, node};

const DAY: u64 = 24 * 3600;

/// A caller that shows whatever it is given and trusts the authority in `ca`.
fn config(
    ca: &Path,
    shows: Option<(&Path, &str)>,
    version: &'static SupportedProtocolVersion,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(ca.join("ca.pem")).unwrap();
    roots.add(authority).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots);
    let Some((dir, name)) = shows else {
        return config.with_no_client_auth();
    };
    let cert = CertificateDer::from_pem_file(dir.join(format!("{name}.pem"))).unwrap();
    let key = PrivateKeyDer::from_pem_file(dir.join(format!("{name}.key"))).unwrap();
    config.with_client_auth_cert(vec![cert], key).unwrap()
}

/// Lets one caller knock at n1's door and returns the node it is taken for, or why it is refused.
async fn knock<F: Future<Output = ()>>(
    dir: &Path,
    caller: impl FnOnce(TcpStream) -> F,
) -> Result<Option<String>, String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let place = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
    let door = async {
        let (stream, far) = listener.accept().await.unwrap();
        shake(stream, far, Some(keyring(dir, "n1")), place).await
    };
    let knocking = async {
        caller(TcpStream::connect(address).await.unwrap()).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        judged = door => judged
            .map(|accepted| accepted.far.node.map(|node| node.to_string()))
            .map_err(|(_, reason)| reason),
        () = knocking => unreachable!("it knocks for ever"),
    }
}

async fn showing(ours: &Path, config: ClientConfig) -> Result<Option<String>, String> {
    knock(ours, |stream| async {
        let name = ServerName::try_from(NODE_DNS).unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        if let Ok(mut stream) = connector.connect(name, stream).await {
            let _ = stream.read(&mut [0; 1]).await;
        }
    })
    .await
}

async fn refused(ours: &Path, config: ClientConfig, words: &str) {
    let why = showing(ours, config).await.unwrap_err();
    assert!(why.contains(words), "{why}");
}

#[tokio::test]
async fn certificates_outside_their_dates_are_refused_in_words() {
    let dir = certificates();
    let now = unix_ms() / 1000;
    issue_between(dir.path(), &node("old"), [now - 9 * DAY, now - DAY]).unwrap();
    issue_between(dir.path(), &node("new"), [now + DAY, now + 9 * DAY]).unwrap();
    let old = config(dir.path(), Some((dir.path(), "old")), &TLS13);
    refused(dir.path(), old, "the certificate has expired").await;
    let new = config(dir.path(), Some((dir.path(), "new")), &TLS13);
    refused(dir.path(), new, "the certificate is not valid yet").await;
}

#[tokio::test]
async fn certificates_of_others_are_refused_in_words() {
    let [ours, theirs] = [certificates(), tempfile::tempdir().unwrap()];
    crate::certs::create(theirs.path(), Some(cluster("b")), &[node("n2")], 30).unwrap();
    let foreign = config(ours.path(), Some((theirs.path(), "n2")), &TLS13);
    refused(ours.path(), foreign, "of another authority").await;
    let nobody = config(ours.path(), None, &TLS13);
    refused(ours.path(), nobody, "shows no certificate").await;
    let authority = config(ours.path(), Some((ours.path(), "ca")), &TLS13);
    assert!(showing(ours.path(), authority).await.is_err());
}

#[tokio::test]
async fn plaintext_an_older_tls_and_silence_are_refused_in_words() {
    let dir = certificates();
    let older = config(dir.path(), Some((dir.path(), "n2")), &TLS12);
    refused(dir.path(), older, "no TLS 1.3").await;

    let plain = knock(dir.path(), |mut stream| async move {
        let _ = stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        std::future::pending().await
    });
    let why = plain.await.unwrap_err();
    assert!(why.contains("speaks no TLS"), "{why}");

    let gone = knock(dir.path(), |stream| async move { drop(stream) });
    let why = gone.await.unwrap_err();
    assert!(why.contains("closed during the handshake"), "{why}");
}

#[tokio::test]
async fn a_member_is_taken_for_the_node_its_certificate_names() {
    let dir = certificates();
    let member = config(dir.path(), Some((dir.path(), "n2")), &TLS13);
    assert_eq!(showing(dir.path(), member).await, Ok(Some("n2".into())));
}
