//! The node part: who this process is and where it listens. A change needs a restart.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One process.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NodeConfig {
    /// Identity.
    pub node: IdentityConfig,
    /// Doors.
    pub listen: ListenConfig,
    /// Where state is kept; the user's data directory when not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// The cache's embedding model.
    pub embedder: EmbedderConfig,
    /// What is told to the outside.
    pub telemetry: TelemetryConfig,
}

/// Who this process is.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct IdentityConfig {
    /// Made once and kept in the data directory when not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// Doors, as `host:port`; port 0 picks a free one.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ListenConfig {
    /// API, metrics.
    pub http: String,
    /// The same use cases over gRPC.
    pub grpc: String,
}

impl Default for ListenConfig {
    fn default() -> Self {
        ListenConfig {
            http: "127.0.0.1:8080".to_owned(),
            grpc: "127.0.0.1:50051".to_owned(),
        }
    }
}

/// The cache's embedding model.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EmbedderConfig {
    /// The model's name; `all-MiniLM-L6-v2` is the one this version knows.
    pub model: String,
    /// The directory of the weights' files; in the user's cache directory when not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
    /// Worker threads; 0 means one per core.
    pub workers: usize,
}

impl Default for EmbedderConfig {
    fn default() -> Self {
        EmbedderConfig {
            model: "all-MiniLM-L6-v2".to_owned(),
            dir: None,
            workers: 0,
        }
    }
}

/// What is told to the outside.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// OTLP/gRPC collector, as `http://host:4317`; no export when not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp_endpoint: Option<String>,
    /// Log format.
    pub log: LogFormat,
    /// Record prompts and answers on spans.
    pub capture_content: CaptureContent,
}

/// Log format.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Whether prompts and answers are recorded on spans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CaptureContent {
    /// Never.
    #[default]
    Off,
}
