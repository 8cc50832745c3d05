//! What this door asks of the node. The engine answers it; tests answer it from a script.

use std::future::Future;

use crate::error::Error;
use crate::inference::{EmbedReply, Engine, Named, Reply, Source};
use crate::telemetry::GrpcCall;
use crate::types::report::{Explanation, ModelStatus, Stats};
use crate::types::{ChatRequest, EmbedRequest, ModelName, Moment};

/// The node behind the door. Cheap to clone.
pub(super) trait UseCase: Clone + Send + Sync + 'static {
    /// Answers a request; dropping the future aborts the upstream.
    fn chat(&self, request: ChatRequest) -> impl Future<Output = Result<Reply, Error>> + Send;
    /// Makes vectors; dropping the future aborts the upstream.
    fn embed(
        &self,
        request: EmbedRequest,
    ) -> impl Future<Output = Result<EmbedReply, Error>> + Send;
    /// Shows where a request would go.
    fn explain(&self, request: &ChatRequest) -> Result<Explanation, Error>;
    /// Status of every model.
    fn models(&self) -> Vec<(ModelName, ModelStatus)>;
    /// Names clients may ask for.
    fn model_names(&self) -> Vec<String>;
    /// What one of them stands for.
    fn named(&self, name: &str) -> Named;
    /// The counters.
    fn stats(&self) -> Stats;
    /// A call of the service has ended; only a real node counts it.
    fn ended(&self, _call: &GrpcCall<'_>) {}
}

impl UseCase for Engine {
    fn chat(&self, request: ChatRequest) -> impl Future<Output = Result<Reply, Error>> + Send {
        self.chat_from(source(), request)
    }

    fn embed(
        &self,
        request: EmbedRequest,
    ) -> impl Future<Output = Result<EmbedReply, Error>> + Send {
        self.embed_from(source(), request)
    }

    fn explain(&self, request: &ChatRequest) -> Result<Explanation, Error> {
        Engine::explain(self, request)
    }

    fn models(&self) -> Vec<(ModelName, ModelStatus)> {
        Engine::models(self)
    }

    fn model_names(&self) -> Vec<String> {
        Engine::model_names(self)
    }

    fn named(&self, name: &str) -> Named {
        Engine::named(self, name)
    }

    fn stats(&self) -> Stats {
        Engine::stats(self)
    }

    fn ended(&self, call: &GrpcCall<'_>) {
        self.metrics().grpc_ended(call);
    }
}

fn source() -> Source {
    Source {
        door: "grpc",
        path: "llm_router.v1.RouterService",
        arrived: Moment::now(),
    }
}
