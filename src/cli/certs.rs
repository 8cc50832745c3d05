//! `certs`: certificates for the nodes of a cluster, made on this machine.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use llm_router_cluster::certs::{self, MAX_DAYS, Made};
use llm_router_cluster::{ClusterId, NodeId};
use serde_json::json;

use super::output::iso;
use super::{Code, Context};

/// Certificates for the nodes of a cluster.
#[derive(Clone, Debug, Subcommand)]
pub enum Certs {
    /// Make an authority, unless the directory has one, and a certificate for each node.
    Create(Create),
    /// Whose a certificate is, and until when.
    Show(Show),
}

/// Make an authority and certificates.
#[derive(Clone, Debug, Args)]
pub struct Create {
    /// A node's name; repeat it for several.
    #[arg(long, value_name = "NAME", required = true)]
    pub node: Vec<String>,
    /// Where the files are kept.
    #[arg(long, value_name = "DIR", default_value = "certs")]
    pub dir: PathBuf,
    /// The cluster they are for, when it has begun already (`llm-router cluster status`).
    #[arg(long, value_name = "ID", conflicts_with = "renew")]
    pub cluster: Option<String>,
    /// How long a node's certificate is good.
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_DAYS)))]
    pub days: u32,
    /// Replace the certificates of these nodes; a running node takes the new one without a restart.
    #[arg(long)]
    pub renew: bool,
}

/// Whose a certificate is.
#[derive(Clone, Debug, Args)]
pub struct Show {
    /// A certificate, PEM.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Makes or shows.
///
/// # Errors
/// A name is none, or files cannot be read or written.
pub fn run(verb: &Certs, context: &Context) -> anyhow::Result<Code> {
    match verb {
        Certs::Create(verb) => create(verb, context),
        Certs::Show(Show { file }) => show(file, context),
    }
}

fn create(verb: &Create, context: &Context) -> anyhow::Result<Code> {
    let name = |text: &String| NodeId::parse(text).with_context(|| format!("`{text}`"));
    let nodes: Vec<NodeId> = verb.node.iter().map(name).collect::<Result<_, _>>()?;
    let cluster = verb.cluster.as_deref().map(ClusterId::parse).transpose();
    let cluster = cluster.context("--cluster")?;
    let made = match verb.renew {
        true => certs::renew(&verb.dir, &nodes, verb.days)?,
        false => certs::create(&verb.dir, cluster, &nodes, verb.days)?,
    };
    let value = json!({
        "cluster": made.cluster.as_str(),
        "ca": made.ca,
        "new_ca": made.new_ca,
        "nodes": names(&made.nodes),
        "kept": names(&made.kept),
    });
    context.out.show(&value, || summary(&made, &verb.dir))?;
    Ok(Code::Ok)
}

fn names(nodes: &[NodeId]) -> Vec<&str> {
    nodes.iter().map(NodeId::as_str).collect()
}

/// What was made, and the lines that put it to use.
fn summary(made: &Made, dir: &Path) -> String {
    let ca = made.ca.display();
    let which = match made.new_ca {
        true => "made; its ca.key stays with you, no node needs it",
        false => "as it was",
    };
    let mut lines = vec![
        format!("cluster    {}", made.cluster),
        format!("authority  {ca} ({which})"),
    ];
    for (nodes, what) in [(&made.nodes, "made"), (&made.kept, "kept as it was")] {
        for node in nodes {
            lines.push(format!("{:10} {what}; in its config:", node.as_str()));
            let [cert, key] = ["pem", "key"].map(|end| dir.join(format!("{node}.{end}")));
            lines.push(format!(
                "  node: {{ id: {node} }}\n  cluster: {{ tls: {{ ca: {ca}, cert: {}, key: {} }} }}",
                cert.display(),
                key.display()
            ));
        }
    }
    lines.join("\n")
}

fn show(file: &Path, context: &Context) -> anyhow::Result<Code> {
    let cluster = certs::cluster_of(file)?;
    let until = certs::expires(file)?;
    let node = certs::node_of(file).ok();
    let value = json!({
        "cluster": cluster.as_str(),
        "node": node.as_ref().map(NodeId::as_str),
        "expires_ms": until,
    });
    context.out.show(&value, || {
        let whose = node.map_or_else(|| "the authority".to_owned(), |node| node.to_string());
        format!(
            "cluster  {cluster}\nnode     {whose}\nuntil    {}",
            iso(until)
        )
    })?;
    Ok(Code::Ok)
}
