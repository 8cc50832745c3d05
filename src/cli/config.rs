//! `config`: the schema of the file, the configuration in force, and its history.

mod apply;
mod diff;
mod export;
mod history;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::client::Local;
use super::output::Format;
use super::{Code, Context};
use crate::config::schema::schema;
use crate::config::{File, Flags, load};

pub(super) use diff::line as difference;

/// The configuration: its schema, what is in force, and what was before.
#[derive(Clone, Debug, Subcommand)]
pub enum Config {
    /// Print the JSON Schema of the configuration file.
    Schema,
    /// Print what is in force: of the running node, or of a file with environment and defaults.
    Show(Show),
    /// Agree on another routing config; it is live on every node within a second.
    Apply(apply::Apply),
    /// Print the agreed routing config alone, as `apply` takes it, or put it into a file.
    Export(export::Export),
    /// List the revisions that are kept, the newest first.
    History(Local),
    /// Agree on an earlier revision again, as a new one.
    Rollback(history::Rollback),
    /// What differs between two revisions.
    Diff(diff::Diff),
}

/// Print what is in force.
#[derive(Clone, Debug, Args)]
pub struct Show {
    /// Take this file instead of the running node.
    #[arg(short = 'c', long, value_name = "FILE", conflicts_with = "local")]
    pub config: Option<PathBuf>,
    /// How fresh.
    #[command(flatten)]
    pub asked: Local,
}

/// Prints; secrets are never among it.
///
/// # Errors
/// The node refuses or is not there, or the file has [`crate::config::Problems`].
pub async fn run(verb: Config, context: &Context) -> anyhow::Result<Code> {
    let out = &context.out;
    match verb {
        Config::Schema if out.format() == Format::Yaml => out.value(schema())?,
        Config::Schema => out.line(&serde_json::to_string_pretty(schema())?)?,
        Config::Show(Show {
            config: Some(path), ..
        }) => {
            let flags = Flags {
                config: Some(path),
                ..Flags::default()
            };
            let loaded = load(&flags, &context.env)?;
            out.value(&File::join(loaded.node, loaded.routing))?;
        }
        Config::Show(Show {
            config: None,
            asked,
        }) => {
            let answer = asked.get("/admin/v1/config", context).await?;
            let document = crate::config::document::read(&answer)?;
            out.value(&document)?;
        }
        Config::Apply(verb) => return apply::run(verb, context).await,
        Config::Export(verb) => return export::run(verb, context).await,
        Config::History(asked) => return history::list(asked, context).await,
        Config::Rollback(verb) => return history::rollback(&verb, context).await,
        Config::Diff(verb) => return diff::run(&verb, context).await,
    }
    Ok(Code::Ok)
}
