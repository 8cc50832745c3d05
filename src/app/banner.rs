//! What a node says of itself when it has started.

use std::fmt::Write as _;
use std::path::Path;

use super::agreed::ClusterShown;
use super::clustering::role;
use super::doors::Addresses;
use crate::config::detect::Found;

/// Most differences of a file shown here; the log and `doctor` show more.
const MAX_CHANGES: usize = 5;

/// What the banner shows.
pub(super) struct Facts<'a> {
    pub(super) config: Option<&'a Path>,
    pub(super) found: Option<&'a Found>,
    pub(super) models: usize,
    pub(super) data: &'a Path,
    pub(super) addresses: Addresses,
    pub(super) semantic: Result<String, String>,
    pub(super) cluster: &'a ClusterShown,
}

/// The banner, ready to print.
pub(super) fn draw(facts: &Facts<'_>) -> String {
    let mut out = String::new();
    let config = match facts.config {
        Some(path) => format!("config {}", path.display()),
        None => "no config file: using what was found on this machine".to_owned(),
    };
    let Addresses { http, grpc, .. } = facts.addresses;
    let version = env!("CARGO_PKG_VERSION");
    // writing to a String cannot fail
    let node = &facts.cluster.status.node;
    let _ = writeln!(out, "llm-router {version}, node {node}: {config}\n");
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
    let _ = writeln!(out, "  API        http://{http}/v1");
    let _ = writeln!(out, "  gRPC       {grpc}  (health, reflection)");
    let _ = writeln!(out, "  Metrics    http://{http}/metrics");
    cluster(&mut out, facts);
    let body = r#"{"model":"auto","stream":true,"messages":[{"role":"user","content":"hello"}]}"#;
    let _ = writeln!(
        out,
        "\n  Try it:    curl -N http://{http}/v1/chat/completions -d '{body}'"
    );
    if facts.config.is_none() {
        let _ = writeln!(out, "  Keep it:   llm-router init --template local-first");
    }
    out
}

/// The node among others, and its file beside what is agreed.
fn cluster(out: &mut String, facts: &Facts<'_>) {
    let shown = facts.cluster;
    let status = &shown.status;
    let leader = match &status.leader {
        Some(leader) if *leader != status.node => format!(" of {leader}"),
        Some(_) | None => String::new(),
    };
    let role = role(status).as_str();
    let nodes = match status.nodes.len() {
        0 | 1 => "1 node".to_owned(),
        nodes => format!("{nodes} nodes"),
    };
    let _ = writeln!(
        out,
        "  Cluster    {}  ({}: {role}{leader}, {nodes})",
        facts.addresses.cluster, status.cluster,
    );
    let _ = match (shown.in_service.0, &shown.config_problem) {
        (0, None) => writeln!(
            out,
            "  Revision   0: nothing is agreed, this node's default is in service"
        ),
        (revision, None) => writeln!(out, "  Revision   {revision}"),
        (revision, Some(problem)) => writeln!(
            out,
            "  Revision   {revision}: this node cannot serve {}, {}",
            problem.revision, problem.reason
        ),
    };
    let Some(file) = &shown.file else { return };
    let Some(difference) = file.difference() else {
        return;
    };
    let _ = writeln!(out, "\n  Note       {difference}");
    for change in file.changes.iter().take(MAX_CHANGES) {
        let _ = writeln!(out, "             {change}");
    }
    if file.changes.len() > MAX_CHANGES {
        let _ = writeln!(out, "             …");
    }
    for remedy in file.remedies() {
        let _ = writeln!(out, "             {remedy}");
    }
}
