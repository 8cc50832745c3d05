//! With nothing configured: what this machine offers. Two short questions to a local Ollama, a look
//! for keys, and the built-in demo models. Nothing is sent to a paid API.

use std::time::Duration;

use indexmap::IndexMap;
use reqwest::Url;
use serde::Deserialize;

use super::ask;
use super::check::{DEMO_MODELS, is_demo};
use super::env::Environment;
use super::routing::{ModelConfig, ProviderKind, RoutingConfig, Secret};
use crate::types::ModelName;

/// How long each question may take.
const PATIENCE: Duration = Duration::from_millis(300);
/// Most Ollama models taken.
const MAX_OLLAMA_MODELS: usize = 32;
/// Where Ollama is when `OLLAMA_HOST` is not set.
const OLLAMA: &str = "http://127.0.0.1:11434";
/// Models offered when an OpenAI key is set, cheaper first.
const OPENAI_MODELS: [&str; 2] = ["gpt-4o-mini", "gpt-4o"];
/// Models offered when an Anthropic key is set, cheaper first.
const ANTHROPIC_MODELS: [&str; 2] = ["claude-haiku-4-5", "claude-sonnet-4-5"];

/// Models offered when a Gemini key is set, cheaper first.
const GEMINI_MODELS: [&str; 2] = ["gemini-2.5-flash", "gemini-2.5-pro"];

/// What was found, for the routing config and for the banner.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Where Ollama was looked for.
    pub ollama_url: String,
    /// The Ollama there, if it answered.
    pub ollama: Option<Ollama>,
    /// `OPENAI_API_KEY` is set.
    pub openai: bool,
    /// `ANTHROPIC_API_KEY` is set.
    pub anthropic: bool,
    /// The variable that holds a Gemini key, where one is set.
    pub gemini: Option<&'static str>,
    /// What the environment says of Azure.
    pub azure: Azure,
}

/// Azure's models have names of their own, so that a key alone says nothing.
#[derive(Clone, Debug, Default)]
pub enum Azure {
    /// `AZURE_OPENAI_API_KEY` is not set.
    #[default]
    NoKey,
    /// This variable is missing beside it, or says nothing that can be used.
    Lacks(&'static str),
    /// One deployment.
    Deployment {
        /// Its name.
        name: String,
        /// Where it is asked.
        base_url: String,
    },
}

impl Azure {
    fn of(env: &Environment) -> Self {
        if !env.azure_key {
            return Azure::NoKey;
        }
        let endpoint = env.azure_endpoint.as_deref().map(str::trim);
        let endpoint =
            endpoint.filter(|text| text.starts_with("https://") && Url::parse(text).is_ok());
        let Some(endpoint) = endpoint else {
            return Azure::Lacks("AZURE_OPENAI_ENDPOINT");
        };
        let name = env.azure_deployment.as_deref().map(str::trim);
        let Some(name) = name.filter(|name| super::check::is_name(name)) else {
            return Azure::Lacks("AZURE_OPENAI_DEPLOYMENT");
        };
        Azure::Deployment {
            name: name.to_owned(),
            base_url: format!("{}/openai/v1", endpoint.trim_end_matches('/')),
        }
    }

    fn model(&self) -> Option<(ModelName, ModelConfig)> {
        let Azure::Deployment { name, base_url } = self else {
            return None;
        };
        let mut model = ModelConfig::new(ProviderKind::OpenAi, name);
        model.base_url = Some(base_url.clone());
        model.api_key = Some(Secret::Env {
            env: "AZURE_OPENAI_API_KEY".to_owned(),
        });
        model.options.insert("auth".to_owned(), "api-key".into());
        Some((format!("azure/{name}").into(), model))
    }

    fn line(&self) -> [String; 3] {
        let (place, what) = match self {
            Azure::NoKey => ("AZURE_OPENAI_API_KEY", "not set".to_owned()),
            Azure::Lacks(variable) => (*variable, "not set".to_owned()),
            Azure::Deployment { .. } => ("AZURE_OPENAI_API_KEY", counted(1)),
        };
        ["azure".to_owned(), place.to_owned(), what]
    }
}

/// An Ollama that answered.
#[derive(Clone, Debug)]
pub struct Ollama {
    /// Its version.
    pub version: String,
    /// Its chat models, at most 32.
    pub models: Vec<String>,
    /// Chat models beyond the limit.
    pub left_out: usize,
}

/// Looks around. Never fails: what does not answer in time is not there.
pub async fn detect(env: &Environment) -> Found {
    let ollama_url = ollama_url(env.ollama_host.as_deref());
    let ollama = ask_ollama(&ollama_url).await;
    Found {
        ollama_url,
        ollama,
        openai: env.openai_key,
        anthropic: env.anthropic_key,
        gemini: env.gemini_key,
        azure: Azure::of(env),
    }
}

impl Found {
    /// Adds models nobody declared: what was found and the demo models when `routing` has none,
    /// else only the demo models its routes name.
    pub fn fill(&self, routing: &mut RoutingConfig) {
        let models = if routing.models.is_empty() {
            self.models()
        } else {
            named_demos(routing)
        };
        for (name, model) in models {
            let taken = routing
                .routes
                .iter()
                .any(|route| route.name.as_str() == name.as_str());
            if !taken {
                routing.models.entry(name).or_insert(model);
            }
        }
    }

    /// Models found, then the demo models.
    pub fn models(&self) -> IndexMap<ModelName, ModelConfig> {
        let mut models = IndexMap::new();
        let names = self.ollama.iter().flat_map(|ollama| &ollama.models);
        for name in names {
            let mut model = ModelConfig::new(ProviderKind::Ollama, name);
            model.base_url = Some(self.ollama_url.clone());
            models.insert(ModelName::from(name.as_str()), model);
        }
        let clouds = [
            (
                self.openai,
                ProviderKind::OpenAi,
                OPENAI_MODELS,
                "OPENAI_API_KEY",
            ),
            (
                self.anthropic,
                ProviderKind::Anthropic,
                ANTHROPIC_MODELS,
                "ANTHROPIC_API_KEY",
            ),
        ];
        for (_, kind, names, variable) in clouds.into_iter().filter(|(is_set, ..)| *is_set) {
            for name in names {
                let mut model = ModelConfig::new(kind, name);
                if kind == ProviderKind::Anthropic {
                    // these refuse an effort in words, and take a number of tokens
                    model.options.insert("effort".to_owned(), "budget".into());
                }
                model.api_key = Some(Secret::Env {
                    env: variable.to_owned(),
                });
                models.entry(name.into()).or_insert(model);
            }
        }
        for (name, env) in GEMINI_MODELS
            .into_iter()
            .filter_map(|name| Some((name, self.gemini?)))
        {
            let mut model = ModelConfig::new(ProviderKind::Gemini, name);
            model.api_key = Some(Secret::Env {
                env: env.to_owned(),
            });
            models.entry(name.into()).or_insert(model);
        }
        models.extend(self.azure.model());
        for name in DEMO_MODELS {
            models.insert(
                format!("demo/{name}").into(),
                ModelConfig::new(ProviderKind::Demo, name),
            );
        }
        models
    }

    /// Lines for the banner: provider, where, what.
    pub fn lines(&self) -> Vec<[String; 3]> {
        let ollama = match &self.ollama {
            None => "not found".to_owned(),
            Some(Ollama {
                models,
                left_out: 0,
                ..
            }) => counted(models.len()),
            Some(Ollama {
                models, left_out, ..
            }) => {
                format!("{} ({left_out} more left out)", counted(models.len()))
            }
        };
        let keyed = |is_set: bool, models: usize| match is_set {
            true => counted(models),
            false => "not set".to_owned(),
        };
        let openai = keyed(self.openai, OPENAI_MODELS.len());
        let anthropic = keyed(self.anthropic, ANTHROPIC_MODELS.len());
        let gemini = match self.gemini {
            Some(_) => counted(GEMINI_MODELS.len()),
            None => "not set".to_owned(),
        };
        let mut lines = [
            ["ollama", self.ollama_url.as_str(), ollama.as_str()],
            ["openai", "OPENAI_API_KEY", openai.as_str()],
            ["anthropic", "ANTHROPIC_API_KEY", anthropic.as_str()],
            [
                "gemini",
                self.gemini.unwrap_or("GEMINI_API_KEY"),
                gemini.as_str(),
            ],
            ["demo", "built in", counted(DEMO_MODELS.len()).as_str()],
        ]
        .map(|line| line.map(str::to_owned))
        .to_vec();
        lines.insert(lines.len() - 1, self.azure.line());
        lines
    }
}

fn counted(count: usize) -> String {
    if count == 1 {
        "1 model".to_owned()
    } else {
        format!("{count} models")
    }
}

fn named_demos(routing: &RoutingConfig) -> IndexMap<ModelName, ModelConfig> {
    let targets = routing.routes.iter().flat_map(|route| {
        route
            .targets
            .iter()
            .map(super::routing::Target::model)
            .chain(&route.fallback)
    });
    targets
        .filter(|name| is_demo(name.as_str()))
        .filter_map(|name| Some((name.clone(), name.as_str().strip_prefix("demo/")?)))
        .map(|(name, model)| (name, ModelConfig::new(ProviderKind::Demo, model)))
        .collect()
}

/// `OLLAMA_HOST` as people write it, as an address: `0.0.0.0`, `host`, `:1234`, `https://host/path`.
fn ollama_url(host: Option<&str>) -> String {
    let Some(host) = host.map(str::trim).filter(|host| !host.is_empty()) else {
        return OLLAMA.to_owned();
    };
    let has_scheme = host.starts_with("http://") || host.starts_with("https://");
    let host = if host.starts_with(':') {
        format!("127.0.0.1{host}")
    } else {
        host.to_owned()
    };
    let text = if has_scheme {
        host
    } else {
        format!("http://{host}")
    };
    let Ok(mut url) = Url::parse(&text) else {
        return OLLAMA.to_owned();
    };
    if !has_scheme
        && url.port().is_none()
        && !text.ends_with(":80")
        && url.set_port(Some(11434)).is_err()
    {
        return OLLAMA.to_owned();
    }
    if matches!(url.host_str(), Some("0.0.0.0" | "[::]"))
        && url.set_host(Some("127.0.0.1")).is_err()
    {
        return OLLAMA.to_owned();
    }
    let plain = url.set_username("").and_then(|()| url.set_password(None));
    if plain.is_err() {
        return OLLAMA.to_owned();
    }
    url.as_str().trim_end_matches('/').to_owned()
}

#[derive(Deserialize)]
struct Version {
    version: String,
}

#[derive(Deserialize)]
struct Tags {
    #[serde(default)]
    models: Vec<Tag>,
}

#[derive(Deserialize)]
struct Tag {
    name: String,
    #[serde(default)]
    details: Details,
}

#[derive(Default, Deserialize)]
struct Details {
    #[serde(default)]
    family: String,
}

impl Tag {
    /// Embedding models cannot chat.
    fn chats(&self) -> bool {
        !self.details.family.contains("bert") && !self.name.contains("embed")
    }
}

async fn ask_ollama(url: &str) -> Option<Ollama> {
    let client = ask::client(PATIENCE).ok()?;
    let version: Version = ask::json(&client, &format!("{url}/api/version")).await?;
    let tags: Tags = ask::json(&client, &format!("{url}/api/tags")).await?;
    let fits = |tag: &Tag| tag.chats() && super::check::is_name(&tag.name);
    let mut models: Vec<String> = tags
        .models
        .into_iter()
        .filter(fits)
        .map(|tag| tag.name)
        .collect();
    let left_out = models.len().saturating_sub(MAX_OLLAMA_MODELS);
    models.truncate(MAX_OLLAMA_MODELS);
    Some(Ollama {
        version: version.version.chars().take(32).collect(),
        models,
        left_out,
    })
}

#[cfg(test)]
mod tests;
