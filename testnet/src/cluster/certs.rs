//! Certificates of the nodes, made by the program itself.

mod ended;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use tokio::process::Command;

use crate::node::{binary, without_foreign};

/// A folder with an authority and a certificate for each node.
#[derive(Clone, Debug)]
pub struct Certs {
    folder: PathBuf,
}

impl Certs {
    /// Makes an authority and certificates for nodes 1 to `n` by `llm-router certs create`.
    ///
    /// # Errors
    /// When the program refuses.
    pub async fn create(root: &Path, n: usize) -> anyhow::Result<Self> {
        let certs = Certs {
            folder: root.join("certs"),
        };
        let ids: Vec<usize> = (1..=n).collect();
        certs.run(&ids, &[]).await?;
        Ok(certs)
    }

    /// Replaces the certificates of these nodes.
    ///
    /// # Errors
    /// When the program refuses.
    pub async fn renew(&self, ids: &[usize]) -> anyhow::Result<()> {
        self.run(ids, &["--renew"]).await
    }

    async fn run(&self, ids: &[usize], further: &[&str]) -> anyhow::Result<()> {
        let mut command = Command::new(binary()?);
        command
            .args(["certs", "create", "--dir"])
            .arg(&self.folder)
            .args(further);
        for id in ids {
            command.args(["--node", &format!("n{id}")]);
        }
        without_foreign(&mut command);
        let output = command.output().await.context("certs create")?;
        if !output.status.success() {
            bail!(
                "certs create: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(())
    }

    /// Where they are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Lines below `cluster:` of a node's file.
    pub(super) fn lines(&self, id: usize) -> String {
        let path = |name: &str| self.folder.join(name).display().to_string();
        format!(
            "  tls: {{ ca: \"{}\", cert: \"{}\", key: \"{}\" }}\n",
            path("ca.pem"),
            path(&format!("n{id}.pem")),
            path(&format!("n{id}.key")),
        )
    }
}
