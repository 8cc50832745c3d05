//! `config apply`: agree on another routing config.

use std::path::PathBuf;

use clap::Args;
use reqwest::Method;

use crate::cli::chat::read_text;
use crate::cli::client::json;
use crate::cli::output::cell;
use crate::cli::{Code, Context};
use crate::config::file::{MAX_FILE_BYTES, parse};

/// Agree on another routing config.
#[derive(Clone, Debug, Args)]
pub struct Apply {
    /// Configuration file, YAML or JSON; `-` reads stdin. A node part in it is left aside.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Refuse unless this revision is in force: nobody else's change is lost.
    #[arg(long, value_name = "N")]
    pub expected_revision: Option<u64>,
    /// Why, for the history.
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
}

/// Checks the file here, where its problems have lines, then hands it to the node.
///
/// # Errors
/// The file's [`crate::config::Problems`]; the node refuses or is not there.
pub(super) async fn run(verb: Apply, context: &Context) -> anyhow::Result<Code> {
    let text = read_text(&verb.file, MAX_FILE_BYTES)?;
    parse(&text, &verb.file.display().to_string())?;
    let node = context.client()?;
    let expected = verb.expected_revision.map(|revision| revision.to_string());
    let pairs = [("expected_revision", expected), ("note", verb.note)];
    let request = node
        .query(Method::PUT, "/admin/v1/config", &pairs)?
        .header("content-type", "application/yaml")
        .body(text);
    let answer = node.whole(request).await?;
    let value = json(&answer)?;
    let said = || format!("revision {} is agreed on", cell(&value["revision"]));
    context.out.answer(&answer, said)?;
    Ok(Code::Ok)
}
