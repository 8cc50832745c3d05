//! The same use cases over gRPC.

use std::time::Duration;

use hyper_util::client::legacy;
use hyper_util::rt::TokioExecutor;
use llm_router_proto::llm_router::v1 as pb;
use llm_router_testnet::{Node, Upstream};
use pb::router_service_client::RouterServiceClient;
use pb::stream_generate_response::Event;
use tonic::transport::Channel;
use tonic::{Code, Request};
use tonic_types::StatusExt;

async fn connect(node: &Node) -> anyhow::Result<RouterServiceClient<Channel>> {
    Ok(RouterServiceClient::connect(format!("http://{}", node.grpc_address())).await?)
}

fn question(model: &str) -> pb::GenerateRequest {
    pb::GenerateRequest {
        prompt: "hello over gRPC".to_owned(),
        model: model.to_owned(),
        ..pb::GenerateRequest::default()
    }
}

#[tokio::test]
async fn generate_answers_and_the_second_time_from_the_cache() -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    let node = Node::start(&upstream.config("gpt", "")).await?;
    let mut client = connect(&node).await?;

    let first = client.generate(question("gpt")).await?.into_inner();
    assert!(!first.content.is_empty());
    assert_eq!((first.model_used.as_str(), first.cached), ("gpt", false));
    assert_eq!(first.finish_reason(), pb::FinishReason::Stop);
    tokio::time::sleep(Duration::from_millis(150)).await;

    let again = client.generate(question("gpt")).await?.into_inner();
    assert!(again.cached);
    assert_eq!(again.content, first.content);
    assert_eq!(upstream.requests(), 1);
    Ok(())
}

#[tokio::test]
async fn a_stream_is_one_start_deltas_and_one_finish() -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    let node = Node::start(&upstream.config("gpt", "")).await?;
    let mut client = connect(&node).await?;
    let request = pb::StreamGenerateRequest {
        prompt: "hello".to_owned(),
        model: "gpt".to_owned(),
        ..pb::StreamGenerateRequest::default()
    };

    let mut stream = client.stream_generate(request).await?.into_inner();
    let mut events = Vec::new();
    while let Some(message) = stream.message().await? {
        events.extend(message.event);
    }

    assert!(matches!(events.first(), Some(Event::Start(start)) if start.model_used == "gpt"));
    assert!(
        matches!(events.last(), Some(Event::Finish(_))),
        "{events:?}"
    );
    assert!(
        events
            .iter()
            .any(|event| matches!(event, Event::Delta(text) if !text.is_empty()))
    );
    Ok(())
}

/// A client that keeps no clock of its own: what it hears, the node said.
fn clockless(node: &Node) -> anyhow::Result<RouterServiceClient<Bare>> {
    let client = legacy::Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http();
    let origin = format!("http://{}", node.grpc_address()).parse()?;
    Ok(RouterServiceClient::with_origin(client, origin))
}

type Bare = legacy::Client<legacy::connect::HttpConnector, tonic::body::Body>;

#[tokio::test]
async fn a_deadline_is_kept_and_named() -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    upstream.wait_before_answering(Duration::from_secs(20))?;
    let node = Node::start(&upstream.config("gpt", "")).await?;
    let mut client = clockless(&node)?;
    let mut request = Request::new(question("gpt"));
    request.set_timeout(Duration::from_millis(300));

    let status = client.generate(request).await.err();

    assert_eq!(
        status.map(|status| status.code()),
        Some(Code::DeadlineExceeded)
    );
    Ok(())
}

#[tokio::test]
async fn a_name_nobody_has_is_not_found_with_details() -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    let node = Node::start(&upstream.config("gpt", "")).await?;
    let mut client = connect(&node).await?;

    let Err(status) = client.generate(question("no-such-model")).await else {
        anyhow::bail!("an unknown model answered");
    };

    assert_eq!(status.code(), Code::NotFound, "{status:?}");
    let info = status.get_error_details().error_info().cloned();
    assert_eq!(info.map(|info| info.domain).as_deref(), Some("llm-router"));
    Ok(())
}

#[tokio::test]
async fn an_empty_request_names_the_field_at_fault() -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    let node = Node::start(&upstream.config("gpt", "")).await?;
    let mut client = connect(&node).await?;
    let Err(status) = client.generate(pb::GenerateRequest::default()).await else {
        anyhow::bail!("an empty request was answered");
    };
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let details = status.get_error_details();
    assert!(
        details
            .bad_request()
            .is_some_and(|bad| !bad.field_violations.is_empty())
    );
    Ok(())
}
