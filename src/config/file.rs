//! A configuration file: node part and routing part in one document of YAML or JSON.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check;
use super::document::{self, Node};
use super::node::{EmbedderConfig, IdentityConfig, ListenConfig, NodeConfig, TelemetryConfig};
use super::path::{Path, Step};
use super::problem::{Finding, Problems};
use super::routing::{
    BreakerConfig, CacheConfig, ModelConfig, RetryConfig, RouteConfig, RoutingConfig,
};
use super::schema::schema;
use super::shape::Shape;
use super::suggest::nearest;
use crate::types::ModelName;

/// Largest file in bytes: a thousand models and a thousand routes, written out at length.
pub const MAX_FILE_BYTES: usize = 1 << 20;

/// Every key a file may have at the top.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct File {
    /// For editors; not read.
    #[serde(rename = "$schema", skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// Identity.
    pub node: IdentityConfig,
    /// Doors.
    pub listen: ListenConfig,
    /// Where state is kept; the user's data directory when not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<std::path::PathBuf>,
    /// The cache's embedding model.
    pub embedder: EmbedderConfig,
    /// What is told to the outside.
    pub telemetry: TelemetryConfig,
    /// Deployments by name, in order of preference where nothing else decides.
    pub models: indexmap::IndexMap<ModelName, ModelConfig>,
    /// Rules; the first that matches decides. Without a match, all models in order.
    pub routes: Vec<RouteConfig>,
    /// When a model is left alone.
    pub circuit_breaker: BreakerConfig,
    /// When an answer is reused.
    pub cache: CacheConfig,
    /// When a try is repeated.
    pub retry: RetryConfig,
}

impl File {
    /// One file of both parts.
    pub fn join(node: NodeConfig, routing: RoutingConfig) -> Self {
        File {
            schema: None,
            node: node.node,
            listen: node.listen,
            data_dir: node.data_dir,
            embedder: node.embedder,
            telemetry: node.telemetry,
            models: routing.models,
            routes: routing.routes,
            circuit_breaker: routing.circuit_breaker,
            cache: routing.cache,
            retry: routing.retry,
        }
    }

    /// The two parts of the file.
    pub fn split(self) -> (NodeConfig, RoutingConfig) {
        let node = NodeConfig {
            node: self.node,
            listen: self.listen,
            data_dir: self.data_dir,
            embedder: self.embedder,
            telemetry: self.telemetry,
        };
        let routing = RoutingConfig {
            models: self.models,
            routes: self.routes,
            circuit_breaker: self.circuit_breaker,
            cache: self.cache,
            retry: self.retry,
        };
        (node, routing)
    }
}

/// A file that is in order.
#[derive(Clone)]
pub struct Parsed {
    /// The node part.
    pub node: NodeConfig,
    /// The routing part.
    pub routing: RoutingConfig,
    text: String,
    document: Node,
}

impl fmt::Debug for Parsed {
    /// Without the text, which may hold a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parsed {
            node,
            routing,
            text: _,
            document: _,
        } = self;
        f.debug_struct("Parsed")
            .field("node", node)
            .field("routing", routing)
            .finish_non_exhaustive()
    }
}

impl Parsed {
    /// Digest of the text as it was read.
    pub fn digest(&self) -> blake3::Hash {
        blake3::hash(self.text.as_bytes())
    }

    /// Gives findings of this file their places.
    pub(super) fn warnings(&self, findings: Vec<Finding>) -> Vec<super::Warning> {
        super::problem::warnings(&self.text, &self.document, findings)
    }
}

/// Reads and checks YAML or JSON. `name` stands for the text in messages.
///
/// # Errors
/// [`Problems`], all at once: every key and value that does not fit, and every rule broken by the
/// rest. A syntax error stands alone, because nothing after it can be trusted.
pub fn parse(text: &str, name: &str) -> Result<Parsed, Problems> {
    if text.len() > MAX_FILE_BYTES {
        return Err(Problems::single(
            name,
            "a configuration may have at most 1 MiB",
        ));
    }
    let document = document::read(text).map_err(|wrong| {
        let finding = Finding {
            place: wrong.place,
            ..Finding::new(Path::top(), wrong.message)
        };
        Problems::in_text(name, text, None, vec![finding])
    })?;
    let (fitting, mut found) = Shape::new(schema()).fit(&document);
    let file = match fitting.decode::<File>() {
        Ok(file) => Some(file),
        // A misfit already reported made the rest unreadable.
        Err(_) if !found.is_empty() => None,
        Err(wrong) => {
            found.push(Finding {
                place: wrong.place,
                ..Finding::new(Path::top(), wrong.message)
            });
            None
        }
    };
    let parts = file.map(File::split);
    if let Some((node, routing)) = &parts {
        let misfits: Vec<Path> = found.iter().map(|finding| finding.path.clone()).collect();
        found.extend(check::node(node));
        let whole = !misfits.iter().any(holds_a_model);
        let sound = check::routing(routing).into_iter().filter(|finding| {
            // What a misfit left out must not be reported as missing.
            whole
                && !misfits
                    .iter()
                    .any(|misfit| misfit.steps().starts_with(finding.path.steps()))
        });
        found.extend(sound);
    }
    match parts {
        Some((node, routing)) if found.is_empty() => Ok(Parsed {
            node,
            routing,
            text: text.to_owned(),
            document,
        }),
        Some(_) | None => Err(Problems::in_text(name, text, Some(&document), found)),
    }
}

/// Whole models were left out: `models` (or a slip of it) or `models.NAME` did not fit.
fn holds_a_model(misfit: &Path) -> bool {
    match misfit.steps() {
        [Step::Key(top)] => nearest(top, ["models"]).is_some(),
        [Step::Key(top), _] => top == "models",
        _ => false,
    }
}

#[cfg(test)]
mod tests;
