//! What similarity means in a model's space.

use std::fs;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bert::ModelError;

/// A model's own thresholds, read from `calibration.json` beside its weights:
///
/// ```json
/// { "similarity_threshold": 0.95, "candidate_floor": 0.85 }
/// ```
///
/// Cosines of two models do not mean the same: in one, strangers are at 0.1, in another at 0.7. So
/// without the file a model gets thresholds that are too high rather than too low.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Cosine from which on two texts may mean the same by the plain rule, 0 to 1.
    pub similarity_threshold: f64,
    /// Cosine below which a candidate is not even looked at, 0 to the threshold.
    pub candidate_floor: f64,
}

impl Calibration {
    /// Of all-MiniLM-L6-v2.
    pub const MINI_LM: Calibration = Calibration {
        similarity_threshold: 0.92,
        candidate_floor: 0.75,
    };
    /// Of a model that says nothing: only near-copies are alike.
    pub const UNKNOWN: Calibration = Calibration {
        similarity_threshold: 0.98,
        candidate_floor: 0.92,
    };

    /// What `calibration.json` in `dir` says; [`Calibration::UNKNOWN`] when there is none.
    pub(super) fn read(dir: &Path) -> Result<Calibration, ModelError> {
        let file = dir.join("calibration.json");
        let Ok(text) = fs::read(&file) else {
            return Ok(Calibration::UNKNOWN);
        };
        let read: Calibration =
            serde_json::from_slice(&text).map_err(|error| ModelError::config(&file, error))?;
        let Calibration {
            similarity_threshold: high,
            candidate_floor: low,
        } = read;
        if (0.0..=1.0).contains(&low) && (low..=1.0).contains(&high) {
            Ok(read)
        } else {
            let problem = "0 <= candidate_floor <= similarity_threshold <= 1 does not hold";
            Err(ModelError::config(&file, problem))
        }
    }
}
