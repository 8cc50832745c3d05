//! Who gets as far as a connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::tls::{Keyring, words};
use crate::transport::stream::{Accepted, Far, Stream};

/// Connections at once, handshakes among them: five for each of the members there may be in
/// earnest. One more is closed unheard.
const MAX_CONNECTIONS: usize = 1280;
/// For a handshake; a caller that sends nothing holds its place no longer.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// After the listener itself failed, as it does when the process is out of files.
const BREATH: Duration = Duration::from_millis(100);
/// A refused caller comes again at once; the log hears of it this often.
const QUIET: Duration = Duration::from_secs(5);

/// Accepts for as long as it is polled and anybody takes the connections.
pub(super) async fn accept(
    listener: &TcpListener,
    keyring: Option<&Keyring>,
    let_in: mpsc::Sender<Accepted>,
) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut handshakes = JoinSet::new();
    let mut log = Log::default();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => {
                    let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                        log.refused(address, "too many connections");
                        continue;
                    };
                    let keyring = keyring.cloned();
                    handshakes.spawn(shake(stream, address, keyring, place));
                }
                Err(error) => {
                    tracing::warn!(%error, "the node-to-node door cannot accept");
                    sleep(BREATH).await;
                }
            },
            Some(done) = handshakes.join_next() => match done {
                Ok(Ok(accepted)) => {
                    if let_in.send(accepted).await.is_err() {
                        return;
                    }
                }
                Ok(Err((address, reason))) => log.refused(address, &reason),
                Err(error) => tracing::error!(%error, "a handshake ended badly"),
            },
        }
    }
}

async fn shake(
    stream: TcpStream,
    address: SocketAddr,
    keyring: Option<Keyring>,
    place: OwnedSemaphorePermit,
) -> Result<Accepted, (SocketAddr, String)> {
    let refused = |reason: String| (address, reason);
    stream
        .set_nodelay(true)
        .map_err(|error| refused(error.to_string()))?;
    let Some(keyring) = keyring else {
        return Ok(Accepted {
            stream: Stream::Plain(stream),
            far: Far {
                node: None,
                address,
            },
            _place: place,
        });
    };
    let acceptor = TlsAcceptor::from(Arc::clone(&keyring.pair().server));
    let stream = timeout(HANDSHAKE, acceptor.accept(stream))
        .await
        .map_err(|_| refused("no handshake in time".to_owned()))?
        .map_err(|error| refused(words(&error)))?;
    let chain = stream.get_ref().1.peer_certificates();
    let node = keyring.recognise(chain).map_err(refused)?;
    Ok(Accepted {
        stream: Stream::Server(Box::new(stream)),
        far: Far {
            node: Some(node),
            address,
        },
        _place: place,
    })
}

/// Says that callers are refused, without letting them fill the log.
#[derive(Default)]
struct Log {
    last: Option<Instant>,
    unsaid: u64,
}

impl Log {
    fn refused(&mut self, address: SocketAddr, reason: &str) {
        let now = Instant::now();
        if self.last.is_some_and(|last| now < last + QUIET) {
            self.unsaid += 1;
            return;
        }
        let unsaid = std::mem::take(&mut self.unsaid);
        self.last = Some(now);
        tracing::warn!(%address, reason, unsaid, "a caller is refused at the node-to-node door");
    }
}

#[cfg(test)]
mod tests;
