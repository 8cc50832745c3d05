//! The images: built by a script beside this crate, or brought by the user.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use tokio::process::Command;

use super::engine::Engine;

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
        .env("LLM_ROUTER_BIN", crate::node::binary()?)
        .env("LLM_ROUTER_TESTNET_BIN", std::env::current_exe()?);
    let status = command.status().await;
    let status = status.with_context(|| script.display().to_string())?;
    match status.success() {
        true => Ok(()),
        false => bail!("the images were not built"),
    }
}

/// An image of the same binary under another name and with another digest, to upgrade to.
///
/// # Errors
/// The engine fails.
pub(super) async fn twin(engine: &Engine, image: &str) -> anyhow::Result<String> {
    let twin = format!("{image}-next");
    let container = engine.docker(&["create", image]).await?;
    let container = container.trim();
    let label = "LABEL llm-router.generation=next";
    let made = engine
        .docker(&["commit", "--change", label, container, &twin])
        .await;
    engine.docker(&["rm", container]).await?;
    made.map(|_| twin)
}
