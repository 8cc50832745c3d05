//! `grpc-timeout` as a bare HTTP/2 client sees it, which keeps no clock of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use llm_router_proto::llm_router::v1;
use llm_router_proto::llm_router::v1::router_service_client::RouterServiceClient;
use prost::Message as _;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::scripted::{Open, Scripted};
use super::{asking, streaming};
use crate::dialect::openai::build::Head;

struct Raw {
    headers: http::HeaderMap,
    body: Bytes,
    trailers: http::HeaderMap,
    took: Duration,
}

impl Raw {
    fn in_head(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn in_trailers(&self, name: &str) -> Option<&str> {
        self.trailers.get(name).map(|value| value.to_str().unwrap())
    }
}

async fn call(addr: SocketAddr, method: &str, timeout: &str, message: Vec<u8>) -> Raw {
    let stream = tokio::net::TcpStream::connect(addr).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let mut running = JoinSet::new();
    running.spawn(connection);
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(message.len().try_into().unwrap());
    framed.put_slice(&message);
    let request = http::Request::post(format!(
        "http://{addr}/llm_router.v1.RouterService/{method}"
    ))
    .header("content-type", "application/grpc")
    .header("te", "trailers")
    .header("grpc-timeout", timeout)
    .body(Full::new(framed.freeze()))
    .unwrap();
    let began = tokio::time::Instant::now();
    let response = sender.send_request(request).await.unwrap();
    let headers = response.headers().clone();
    let body = response.into_body().collect().await.unwrap();
    let took = began.elapsed();
    let trailers = body.trailers().cloned().unwrap_or_default();
    Raw {
        headers,
        body: body.to_bytes(),
        trailers,
        took,
    }
}

fn never() -> Scripted {
    Scripted::new(|_| std::future::pending())
}

#[tokio::test]
async fn a_malformed_timeout_is_the_callers_mistake() {
    let open = Open::before(never()).await;
    for timeout in ["5", "5s", "123456789S", "-1S"] {
        let raw = call(open.addr, "Generate", timeout, asking("hi").encode_to_vec()).await;
        assert_eq!(raw.in_head("grpc-status"), Some("3"), "{timeout}");
        assert!(raw.in_head("x-request-id").is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_head_is_deadline_exceeded_never_cancelled() {
    let open = Open::before(never()).await;
    for timeout in ["1n", "1m", "2m", "9m", "10m", "40m", "120m"] {
        let raw = call(open.addr, "Generate", timeout, asking("hi").encode_to_vec()).await;
        assert_eq!(
            raw.in_head("grpc-status"),
            Some("4"),
            "{timeout}: {:?}",
            raw.headers
        );
        assert!(
            raw.took < Duration::from_secs(3),
            "{timeout} took {:?}",
            raw.took
        );
    }
}

#[tokio::test]
async fn a_stream_still_running_is_cut_in_its_trailers() {
    let node = Scripted::streaming(Duration::from_millis(20), || {
        (0..1_000).map(|_| Ok(Head::new("m").text("x"))).collect()
    });
    let open = Open::before(node).await;
    let raw = call(
        open.addr,
        "StreamGenerate",
        "200m",
        streaming("hi").encode_to_vec(),
    )
    .await;
    assert_eq!(raw.in_head("grpc-status"), None, "the head was in time");
    assert_eq!(raw.in_trailers("grpc-status"), Some("4"));
    assert!(!raw.body.is_empty());
    assert!(raw.took < Duration::from_secs(3), "took {:?}", raw.took);
}

#[tokio::test]
async fn the_node_is_told_the_deadline() {
    let node = Scripted::new(|request| async move {
        let left = crate::types::Moment::now().until(request.deadline);
        Err(crate::Error::new(
            crate::Kind::Internal,
            format!("{}", left.as_secs()),
        ))
    });
    let open = Open::before(node).await;
    let raw = call(open.addr, "Generate", "30S", asking("hi").encode_to_vec()).await;
    assert_eq!(raw.in_head("grpc-message"), Some("29"));
}

/// Tells when it is dropped.
struct OnDrop(Arc<Notify>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[tokio::test]
async fn a_client_that_leaves_stops_the_nodes_work() {
    let (started, dropped) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let node = {
        let (started, dropped) = (started.clone(), dropped.clone());
        Scripted::new(move |_| {
            let guard = OnDrop(dropped.clone());
            started.notify_one();
            async move {
                let _guard = guard;
                std::future::pending().await
            }
        })
    };
    let open = Open::before(node).await;
    let mut client = RouterServiceClient::new(open.channel().await);
    let request: v1::GenerateRequest = asking("hi");
    tokio::select! {
        answer = client.generate(request) => panic!("{answer:?}"),
        () = started.notified() => {}
    }
    tokio::time::timeout(Duration::from_secs(5), dropped.notified())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_deadline_stops_the_nodes_work() {
    let dropped = Arc::new(Notify::new());
    let node = {
        let dropped = dropped.clone();
        Scripted::new(move |_| {
            let guard = OnDrop(dropped.clone());
            async move {
                let _guard = guard;
                std::future::pending().await
            }
        })
    };
    // long enough for a busy machine to reach the node before it is cut
    let open = Open::before(node).await;
    let raw = call(open.addr, "Generate", "800m", asking("hi").encode_to_vec()).await;
    assert_eq!(raw.in_head("grpc-status"), Some("4"));
    tokio::time::timeout(Duration::from_secs(5), dropped.notified())
        .await
        .unwrap();
}
