//! `cluster status`: who belongs, who leads, and what the node does without a quorum.

use std::fmt::Write as _;

use serde_json::Value;

use crate::cli::client::json;
use crate::cli::output::{cell, table};
use crate::cli::{Code, Context};

/// Prints what the node says; a node that hears of no leader is a problem found.
///
/// # Errors
/// The node refuses or is not there.
pub(super) async fn run(context: &Context) -> anyhow::Result<Code> {
    let answer = context.client()?.get("/admin/v1/cluster").await?;
    let status = json(&answer)?;
    context.out.answer(&answer, || draw(&status))?;
    Ok(match status["connected"].as_bool() {
        Some(false) => Code::Problems,
        Some(true) | None => Code::Ok,
    })
}

fn draw(status: &Value) -> String {
    let mut text = String::new();
    for line in facts(status) {
        // writing to a String cannot fail
        let _ = writeln!(text, "{line}");
    }
    let _ = writeln!(text, "\n{}", members(status));
    if let Some(modes) = status["partition_mode"].as_object() {
        let when = match status["connected"].as_bool() {
            Some(false) => "Until a leader is heard of, this node does",
            Some(true) | None => "Without a leader this node would do",
        };
        let modes: Vec<String> = modes
            .iter()
            .map(|(what, mode)| format!("{what} {}", cell(mode).replace('_', " ")))
            .collect();
        let _ = writeln!(text, "\n{when}: {}", modes.join(", "));
    }
    text
}

fn facts(status: &Value) -> Vec<String> {
    let mut facts = vec![format!(
        "cluster   {}, seen from {}",
        cell(&status["cluster"]),
        cell(&status["node"])
    )];
    let heard = match status["leader_contact_ms"].as_u64() {
        Some(0) | None => String::new(),
        Some(millis) => format!(", heard of {millis} ms ago"),
    };
    let term = cell(&status["term"]);
    facts.push(match status["leader"].as_str() {
        Some(leader) => format!("leader    {leader}, term {term}{heard}"),
        None => format!("leader    not known, term {term}{heard}"),
    });
    facts.push(match status["connected"].as_bool() {
        Some(false) => "connected no: changes are refused until a leader is heard of".to_owned(),
        Some(true) | None => "connected yes: changes can be made".to_owned(),
    });
    facts.push(format!(
        "applied   {} of {} entries",
        cell(&status["applied"]),
        cell(&status["committed"])
    ));
    facts.push(config(status));
    if let Some(reason) = status["config_problem"]["reason"].as_str() {
        facts.push(format!("problem   {reason}"));
    }
    facts.extend(file(&status["file"]));
    facts
}

/// The node's config file, where it has one.
fn file(file: &Value) -> Option<String> {
    let path = file["path"].as_str()?;
    if file["waiting"].as_bool() == Some(true) {
        return Some(format!("file      {path}: its change waits for a leader"));
    }
    let (now, then) = (
        cell(&file["agreed_revision"]),
        cell(&file["in_step_revision"]),
    );
    let standing = match (file["standing"].as_str(), file["newer"].as_str()) {
        (Some("in_step"), _) => "in step with it".to_owned(),
        (Some("silent"), _) => "says nothing about routing".to_owned(),
        (Some("emptied"), _) => format!(
            "says nothing about routing any more; `llm-router config export --into {path}` puts \
             what is agreed back"
        ),
        (Some("unagreed"), _) => format!(
            "this node's own default, for nothing is agreed; `llm-router config apply {path}` \
             agrees on it"
        ),
        (_, Some("file")) => format!("differs, the file is newer than revision {now}"),
        (_, Some("agreed")) => {
            format!("differs, the agreed config is newer: {now}, the file is of {then}")
        }
        (_, Some("both")) => format!("differs, both have changed since revision {then}"),
        (_, _) => "differs".to_owned(),
    };
    Some(format!("file      {path}: {standing}"))
}

fn config(status: &Value) -> String {
    let (agreed, served) = (&status["revision"], &status["in_service"]);
    if agreed == served {
        return format!("config    revision {}", cell(agreed));
    }
    format!(
        "config    revision {}, but {} is in service here",
        cell(agreed),
        cell(served)
    )
}

fn members(status: &Value) -> String {
    let this = &status["node"];
    let nodes = status["nodes"].as_array().cloned().unwrap_or_default();
    let rows = nodes.iter().map(|node| {
        let here = if node["id"] == *this { "this node" } else { "" };
        [
            cell(&node["id"]),
            cell(&node["role"]),
            cell(&node["address"]),
            cell(&node["alive"]),
            here.to_owned(),
        ]
    });
    table(["NODE", "ROLE", "ADDRESS", "ALIVE", ""], rows)
}
