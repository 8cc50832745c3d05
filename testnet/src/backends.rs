//! Every upstream dialect a node can be configured for, against a scripted upstream that speaks it.

use crate::upstream::Upstream;

/// A provider dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// OpenAI Chat Completions.
    OpenAi,
    /// The same behind Azure's deployments.
    Azure,
    /// Anthropic Messages.
    Anthropic,
    /// Gemini.
    Gemini,
    /// Ollama's native API.
    Ollama,
    /// A plugin, which passes an OpenAI-shaped upstream's answers and troubles on.
    Plugin,
}

/// A credential that every dialect takes.
pub const KEY: &str = "sk-of-the-testnet";

impl Backend {
    /// All of them.
    pub const ALL: [Backend; 6] = [
        Backend::OpenAi,
        Backend::Azure,
        Backend::Anthropic,
        Backend::Gemini,
        Backend::Ollama,
        Backend::Plugin,
    ];

    /// Its name in tables and arguments.
    pub fn name(self) -> &'static str {
        match self {
            Backend::OpenAi => "openai",
            Backend::Azure => "azure",
            Backend::Anthropic => "anthropic",
            Backend::Gemini => "gemini",
            Backend::Ollama => "ollama",
            Backend::Plugin => "plugin",
        }
    }

    /// The one with this name.
    pub fn named(name: &str) -> Option<Backend> {
        Backend::ALL
            .into_iter()
            .find(|backend| backend.name() == name)
    }

    /// An upstream for it.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn upstream(self) -> anyhow::Result<Upstream> {
        match self {
            Backend::Plugin => Upstream::behind_a_plugin().await,
            Backend::OpenAi
            | Backend::Azure
            | Backend::Anthropic
            | Backend::Gemini
            | Backend::Ollama => Upstream::start().await,
        }
    }

    /// One line of a configuration's `models`: `name` at this upstream, which is asked for
    /// `asked_for`. `keys` are further keys of it.
    pub fn model(self, upstream: &Upstream, (name, asked_for): (&str, &str), keys: &str) -> String {
        let url = upstream.url();
        let (provider, base, options) = match self {
            Backend::OpenAi => ("openai", format!("{url}/v1"), ""),
            Backend::Azure => (
                "openai",
                format!("{url}/openai/deployments/{asked_for}"),
                "options: { api_version: \"2024-10-21\", auth: api-key }, ",
            ),
            Backend::Anthropic => ("anthropic", format!("{url}/v1"), ""),
            Backend::Gemini => ("gemini", format!("{url}/v1beta"), ""),
            Backend::Ollama => ("ollama", url, ""),
            Backend::Plugin => ("plugin", upstream.plugin_url(), ""),
        };
        format!(
            "  {name}: {{ provider: {provider}, model: {asked_for}, base_url: \"{base}\", \
             api_key: {KEY}, {options}{keys} }}\n"
        )
    }

    /// Its dialect hands a model's thinking out under a seal, and wants it back.
    pub fn seals_thoughts(self) -> bool {
        matches!(self, Backend::Anthropic | Backend::Gemini)
    }

    /// Its dialect can say that a filter ended an answer.
    pub fn can_filter(self) -> bool {
        self != Backend::Ollama
    }
}
