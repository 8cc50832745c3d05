//! The real weights, for the tests that need them.

use std::path::PathBuf;
use std::sync::{LazyLock, OnceLock};

use super::weights::{MODEL_NAME, default_models_dir, verify};
use super::{Embedder, Options};
use crate::config::node::EmbedderPrecision;

/// Where the weights are; says so and returns `None` where they are not.
pub(super) fn weights() -> Option<PathBuf> {
    static FOUND: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
        let dir = default_models_dir(|name| std::env::var_os(name))?.join(MODEL_NAME);
        match verify(&dir) {
            Ok(_) => Some(dir),
            Err(error) => {
                println!("skipped the tests that need the embedder's weights: {error}");
                None
            }
        }
    });
    FOUND.clone()
}

/// One embedder of floats for all tests.
pub(crate) fn embedder() -> Option<Embedder> {
    static LOADED: OnceLock<Embedder> = OnceLock::new();
    with(&LOADED, EmbedderPrecision::F32)
}

/// One embedder of bytes for all tests.
pub(crate) fn of_bytes() -> Option<Embedder> {
    static LOADED: OnceLock<Embedder> = OnceLock::new();
    with(&LOADED, EmbedderPrecision::Int8)
}

fn with(loaded: &OnceLock<Embedder>, precision: EmbedderPrecision) -> Option<Embedder> {
    let dir = weights()?;
    let options = Options {
        model: MODEL_NAME,
        dir: &dir,
        workers: 2,
        precision,
    };
    Some(
        loaded
            .get_or_init(|| Embedder::open(options).unwrap())
            .clone(),
    )
}
