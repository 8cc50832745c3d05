//! `config export`: the agreed routing config alone, on stdout or into a config file.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use crate::cli::chat::read_text;
use crate::cli::client::Local;
use crate::cli::{Code, Context};
use crate::config::document::{self, Node};
use crate::config::file::{MAX_FILE_BYTES, parse};
use crate::config::replace::with_routing;

/// Print the agreed routing config alone.
#[derive(Clone, Debug, Args)]
pub struct Export {
    /// Put it into this config file instead: its node part stays, what it was is kept beside it.
    #[arg(long, value_name = "FILE")]
    pub into: Option<PathBuf>,
    /// How fresh.
    #[command(flatten)]
    pub asked: Local,
}

/// Prints the agreed config, keys in the node's order, or puts it into a file. A file is touched
/// only once everything that is to stand in it is there and in order.
///
/// # Errors
/// The node refuses or is not there; the file is not in order, or cannot be written.
pub(super) async fn run(verb: Export, context: &Context) -> anyhow::Result<Code> {
    let shown = document::read(&verb.asked.get("/admin/v1/config", context).await?)?;
    let config = shown.get("config");
    let config = config.ok_or_else(|| anyhow::anyhow!("the node's answer has no config"))?;
    let Some(file) = verb.into else {
        context.out.value(config)?;
        return Ok(Code::Ok);
    };
    let kept = put(&file, config)?;
    let revision = shown.get("revision").map(serde_json::to_string);
    let revision = revision.transpose()?.unwrap_or_default();
    let file = file.display();
    context.out.note(&match kept {
        Some(kept) => format!(
            "{file} holds revision {revision}; what it was is in {}",
            kept.display()
        ),
        None => format!("{file} holds revision {revision}"),
    })?;
    Ok(Code::Ok)
}

/// Writes beside the file and renames, so that whoever looks sees the old one or the new one
/// whole. Returns where the old one is kept.
fn put(file: &Path, config: &Node) -> anyhow::Result<Option<PathBuf>> {
    // a link stays a link
    let place = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let there = place.exists();
    let before = match there {
        true => read_text(&place, MAX_FILE_BYTES)?,
        false => String::new(),
    };
    let name = file.display().to_string();
    if there {
        parse(&before, &name)?;
    }
    let after = with_routing(&before, config)?;
    parse(&after, &name)?;
    let cannot = |what: &Path| format!("cannot write {}", what.display());
    let (part, old) = (beside(&place, "part"), beside(&place, "before"));
    if there {
        fs::copy(&place, &old).with_context(|| cannot(&old))?;
        // the same owner's eyes only, where it was so: a literal secret may stand in it
        fs::copy(&place, &part).with_context(|| cannot(&part))?;
    }
    fs::write(&part, after).with_context(|| cannot(&part))?;
    fs::rename(&part, &place).with_context(|| cannot(&place))?;
    Ok(there.then_some(old))
}

fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}
