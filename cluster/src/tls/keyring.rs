//! The pair in use, and the watch over its files.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use rustls::pki_types::CertificateDer;

use super::identity::{Certified, certified};
use super::pair::{Files, Pair};
use crate::error::{Error, Refused};
use crate::identity::{ClusterId, NodeId};
use crate::start::TlsFiles;

/// How often the files are looked at: a renewed certificate is in use before anybody has closed
/// the terminal.
const LOOK: Duration = Duration::from_secs(2);

/// A node's certificate, kept fresh. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Keyring {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    files: TlsFiles,
    pair: RwLock<Arc<Pair>>,
    /// What was refused at the last look.
    refused: Mutex<Option<Refusal>>,
}

/// Files that were refused. They are told of at the second look: between the writing of a key and
/// of its certificate there is a moment when neither fits.
#[derive(Clone, Copy, Debug)]
struct Refusal {
    digest: [u8; 32],
    told: bool,
}

impl Keyring {
    /// Reads the pair and checks it as a peer would.
    ///
    /// # Errors
    /// [`Error::Refused`] when it cannot be used, or names another node than `node`.
    pub(crate) fn open(files: TlsFiles, node: &NodeId) -> Result<Self, Error> {
        let unusable = |reason: String| {
            let certificate = files.cert.display();
            Refused::Unwise(format!(
                "the certificate {certificate} cannot be used: {reason}"
            ))
        };
        let pair = Files::read(&files)
            .and_then(Files::check)
            .map_err(unusable)?;
        if pair.node != *node {
            let [certificate, claimed] = [&pair.node, node].map(ToString::to_string);
            return Err(Error::Refused(Refused::Impostor {
                certificate,
                claimed,
            }));
        }
        let inner = Inner {
            files,
            pair: RwLock::new(Arc::new(pair)),
            refused: Mutex::new(None),
        };
        Ok(Keyring {
            inner: Arc::new(inner),
        })
    }

    /// The pair for the next handshake.
    pub(crate) fn pair(&self) -> Arc<Pair> {
        Arc::clone(&self.inner.pair.read())
    }

    /// The cluster the certificate is of. A cluster that begins with certificates has this id.
    pub(crate) fn cluster(&self) -> ClusterId {
        self.pair().cluster.clone()
    }

    /// When the certificate in use ends, in milliseconds since 1970.
    pub(crate) fn ends_ms(&self) -> u64 {
        self.pair().ends_ms
    }

    /// Whom a peer's certificate names, if it is a node of this cluster.
    ///
    /// # Errors
    /// In words, why it is nobody we know.
    pub(crate) fn recognise(&self, chain: Option<&[CertificateDer<'_>]>) -> Result<NodeId, String> {
        let leaf = chain.and_then(<[_]>::first);
        let leaf = leaf.ok_or("the other side shows no certificate")?;
        let Certified { cluster, node } = certified(leaf)?;
        let ours = self.cluster();
        if cluster != ours {
            return Err(format!(
                "the certificate is of cluster {cluster}, this is cluster {ours}"
            ));
        }
        node.ok_or_else(|| "the certificate is an authority's, not a node's".to_owned())
    }

    /// Looks at the files for as long as it is polled.
    pub(crate) async fn keep_fresh(&self) {
        loop {
            tokio::time::sleep(LOOK).await;
            self.look();
        }
    }

    /// Takes over another pair if there is one and it is good; says whether it did. Files that are
    /// written one after the other are good once all of them are there.
    pub(crate) fn look(&self) -> bool {
        let files = match Files::read(&self.inner.files) {
            Ok(files) => files,
            Err(reason) => {
                self.refuse([0; 32], &reason);
                return false;
            }
        };
        let current = self.pair();
        let digest = files.digest;
        if digest == current.digest {
            *self.inner.refused.lock() = None;
            return false;
        }
        let pair = files.check().and_then(|pair| same_node(&current, pair));
        match pair {
            Ok(pair) => {
                tracing::info!(node = %pair.node, "another certificate is in use");
                *self.inner.pair.write() = Arc::new(pair);
                *self.inner.refused.lock() = None;
                true
            }
            Err(reason) => {
                self.refuse(digest, &reason);
                false
            }
        }
    }

    fn refuse(&self, digest: [u8; 32], reason: &str) {
        let mut refused = self.inner.refused.lock();
        match refused.as_mut().filter(|before| before.digest == digest) {
            None => {
                *refused = Some(Refusal {
                    digest,
                    told: false,
                });
            }
            Some(before) if !before.told => {
                before.told = true;
                let cert = self.inner.files.cert.display();
                tracing::warn!(%cert, reason, "another certificate is refused, the old one stays");
            }
            Some(_) => {}
        }
    }
}

fn same_node(current: &Pair, pair: Pair) -> Result<Pair, String> {
    if (&pair.cluster, &pair.node) == (&current.cluster, &current.node) {
        return Ok(pair);
    }
    let (node, cluster) = (&pair.node, &pair.cluster);
    Err(format!("it is of node {node} of cluster {cluster}"))
}
