//! The name under which every node knows an upstream.

use llm_router_cluster::state::TargetId;

use crate::config::routing::{ModelConfig, Secret};
use crate::types::ModelName;

/// Longest part of a model's name that goes into the id; names that long are refused by the
/// config's rules, so nothing is ever cut.
const MAX_NAME: usize = 200;

/// `name@<16 hex>`: the digest is over dialect, address, upstream name and where the credential is
/// found, never over the credential itself. Nodes with the same config agree on it, whatever
/// their environments hold.
pub fn target(name: &ModelName, model: &ModelConfig) -> TargetId {
    let mut digest = blake3::Hasher::new();
    let dialect = format!("{:?}", model.provider);
    let (kind, reference) = match &model.api_key {
        None => ("none", ""),
        Some(Secret::Env { env }) => ("env", env.as_str()),
        Some(Secret::File { file }) => ("file", file.as_str()),
        // the same secret keeps its sealed text from revision to revision
        Some(Secret::Sealed(sealed)) => ("sealed", sealed.as_str()),
        // a literal has no reference, and a digest of it would let guesses be checked
        Some(Secret::Literal(_)) => ("literal", ""),
    };
    let parts = [
        dialect.as_str(),
        model.base_url.as_deref().unwrap_or_default(),
        &model.model,
        kind,
        reference,
    ];
    for part in parts {
        digest.update(&(part.len() as u64).to_le_bytes());
        digest.update(part.as_bytes());
    }
    let hex = digest.finalize().to_hex();
    let name: String = name.as_str().chars().take(MAX_NAME).collect();
    TargetId(format!("{name}@{}", &hex[..16]))
}
