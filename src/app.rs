//! The composition root: what `serve` hands over, and where the node is put together.

use std::fmt;
use std::io::Write;
use std::path::PathBuf;

use crate::config::Loaded;
use crate::config::detect::Found;

/// What to serve.
pub struct ServeOptions {
    /// The configuration.
    pub loaded: Loaded,
    /// What was found on this machine.
    pub found: Found,
    /// Where to write the addresses as JSON.
    pub addr_file: Option<PathBuf>,
    /// Serve beyond loopback although there is no credential to ask for.
    pub insecure_no_auth: bool,
    /// Where the banner goes.
    pub out: Box<dyn Write + Send>,
}

impl fmt::Debug for ServeOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServeOptions")
            .field("loaded", &self.loaded)
            .finish_non_exhaustive()
    }
}

/// How a node ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was asked to.
    Stopped,
    /// Its actors kept failing; exit code 70.
    Broken,
}

/// Runs a node until it is asked to stop.
///
/// # Errors
/// What kept it from starting, in words for the operator.
#[expect(
    clippy::unused_async,
    reason = "the doors are opened by the composition root"
)]
pub async fn serve(options: ServeOptions) -> anyhow::Result<Ended> {
    anyhow::bail!("this build has no doors: {options:?}")
}
