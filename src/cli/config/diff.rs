//! `config diff`: what differs between two revisions.

use clap::Args;
use reqwest::Method;
use serde_json::Value;

use crate::cli::client::{Local, json};
use crate::cli::output::cell;
use crate::cli::{Code, Context};

/// What differs between two revisions.
#[derive(Clone, Debug, Args)]
pub struct Diff {
    /// The earlier revision.
    #[arg(value_name = "A")]
    pub from: u64,
    /// The later one; the one in force when not said.
    #[arg(value_name = "B")]
    pub to: Option<u64>,
    /// How fresh.
    #[command(flatten)]
    pub asked: Local,
}

/// Prints one line for each key that differs.
///
/// # Errors
/// The node refuses or is not there.
pub(super) async fn run(verb: &Diff, context: &Context) -> anyhow::Result<Code> {
    let node = context.client()?;
    let pairs = [
        ("from", Some(verb.from.to_string())),
        ("to", verb.to.map(|to| to.to_string())),
        verb.asked.pair(),
    ];
    let request = node.query(Method::GET, "/admin/v1/config/diff", &pairs)?;
    let answer = node.whole(request).await?;
    let value = json(&answer)?;
    context.out.answer(&answer, || lines(&value))?;
    Ok(Code::Ok)
}

fn lines(value: &Value) -> String {
    let found = value["changes"].as_array().cloned().unwrap_or_default();
    if found.is_empty() {
        return "no difference".to_owned();
    }
    let lines: Vec<String> = found.iter().map(line).collect();
    lines.join("\n")
}

/// One difference as a node tells it: `+` is new, `-` is gone.
pub(in crate::cli) fn line(difference: &Value) -> String {
    let path = cell(&difference["path"]);
    match (&difference["old"], &difference["new"]) {
        (Value::Null, new) => format!("+ {path}: {}", cell(new)),
        (old, Value::Null) => format!("- {path}: {}", cell(old)),
        (old, new) => format!("~ {path}: {} → {}", cell(old), cell(new)),
    }
}
