//! The accept loop of the upstreams that answer over HTTP/1.1.

use std::error::Error;
use std::future::Future;

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Most connections at a time, for as many clients as a story may have.
const MOST_CONNECTIONS: usize = 4096;

/// Serves for as long as it is polled. An `answer` that fails closes its connection.
pub async fn serve<A, F, B, E>(listener: TcpListener, answer: A)
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Response<B>, E>> + Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                if connections.len() >= MOST_CONNECTIONS {
                    continue;
                }
                let answer = answer.clone();
                connections.spawn(async move {
                    let _ = stream.set_nodelay(true);
                    // A client that leaves is its own business, one that is severed ours.
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service_fn(answer))
                        .await;
                });
            }
        }
    }
}
