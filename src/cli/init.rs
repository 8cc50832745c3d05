//! `init`: write a commented configuration file.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use super::{Code, Context, templates};

/// Write a commented configuration file from a template.
#[derive(Clone, Debug, Args)]
pub struct Init {
    /// Template; `llm-router templates` lists them.
    #[arg(short, long, default_value = "demo", value_name = "NAME")]
    pub template: String,
    /// File to write; `-` prints it.
    #[arg(
        short = 'o',
        long = "to",
        default_value = "llm-router.yaml",
        value_name = "FILE"
    )]
    pub to: PathBuf,
    /// Replace the file when it exists.
    #[arg(long)]
    pub force: bool,
}

/// Writes the file; an existing one is left alone unless told otherwise.
///
/// # Errors
/// The template is not known, or the file cannot be written.
pub fn run(verb: &Init, context: &Context) -> anyhow::Result<Code> {
    let preset = templates::named(&verb.template)?;
    let path = verb.to.display();
    if verb.to.as_os_str() == "-" {
        context.out.text(preset.text)?;
        return Ok(Code::Ok);
    }
    let mut options = OpenOptions::new();
    options.write(true);
    match verb.force {
        true => options.create(true).truncate(true),
        false => options.create_new(true),
    };
    let mut file = match options.open(&verb.to) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            anyhow::bail!("{path} exists; --force replaces it, --to FILE writes another")
        }
        Err(error) => return Err(error).with_context(|| format!("cannot write {path}")),
    };
    file.write_all(preset.text.as_bytes())
        .with_context(|| format!("cannot write {path}"))?;
    context
        .out
        .line(&format!("wrote {path} ({}: {})", preset.name, preset.about))?;
    context
        .out
        .line(&format!("next:  llm-router validate -c {path}"))?;
    context
        .out
        .line(&format!("       llm-router serve -c {path}"))?;
    Ok(Code::Ok)
}
