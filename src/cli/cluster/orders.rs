//! `cluster add`, `remove`, `transfer-leader`, `snapshot`: orders to the leader, through any node.

use serde_json::{Value, json};

use super::Remove;
use crate::cli::{Code, Context};

/// Lets a learner vote.
///
/// # Errors
/// The cluster refuses, or the node is not there.
pub(super) async fn add(node: &str, context: &Context) -> anyhow::Result<Code> {
    let said = format!("{node} votes");
    order("promote", &json!({"node": node}), said, context).await
}

/// Takes a member out for good, once that is said for certain.
///
/// # Errors
/// As [`add`].
pub(super) async fn remove(verb: &Remove, context: &Context) -> anyhow::Result<Code> {
    let node = &verb.node;
    if !verb.yes {
        context.out.note(&format!(
            "{node} would leave for good: its number is retired, and it comes back only with an \
             empty data directory; say so with --yes"
        ))?;
        return Ok(Code::Usage);
    }
    let said = format!("{node} is no member any more");
    order("remove", &json!({"node": node}), said, context).await
}

/// Lets another voter lead.
///
/// # Errors
/// As [`add`].
pub(super) async fn transfer(node: Option<&str>, context: &Context) -> anyhow::Result<Code> {
    let (body, said) = match node {
        Some(node) => (json!({"node": node}), format!("{node} leads")),
        None => (json!({}), "another voter leads".to_owned()),
    };
    order("transfer-leader", &body, said, context).await
}

/// Lets the leader write a snapshot.
///
/// # Errors
/// As [`add`].
pub(super) async fn snapshot(context: &Context) -> anyhow::Result<Code> {
    let said = "the leader has written a snapshot".to_owned();
    order("snapshot", &json!({}), said, context).await
}

async fn order(what: &str, body: &Value, said: String, context: &Context) -> anyhow::Result<Code> {
    let path = format!("/admin/v1/cluster/{what}");
    let answer = context.client()?.post(&path, body).await?;
    context.out.answer(&answer, || said)?;
    Ok(Code::Ok)
}
