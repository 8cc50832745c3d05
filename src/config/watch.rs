//! Follows a configuration file: a valid change is handed on, an invalid one is refused and said why.
//!
//! The file is looked at twice a second and compared by content. That follows editors which replace
//! files, Kubernetes which swaps a symlink above them, and network file systems alike. What is read
//! must stay the same for 250 ms, so a half-written file is not taken for a whole one.
//!
//! Deliberately not here: file system events. They need the directory watched, and then every line
//! written to a log beside the file wakes the node.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::file;
use super::load::{Loaded, read_text, warnings};
use super::node::NodeConfig;
use super::problem::{Problems, Warning};
use super::routing::RoutingConfig;

/// How long the content must stay the same before it is read.
const SETTLE: Duration = Duration::from_millis(250);
/// How often to look. With [`SETTLE`] a change is live within a second.
const LOOK: Duration = Duration::from_millis(500);
/// How often a file that keeps changing is looked at before it is read anyway.
const MAX_ROUNDS: usize = 4;

/// A valid change.
#[derive(Clone, Debug)]
pub struct Change {
    /// The new routing part, as written.
    pub routing: RoutingConfig,
    /// Keys of the node part that differ from those the node started with: they need a restart.
    pub needs_restart: Vec<String>,
    /// What works and is probably not meant.
    pub warnings: Vec<Warning>,
}

/// What the follower tells: a change, or why the file is refused and the old config stays.
pub type News = Result<Change, Problems>;

/// Follows one file.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    node: NodeConfig,
    seen: Content,
}

/// What stood in the file at one look.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    Text(blake3::Hash),
    Unreadable(Problems),
}

impl Follower {
    /// Starts to follow the file `loaded` came from; `None` when it came from no file.
    ///
    /// Call this before the loaded config is put to use: whatever changes after this call is news.
    pub fn new(loaded: &Loaded) -> Option<Self> {
        let path = loaded.source.clone()?;
        let seen = Content::Text(loaded.digest);
        Some(Follower {
            path,
            node: loaded.file_node.clone(),
            seen,
        })
    }

    /// Sends [`News`] until `shutdown`, or until nobody listens.
    pub async fn run(mut self, shutdown: CancellationToken, news: mpsc::Sender<News>) {
        let follow = async {
            let mut ticks = interval(LOOK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let Some(change) = self.look().await else {
                    continue;
                };
                if news.send(change).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = follow => {}
        }
    }

    /// What is new, if anything.
    async fn look(&mut self) -> Option<News> {
        let (mut content, mut text) = self.content().await?;
        if content == self.seen {
            return None;
        }
        for _ in 0..MAX_ROUNDS {
            sleep(SETTLE).await;
            let (again, later) = self.content().await?;
            let settled = again == content;
            (content, text) = (again, later);
            if settled {
                break;
            }
        }
        if content == self.seen {
            return None;
        }
        self.seen = content.clone();
        Some(match content {
            Content::Unreadable(problems) => Err(problems),
            Content::Text(_) => self.read(&text),
        })
    }

    /// The content now; `None` when the runtime is going away.
    async fn content(&self) -> Option<(Content, String)> {
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || read_text(&path))
            .await
            .ok()?;
        Some(match read {
            Ok(text) => (Content::Text(blake3::hash(text.as_bytes())), text),
            Err(problems) => (Content::Unreadable(problems), String::new()),
        })
    }

    fn read(&self, text: &str) -> News {
        let parsed = file::parse(text, &self.path.display().to_string())?;
        let warnings = warnings(&parsed);
        let needs_restart = differences(&self.node, &parsed.node);
        Ok(Change {
            routing: parsed.routing,
            needs_restart,
            warnings,
        })
    }
}

/// Keys whose values differ, as `listen.http`.
fn differences(old: &NodeConfig, new: &NodeConfig) -> Vec<String> {
    let (Ok(old), Ok(new)) = (serde_json::to_value(old), serde_json::to_value(new)) else {
        return Vec::new();
    };
    let mut keys = Vec::new();
    compare(&old, &new, "", &mut keys);
    keys
}

fn compare(old: &serde_json::Value, new: &serde_json::Value, path: &str, keys: &mut Vec<String>) {
    match (old.as_object(), new.as_object()) {
        (Some(before), Some(after)) => {
            let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                compare(&old[name], &new[name], &path, keys);
            }
        }
        _ if old != new => keys.push(path.to_owned()),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
