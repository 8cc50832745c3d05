//! The environment: the only place that reads variables.

use std::path::PathBuf;

use secrecy::SecretString;

/// What the environment says, read once.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `LLM_ROUTER_CONFIG`: the configuration file.
    pub config: Option<PathBuf>,
    /// `LLM_ROUTER_DATA`: where state is kept.
    pub data: Option<PathBuf>,
    /// `LLM_ROUTER_NODE`: the node's name.
    pub node: Option<String>,
    /// `LLM_ROUTER_CERTS`: a directory with the authority and this node's certificate and key.
    pub certs: Option<PathBuf>,
    /// `LLM_ROUTER_HTTP`: `host:port`.
    pub http: Option<String>,
    /// `LLM_ROUTER_GRPC`: `host:port`.
    pub grpc: Option<String>,
    /// `LLM_ROUTER_CLUSTER`: `host:port`.
    pub cluster: Option<String>,
    /// `LLM_ROUTER_JOIN`: nodes to join, `host:port`, with commas between.
    pub join: Option<String>,
    /// `LLM_ROUTER_ADVERTISE`: `host:port`.
    pub advertise: Option<String>,
    /// `LLM_ROUTER_LOG`: `text` or `json`.
    pub log: Option<String>,
    /// `LLM_ROUTER_MODELS`: holds a directory for each embedding model.
    pub models: Option<PathBuf>,
    /// `LLM_ROUTER_ADDR`: the node that commands talk to.
    pub addr: Option<String>,
    /// `LLM_ROUTER_KEY`: the key that commands present.
    pub key: Option<SecretString>,
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub otlp_endpoint: Option<String>,
    /// `OLLAMA_HOST`.
    pub ollama_host: Option<String>,
    /// `OPENAI_API_KEY` is set; its value is read when a model needs it, not before.
    pub openai_key: bool,
    /// `ANTHROPIC_API_KEY` is set; likewise.
    pub anthropic_key: bool,
    /// Which of `GEMINI_API_KEY` and `GOOGLE_API_KEY` is set, the first of them.
    pub gemini_key: Option<&'static str>,
    /// `AZURE_OPENAI_API_KEY` is set; likewise.
    pub azure_key: bool,
    /// `AZURE_OPENAI_ENDPOINT`: the resource's address.
    pub azure_endpoint: Option<String>,
    /// `AZURE_OPENAI_DEPLOYMENT`: the deployment's name.
    pub azure_deployment: Option<String>,
    /// The user's data directory, ours below it.
    pub data_home: Option<PathBuf>,
    /// The user's cache directory, ours below it.
    pub cache_home: Option<PathBuf>,
}

impl Environment {
    /// Reads the variables above. Empty ones count as not set.
    pub fn read() -> Self {
        let path = |name: &str| lookup(name).map(PathBuf::from);
        let below_home = |rest: &str| path("HOME").map(|home| home.join(rest));
        let data = path("XDG_DATA_HOME").filter(|dir| dir.is_absolute());
        let cache = path("XDG_CACHE_HOME").filter(|dir| dir.is_absolute());
        Environment {
            config: path("LLM_ROUTER_CONFIG"),
            data: path("LLM_ROUTER_DATA"),
            node: lookup("LLM_ROUTER_NODE"),
            certs: path("LLM_ROUTER_CERTS"),
            http: lookup("LLM_ROUTER_HTTP"),
            grpc: lookup("LLM_ROUTER_GRPC"),
            cluster: lookup("LLM_ROUTER_CLUSTER"),
            join: lookup("LLM_ROUTER_JOIN"),
            advertise: lookup("LLM_ROUTER_ADVERTISE"),
            log: lookup("LLM_ROUTER_LOG"),
            models: path("LLM_ROUTER_MODELS"),
            addr: lookup("LLM_ROUTER_ADDR"),
            key: lookup("LLM_ROUTER_KEY").map(|key| key.trim().into()),
            otlp_endpoint: lookup("OTEL_EXPORTER_OTLP_ENDPOINT"),
            ollama_host: lookup("OLLAMA_HOST"),
            openai_key: lookup("OPENAI_API_KEY").is_some(),
            anthropic_key: lookup("ANTHROPIC_API_KEY").is_some(),
            gemini_key: ["GEMINI_API_KEY", "GOOGLE_API_KEY"]
                .into_iter()
                .find(|name| lookup(name).is_some()),
            azure_key: lookup("AZURE_OPENAI_API_KEY").is_some(),
            azure_endpoint: lookup("AZURE_OPENAI_ENDPOINT"),
            azure_deployment: lookup("AZURE_OPENAI_DEPLOYMENT"),
            data_home: data
                .or_else(|| below_home(".local/share"))
                .map(|dir| dir.join("llm-router")),
            cache_home: cache
                .or_else(|| below_home(".cache"))
                .map(|dir| dir.join("llm-router")),
        }
    }

    /// The directory of an embedding model's files when no config says another.
    pub fn weights_dir(&self, model: &str) -> PathBuf {
        let cache = || {
            self.cache_home
                .clone()
                .unwrap_or_else(|| ".llm-router-cache".into())
        };
        self.models
            .clone()
            .unwrap_or_else(|| cache().join("models"))
            .join(model)
    }
}

/// One variable, for secrets; `None` when it is not set, empty or not UTF-8.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the environment"
)]
pub fn lookup(name: &str) -> Option<String> {
    std::env::var(name)
        .ok()
        .filter(|value| !value.trim().is_empty())
}
