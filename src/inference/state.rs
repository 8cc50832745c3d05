//! One revision of the routing config with everything built from it. Requests take it once and
//! keep it until they end, whatever is published meanwhile.

use std::sync::Arc;

use indexmap::IndexMap;
use llm_router_cluster::Revision;

use crate::config::RoutingConfig;
use crate::config::routing::ModelConfig;
use crate::model::ModelHandle;
use crate::provider::Provider;
use crate::routing::{RoutingTable, View};
use crate::types::{ChatRequest, ModelName, Moment};

/// A model about to be put in service.
#[derive(Clone)]
pub(crate) struct Deployment {
    /// Its name.
    pub(crate) name: ModelName,
    /// Its settings.
    pub(crate) config: ModelConfig,
    /// Its client.
    pub(crate) provider: Arc<dyn Provider>,
    /// What makes it the same upstream as before: a change starts breaker and queue afresh.
    pub(crate) identity: blake3::Hash,
}

/// One revision, live.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) revision: Revision,
    pub(crate) config: Arc<RoutingConfig>,
    pub(crate) table: RoutingTable,
    pub(crate) models: IndexMap<ModelName, ModelHandle>,
}

impl State {
    /// A model as routing sees it at this moment.
    pub(crate) fn view(&self, model: &ModelName, request: &ChatRequest, now: Moment) -> View {
        self.models
            .get(model)
            .map(|model| model.view(now, request.priority, &request.body))
            .unwrap_or_default()
    }
}
