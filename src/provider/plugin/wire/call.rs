//! The four calls a plugin gets.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use llm_router_proto::llm_router::plugin::v1;
use llm_router_proto::llm_router::plugin::v1::backend_service_client::BackendServiceClient;
use tonic::Request;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::super::described::Described;
use super::super::status::Unheard;
use super::super::stream::Said;
use crate::provider::EmbedCall;
use crate::types::{Embeddings, Event};

/// Most bytes of one event, or of the vectors of one answer.
const MAX_MESSAGE: usize = 16 << 20;
/// Most bytes of what is told beside an answer.
const MAX_WORDS: usize = 1 << 20;

/// One attempt at an answer.
#[derive(Debug)]
pub(in crate::provider::plugin) struct Asked {
    pub(in crate::provider::plugin) attempt_id: String,
    pub(in crate::provider::plugin) model: String,
    pub(in crate::provider::plugin) request: Bytes,
    pub(in crate::provider::plugin) stream: bool,
    pub(in crate::provider::plugin) left: Duration,
    pub(in crate::provider::plugin) traceparent: String,
}

/// One attempt at vectors.
#[derive(Debug)]
pub(in crate::provider::plugin) struct AskedVectors<'a> {
    pub(in crate::provider::plugin) attempt_id: String,
    pub(in crate::provider::plugin) model: String,
    pub(in crate::provider::plugin) left: Duration,
    pub(in crate::provider::plugin) call: &'a EmbedCall,
}

/// Begins an answer.
pub(in crate::provider::plugin) async fn generate(
    channel: Channel,
    asked: Asked,
    metadata: MetadataMap,
) -> Result<Said, Unheard> {
    let left = asked.left;
    let request = with(v1::GenerateRequest::from(asked), metadata, Some(left));
    let mut client = BackendServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE);
    let events = client.generate(request).await?.into_inner();
    let said = events.map(|event| Event::try_from(event?).map_err(Unheard::Garbled));
    Ok(said.boxed())
}

/// Makes vectors.
pub(in crate::provider::plugin) async fn embed(
    channel: Channel,
    asked: AskedVectors<'_>,
    metadata: MetadataMap,
) -> Result<Embeddings, Unheard> {
    let (left, wanted) = (asked.left, asked.call.inputs.len());
    let request = with(v1::EmbedRequest::from(asked), metadata, Some(left));
    let mut client = BackendServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE);
    let answer = client.embed(request).await?.into_inner();
    let embeddings = Embeddings::try_from(answer).map_err(Unheard::Garbled)?;
    if embeddings.vectors.len() == wanted {
        return Ok(embeddings);
    }
    let message = format!(
        "the plugin sent {} vectors for {wanted} inputs",
        embeddings.vectors.len()
    );
    Err(Unheard::Garbled(message))
}

/// Asks what is there.
pub(in crate::provider::plugin) async fn describe(
    channel: Channel,
    metadata: MetadataMap,
) -> Result<Described, Unheard> {
    let mut client = BackendServiceClient::new(channel).max_decoding_message_size(MAX_WORDS);
    let answer = client
        .describe(with(v1::DescribeRequest {}, metadata, None))
        .await?;
    Ok(Described::from(answer.into_inner()))
}

/// Asks the standard health service, about the plugin as a whole.
pub(in crate::provider::plugin) async fn health(
    channel: Channel,
    metadata: MetadataMap,
) -> Result<(), Unheard> {
    let mut client = HealthClient::new(channel).max_decoding_message_size(MAX_WORDS);
    let asked = HealthCheckRequest {
        service: String::new(),
    };
    let answer = client
        .check(with(asked, metadata, None))
        .await?
        .into_inner();
    if answer.status() == ServingStatus::Serving {
        return Ok(());
    }
    Err(Unheard::Garbled(
        "the plugin says it is not serving".to_owned(),
    ))
}

fn with<T>(message: T, metadata: MetadataMap, left: Option<Duration>) -> Request<T> {
    let mut request = Request::new(message);
    *request.metadata_mut() = metadata;
    if let Some(left) = left {
        request.set_timeout(left);
    }
    request
}
