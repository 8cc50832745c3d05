//! `keys`: who may call the cluster.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Client, Local, PATIENCE, json as read};
use super::output::{Format, cell, table, time};
use super::{Code, Context};
use crate::config::duration::Span;
use crate::tenancy::Scope;

/// Who may call the cluster.
#[derive(Clone, Debug, Subcommand)]
pub enum Keys {
    /// Make a key; it is shown once. From the first one on, every caller needs one.
    Create(Create),
    /// List the keys, revoked ones included; secrets are nowhere to be seen.
    List(Local),
    /// Refuse a key from now on, on every node.
    Revoke(Revoke),
    /// Give a key another secret; the one before it works for the grace.
    Rotate(Rotate),
}

/// Make a key.
#[derive(Clone, Debug, Args)]
pub struct Create {
    /// For people: who or what holds it.
    #[arg(long)]
    pub name: String,
    /// Who pays [default: default].
    #[arg(long)]
    pub tenant: Option<String>,
    /// What it may do: `use` asks models, `admin` changes the cluster [default: use; the first key
    /// of a cluster gets both].
    #[arg(long, value_name = "use|admin", value_delimiter = ',')]
    pub scope: Vec<Scope>,
    /// It is refused after so long, e.g. 90d; never when not said.
    #[arg(long, value_name = "DURATION")]
    pub expires: Option<Span>,
    /// How long a node that hears of no leader still takes it [default: 10m].
    #[arg(long, value_name = "DURATION")]
    pub valid_without_quorum: Option<Span>,
}

/// Refuse a key from now on.
#[derive(Clone, Debug, Args)]
pub struct Revoke {
    /// Its id: the part between the first two underscores.
    pub id: String,
}

/// Give a key another secret.
#[derive(Clone, Debug, Args)]
pub struct Rotate {
    /// Its id: the part between the first two underscores.
    pub id: String,
    /// How long the secret before it still works [default: 24h].
    #[arg(long, value_name = "DURATION")]
    pub grace: Option<Span>,
}

/// Asks the node and prints what it says.
///
/// # Errors
/// The node refuses or is not there.
pub async fn run(verb: Keys, context: &Context) -> anyhow::Result<Code> {
    let node = context.client()?;
    match verb {
        Keys::Create(verb) => {
            let answer = node.post("/admin/v1/keys", &verb.body()).await?;
            hand_over(&answer, context)?;
        }
        Keys::List(asked) => {
            let answer = asked.get("/admin/v1/keys", context).await?;
            let value = read(&answer)?;
            context.out.answer(&answer, || list(&value))?;
        }
        Keys::Revoke(Revoke { id }) => {
            let answer = delete(&node, &path(&id)?).await?;
            let value = read(&answer)?;
            let said = || {
                format!(
                    "{} ({}) is refused",
                    cell(&value["id"]),
                    cell(&value["name"])
                )
            };
            context.out.answer(&answer, said)?;
        }
        Keys::Rotate(Rotate { id, grace }) => {
            let body = match grace {
                Some(grace) => json!({"grace": grace}),
                None => json!({}),
            };
            let answer = node.post(&format!("{}/rotate", path(&id)?), &body).await?;
            hand_over(&answer, context)?;
        }
    }
    Ok(Code::Ok)
}

impl Create {
    fn body(&self) -> Value {
        let mut body = json!({"name": self.name});
        if let Some(tenant) = &self.tenant {
            body["tenant"] = json!(tenant);
        }
        if !self.scope.is_empty() {
            body["scopes"] = json!(self.scope);
        }
        if let Some(expires) = self.expires {
            body["expires"] = json!(expires);
        }
        if let Some(valid) = self.valid_without_quorum {
            body["valid_without_quorum"] = json!(valid);
        }
        body
    }
}

/// A key's path; a whole key given by mistake stays on this machine.
fn path(id: &str) -> anyhow::Result<String> {
    let clean = id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    anyhow::ensure!(
        clean && (1..=64).contains(&id.len()),
        "that is no key id: it is the part of a key between the first two underscores"
    );
    Ok(format!("/admin/v1/keys/{id}"))
}

async fn delete(node: &Client, path: &str) -> anyhow::Result<String> {
    let request = node.request(Method::DELETE, path).timeout(PATIENCE);
    Ok(node.whole(request).await?)
}

/// For people, the key alone on stdout, so that it can be piped to where it is kept.
fn hand_over(answer: &str, context: &Context) -> anyhow::Result<()> {
    let value = read(answer)?;
    context.out.answer(answer, || cell(&value["key"]))?;
    if context.out.format() == Format::Table {
        let words = format!(
            "id {}, tenant {}, scopes {}; the key is shown this once and cannot be asked for again",
            cell(&value["id"]),
            cell(&value["tenant"]),
            words(&value["scopes"]),
        );
        context.out.note(&words)?;
    }
    Ok(())
}

fn words(list: &Value) -> String {
    let words: Vec<String> = list.as_array().into_iter().flatten().map(cell).collect();
    words.join(",")
}

fn list(value: &Value) -> String {
    let keys = value["keys"].as_array().cloned().unwrap_or_default();
    let rows = keys.iter().map(|key| {
        [
            cell(&key["id"]),
            cell(&key["name"]),
            cell(&key["tenant"]),
            words(&key["scopes"]),
            cell(&key["state"]),
            time(&key["created_ms"]),
            time(&key["expires_ms"]),
        ]
    });
    let headings = [
        "ID", "NAME", "TENANT", "SCOPES", "STATE", "CREATED", "EXPIRES",
    ];
    table(headings, rows)
}
