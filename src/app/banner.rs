//! What a node says of itself when it has started.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use crate::config::detect::Found;

/// What the banner shows.
pub(super) struct Facts<'a> {
    pub(super) node: &'a str,
    pub(super) config: Option<&'a Path>,
    pub(super) found: Option<&'a Found>,
    pub(super) models: usize,
    pub(super) data: &'a Path,
    pub(super) http: SocketAddr,
    pub(super) grpc: SocketAddr,
    pub(super) semantic: Result<String, String>,
}

/// The banner, ready to print.
pub(super) fn draw(facts: &Facts<'_>) -> String {
    let mut out = String::new();
    let config = match facts.config {
        Some(path) => format!("config {}", path.display()),
        None => "no config file: using what was found on this machine".to_owned(),
    };
    let version = env!("CARGO_PKG_VERSION");
    // writing to a String cannot fail
    let _ = writeln!(out, "llm-router {version}, node {}: {config}\n", facts.node);
    match facts.found {
        Some(found) => {
            for (at, [provider, place, what]) in found.lines().iter().enumerate() {
                let lead = if at == 0 { "Models" } else { "" };
                let _ = writeln!(out, "  {lead:<10} {provider:<8} {place:<28} {what}");
            }
        }
        None => {
            let _ = writeln!(out, "  Models     {} configured", facts.models);
        }
    }
    let semantic = match &facts.semantic {
        Ok(space) => format!("exact and semantic ({space})"),
        Err(why) => format!("exact tier alone: {why}"),
    };
    let _ = writeln!(out, "  Cache      {semantic}");
    let _ = writeln!(out, "  Data       {}", facts.data.display());
    let _ = writeln!(out, "  API        http://{}/v1", facts.http);
    let _ = writeln!(out, "  gRPC       {}  (health, reflection)", facts.grpc);
    let _ = writeln!(out, "  Metrics    http://{}/metrics", facts.http);
    let body = r#"{"model":"auto","stream":true,"messages":[{"role":"user","content":"hello"}]}"#;
    let _ = writeln!(
        out,
        "\n  Try it:    curl -N http://{}/v1/chat/completions -d '{body}'",
        facts.http
    );
    if facts.config.is_none() {
        let _ = writeln!(out, "  Keep it:   llm-router init --template local-first");
    }
    out
}
