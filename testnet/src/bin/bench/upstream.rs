//! The scripted upstream: fixed answers, as fast as they come, in a process of its own.

use std::convert::Infallible;
use std::process::Stdio;

use anyhow::Context;
use bytes::Bytes;
use futures::stream;
use http::{Request, Response};
use http_body_util::{BodyExt, Either, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

/// Pieces of a streamed answer.
const PIECES: usize = 16;

const WHOLE: &str = r#"{"id":"chatcmpl-bench","object":"chat.completion","created":1700000000,"model":"bench","choices":[{"index":0,"message":{"role":"assistant","content":"The quick brown fox jumps over the lazy dog, and the bench measures how long that takes to say."},"finish_reason":"stop"}],"usage":{"prompt_tokens":24,"completion_tokens":22,"total_tokens":46}}"#;

/// The upstream's process.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// `host:port`.
    pub(crate) address: String,
    _child: Child,
}

impl Upstream {
    /// Starts this binary again as the upstream.
    ///
    /// # Errors
    /// When the process does not start or does not say where it listens.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("upstream")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().context("the upstream has no stdout")?;
        let line = BufReader::new(stdout).lines().next_line().await?;
        Ok(Upstream {
            address: line.context("the upstream said nothing")?,
            _child: child,
        })
    }
}

/// Serves until the process is killed.
///
/// # Errors
/// When no port can be had.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        connections.spawn(async move {
            // A client that leaves is its own business.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(answer))
                .await;
        });
        while connections.try_join_next().is_some() {}
    }
}

type Pieces = stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>;

async fn answer(
    request: Request<Incoming>,
) -> Result<Response<Either<Full<Bytes>, StreamBody<Pieces>>>, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    let streamed = [&b"\"stream\":true"[..], b"\"stream\": true"]
        .iter()
        .any(|mark| body.windows(mark.len()).any(|window| window == *mark));
    let (kind, body) = if streamed {
        (
            "text/event-stream",
            Either::Right(StreamBody::new(stream::iter(pieces()))),
        )
    } else {
        (
            "application/json",
            Either::Left(Full::new(Bytes::from_static(WHOLE.as_bytes()))),
        )
    };
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert("content-type", http::HeaderValue::from_static(kind));
    Ok(response)
}

fn pieces() -> Vec<Result<Frame<Bytes>, Infallible>> {
    let chunk = |delta: &str, finish: &str| {
        format!(
            "data: {{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"bench\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish}}}]}}\n\n"
        )
    };
    let deltas = (0..PIECES - 1).map(|_| chunk(r#"{"content":"brown fox "}"#, "null"));
    let last = chunk("{}", "\"stop\"") + "data: [DONE]\n\n";
    deltas
        .chain([last])
        .map(|text| Ok(Frame::data(Bytes::from(text))))
        .collect()
}
