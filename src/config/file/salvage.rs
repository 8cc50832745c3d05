//! What can still be checked of a file that does not fit as a whole.
//!
//! Sections are read one by one; a model or a route that cannot be read is stood in for, so that
//! names and positions stay what they are, and whatever is found about the stand-in is dropped.

use serde::de::DeserializeOwned;

use super::File;
use crate::config::document::{Node, Value};
use crate::config::path::{Path, Step};
use crate::config::problem::Finding;
use crate::config::routing::{
    MatchConfig, ModelConfig, OnUnsupported, ProviderKind, RouteConfig, Strategy, StreamRecovery,
};
use crate::config::suggest::nearest;

/// A file with stand-ins.
pub(super) struct Salvaged {
    pub(super) file: File,
    standing_in: Vec<Path>,
}

impl Salvaged {
    /// Reads what fits of `document`; `fitting` is the same without its misfits.
    pub(super) fn of(document: &Node, fitting: &Node) -> Self {
        let mut standing_in = Vec::new();
        let file = File {
            schema: None,
            node: section(fitting, "node"),
            listen: section(fitting, "listen"),
            data_dir: section(fitting, "data_dir"),
            cluster: section(fitting, "cluster"),
            embedder: section(fitting, "embedder"),
            telemetry: section(fitting, "telemetry"),
            models: models(document, fitting, &mut standing_in),
            routes: routes(fitting, &mut standing_in),
            circuit_breaker: section(fitting, "circuit_breaker"),
            cache: section(fitting, "cache"),
            retry: section(fitting, "retry"),
            placement: section(fitting, "placement"),
        };
        Salvaged { file, standing_in }
    }

    /// A finding about what was really written, not about a stand-in or the lack of a misfit.
    pub(super) fn is_sound(&self, finding: &Finding, misfits: &[Path]) -> bool {
        let about = finding.path.steps();
        let routing = matches!(about.first(), Some(Step::Key(top)) if top == "routes");
        let stood_in = self
            .standing_in
            .iter()
            .any(|path| about.starts_with(path.steps()));
        let missing = misfits
            .iter()
            .any(|misfit| misfit.steps().starts_with(about));
        let no_models = routing && misfits.iter().any(is_models);
        !stood_in && !missing && !no_models
    }
}

/// The whole of `models` (or of a slip of it) did not fit: no name can be known.
fn is_models(misfit: &Path) -> bool {
    match misfit.steps() {
        [Step::Key(top)] => nearest(top, ["models"]).is_some(),
        _ => false,
    }
}

fn section<T: Default + DeserializeOwned>(fitting: &Node, key: &str) -> T {
    fitting
        .get(key)
        .and_then(|node| node.decode().ok())
        .unwrap_or_default()
}

fn models(
    document: &Node,
    fitting: &Node,
    standing_in: &mut Vec<Path>,
) -> indexmap::IndexMap<crate::types::ModelName, ModelConfig> {
    let Some(Value::Map(entries)) = document.get("models").map(|node| &node.value) else {
        return indexmap::IndexMap::new();
    };
    let fitting = fitting.get("models");
    let read = |key: &str| fitting.and_then(|models| models.get(key)?.decode().ok());
    let named = entries.iter().map(|entry| {
        let model = read(&entry.key).unwrap_or_else(|| {
            standing_in.push(Path::top().key("models").key(&entry.key));
            ModelConfig::new(ProviderKind::OpenAi, "stand-in")
        });
        (entry.key.as_str().into(), model)
    });
    named.collect()
}

fn routes(fitting: &Node, standing_in: &mut Vec<Path>) -> Vec<RouteConfig> {
    let Some(Value::List(items)) = fitting.get("routes").map(|node| &node.value) else {
        return Vec::new();
    };
    let read = items.iter().enumerate().map(|(index, item)| {
        item.decode().unwrap_or_else(|_| {
            standing_in.push(Path::top().key("routes").index(index));
            RouteConfig {
                name: format!("stand-in {index}").into(),
                matches: MatchConfig::default(),
                targets: Vec::new(),
                fallback: Vec::new(),
                strategy: Strategy::default(),
                cache: None,
                on_unsupported: OnUnsupported::default(),
                stream_recovery: StreamRecovery::default(),
                hedge: None,
                shadow: None,
            }
        })
    });
    read.collect()
}
