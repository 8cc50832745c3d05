//! A model's files: the one this version knows by its digests, or any other from a directory.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::EmbedError;
use super::bert::ModelError;
use super::calibration::Calibration;
use super::pooling::Pooling;
use super::shape::Shape;
use super::weights::{self, MODEL_NAME, MODEL_SHA256};

/// Digits of a digest in the name of a space.
const DIGITS: usize = 8;
/// Bytes of a file that go into its digest: larger ones are no encoder for a processor.
const LARGEST_FILE: u64 = 8 << 30;

/// Everything about a model but its weights.
#[derive(Clone, Debug)]
pub(super) struct Model {
    /// Safetensors.
    pub(super) weights: PathBuf,
    pub(super) tokenizer: PathBuf,
    pub(super) shape: Shape,
    pub(super) pooling: Pooling,
    pub(super) calibration: Calibration,
    /// The name and the beginning of the digest of all that makes the vectors.
    pub(super) name: String,
    /// Whether its vectors are known to this version.
    pub(super) known: bool,
}

impl Model {
    /// The model called `name`, whose files are in `dir`. Blocking: reads the files once.
    pub(super) fn find(name: &str, dir: &Path) -> Result<Model, EmbedError> {
        if name == MODEL_NAME {
            let verified = weights::verify(dir)?;
            return Ok(Model {
                weights: verified.model(),
                tokenizer: verified.tokenizer(),
                shape: Shape::MINI_LM,
                pooling: Pooling::Mean,
                calibration: Calibration::MINI_LM,
                name: space_of(name, MODEL_SHA256),
                known: true,
            });
        }
        let (weights, tokenizer) = (dir.join("model.safetensors"), dir.join("tokenizer.json"));
        let shape = Shape::read(dir)?;
        let pooling = Pooling::read(dir)?;
        let digest = digest_of([&weights, &tokenizer, &dir.join("config.json")])?;
        let name = match pooling {
            Pooling::Mean => space_of(name, &digest),
            Pooling::First => format!("{}+first", space_of(name, &digest)),
        };
        Ok(Model {
            weights,
            tokenizer,
            shape,
            pooling,
            calibration: Calibration::read(dir)?,
            name,
            known: false,
        })
    }
}

fn space_of(name: &str, digest: &str) -> String {
    format!("{name}@{}", digest.get(..DIGITS).unwrap_or(digest))
}

/// SHA-256 over the SHA-256 of each file, in hexadecimal.
fn digest_of(files: [&Path; 3]) -> Result<String, ModelError> {
    let mut all = Sha256::new();
    for path in files {
        let one = weights::digest_of(path, LARGEST_FILE);
        all.update(one.map_err(|error| ModelError::config(path, error))?);
    }
    Ok(weights::hex(&all.finalize()))
}
