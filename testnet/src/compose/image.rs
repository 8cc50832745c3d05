//! The images: built by a script beside this crate, or brought by the user.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use tokio::process::Command;

use super::engine::Engine;
use super::plan::Plan;

/// Where the repository was when this was built.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Builds both around the binaries beside this one; does nothing where they are made of the same.
///
/// # Errors
/// The sources are not here any more, or the build fails; it has said why.
pub(super) async fn build() -> anyhow::Result<()> {
    let script = repository().join("testnet/scripts/image.sh");
    if !script.is_file() {
        bail!(
            "{} is gone: run this from a checkout, or bring images with --image and --tools",
            script.display()
        );
    }
    let mut command = Command::new(&script);
    command
        .kill_on_drop(true)
        .env("LLM_ROUTER_BIN", crate::node::binary()?)
        .env("LLM_ROUTER_TESTNET_BIN", std::env::current_exe()?);
    let status = command.status().await;
    let status = status.with_context(|| script.display().to_string())?;
    match status.success() {
        true => Ok(()),
        false => bail!("the images were not built"),
    }
}

/// The name of a testnet's own image of the same binary, to upgrade to.
pub(super) fn twin_of(plan: &Plan) -> String {
    format!("llm-router:{}-next", plan.project)
}

/// Makes an image of the same binary as the node's under another name and with another digest.
///
/// # Errors
/// The engine fails.
pub(super) async fn copy(engine: &Engine, plan: &Plan, to: &str) -> anyhow::Result<()> {
    // by its label `down` finds what is broken off here
    let project = format!("com.docker.compose.project={}", plan.project);
    let words = ["create", "--label", &project, &plan.image];
    let container = engine.docker(&words).await?;
    let container = container.trim();
    let label = "LABEL llm-router.generation=next";
    let made = engine
        .docker(&["commit", "--change", label, container, to])
        .await;
    engine.docker(&["rm", container]).await?;
    made.map(drop)
}
