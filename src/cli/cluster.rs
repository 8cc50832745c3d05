//! `cluster`: how the nodes stand to one another, and who belongs to them.

mod init;
mod join;
mod orders;
mod status;

use clap::{Args, Subcommand};

use super::{Code, Context};

/// The nodes and who belongs to them.
#[derive(Clone, Debug, Subcommand)]
pub enum Cluster {
    /// Show the running node's cluster and how to add a second node; a node is a cluster of one
    /// from its first start.
    Init,
    /// Run a node in the foreground that joins others: `serve --join ADDR`.
    Join(Box<join::Join>),
    /// Who belongs, who leads, and what the node does without a quorum.
    Status,
    /// Let a learner vote.
    Add(Named),
    /// Take a member out for good.
    Remove(Remove),
    /// Let another voter lead.
    TransferLeader(TransferLeader),
    /// Let the leader write a snapshot and drop the log before it.
    Snapshot,
}

/// A member.
#[derive(Clone, Debug, Args)]
pub struct Named {
    /// Its name.
    pub node: String,
}

/// Take a member out for good.
#[derive(Clone, Debug, Args)]
pub struct Remove {
    /// Its name.
    pub node: String,
    /// Yes: its number is retired, and it comes back only with an empty data directory.
    #[arg(long)]
    pub yes: bool,
}

/// Let another voter lead.
#[derive(Clone, Debug, Args)]
pub struct TransferLeader {
    /// Its name; the voter that is furthest along when not said.
    pub node: Option<String>,
}

/// Asks the node, or runs one.
///
/// # Errors
/// The node refuses, is not there, or cannot start.
pub async fn run(verb: Cluster, context: &Context) -> anyhow::Result<Code> {
    match verb {
        Cluster::Init => init::run(context).await,
        Cluster::Join(verb) => join::run(*verb, context).await,
        Cluster::Status => status::run(context).await,
        Cluster::Add(Named { node }) => orders::add(&node, context).await,
        Cluster::Remove(verb) => orders::remove(&verb, context).await,
        Cluster::TransferLeader(verb) => orders::transfer(verb.node.as_deref(), context).await,
        Cluster::Snapshot => orders::snapshot(context).await,
    }
}
