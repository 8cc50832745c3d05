//! What is listening here and what answers there.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use reqwest::Client;
use tokio::net::TcpListener;

use super::Check;
use crate::config::ask;
use crate::config::env::lookup;
use crate::config::node::ListenConfig;
use crate::config::routing::{ModelConfig, ProviderKind, RoutingConfig};
use crate::config::secret::resolve;
use crate::provider::{Class, from_config};
use crate::types::clock::unix_seconds;

/// How long an upstream may take to say anything.
const PATIENCE: Duration = Duration::from_secs(3);
/// Most upstreams asked.
const MAX_UPSTREAMS: usize = 64;
/// Largest difference of clocks that is no problem, in seconds.
const MAX_SKEW: u64 = 60;

/// The doors are free, or this node is behind them already.
pub(super) async fn ports(listen: &ListenConfig) -> Vec<Check> {
    let mut checks = Vec::new();
    let runs = lives(&listen.http).await;
    for (name, address) in [
        ("http port", &listen.http),
        ("grpc port", &listen.grpc),
        ("node port", &listen.cluster),
    ] {
        checks.push(match TcpListener::bind(address).await {
            Ok(_) => Check::good(name, format!("{address}: free")),
            Err(_) if runs => Check::good(name, format!("{address}: a node runs here")),
            Err(error) => {
                let hint =
                    "stop what listens there, or choose another port; port 0 picks a free one";
                Check::bad(name, format!("{address}: {error}"), hint)
            }
        });
    }
    checks
}

async fn lives(address: &str) -> bool {
    let Ok(client) = ask::client(PATIENCE) else {
        return false;
    };
    let answer = client.get(format!("http://{address}/ready")).send().await;
    answer.is_ok_and(|answer| answer.headers().contains_key("x-llm-router-node"))
}

/// Every upstream answers something and every credential can be had. No credential is sent.
pub(super) async fn upstreams(routing: &RoutingConfig) -> Vec<Check> {
    let mut checks: Vec<Check> = routing.models.iter().filter_map(credential).collect();
    let mut users: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (name, model) in &routing.models {
        if let Some(url) = address(model) {
            users.entry(url).or_default().push(name.as_str());
        }
    }
    let client = match ask::client(PATIENCE) {
        Ok(client) => client,
        Err(error) => {
            let hint = "install the system's root certificates (ca-certificates)";
            checks.push(Check::bad("upstreams", error.to_string(), hint));
            return checks;
        }
    };
    let asked = users
        .into_iter()
        .take(MAX_UPSTREAMS)
        .map(|(url, names)| reach(&client, url, names));
    checks.extend(join_all(asked).await);
    let plugins = routing.models.iter().take(MAX_UPSTREAMS);
    let plugins = plugins.filter(|(_, model)| model.provider == ProviderKind::Plugin);
    checks.extend(join_all(plugins.map(|(name, model)| plugin(name.as_str(), model))).await);
    checks
}

/// Where a model's upstream is; the demo models have none.
fn address(model: &ModelConfig) -> Option<String> {
    let default = match model.provider {
        ProviderKind::OpenAi => "https://api.openai.com/v1",
        ProviderKind::Anthropic => "https://api.anthropic.com/v1",
        ProviderKind::Gemini => "https://generativelanguage.googleapis.com/v1beta",
        ProviderKind::Ollama => "http://127.0.0.1:11434",
        // a plugin speaks gRPC alone, and is asked in it
        ProviderKind::Demo | ProviderKind::Local | ProviderKind::Plugin | ProviderKind::Custom => {
            return None;
        }
    };
    Some(model.base_url.clone().unwrap_or_else(|| default.to_owned()))
}

fn credential((name, model): (&crate::types::ModelName, &ModelConfig)) -> Option<Check> {
    let missing = resolve(model.api_key.as_ref()?, lookup).err()?;
    let found = format!("{name}: {missing}");
    Some(Check::bad(
        "credential",
        found,
        "set it where the node is started",
    ))
}

/// Asks a plugin for its health, as a node does. One that wants a key answers by saying so.
async fn plugin(name: &str, model: &ModelConfig) -> Check {
    let found = match from_config(model, None) {
        Err(error) => Err(error.to_string()),
        Ok(provider) => match provider.health().await {
            Err(failure) if failure.class != Class::Credential => Err(failure.message),
            Err(_) | Ok(()) => Ok(()),
        },
    };
    match found {
        Ok(()) => Check::good("upstream", format!("plugin {name}: answers")),
        Err(problem) => {
            let hint = "is it running, and is base_url right?";
            Check::bad("upstream", format!("plugin {name}: {problem}"), hint)
        }
    }
}

async fn reach(client: &Client, url: String, names: Vec<&str>) -> Check {
    let used_by = names.join(", ");
    match client.get(&url).send().await {
        Err(error) => {
            let reason = if error.is_timeout() {
                "no answer within 3 s"
            } else {
                "cannot connect"
            };
            let hint = format!("used by {used_by}; is it running, and is base_url right?");
            Check::bad("upstream", format!("{url}: {reason}"), hint)
        }
        Ok(answer) => match skew(answer.headers()) {
            Some(seconds) if seconds > MAX_SKEW => {
                let found = format!("{url}: its clock is {seconds} s from ours");
                Check::bad("upstream", found, "set this machine's time, best with NTP")
            }
            Some(_) | None => Check::good("upstream", format!("{url}: answers ({used_by})")),
        },
    }
}

/// Seconds between the answer's date and our clock.
fn skew(headers: &http::HeaderMap) -> Option<u64> {
    let date = httpdate::parse_http_date(headers.get("date")?.to_str().ok()?).ok()?;
    let theirs = date.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs();
    Some(theirs.abs_diff(unix_seconds()))
}
