//! The accept loop: connections are capped, timed and ended politely.
//!
//! `axum::serve` offers no header timeout and no cap, so connections are served by hyper-util with
//! a timer here.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::telemetry::Metrics;

/// Limits of one door.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open connections; beyond it accepting pauses.
    pub connections: usize,
    /// From a connection's first byte until its first request head is complete.
    pub header_timeout: Duration,
    /// How long a connection may lie idle between requests; load balancers keep theirs for 60 s.
    pub idle_timeout: Duration,
    /// Bytes of the request head.
    pub header_bytes: usize,
    /// Header fields.
    pub header_count: usize,
    /// How long a reader may refuse our bytes before the connection is dropped.
    pub write_stall: Duration,
    /// How long running answers may take after shutdown began.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 10_000,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(90),
            header_bytes: 16 << 10,
            header_count: 64,
            write_stall: Duration::from_secs(30),
            grace: Duration::from_secs(30),
        }
    }
}

/// Pause after a failed accept: out of descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `shutdown`, then lets running answers finish within the grace period.
pub async fn serve(
    listener: TcpListener,
    (routes, metrics): (Router, Metrics),
    limits: Limits,
    shutdown: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let (graceful, tasks) = (GracefulShutdown::new(), TaskTracker::new());
    let builder = builder(limits);
    loop {
        let place = tokio::select! {
            () = shutdown.cancelled() => break,
            place = Arc::clone(&places).acquire_owned() => place,
        };
        let Ok(place) = place else { break };
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // without it small chunks of a stream would wait for the client's acknowledgements
        let _ = stream.set_nodelay(true);
        let routes = routes.clone();
        let greeted = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&greeted);
        let service = service_fn(move |request: Request<Incoming>| {
            seen.store(true, Ordering::Relaxed);
            routes.clone().oneshot(request.map(Body::new))
        });
        let io = TokioIo::new(PacedSocket::new(stream, limits, greeted));
        let connection = builder.serve_connection(io, service).into_owned();
        let connection = graceful.watch(connection);
        let connected = metrics.connected("http");
        tasks.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended early");
            }
            drop((place, connected));
        });
    }
    drop(listener);
    tasks.close();
    let finish = async {
        graceful.shutdown().await;
        tasks.wait().await;
    };
    if tokio::time::timeout(limits.grace, finish).await.is_err() {
        tracing::warn!(grace = ?limits.grace, "answers cut off: grace period over");
    }
}

fn builder(limits: Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle_timeout)
        .max_headers(limits.header_count)
        .max_buf_size(limits.header_bytes.max(8192))
        .pipeline_flush(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(100)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10));
    builder
}

/// A socket that gives up on a peer who takes nothing for too long, or who starts its first
/// request and does not get to the end of its head.
struct PacedSocket {
    stream: TcpStream,
    limits: Limits,
    /// A request has come through: from here on hyper's own timers watch.
    greeted: Arc<AtomicBool>,
    greeting: Option<Pin<Box<Sleep>>>,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl PacedSocket {
    fn new(stream: TcpStream, limits: Limits, greeted: Arc<AtomicBool>) -> Self {
        PacedSocket {
            stream,
            limits,
            greeted,
            greeting: None,
            stalled: None,
        }
    }

    /// The first bytes start the clock, the first request stops it. An HTTP/2 preface is a whole
    /// greeting: its connection has keep-alive pings of its own.
    fn pace_greeting(&mut self, cx: &mut Context<'_>, read: &[u8]) -> io::Result<()> {
        if self.greeted.load(Ordering::Relaxed) {
            self.greeting = None;
            return Ok(());
        }
        if self.greeting.is_none() && read.starts_with(b"PRI ") {
            self.greeted.store(true, Ordering::Relaxed);
            return Ok(());
        }
        let patience = self.limits.header_timeout;
        if !read.is_empty() {
            self.greeting
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        }
        let over = self
            .greeting
            .as_mut()
            .is_some_and(|clock| clock.as_mut().poll(cx).is_ready());
        if over {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "request head took too long",
            ));
        }
        Ok(())
    }

    fn judge<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let patience = self.limits.write_stall;
        let timer = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "reader stalled",
        )))
    }
}

impl AsyncRead for PacedSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.pace_greeting(cx, &buf.filled()[before..])?;
        polled
    }
}

impl AsyncWrite for PacedSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.judge(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.judge(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
