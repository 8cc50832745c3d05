//! What this door asks of the node. The engine answers it; tests answer it from a script.

use std::future::Future;

use crate::error::Error;
use crate::inference::{Engine, Reply};
use crate::types::report::{Explanation, ModelStatus, Stats};
use crate::types::{ChatRequest, ModelName};

/// The node behind the door. Cheap to clone.
pub(super) trait UseCase: Clone + Send + Sync + 'static {
    /// Answers a request; dropping the future aborts the upstream.
    fn chat(&self, request: ChatRequest) -> impl Future<Output = Result<Reply, Error>> + Send;
    /// Shows where a request would go.
    fn explain(&self, request: &ChatRequest) -> Result<Explanation, Error>;
    /// Status of every model.
    fn models(&self) -> Vec<(ModelName, ModelStatus)>;
    /// Names clients may ask for.
    fn model_names(&self) -> Vec<String>;
    /// The counters.
    fn stats(&self) -> Stats;
}

impl UseCase for Engine {
    fn chat(&self, request: ChatRequest) -> impl Future<Output = Result<Reply, Error>> + Send {
        Engine::chat(self, request)
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

    fn stats(&self) -> Stats {
        Engine::stats(self)
    }
}
