//! One node: the real binary in its own process, on free ports, with its own folder.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::client::Client;
use crate::eventually;
use crate::signal::{self, Signal};

/// How long a node may take until it answers `/ready`.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How long a node may take to end after SIGTERM.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// Variables of the developer's shell that would change what a node finds.
const FOREIGN: [&str; 10] = [
    "OPENAI_API_KEY",
    "ANTHROPIC_API_KEY",
    "GEMINI_API_KEY",
    "GOOGLE_API_KEY",
    "AZURE_OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "OLLAMA_HOST",
    "HTTP_PROXY",
    "http_proxy",
    "RUST_LOG",
];

/// How a node is started.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// The configuration file's text; no file when `None`.
    pub config: Option<String>,
    /// The user's weights are used; otherwise the node finds none.
    pub weights: bool,
    /// Further arguments of `serve`.
    pub arguments: Vec<String>,
    /// Further environment variables.
    pub environment: Vec<(String, String)>,
}

/// A running node. Dropping it kills the process and removes its folder.
#[derive(Debug)]
pub struct Node {
    setup: Setup,
    folder: TempDir,
    child: Child,
    http: String,
    grpc: String,
    client: Client,
}

impl Node {
    /// Starts a node with `config` (YAML) and waits until it is ready. It has no weights, so its
    /// cache is the exact tier alone.
    ///
    /// # Errors
    /// When the binary is missing or the node does not become ready; its own words are included.
    pub async fn start(config: &str) -> anyhow::Result<Self> {
        Self::launch(Setup {
            config: Some(config.to_owned()),
            ..Setup::default()
        })
        .await
    }

    /// Starts a node as `setup` says and waits until it is ready.
    ///
    /// # Errors
    /// See [`Node::start`].
    pub async fn launch(setup: Setup) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("temporary folder")?;
        std::fs::create_dir(folder.path().join("no-weights"))?;
        if let Some(config) = &setup.config {
            std::fs::write(folder.path().join("config.yaml"), config)?;
        }
        let child = spawn(&setup, folder.path())?;
        let client = Client::new("127.0.0.1:0")?;
        let mut node = Node {
            setup,
            folder,
            child,
            http: String::new(),
            grpc: String::new(),
            client,
        };
        node.wait_ready().await?;
        Ok(node)
    }

    /// A client of the HTTP door.
    pub fn http(&self) -> &Client {
        &self.client
    }

    /// `host:port` of the HTTP door.
    pub fn http_address(&self) -> &str {
        &self.http
    }

    /// `host:port` of the gRPC door.
    pub fn grpc_address(&self) -> &str {
        &self.grpc
    }

    /// The process id; 0 when it has ended.
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap_or(0)
    }

    /// Resident memory in bytes, where the system tells.
    pub fn resident_bytes(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kibibytes * 1024)
    }

    /// Everything the node has written to stderr, restarts included.
    pub fn stderr(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("stderr.log")).unwrap_or_default()
    }

    /// Writes another configuration over the file the node watches.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_config(&mut self, config: &str) -> anyhow::Result<()> {
        std::fs::write(self.folder.path().join("config.yaml"), config)?;
        self.setup.config = Some(config.to_owned());
        Ok(())
    }

    /// Ends the process at once, as a crash does.
    ///
    /// # Errors
    /// When it has already ended and cannot be waited for.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("kill")
    }

    /// Asks the process to end (SIGTERM) and waits; gives its exit code.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn terminate(&mut self) -> anyhow::Result<Option<i32>> {
        let Some(pid) = self.child.id() else {
            bail!("the node has already ended")
        };
        signal::send(Signal::Term, pid).await?;
        let status = timeout(STOP_LIMIT, self.child.wait())
            .await
            .with_context(|| format!("still there after SIGTERM; stderr:\n{}", self.stderr()))??;
        Ok(status.code())
    }

    /// Starts the process again, on other ports, over the same folder.
    ///
    /// # Errors
    /// See [`Node::start`].
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        if self.child.id().is_some() {
            self.kill().await?;
        }
        let _ = std::fs::remove_file(self.address_file());
        self.child = spawn(&self.setup, self.folder.path())?;
        self.wait_ready().await
    }

    fn address_file(&self) -> PathBuf {
        self.folder.path().join("addresses.json")
    }

    async fn wait_ready(&mut self) -> anyhow::Result<()> {
        let file = self.address_file();
        let waited = eventually("the node is ready", START_LIMIT, async || {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(Err(status));
            }
            let text = std::fs::read_to_string(&file).ok()?;
            let addresses: Value = serde_json::from_str(&text).ok()?;
            self.http = addresses["http"].as_str()?.to_owned();
            self.grpc = addresses["grpc"].as_str().unwrap_or("").to_owned();
            self.client = Client::new(&self.http).ok()?;
            let ready = self.client.get("/ready").await.ok()?;
            (ready.status == 200).then_some(Ok(()))
        })
        .await;
        match waited {
            Ok(Ok(())) => Ok(()),
            Ok(Err(status)) => bail!("the node ended with {status}; stderr:\n{}", self.stderr()),
            Err(error) => Err(error.context(format!("stderr:\n{}", self.stderr()))),
        }
    }
}

fn spawn(setup: &Setup, folder: &Path) -> anyhow::Result<Child> {
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(folder.join("stderr.log"))
        .context("stderr.log")?;
    let mut command = Command::new(binary()?);
    command.arg("serve");
    if setup.config.is_some() {
        command.arg("-c").arg(folder.join("config.yaml"));
    }
    command
        .arg("--data")
        .arg(folder.join("data"))
        .args([
            "--http",
            "127.0.0.1:0",
            "--grpc",
            "127.0.0.1:0",
            "--cluster",
            "127.0.0.1:0",
            "--addr-file",
        ])
        .arg(folder.join("addresses.json"))
        .args(&setup.arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true);
    without_foreign(&mut command);
    if !setup.weights {
        command.env("LLM_ROUTER_MODELS", folder.join("no-weights"));
    }
    command.envs(setup.environment.iter().map(|(name, value)| (name, value)));
    command.spawn().context("the node's binary does not start")
}

/// Takes the developer's own settings away from a process.
pub(crate) fn without_foreign(command: &mut Command) {
    for name in FOREIGN {
        command.env_remove(name);
    }
}

/// The node's binary: beside the test executable, one folder up. `LLM_ROUTER_BIN` overrides it.
///
/// # Errors
/// When there is none; the message says how to build it.
pub fn binary() -> anyhow::Result<PathBuf> {
    if let Some(given) = std::env::var_os("LLM_ROUTER_BIN") {
        return Ok(PathBuf::from(given));
    }
    let own = std::env::current_exe().context("own path")?;
    let name = format!("llm-router{}", std::env::consts::EXE_SUFFIX);
    own.ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(&name))
        .find(|path| path.is_file())
        .with_context(|| {
            format!(
                "no {name} beside {}; build it: cargo build --workspace --bins",
                own.display()
            )
        })
}

/// Where the embedder's weights are kept, when they are there.
pub fn weights() -> Option<PathBuf> {
    let models = std::env::var_os("LLM_ROUTER_MODELS")
        .map(PathBuf::from)
        .or_else(|| {
            let cache = std::env::var_os("XDG_CACHE_HOME")
                .map(PathBuf::from)
                .or_else(|| {
                    std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"))
                })?;
            Some(cache.join("llm-router").join("models"))
        })?;
    let folder = models.join("all-MiniLM-L6-v2");
    (folder.join("model.safetensors").is_file() && folder.join("tokenizer.json").is_file())
        .then_some(folder)
}
