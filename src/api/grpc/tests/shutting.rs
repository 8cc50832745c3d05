//! Health, draining, and what a closing door does to those inside.

use std::time::Duration;

use futures::StreamExt as _;
use llm_router_proto::llm_router::v1;
use llm_router_proto::llm_router::v1::router_service_client::RouterServiceClient;
use llm_router_proto::llm_router::v1::stats_service_client::StatsServiceClient;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::super::connection::incoming;
use super::asking;
use super::scripted::{Open, Scripted};

const SERVICES: [&str; 3] = [
    "",
    "llm_router.v1.RouterService",
    "llm_router.v1.StatsService",
];

fn about(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

#[tokio::test]
async fn every_service_is_serving_until_the_node_drains() {
    let open = Open::before(Scripted::saying("x")).await;
    let mut client = HealthClient::new(open.channel().await);
    for service in SERVICES {
        let health = client.check(about(service)).await.unwrap().into_inner();
        assert_eq!(health.status(), ServingStatus::Serving, "{service:?}");
    }
    open.health.drain().await;
    for service in SERVICES {
        let health = client.check(about(service)).await.unwrap().into_inner();
        assert_eq!(health.status(), ServingStatus::NotServing, "{service:?}");
    }
    let mut router = RouterServiceClient::new(open.channel().await);
    assert_eq!(
        router
            .generate(asking("hi"))
            .await
            .unwrap()
            .into_inner()
            .content,
        "x"
    );
}

#[tokio::test]
async fn watchers_hear_of_the_drain_and_do_not_hold_it_up() {
    let open = Open::with_grace(Scripted::saying("x"), Duration::from_secs(60)).await;
    let mut client = HealthClient::new(open.channel().await);
    let mut health = client.watch(about("")).await.unwrap().into_inner();
    assert_eq!(
        health.next().await.unwrap().unwrap().status(),
        ServingStatus::Serving
    );
    let mut stats = StatsServiceClient::new(open.channel().await);
    let watch = v1::WatchStatsRequest {
        interval_ms: 60_000,
    };
    let mut counters = stats.watch_stats(watch).await.unwrap().into_inner();
    assert!(counters.next().await.unwrap().is_ok());
    open.health.drain().await;
    assert_eq!(
        health.next().await.unwrap().unwrap().status(),
        ServingStatus::NotServing
    );
    let took = open.shut().await;
    assert!(took < Duration::from_secs(10), "took {took:?}");
    assert!(counters.next().await.is_none());
}

#[tokio::test]
async fn a_running_call_may_finish_after_the_door_shuts() {
    let node = Scripted::new(|request| async move {
        tokio::time::sleep(Duration::from_millis(200)).await;
        Err(crate::Error::new(
            crate::Kind::Conflict,
            request.model.to_string(),
        ))
    });
    let open = Open::before(node).await;
    let mut client = RouterServiceClient::new(open.channel().await);
    let call = async { client.generate(asking("hi")).await.unwrap_err().code() };
    let shut = async {
        tokio::time::sleep(Duration::from_millis(80)).await;
        open.shut().await
    };
    let (code, took) = tokio::join!(call, shut);
    assert_eq!(code, tonic::Code::Aborted);
    assert!(took < Duration::from_secs(4), "took {took:?}");
}

#[tokio::test]
async fn a_call_that_outlasts_the_grace_is_broken() {
    let node = Scripted::new(|_| std::future::pending());
    let open = Open::with_grace(node, Duration::from_millis(150)).await;
    let mut client = RouterServiceClient::new(open.channel().await);
    let call = async { client.generate(asking("hi")).await };
    let shut = async {
        tokio::time::sleep(Duration::from_millis(80)).await;
        open.shut().await
    };
    let (answer, took) = tokio::join!(call, shut);
    assert!(answer.is_err());
    assert!(
        took >= Duration::from_millis(140),
        "the grace was given, {took:?}"
    );
    assert!(took < Duration::from_secs(4), "took {took:?}");
}

#[tokio::test]
async fn connections_over_the_limit_wait_for_a_place() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let closed = CancellationToken::new();
    let mut connections = Box::pin(incoming(listener, 1, closed.clone()));
    let _clients = [
        TcpStream::connect(addr).await.unwrap(),
        TcpStream::connect(addr).await.unwrap(),
    ];
    let first = connections.next().await.unwrap().unwrap();
    let waiting = tokio::time::timeout(Duration::from_millis(50), connections.next()).await;
    assert!(waiting.is_err(), "the second must wait");
    drop(first);
    let mut second = connections.next().await.unwrap().unwrap();
    closed.cancel();
    let read = second.read_u8().await.unwrap_err();
    assert_eq!(read.kind(), std::io::ErrorKind::ConnectionAborted);
}
