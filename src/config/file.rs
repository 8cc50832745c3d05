//! A configuration file: node part and routing part in one document of YAML or JSON.

mod salvage;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check;
use super::document::{self, Node};
use super::node::{
    ClusterConfig, EmbedderConfig, IdentityConfig, ListenConfig, NodeConfig, TelemetryConfig,
};
use super::path::Path;
use super::problem::{Finding, Problems};
use super::routing::{
    BreakerConfig, CacheConfig, ModelConfig, PlacementConfig, RetryConfig, RouteConfig,
    RoutingConfig,
};
use super::schema::schema;
use super::shape::Shape;
use crate::types::ModelName;
use salvage::Salvaged;

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
    /// Other nodes.
    pub cluster: ClusterConfig,
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
    /// How entries of the cache are divided among the nodes.
    #[serde(skip_serializing_if = "PlacementConfig::is_default")]
    pub placement: PlacementConfig,
}

impl File {
    /// One file of both parts.
    pub fn join(node: NodeConfig, routing: RoutingConfig) -> Self {
        File {
            schema: None,
            node: node.node,
            listen: node.listen,
            data_dir: node.data_dir,
            cluster: node.cluster,
            embedder: node.embedder,
            telemetry: node.telemetry,
            models: routing.models,
            routes: routing.routes,
            circuit_breaker: routing.circuit_breaker,
            cache: routing.cache,
            retry: routing.retry,
            placement: routing.placement,
        }
    }

    /// The two parts of the file.
    pub fn split(self) -> (NodeConfig, RoutingConfig) {
        let node = NodeConfig {
            node: self.node,
            listen: self.listen,
            data_dir: self.data_dir,
            cluster: self.cluster,
            embedder: self.embedder,
            telemetry: self.telemetry,
        };
        let routing = RoutingConfig {
            models: self.models,
            routes: self.routes,
            circuit_breaker: self.circuit_breaker,
            cache: self.cache,
            retry: self.retry,
            placement: self.placement,
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

    /// Problems found after all, with their places.
    pub fn problems(&self, name: &str, found: Vec<Finding>) -> Problems {
        Problems::in_text(name, &self.text, Some(&self.document), found)
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
    let whole = fitting.decode::<File>();
    if let (Err(wrong), true) = (&whole, found.is_empty()) {
        let message = wrong.message.clone();
        found.push(Finding {
            place: wrong.place,
            ..Finding::new(Path::top(), message)
        });
    }
    match whole.map(File::split) {
        Ok((node, routing)) if found.is_empty() => {
            found = check::node(&node);
            found.extend(check::routing(&routing));
            if found.is_empty() {
                return Ok(Parsed {
                    node,
                    routing,
                    text: text.to_owned(),
                    document,
                });
            }
        }
        Ok(_) | Err(_) => {
            let rest = broken_rules(&document, &fitting, &found);
            found.extend(rest);
        }
    }
    Err(Problems::in_text(name, text, Some(&document), found))
}

/// Rules broken by what fits of a document that does not fit as a whole.
fn broken_rules(document: &Node, fitting: &Node, misfits: &[Finding]) -> Vec<Finding> {
    let misfits: Vec<Path> = misfits.iter().map(|finding| finding.path.clone()).collect();
    let salvaged = Salvaged::of(document, fitting);
    let (node, routing) = salvaged.file.clone().split();
    let mut found = check::node(&node);
    found.extend(check::routing(&routing));
    found.retain(|finding| salvaged.is_sound(finding, &misfits));
    found
}

#[cfg(test)]
mod tests;
