//! The node part: who this process is and where it listens. A change needs a restart.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration::Span;

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
    /// Other nodes.
    pub cluster: ClusterConfig,
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
    /// Other nodes; with certificates where it can be reached from other machines.
    pub cluster: String,
}

impl Default for ListenConfig {
    fn default() -> Self {
        ListenConfig {
            http: "127.0.0.1:8080".to_owned(),
            grpc: "127.0.0.1:50051".to_owned(),
            cluster: "127.0.0.1:7400".to_owned(),
        }
    }
}

/// Other nodes.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterConfig {
    /// Nodes to join, as `host:port`, tried in turn; a node that is a member already ignores them.
    pub join: Vec<String>,
    /// `host:port` by which other nodes reach this one; the bound address when not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advertise: Option<String>,
    /// Certificates; without them, nodes talk on loopback only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
    /// Addresses to dial instead of those that nodes advertise, by name of the node.
    pub dial: BTreeMap<String, String>,
    /// How fast a dead leader is missed.
    pub timing: TimingConfig,
}

/// Certificates of this node, PEM files; read again when they change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The authority that signs the cluster's nodes.
    pub ca: PathBuf,
    /// This node's certificate; it names the node.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// How fast a dead leader is missed. The same on every node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TimingConfig {
    /// How often a leader says that it lives.
    pub heartbeat: Span,
    /// Shortest time without hearing from it before another is elected.
    pub election_min: Span,
    /// Longest time.
    pub election_max: Span,
}

impl Default for TimingConfig {
    fn default() -> Self {
        let given = llm_router_cluster::start::Timing::default();
        TimingConfig {
            heartbeat: given.heartbeat.into(),
            election_min: given.election_min.into(),
            election_max: given.election_max.into(),
        }
    }
}

impl From<TimingConfig> for llm_router_cluster::start::Timing {
    fn from(config: TimingConfig) -> Self {
        llm_router_cluster::start::Timing {
            heartbeat: config.heartbeat.get(),
            election_min: config.election_min.get(),
            election_max: config.election_max.get(),
        }
    }
}

/// The cache's embedding model.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EmbedderConfig {
    /// The model's name. The files of `all-MiniLM-L6-v2` are known by their digests; under another
    /// name, whatever BERT or XLM-R model is in `dir` is used.
    pub model: String,
    /// The directory of the model's files; in the user's cache directory when not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
    /// Worker threads; 0 means one per core.
    pub workers: usize,
    /// How the weights are kept and multiplied.
    pub precision: EmbedderPrecision,
}

/// How the embedder's weights are kept and multiplied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EmbedderPrecision {
    /// `int8` where the processor multiplies bytes (VNNI, AVX2) and a check at start finds the
    /// vectors within a cosine error of 0.005; else `f32`.
    #[default]
    Auto,
    /// As in the file.
    F32,
    /// As bytes: a quarter of the memory, several times as fast. Refused where the check fails.
    Int8,
}

impl Default for EmbedderConfig {
    fn default() -> Self {
        EmbedderConfig {
            model: "all-MiniLM-L6-v2".to_owned(),
            dir: None,
            workers: 0,
            precision: EmbedderPrecision::Auto,
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
    /// Which traces are told to the collector.
    pub sampling: SamplingConfig,
    /// Log format.
    pub log: LogFormat,
    /// Record prompts and answers on spans.
    pub capture_content: CaptureContent,
}

/// Which traces are told to the collector.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SamplingConfig {
    /// Of the traces that begin at this node, this part is told: 0 none, 1 all.
    pub ratio: f64,
    /// Traces a second that are told because a client asks for it in its `traceparent`; beyond
    /// them, the ratio decides.
    pub client_per_second: u32,
}

impl Default for SamplingConfig {
    fn default() -> Self {
        SamplingConfig {
            ratio: 1.0,
            client_per_second: 50,
        }
    }
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
    /// On the attempts, each up to 16 KiB.
    On,
}
