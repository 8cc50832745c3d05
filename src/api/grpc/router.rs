//! `RouterService`: asking models, and asking where a request would go.

use llm_router_proto::llm_router::v1;
use llm_router_proto::llm_router::v1::router_service_server::RouterService;
use tonic::{Code, Request, Response, Status};
use tracing::Instrument;

use super::convert::{self, Call};
use super::deadline::Deadline;
use super::identify::{catch_up, request_id};
use super::stream::{Events, events};
use super::trace::Told;
use super::use_case::UseCase;
use super::{authorize, metadata, status};
use crate::api::options::wants_explanation;
use crate::error::{Error, Kind};
use crate::inference::{Reply, ReplyBody};
use crate::telemetry::{GrpcCall, propagation, spans};
use crate::types::{ChatRequest, EmbedRequest, Moment, RequestId};

/// The service over a node.
#[derive(Clone, Debug)]
pub(super) struct RouterDoor<U> {
    node: U,
}

impl<U: UseCase> RouterDoor<U> {
    pub(super) fn new(node: U) -> Self {
        RouterDoor { node }
    }

    async fn whole(
        &self,
        request: ChatRequest,
        explain: bool,
    ) -> Result<Response<v1::GenerateResponse>, Error> {
        let Reply { meta, body } = self.node.chat(request).await?;
        let ReplyBody::Complete(completion) = body else {
            return Err(Error::new(
                Kind::Internal,
                "a whole answer was asked for, a stream came",
            ));
        };
        let mut response = Response::new(v1::GenerateResponse::default());
        metadata::write(&meta, explain, response.metadata_mut().as_mut());
        *response.get_mut() = convert::generated(meta, completion)?;
        Ok(response)
    }

    async fn vectors(&self, request: EmbedRequest) -> Result<Response<v1::EmbedResponse>, Error> {
        let reply = self.node.embed(request).await?;
        let mut response = Response::new(v1::EmbedResponse::default());
        metadata::write(&reply.meta, false, response.metadata_mut().as_mut());
        *response.get_mut() = convert::embedded(reply);
        Ok(response)
    }

    async fn streamed(
        &self,
        request: ChatRequest,
        explain: bool,
    ) -> Result<Response<Events>, Error> {
        let reply = self.node.chat(request).await?;
        let mut headers = http::HeaderMap::new();
        metadata::write(&reply.meta, explain, &mut headers);
        let mut response = Response::new(events(reply));
        *response.metadata_mut().as_mut() = headers;
        Ok(response)
    }
}

const GENERATE: &str = "llm_router.v1.RouterService/Generate";
const EMBED: &str = "llm_router.v1.RouterService/Embed";
const STREAM_GENERATE: &str = "llm_router.v1.RouterService/StreamGenerate";

/// A call's span and its place in the caller's trace; a stream's ends with its head, the request's
/// own span below it goes on to the last message.
struct Watched {
    method: &'static str,
    told: Told,
    began: Moment,
}

impl Watched {
    fn begin<T>(method: &'static str, call: &Request<T>) -> Self {
        let span = spans::grpc_server(method);
        // who comes this far was let in
        propagation::set_parent(&span, call.metadata().as_ref(), || true);
        Watched {
            method,
            told: Told::new(span),
            began: Moment::now(),
        }
    }

    fn end<T>(self, node: &impl UseCase, answer: Result<T, Status>) -> Result<T, Status> {
        let code = answer.as_ref().err().map_or(Code::Ok, Status::code);
        self.told.end(code);
        let duration = Moment::now().since(self.began);
        node.ended(&GrpcCall {
            method: self.method,
            code,
            duration,
        });
        answer
    }
}

/// Takes a call apart: its message, what it says beside it, and its id for errors.
/// Waits first for the config the caller has seen.
async fn read<T: Send, R: Send>(
    call: Request<T>,
    stream: bool,
    convert: impl FnOnce(T, Call<'_>) -> Result<R, Error>,
) -> (Result<R, Error>, RequestId) {
    let (metadata, extensions, message) = call.into_parts();
    let headers = metadata.as_ref();
    let deadline = extensions.get::<Deadline>().copied();
    let call = Call {
        tenant: authorize::tenant(&extensions),
        headers,
        deadline,
        now: Moment::now(),
        stream,
    };
    let id = request_id(headers);
    let request = convert(message, call);
    match catch_up(headers, &extensions).await {
        Ok(()) => (request, id),
        Err(behind) => (Err(behind), id),
    }
}

/// A chat request from a message of the same fields.
fn chat<T>(
    fields: impl FnOnce(T) -> v1::GenerateRequest,
) -> impl FnOnce(T, Call<'_>) -> Result<ChatRequest, Error> {
    |message, call| convert::chat_request(fields(message), call)
}

#[tonic::async_trait]
impl<U: UseCase> RouterService for RouterDoor<U> {
    type StreamGenerateStream = Events;

    async fn generate(
        &self,
        call: Request<v1::GenerateRequest>,
    ) -> Result<Response<v1::GenerateResponse>, Status> {
        let watched = Watched::begin(GENERATE, &call);
        let explain = wants_explanation(call.metadata().as_ref());
        let (request, id) = read(call, false, convert::chat_request).await;
        let answer = match request {
            Ok(request) => {
                self.whole(request, explain)
                    .instrument(watched.told.span().clone())
                    .await
            }
            Err(error) => Err(error),
        };
        watched.end(
            &self.node,
            answer.map_err(|error| status::report(&error, &id)),
        )
    }

    async fn stream_generate(
        &self,
        call: Request<v1::StreamGenerateRequest>,
    ) -> Result<Response<Events>, Status> {
        let watched = Watched::begin(STREAM_GENERATE, &call);
        let explain = wants_explanation(call.metadata().as_ref());
        let (request, id) = read(call, true, chat(convert::from_stream)).await;
        let answer = match request {
            Ok(request) => {
                self.streamed(request, explain)
                    .instrument(watched.told.span().clone())
                    .await
            }
            Err(error) => Err(error),
        };
        watched.end(
            &self.node,
            answer.map_err(|error| status::report(&error, &id)),
        )
    }

    async fn embed(
        &self,
        call: Request<v1::EmbedRequest>,
    ) -> Result<Response<v1::EmbedResponse>, Status> {
        let watched = Watched::begin(EMBED, &call);
        let (request, id) = read(call, false, convert::embed_request).await;
        let answer = match request {
            Ok(request) => {
                self.vectors(request)
                    .instrument(watched.told.span().clone())
                    .await
            }
            Err(error) => Err(error),
        };
        watched.end(
            &self.node,
            answer.map_err(|error| status::report(&error, &id)),
        )
    }

    async fn list_models(
        &self,
        _call: Request<v1::ListModelsRequest>,
    ) -> Result<Response<v1::ListModelsResponse>, Status> {
        let named = self.node.model_names().into_iter().map(|name| {
            let stands_for = self.node.named(&name);
            (name, stands_for)
        });
        Ok(Response::new(convert::listed(named)))
    }

    async fn explain(
        &self,
        call: Request<v1::ExplainRequest>,
    ) -> Result<Response<v1::ExplainResponse>, Status> {
        let (request, id) = read(call, false, chat(convert::from_explain)).await;
        let explained = request.and_then(|request| self.node.explain(&request));
        let explained = explained.map_err(|error| status::report(&error, &id))?;
        Ok(Response::new(convert::explanation(explained)))
    }
}
