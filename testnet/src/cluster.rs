//! Several real nodes on loopback, with a proxy on each directed link between them.
//!
//! ```no_run
//! # async fn story() -> anyhow::Result<()> {
//! use llm_router_testnet::{Cluster, Witness};
//!
//! let upstream = Witness::start().await?;
//! let mut cluster = Cluster::of(3, &format!("models:\n{}", upstream.model("gpt", ""))).await?;
//! let leader = cluster.leader().await?;
//! cluster.kill(leader).await?;
//! cluster.restart(leader).await?;
//! cluster.in_step().await?;
//! cluster.end().await?;
//! # Ok(())
//! # }
//! ```
//!
//! Nodes are numbered from 1: node 1 is called `n1`.

pub mod admin;
pub mod breakers;
pub mod cache;
pub mod certs;
pub mod damage;
pub mod figures;
mod links;
mod member;
pub mod ports;
mod settle;
mod shown;
pub mod trace;

use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::client::Client;
use crate::cluster::certs::Certs;
use crate::cluster::links::Links;
use crate::cluster::member::Member;

pub use links::Break;
pub use member::Faults;
pub use settle::{LIMIT, leads, revision_of, status};
pub use shown::shown;

/// Lines of each node's log that are shown when a story fails.
const TAIL: usize = 40;

/// How the nodes are started.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// The routing part of the configuration (YAML), agreed once the nodes have formed; none when
    /// empty.
    pub routing: String,
    /// Certificates are made, and the nodes talk over mTLS.
    pub tls: bool,
    /// The user's weights are used, by one worker a node; otherwise the nodes find none.
    pub weights: bool,
    /// Nodes talk to one another without proxies between them: links cannot be broken then, and add
    /// nothing to what is measured.
    pub direct: bool,
    /// Further lines of every node's own file (YAML).
    pub node: String,
}

/// The cluster. Dropping it kills the nodes and removes their folders; if the story has not called
/// [`Cluster::end`], the ends of their logs are shown first.
#[derive(Debug)]
pub struct Cluster {
    folder: TempDir,
    members: Vec<Member>,
    links: Links,
    certs: Option<Certs>,
    setup: Setup,
    ended: bool,
}

impl Cluster {
    /// `n` nodes that have formed and agree on this routing configuration.
    ///
    /// # Errors
    /// When they do not; the nodes' words are on stderr.
    pub async fn of(n: usize, routing: &str) -> anyhow::Result<Self> {
        let setup = Setup {
            routing: routing.to_owned(),
            ..Setup::default()
        };
        Self::start(n, setup).await
    }

    /// `n` nodes, as `setup` says. The first begins alone, the others join it.
    ///
    /// # Errors
    /// See [`Cluster::of`].
    pub async fn start(n: usize, setup: Setup) -> anyhow::Result<Self> {
        let mut cluster = Self::prepare(n, setup).await?;
        cluster.form(n).await?;
        Ok(cluster)
    }

    /// Starts the first `n` of the prepared nodes, and waits until they agree on the routing
    /// configuration.
    ///
    /// # Errors
    /// See [`Cluster::of`].
    pub async fn form(&mut self, n: usize) -> anyhow::Result<()> {
        self.launch(1).await?;
        for id in 2..=n {
            self.spawn(id)?;
        }
        for id in 2..=n {
            self.member_mut(id)?.wait_ready().await?;
        }
        self.formed(n).await?;
        if !self.setup.routing.is_empty() {
            let routing = self.setup.routing.clone();
            self.put(1, &routing).await?;
        }
        self.in_step().await?;
        Ok(())
    }

    /// Folders, ports, links and files for `n` nodes; none is started.
    ///
    /// # Errors
    /// When there are no ports or no room.
    pub async fn prepare(n: usize, setup: Setup) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("temporary folder")?;
        let mut members = Vec::new();
        for id in 1..=n {
            members.push(Member::new(id, folder.path(), setup.weights)?);
        }
        let addresses: Vec<_> = members.iter().map(Member::cluster_address).collect();
        let links = Links::open(&addresses).await?;
        let certs = match setup.tls {
            true => Some(Certs::create(folder.path(), n).await?),
            false => None,
        };
        let cluster = Cluster {
            folder,
            members,
            links,
            certs,
            setup,
            ended: false,
        };
        for id in 1..=n {
            let join = (id > 1).then_some(1);
            cluster.write_file(id, join)?;
        }
        Ok(cluster)
    }

    /// Writes a node's own configuration file; it joins through `join`, or begins alone.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_file(&self, id: usize, join: Option<usize>) -> anyhow::Result<()> {
        let member = self.member(id)?;
        let mut text = member.own_lines();
        text.push_str("cluster:\n");
        if let Some(other) = join {
            let address = match self.setup.direct {
                true => self.cluster_address(other)?,
                false => self.links.address(id, other)?,
            };
            text.push_str(&format!("  join: [\"{address}\"]\n"));
        }
        text.push_str(&self.dial_lines(id)?);
        if let Some(certs) = &self.certs {
            text.push_str(&certs.lines(id));
        }
        text.push_str(&self.setup.node);
        member.write_file(&text)
    }

    /// Where a node's file says that it reaches the others.
    fn dial_lines(&self, id: usize) -> anyhow::Result<String> {
        if self.setup.direct {
            return Ok("  dial: {}\n".to_owned());
        }
        let mut text = "  dial:\n".to_owned();
        for other in (1..=self.members.len()).filter(|&other| other != id) {
            let address = self.links.address(id, other)?;
            text.push_str(&format!("    n{other}: \"{address}\"\n"));
        }
        Ok(text)
    }

    /// How many nodes there are, stopped ones included.
    pub fn size(&self) -> usize {
        self.members.len()
    }

    /// Numbers of all nodes.
    pub fn ids(&self) -> impl Iterator<Item = usize> + use<> {
        1..=self.members.len()
    }

    /// Numbers of the nodes whose process is there.
    pub fn running(&self) -> Vec<usize> {
        self.ids()
            .filter(|&id| self.member(id).is_ok_and(Member::is_running))
            .collect()
    }

    /// A client of a node's HTTP door; it stays good over restarts.
    ///
    /// # Panics
    /// When there is no such node.
    pub fn http(&self, id: usize) -> &Client {
        &self.members[id - 1].client
    }

    /// `host:port` of a node's HTTP door.
    ///
    /// # Panics
    /// When there is no such node.
    pub fn http_address(&self, id: usize) -> &str {
        &self.members[id - 1].http
    }

    /// `host:port` of a node's gRPC door.
    ///
    /// # Panics
    /// When there is no such node.
    pub fn grpc_address(&self, id: usize) -> &str {
        &self.members[id - 1].grpc
    }

    /// Where a node listens for others, past the proxies.
    ///
    /// # Errors
    /// When there is no such node.
    pub fn cluster_address(&self, id: usize) -> anyhow::Result<std::net::SocketAddr> {
        Ok(self.member(id)?.cluster_address())
    }

    /// A node's data directory.
    ///
    /// # Panics
    /// When there is no such node.
    pub fn data(&self, id: usize) -> std::path::PathBuf {
        self.members[id - 1].data()
    }

    /// Everything a node has written to stderr, restarts included.
    ///
    /// # Panics
    /// When there is no such node.
    pub fn log(&self, id: usize) -> String {
        self.members[id - 1].log()
    }

    /// The process id of a node; 0 when it is not there.
    ///
    /// # Panics
    /// When there is no such node.
    pub fn pid(&self, id: usize) -> u32 {
        self.members[id - 1].pid()
    }

    /// Certificates, when there are any.
    pub fn certs(&self) -> Option<&Certs> {
        self.certs.as_ref()
    }

    /// A folder the story may use; it goes with the cluster.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The story went well: ends every node and shows nothing.
    ///
    /// # Errors
    /// When a process cannot be waited for.
    pub async fn end(mut self) -> anyhow::Result<()> {
        for member in &mut self.members {
            member.kill().await?;
        }
        self.ended = true;
        Ok(())
    }

    fn member(&self, id: usize) -> anyhow::Result<&Member> {
        match id.checked_sub(1).and_then(|place| self.members.get(place)) {
            Some(member) => Ok(member),
            None => bail!("there is no node {id}"),
        }
    }

    fn member_mut(&mut self, id: usize) -> anyhow::Result<&mut Member> {
        match id
            .checked_sub(1)
            .and_then(|place| self.members.get_mut(place))
        {
            Some(member) => Ok(member),
            None => bail!("there is no node {id}"),
        }
    }

    /// The last lines of every node's log.
    pub fn tails(&self) -> String {
        let mut shown = String::new();
        for (member, id) in self.members.iter().zip(1..) {
            let log = member.log();
            let lines: Vec<&str> = log.lines().collect();
            let from = lines.len().saturating_sub(TAIL);
            shown.push_str(&format!("--- n{id}, its last words\n"));
            for line in &lines[from..] {
                shown.push_str(line);
                shown.push('\n');
            }
        }
        shown
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if !self.ended {
            // Nobody is left to tell that stderr is gone.
            let _ = std::io::stderr().write_all(self.tails().as_bytes());
        }
    }
}
