//! One node of a cluster: its process, its folder, its ports.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::{Cluster, ports};
use crate::client::Client;
use crate::eventually;
use crate::node::{binary, without_foreign};
use crate::signal::{self, Signal};
use crate::witness::CALLER;

/// How long a node may take until it answers `/ready`, recovery and joining included.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How long it may take to end after SIGTERM: its grace period and some.
const STOP_LIMIT: Duration = Duration::from_secs(40);

/// One node.
#[derive(Debug)]
pub(super) struct Member {
    id: usize,
    folder: PathBuf,
    /// It finds the user's weights.
    weights: bool,
    pub(super) http: String,
    pub(super) grpc: String,
    cluster: SocketAddr,
    pub(super) client: Client,
    child: Option<Child>,
}

impl Member {
    pub(super) fn new(id: usize, root: &Path, weights: bool) -> anyhow::Result<Self> {
        let folder = root.join(format!("n{id}"));
        std::fs::create_dir_all(folder.join("no-weights"))?;
        std::fs::write(folder.join("faults"), "")?;
        let local = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let http = local(ports::free()?).to_string();
        Ok(Member {
            id,
            folder,
            weights,
            client: Client::new(&http)?,
            http,
            grpc: local(ports::free()?).to_string(),
            cluster: local(ports::free()?),
            child: None,
        })
    }

    pub(super) fn cluster_address(&self) -> SocketAddr {
        self.cluster
    }

    /// What its file says about itself.
    pub(super) fn own_lines(&self) -> String {
        format!(
            "node: {{ id: n{} }}\nembedder: {{ workers: 1 }}\n\
             listen: {{ http: \"{}\", grpc: \"{}\", cluster: \"{}\" }}\n",
            self.id, self.http, self.grpc, self.cluster
        )
    }

    pub(super) fn write_file(&self, text: &str) -> anyhow::Result<()> {
        std::fs::write(self.folder.join("node.yaml"), text).context("node.yaml")
    }

    pub(super) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("stderr.log")).unwrap_or_default()
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.as_ref().and_then(Child::id).unwrap_or(0)
    }

    pub(super) fn is_running(&self) -> bool {
        self.child.is_some()
    }

    fn spawn(&mut self) -> anyhow::Result<()> {
        if self.child.is_some() {
            bail!("n{} runs already", self.id);
        }
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("stderr.log"))?;
        let mut command = Command::new(binary()?);
        command
            .args(["serve", "-c"])
            .arg(self.folder.join("node.yaml"))
            .arg("--data")
            .arg(self.data())
            .arg("--faults")
            .arg(self.folder.join("faults"))
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .env(CALLER, format!("n{}", self.id));
        if !self.weights {
            command.env("LLM_ROUTER_MODELS", self.folder.join("no-weights"));
        }
        without_foreign(&mut command);
        self.child = Some(
            command
                .spawn()
                .context("the node's binary does not start")?,
        );
        Ok(())
    }

    /// Waits until it answers `/ready`.
    ///
    /// # Errors
    /// When it ends instead, or takes too long.
    pub(super) async fn wait_ready(&mut self) -> anyhow::Result<()> {
        let what = format!("n{} is ready", self.id);
        let waited = eventually(&what, START_LIMIT, async || {
            match self.child.as_mut().map(Child::try_wait) {
                None => return Some(Err("it was not started".to_owned())),
                Some(Ok(Some(status))) => return Some(Err(format!("it ended with {status}"))),
                Some(Ok(None) | Err(_)) => {}
            }
            let asked = timeout(Duration::from_secs(1), self.client.get("/ready")).await;
            (asked.ok()?.ok()?.status == 200).then_some(Ok(()))
        })
        .await?;
        if let Err(problem) = waited {
            self.child = None;
            bail!("n{}: {problem}; stderr:\n{}", self.id, self.log());
        }
        Ok(())
    }

    pub(super) async fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().await.context("kill")?;
        }
        Ok(())
    }

    async fn wait_end(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        let child = self.child.as_mut().context("it does not run")?;
        let status = timeout(limit, child.wait())
            .await
            .with_context(|| format!("n{} is still there", self.id))??;
        self.child = None;
        Ok(status)
    }
}

/// Lines of a fail-point file: `point action [count|*]`.
#[derive(Clone, Debug, Default)]
pub struct Faults(String);

impl Faults {
    /// One more fail point, as `fsync error 1`.
    #[must_use]
    pub fn with(mut self, line: &str) -> Self {
        self.0.push_str(line);
        self.0.push('\n');
        self
    }
}

impl Cluster {
    /// Starts a node's process without waiting.
    ///
    /// # Errors
    /// When it runs already or its binary is missing.
    pub fn spawn(&mut self, id: usize) -> anyhow::Result<()> {
        self.member_mut(id)?.spawn()
    }

    /// Starts a node's process and waits until it is ready.
    ///
    /// # Errors
    /// When it ends or does not become ready.
    pub async fn launch(&mut self, id: usize) -> anyhow::Result<()> {
        self.spawn(id)?;
        self.member_mut(id)?.wait_ready().await
    }

    /// Waits until a node that was spawned is ready.
    ///
    /// # Errors
    /// When it ends or does not become ready.
    pub async fn ready(&mut self, id: usize) -> anyhow::Result<()> {
        self.member_mut(id)?.wait_ready().await
    }

    /// Ends a node at once, as a crash does (SIGKILL).
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub async fn kill(&mut self, id: usize) -> anyhow::Result<()> {
        self.member_mut(id)?.kill().await
    }

    /// Starts a node again over the same data and ports, killing it first if it runs.
    ///
    /// # Errors
    /// See [`Cluster::launch`].
    pub async fn restart(&mut self, id: usize) -> anyhow::Result<()> {
        self.kill(id).await?;
        self.launch(id).await
    }

    /// A node stands still (SIGSTOP).
    ///
    /// # Errors
    /// When it does not run.
    pub async fn pause(&self, id: usize) -> anyhow::Result<()> {
        signal::send(Signal::Stop, self.pid(id)).await
    }

    /// A node goes on (SIGCONT).
    ///
    /// # Errors
    /// When it does not run.
    pub async fn resume(&self, id: usize) -> anyhow::Result<()> {
        signal::send(Signal::Cont, self.pid(id)).await
    }

    /// Asks a node to end (SIGTERM) and waits; gives its exit code.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn terminate(&mut self, id: usize) -> anyhow::Result<Option<i32>> {
        signal::send(Signal::Term, self.pid(id)).await?;
        let status = self.member_mut(id)?.wait_end(STOP_LIMIT).await?;
        Ok(status.code())
    }

    /// Waits for a node to end by itself; gives its exit code, `None` where a signal ended it.
    ///
    /// # Errors
    /// When it goes on.
    pub async fn ends(&mut self, id: usize, limit: Duration) -> anyhow::Result<Option<i32>> {
        Ok(self.member_mut(id)?.wait_end(limit).await?.code())
    }

    /// Notices a node that has ended by itself.
    ///
    /// # Errors
    /// When there is no such node.
    pub fn has_ended(&mut self, id: usize) -> anyhow::Result<bool> {
        let member = self.member_mut(id)?;
        if let Some(Ok(Some(_))) = member.child.as_mut().map(Child::try_wait) {
            member.child = None;
        }
        Ok(member.child.is_none())
    }

    /// Sets a node's fail points; it takes them up at once.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn faults(&self, id: usize, faults: &Faults) -> anyhow::Result<()> {
        let folder = &self.member(id)?.folder;
        // Renamed into place, so that a node never reads half of it.
        let fresh = folder.join("faults.new");
        std::fs::write(&fresh, &faults.0)?;
        std::fs::rename(&fresh, folder.join("faults")).context("faults")
    }
}
