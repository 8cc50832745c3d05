//! `config history` and `rollback`: what was agreed on, and going back to it.

use clap::Args;
use serde_json::json;

use crate::cli::client::Local;
use crate::cli::client::json as read;
use crate::cli::output::{cell, table, time};
use crate::cli::{Code, Context};

/// Agree on an earlier revision again, as a new one.
#[derive(Clone, Debug, Args)]
pub struct Rollback {
    /// The revision to return to.
    #[arg(value_name = "N")]
    pub revision: u64,
    /// Refuse unless this revision is in force.
    #[arg(long, value_name = "N")]
    pub expected_revision: Option<u64>,
}

/// Lists the revisions that are kept.
///
/// # Errors
/// The node refuses or is not there.
pub(super) async fn list(asked: Local, context: &Context) -> anyhow::Result<Code> {
    let answer = asked.get("/admin/v1/config/history", context).await?;
    let value = read(&answer)?;
    let revisions = value["history"].as_array().cloned().unwrap_or_default();
    context.out.answer(&answer, || {
        let rows = revisions.iter().map(|past| {
            [
                cell(&past["revision"]),
                time(&past["at_ms"]),
                cell(&past["by"]),
                cell(&past["note"]),
            ]
        });
        table(["REVISION", "WHEN", "BY", "NOTE"], rows)
    })?;
    Ok(Code::Ok)
}

/// Goes back to an earlier revision.
///
/// # Errors
/// The node refuses or is not there.
pub(super) async fn rollback(verb: &Rollback, context: &Context) -> anyhow::Result<Code> {
    let mut body = json!({"revision": verb.revision});
    if let Some(expected) = verb.expected_revision {
        body["expected_revision"] = expected.into();
    }
    let node = context.client()?;
    let answer = node.post("/admin/v1/config/rollback", &body).await?;
    let value = read(&answer)?;
    context.out.answer(&answer, || {
        let (now, then) = (cell(&value["revision"]), verb.revision);
        format!("revision {now} is agreed on: the config of revision {then} again")
    })?;
    Ok(Code::Ok)
}
