//! Reaching a node's door: address, TCP, TLS, and whether it is the node that was meant.

use std::io;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::stream::Stream;
use crate::error::Refused;
use crate::identity::NodeId;
use crate::tls::{Keyring, NODE_DNS, by_certificate, loopback_only, words};

/// For the TCP connection: a host that is gone costs this much at each attempt, so a link that
/// heals is in use soon after.
const CONNECT: Duration = Duration::from_millis(300);
/// For the handshake: some milliseconds of arithmetic on either side, on machines that may be busy.
const HANDSHAKE: Duration = Duration::from_secs(1);

/// Whom a connection is for.
#[derive(Clone, Debug)]
pub(crate) struct Whom {
    /// `host:port`, overrides applied.
    pub(crate) address: String,
    /// The node that must be there; `None` takes any of the cluster.
    pub(crate) node: Option<NodeId>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Undialled {
    /// By a rule; trying again changes nothing.
    #[error("{0}")]
    Refused(Refused),
    /// The network, or whoever is there.
    #[error("{0}")]
    Failed(String),
}

/// Dials. With a keyring the other side must show the certificate of the node that is meant;
/// without, it must be on loopback.
pub(crate) async fn dial(whom: Whom, keyring: Option<Keyring>) -> Result<Stream, Undialled> {
    let stream = timeout(CONNECT, connect(&whom.address, keyring.is_none()))
        .await
        .map_err(|_| Undialled::Failed(format!("no answer within {} ms", CONNECT.as_millis())))??;
    stream.set_nodelay(true).map_err(failed)?;
    let Some(keyring) = keyring else {
        return Ok(Stream::Plain(stream));
    };
    let connector = TlsConnector::from(keyring.pair().client.clone());
    let name = ServerName::try_from(NODE_DNS)
        .map_err(|error| Undialled::Failed(error.to_string()))?
        .to_owned();
    let stream = timeout(HANDSHAKE, connector.connect(name, stream))
        .await
        .map_err(|_| Undialled::Failed("no answer to the handshake".to_owned()))?
        .map_err(|error| untrusted(&error))?;
    let chain = stream.get_ref().1.peer_certificates();
    let found = keyring.recognise(chain).map_err(refused)?;
    match whom.node {
        Some(meant) if meant != found => Err(Undialled::Refused(Refused::Impostor {
            certificate: found.to_string(),
            claimed: meant.to_string(),
        })),
        _ => Ok(Stream::Client(Box::new(stream))),
    }
}

async fn connect(address: &str, loopback: bool) -> Result<TcpStream, Undialled> {
    let found = tokio::net::lookup_host(address).await.map_err(failed)?;
    let mut last = Undialled::Failed("the name has no address".to_owned());
    for socket in found {
        if loopback {
            loopback_only(socket, &format!("the address {address}")).map_err(Undialled::Refused)?;
        }
        match TcpStream::connect(socket).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = failed(error),
        }
    }
    Err(last)
}

/// A certificate that does not do is a refusal: trying again changes nothing.
fn untrusted(error: &io::Error) -> Undialled {
    let text = words(error);
    if by_certificate(error) {
        return refused(text);
    }
    Undialled::Failed(text)
}

fn refused(text: String) -> Undialled {
    Undialled::Refused(Refused::Unwise(text))
}

fn failed(error: io::Error) -> Undialled {
    Undialled::Failed(error.to_string())
}
