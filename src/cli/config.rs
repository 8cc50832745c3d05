//! `config`: the schema of the file, and the configuration in force.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::output::Format;
use super::{Code, Context};
use crate::config::schema::schema;
use crate::config::{File, Flags, load};

/// The configuration: its schema, or what is in force.
#[derive(Clone, Debug, Subcommand)]
pub enum Config {
    /// Print the JSON Schema of the configuration file.
    Schema,
    /// Print what is in force: of the running node, or of a file with environment and defaults.
    Show(Show),
}

/// Print what is in force.
#[derive(Clone, Debug, Args)]
pub struct Show {
    /// Take this file instead of the running node.
    #[arg(short = 'c', long, value_name = "FILE")]
    pub config: Option<PathBuf>,
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
        Config::Show(Show { config: Some(path) }) => {
            let flags = Flags {
                config: Some(path),
                ..Flags::default()
            };
            let loaded = load(&flags, &context.env)?;
            out.value(&File::join(loaded.node, loaded.routing))?;
        }
        Config::Show(Show { config: None }) => {
            let answer = context.client()?.get("/admin/v1/config").await?;
            let document = crate::config::document::read(&answer)?;
            out.value(&document)?;
        }
    }
    Ok(Code::Ok)
}
