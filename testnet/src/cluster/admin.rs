//! What the stories ask of `/admin/v1`.

use std::time::Duration;

use anyhow::{Context, bail};
use http::Method;
use serde_json::{Value, json};

use super::{Cluster, LIMIT};
use crate::client::{Client, Reply, whole};
use crate::eventually;

/// How long a change or read may take before its outcome counts as unknown: above the node's own
/// patience, so that a node that lives always says what happened.
pub const PATIENCE: Duration = Duration::from_secs(8);

/// What came of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is agreed, under this revision.
    Done(u64),
    /// Nothing changed: another revision than the expected one is in force, this one.
    Stale(u64),
    /// Refused with this status, 0 where nobody listens: nothing changed.
    Refused(u16),
    /// No answer, or one that leaves it open: it may have taken effect.
    Unknown(String),
}

impl Put {
    /// The revision, where it is agreed.
    pub const fn agreed(&self) -> Option<u64> {
        match self {
            Put::Done(revision) => Some(*revision),
            Put::Stale(_) | Put::Refused(_) | Put::Unknown(_) => None,
        }
    }
}

/// How fresh a read has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fresh {
    /// What the node has.
    Local,
    /// What the leader has while its lease lasts.
    Lease,
    /// Nothing acknowledged before is missing.
    Linearizable,
}

impl Fresh {
    /// Its name in the query.
    pub const fn as_str(self) -> &'static str {
        match self {
            Fresh::Local => "local",
            Fresh::Lease => "lease",
            Fresh::Linearizable => "linearizable",
        }
    }
}

/// Proposes a routing configuration through one node.
pub async fn put(client: &Client, text: &str, expected: Option<u64>) -> Put {
    put_as(&request_id(), client, text, expected).await
}

/// Agrees on a routing configuration through one node, whatever was there. What is left open, as between
/// two leaders, is sent again under the same name, and takes effect once.
///
/// # Errors
/// When it is left open for too long; the error carries what the node said last.
pub async fn put_surely(client: &Client, text: &str) -> anyhow::Result<Put> {
    let (name, mut open) = (request_id(), String::new());
    let told = eventually(
        "a change is agreed or refused",
        LIMIT,
        async || match put_as(&name, client, text, None).await {
            Put::Unknown(why) => {
                open = why;
                None
            }
            told @ (Put::Done(_) | Put::Stale(_) | Put::Refused(_)) => Some(told),
        },
    );
    told.await.context(open)
}

/// A name for one change, however often it is sent.
fn request_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}

async fn put_as(id: &str, client: &Client, text: &str, expected: Option<u64>) -> Put {
    let query = expected.map_or_else(String::new, |revision| {
        format!("?expected_revision={revision}")
    });
    let request = client
        .request(Method::PUT, &format!("/admin/v1/config{query}"))
        .header("content-type", "application/yaml")
        .header("x-request-id", id)
        .timeout(PATIENCE)
        .body(text.to_owned());
    match whole(request).await {
        Ok(reply) => judge(&reply),
        Err(error) if never_sent(&error) => Put::Refused(0),
        Err(error) => Put::Unknown(format!("{error:#}")),
    }
}

/// There was no connection to send it on.
fn never_sent(error: &anyhow::Error) -> bool {
    let cause = error.downcast_ref::<reqwest::Error>();
    cause.is_some_and(reqwest::Error::is_connect)
}

/// Reads the status as what it promises. One of 500 and more promises nothing: the change may have
/// reached the leader before contact was lost. Only a full disk is told before anything is sent.
fn judge(reply: &Reply) -> Put {
    let answer = reply.json();
    match (reply.status, answer["revision"].as_u64()) {
        (200, Some(revision)) => Put::Done(revision),
        (409, _) => {
            let message = answer["error"]["message"].as_str().unwrap_or("");
            in_force(message).map_or(Put::Refused(409), Put::Stale)
        }
        (507, _) => Put::Refused(507),
        (500.., _) => Put::Unknown(reply.text()),
        (status, _) => Put::Refused(status),
    }
}

/// The revision in `made from 3, but 5 is in force`.
fn in_force(message: &str) -> Option<u64> {
    let (_, rest) = message.split_once("but ")?;
    rest.split_whitespace().next()?.parse().ok()
}

/// Reads revision and configuration.
///
/// # Errors
/// When the node does not answer with them.
pub async fn read(client: &Client, fresh: Fresh) -> anyhow::Result<(u64, Value)> {
    let path = format!("/admin/v1/config?consistency={}", fresh.as_str());
    let reply = whole(client.request(Method::GET, &path).timeout(PATIENCE)).await?;
    if reply.status != 200 {
        bail!("status {}: {}", reply.status, reply.text());
    }
    let mut answer = reply.json();
    let revision = answer["revision"].as_u64().context("no revision")?;
    Ok((revision, answer["config"].take()))
}

impl Cluster {
    /// Agrees on a routing configuration through a node, whatever was there; gives the revision. See
    /// [`put_surely`].
    ///
    /// # Errors
    /// When it is refused, or not agreed in time.
    pub async fn put(&self, id: usize, text: &str) -> anyhow::Result<u64> {
        let told = put_surely(self.http(id), text).await;
        let told = told.with_context(|| format!("through n{id}"))?;
        told.agreed()
            .with_context(|| format!("n{id} says {told:?}"))
    }

    /// Proposes a routing configuration through a node again and again until it is agreed; gives
    /// the revision.
    ///
    /// # Errors
    /// When it is not agreed in time.
    pub async fn put_until(&self, id: usize, text: &str) -> anyhow::Result<u64> {
        eventually("a change is agreed", LIMIT, async || {
            put(self.http(id), text, None).await.agreed()
        })
        .await
    }

    /// The revision that is in service on a node.
    pub async fn revision(&self, id: usize) -> Option<u64> {
        self.status(id).await?["in_service"].as_u64()
    }

    /// Waits until all running nodes serve at least this revision.
    ///
    /// # Errors
    /// When they do not.
    pub async fn serve(&self, revision: u64) -> anyhow::Result<()> {
        let what = format!("revision {revision} is in service everywhere");
        eventually(&what, LIMIT, async || {
            for id in self.running() {
                (self.revision(id).await? >= revision).then_some(())?;
            }
            Some(())
        })
        .await
    }

    /// Another voter leads; the most caught-up one when none is named.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn transfer(&self, through: usize, to: Option<usize>) -> anyhow::Result<Reply> {
        let order = match to {
            Some(id) => json!({ "node": format!("n{id}") }),
            None => json!({}),
        };
        self.order(through, "transfer-leader", &order).await
    }

    /// The leader writes a snapshot and drops the log before it.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn snapshot(&self, through: usize) -> anyhow::Result<Reply> {
        self.order(through, "snapshot", &json!({})).await
    }

    /// A member leaves for good.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn remove(&self, through: usize, gone: usize) -> anyhow::Result<Reply> {
        let order = json!({ "node": format!("n{gone}") });
        self.order(through, "remove", &order).await
    }

    /// Revisions that are kept, and the texts of routes that make each differ from the one in force.
    ///
    /// # Errors
    /// When a node does not answer.
    pub async fn kept(&self, id: usize) -> anyhow::Result<Vec<(u64, String)>> {
        kept(self.http(id)).await
    }

    async fn order(&self, through: usize, verb: &str, order: &Value) -> anyhow::Result<Reply> {
        let path = format!("/admin/v1/cluster/{verb}");
        let request = self.http(through).request(Method::POST, &path);
        whole(request.timeout(PATIENCE).json(order)).await
    }
}

/// Revisions that are kept, and the texts of routes that make each differ from the one in force.
///
/// # Errors
/// When the node does not answer.
pub async fn kept(client: &Client) -> anyhow::Result<Vec<(u64, String)>> {
    let answer = client.get("/admin/v1/config/history").await?.json();
    let newest = answer["revision"].as_u64().context("no revision")?;
    let mut kept = Vec::new();
    for entry in answer["history"].as_array().into_iter().flatten() {
        let revision = entry["revision"].as_u64().context("no revision")?;
        let path = format!("/admin/v1/config/diff?from={revision}&to={newest}");
        let changes = client.get(&path).await?.json()["changes"].take();
        let old = changes.as_array().into_iter().flatten();
        let old = old.filter(|change| change["old"].is_string());
        let paths = old.filter_map(|change| change["path"].as_str());
        kept.push((revision, paths.collect::<Vec<_>>().join(" ")));
    }
    Ok(kept)
}
