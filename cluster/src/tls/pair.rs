//! One node's certificate and key with the authority that signed it, read and checked as a whole.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use sha2::{Digest as _, Sha256};

use super::identity::{Certified, certified, ends_ms};
use super::words::of_rustls;
use crate::identity::{ClusterId, NodeId};
use crate::start::TlsFiles;

/// Largest PEM file read: a chain has a few KiB.
const MAX_FILE: u64 = 1 << 20;

/// What both ends of a connection need.
pub(crate) struct Pair {
    /// For dialling.
    pub(crate) client: Arc<ClientConfig>,
    /// For the door.
    pub(crate) server: Arc<ServerConfig>,
    /// The cluster the certificate is of.
    pub(crate) cluster: ClusterId,
    /// The node it names.
    pub(crate) node: NodeId,
    /// When the certificate ends, in milliseconds since 1970.
    pub(crate) ends_ms: u64,
    /// Digest of all three files: another one means another pair.
    pub(crate) digest: [u8; 32],
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pair({} of {})", self.node, self.cluster)
    }
}

/// The bytes of the files, before anything is made of them.
pub(super) struct Files {
    ca: Vec<u8>,
    cert: Vec<u8>,
    key: Vec<u8>,
    pub(super) digest: [u8; 32],
}

impl Files {
    /// # Errors
    /// In words, which file cannot be read.
    pub(super) fn read(files: &TlsFiles) -> Result<Self, String> {
        let [ca, cert, key] = [&files.ca, &files.cert, &files.key].map(|path| read(path));
        let (ca, cert, key) = (ca?, cert?, key?);
        let mut digest = Sha256::new();
        for file in [&ca, &cert, &key] {
            digest.update((file.len() as u64).to_be_bytes());
            digest.update(file);
        }
        Ok(Files {
            digest: digest.finalize().into(),
            ca,
            cert,
            key,
        })
    }

    /// Checks everything a peer would: the chain, the dates, whom it names, and that the key is
    /// the certificate's.
    ///
    /// # Errors
    /// In words, why the pair is refused.
    pub(super) fn check(self) -> Result<Pair, String> {
        let roots = roots(&self.ca)?;
        let chain = certificates(&self.cert)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|_| "the key file holds no private key".to_owned())?;
        let leaf = chain.first().ok_or("the certificate file is empty")?;
        let Certified { cluster, node } = certified(leaf)?;
        let node = node.ok_or("the certificate is an authority's, not a node's")?;
        let ends_ms = ends_ms(leaf)?;

        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
                .build()
                .map_err(|error| format!("the authority cannot be used: {error}"))?;
        let (leaf, between) = chain.split_first().ok_or("the certificate file is empty")?;
        verifier
            .verify_client_cert(leaf, between, UnixTime::now())
            .map_err(|error| of_rustls(&error))?;

        Ok(Pair {
            client: client(&provider, &roots, chain.clone(), key.clone_key())?,
            server: server(&provider, verifier, chain, key)?,
            cluster,
            node,
            ends_ms,
            digest: self.digest,
        })
    }
}

fn client(
    provider: &Arc<CryptoProvider>,
    roots: &Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ClientConfig>, String> {
    let mut config = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| of_rustls(&error))?
        .with_root_certificates(Arc::clone(roots))
        .with_client_auth_cert(chain, key)
        .map_err(|error| pair_words(&error))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    // a resumed session would skip the look at the certificate, which may be another one by now
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

fn server(
    provider: &Arc<CryptoProvider>,
    verifier: Arc<dyn rustls::server::danger::ClientCertVerifier>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, String> {
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| of_rustls(&error))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|error| pair_words(&error))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

fn pair_words(error: &rustls::Error) -> String {
    if matches!(error, rustls::Error::InconsistentKeys(_)) {
        return "the key is not the certificate's".to_owned();
    }
    of_rustls(error)
}

fn roots(pem: &[u8]) -> Result<Arc<RootCertStore>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots
            .add(certificate)
            .map_err(|error| format!("the authority cannot be used: {error}"))?;
    }
    Ok(Arc::new(roots))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| format!("not PEM: {error}"))?;
    if found.is_empty() {
        return Err("there is no certificate in the file".to_owned());
    }
    Ok(found)
}

/// Every certificate in a PEM file, the leaf first.
///
/// # Errors
/// In words, with the path.
pub(crate) fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    certificates(&read(path)?).map_err(|reason| format!("{}: {reason}", path.display()))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let said = |error: std::io::Error| format!("{} cannot be read: {error}", path.display());
    let bytes = fs::metadata(path).map_err(said)?.len();
    if bytes > MAX_FILE {
        return Err(format!("{} is too big for a PEM file", path.display()));
    }
    fs::read(path).map_err(said)
}
