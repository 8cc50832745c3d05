//! What is started, where, and as whom: decided once by `up`, and read again by the other verbs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use crate::cluster::ports;
use crate::doors::At;

/// The scripted upstreams, in the order of their ports.
pub const UPSTREAMS: [&str; 3] = ["fast", "slow", "flaky"];
/// The service that takes the nodes' spans and shows them.
pub const COLLECTOR: &str = "collector";
/// Where nodes reach it.
const OTLP: &str = "http://collector:4317";
/// The images that are made here: the node's, and that of upstreams and collector.
const IMAGE: &str = "llm-router:testnet";
const TOOLS: &str = "llm-router-tools:testnet";
/// Where the plan is kept in its folder.
const FILE: &str = "plan.json";
/// First ports that are tried, so that they are the same every day: HTTP, gRPC, orders, traces.
const FIRST: [u16; 4] = [18_081, 15_051, 19_001, 14_320];

/// One testnet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Its name: that of the compose project, and what every container's name begins with.
    pub project: String,
    /// How many nodes.
    pub nodes: usize,
    /// Loopback ports of their HTTP doors.
    pub http: Vec<u16>,
    /// Of their gRPC doors.
    pub grpc: Vec<u16>,
    /// Of what takes orders for the upstreams.
    pub orders: Vec<u16>,
    /// Of what shows traces; see [`Plan::collector`].
    pub traces: u16,
    /// Of Prometheus, where it runs too.
    pub prometheus: Option<u16>,
    /// Where its files are.
    pub folder: PathBuf,
    /// `uid:gid` of every process in it.
    pub user: String,
    /// The embedding model's folder on this machine, when it is there.
    pub weights: Option<PathBuf>,
    /// The node's image.
    pub image: String,
    /// The upstreams' image.
    pub tools: String,
    /// OTLP/gRPC collector of the nodes' traces, as their containers reach it: the testnet's own unless
    /// the user has named another. Nothing is traced when `None`.
    pub otlp: Option<String>,
    /// Compose files that are laid over ours.
    pub over: Vec<PathBuf>,
    /// Every node's data lies on a small file system of its own, which can be filled.
    #[serde(default)]
    pub small_disks: bool,
    /// The library that makes a process see another time, where clocks are to be set.
    #[serde(default)]
    pub faketime: Option<PathBuf>,
}

impl Plan {
    /// A plan for `nodes` nodes with ports that are free now.
    ///
    /// # Errors
    /// The project's name is none, or no port is free.
    pub fn new(project: &str, nodes: usize) -> anyhow::Result<Self> {
        let mut names = project.bytes();
        let begins = names.next().is_some_and(|byte| byte.is_ascii_lowercase());
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !begins || !names.all(plain) || project.len() > 40 {
            bail!(
                "`{project}` is no project's name: a to z, 0 to 9 and -, a letter first, at most 40"
            );
        }
        let mut taken = Vec::new();
        Ok(Plan {
            project: project.to_owned(),
            nodes,
            http: free(FIRST[0], nodes, &mut taken)?,
            grpc: free(FIRST[1], nodes, &mut taken)?,
            orders: free(FIRST[2], UPSTREAMS.len(), &mut taken)?,
            traces: free(FIRST[3], 1, &mut taken)?[0],
            prometheus: None,
            folder: folder(project)?,
            user: String::new(),
            weights: crate::node::weights(),
            image: IMAGE.to_owned(),
            tools: TOOLS.to_owned(),
            otlp: Some(OTLP.to_owned()),
            over: Vec::new(),
            small_disks: false,
            faketime: None,
        })
    }

    /// The plan of the testnet that is up.
    ///
    /// # Errors
    /// There is none, or its file cannot be read.
    pub fn read(project: &str) -> anyhow::Result<Self> {
        let path = folder(project)?.join(FILE);
        if !path.is_file() {
            bail!("no testnet `{project}` is up: llm-router-testnet up");
        }
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        serde_json::from_str(&text).with_context(|| path.display().to_string())
    }

    /// Keeps it for the other verbs.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self) -> anyhow::Result<()> {
        let path = self.folder.join(FILE);
        let text = serde_json::to_string_pretty(self)?;
        std::fs::write(&path, text).with_context(|| path.display().to_string())
    }

    /// Numbers of the nodes, from 1.
    pub fn ids(&self) -> impl Iterator<Item = usize> + use<> {
        1..=self.nodes
    }

    /// Pairs of nodes, the smaller number first.
    pub fn links(&self) -> Vec<(usize, usize)> {
        let pairs = |a: usize| (a + 1..=self.nodes).map(move |b| (a, b));
        self.ids().flat_map(pairs).collect()
    }

    /// `host:port` of a node's HTTP door.
    ///
    /// # Panics
    /// When there is no such node.
    pub fn http(&self, id: usize) -> String {
        format!("127.0.0.1:{}", self.http[id - 1])
    }

    /// `host:port` of a node's gRPC door.
    ///
    /// # Panics
    /// When there is no such node.
    pub fn grpc(&self, id: usize) -> String {
        format!("127.0.0.1:{}", self.grpc[id - 1])
    }

    /// Where an upstream takes orders; see [`crate::orders::give`].
    pub fn orders(&self, upstream: &str) -> Option<SocketAddr> {
        let place = UPSTREAMS.iter().position(|name| *name == upstream)?;
        let port = *self.orders.get(place)?;
        Some(SocketAddr::from(([127, 0, 0, 1], port)))
    }

    /// Where the testnet's own collector shows traces; `None` where the nodes tell another one, or none.
    pub fn collector(&self) -> Option<SocketAddr> {
        let own = self.otlp.as_deref() == Some(OTLP);
        own.then(|| SocketAddr::from(([127, 0, 0, 1], self.traces)))
    }

    /// Every node's doors.
    ///
    /// # Errors
    /// The clients cannot be made.
    pub fn doors(&self) -> anyhow::Result<Vec<At>> {
        self.ids()
            .map(|id| At::new(&self.http(id), &self.grpc(id)))
            .collect()
    }

    /// The folder of a node's file and certificates, as its container sees it at `/etc/llm-router`.
    pub fn node_folder(&self, id: usize) -> PathBuf {
        self.folder.join(format!("n{id}"))
    }

    /// The compose file.
    pub fn compose_file(&self) -> PathBuf {
        self.folder.join("compose.yaml")
    }

    /// A container's name.
    pub fn container(&self, service: &str) -> String {
        format!("{}-{service}", self.project)
    }

    /// Names of all services.
    pub fn services(&self) -> Vec<String> {
        let mut names: Vec<String> = self.ids().map(|id| format!("n{id}")).collect();
        names.extend(UPSTREAMS.map(str::to_owned));
        names.extend(self.collector().map(|_| COLLECTOR.to_owned()));
        names.extend(self.prometheus.map(|_| "prometheus".to_owned()));
        names
    }
}

/// `count` loopback ports that are free now and not in `taken`: those from `first` on, where they are.
fn free(first: u16, count: usize, taken: &mut Vec<u16>) -> anyhow::Result<Vec<u16>> {
    let mut found = Vec::new();
    for port in (first..).take(count) {
        let usable = std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
        let mut port = if usable { port } else { ports::free()? };
        while taken.contains(&port) {
            port = ports::free()?;
        }
        taken.push(port);
        found.push(port);
    }
    Ok(found)
}

/// Where a project's files are: in the user's cache directory.
fn folder(project: &str) -> anyhow::Result<PathBuf> {
    let environment = llm_router::config::env::Environment::read();
    let home = environment.cache_home;
    let home = home.context("neither HOME nor XDG_CACHE_HOME says where files may be kept")?;
    Ok(Path::new(&home).join("testnet").join(project))
}

#[cfg(test)]
pub(crate) fn example(nodes: usize) -> Plan {
    let count = u16::try_from(nodes).unwrap();
    Plan {
        project: "example".to_owned(),
        nodes,
        http: (8001..8001 + count).collect(),
        grpc: (9001..9001 + count).collect(),
        orders: vec![7001, 7002, 7003],
        traces: 6001,
        prometheus: None,
        folder: "/tmp/with \"quotes\" and $dollars".into(),
        user: "10001:10001".to_owned(),
        weights: Some("/tmp/models/all-MiniLM-L6-v2".into()),
        image: IMAGE.to_owned(),
        tools: TOOLS.to_owned(),
        otlp: Some(OTLP.to_owned()),
        over: Vec::new(),
        small_disks: false,
        faketime: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_the_engine_would_refuse_is_refused_here() {
        for name in ["", "-a", "A", "a/b", "a b", "1a", &"a".repeat(41)] {
            assert!(Plan::new(name, 3).is_err(), "{name:?}");
        }
        assert!(Plan::new("a-1", 3).is_ok());
    }

    #[test]
    fn every_pair_of_nodes_has_one_link() {
        assert_eq!(example(3).links(), [(1, 2), (1, 3), (2, 3)]);
        assert_eq!(example(5).links().len(), 10);
    }

    #[test]
    fn no_two_doors_are_planned_at_one_port() {
        let plan = Plan::new("ports", 5).unwrap();
        let lists = [&plan.http, &plan.grpc, &plan.orders];
        let mut ports: Vec<u16> = lists.into_iter().flatten().copied().collect();
        ports.push(plan.traces);
        let count = ports.len();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!((count, ports.len()), (14, 14));
    }

    #[test]
    fn a_collector_of_somebody_elses_is_none_of_the_testnets() {
        let own = example(3);
        assert_eq!(own.collector(), Some("127.0.0.1:6001".parse().unwrap()));
        assert!(own.services().contains(&COLLECTOR.to_owned()));
        for otlp in [None, Some("http://jaeger:4317".to_owned())] {
            let plan = Plan { otlp, ..example(3) };
            assert_eq!(plan.collector(), None);
            assert!(!plan.services().contains(&COLLECTOR.to_owned()));
        }
    }

    #[test]
    fn a_port_that_is_taken_is_not_planned() {
        let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = held.local_addr().unwrap().port();
        let mut taken = Vec::new();
        assert_ne!(free(port, 1, &mut taken).unwrap(), [port]);
        assert_eq!(taken.len(), 1);
    }
}
