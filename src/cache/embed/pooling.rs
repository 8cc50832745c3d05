//! From a text's rows to its vector.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::bert::ModelError;
use super::vector::Vector;

/// Which rows make the vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pooling {
    /// The mean of all.
    Mean,
    /// The first alone.
    First,
}

/// `1_Pooling/config.json`, as far as it matters.
#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    pooling_mode_cls_token: bool,
    #[serde(default)]
    pooling_mode_mean_tokens: bool,
    #[serde(default)]
    pooling_mode_max_tokens: bool,
    #[serde(default)]
    pooling_mode_mean_sqrt_len_tokens: bool,
    #[serde(default)]
    pooling_mode_weightedmean_tokens: bool,
    #[serde(default)]
    pooling_mode_lasttoken: bool,
}

impl Pooling {
    /// What `1_Pooling/config.json` says; the mean when there is no such file.
    pub(super) fn read(dir: &Path) -> Result<Pooling, ModelError> {
        let file = dir.join("1_Pooling").join("config.json");
        let Ok(text) = fs::read(&file) else {
            return Ok(Pooling::Mean);
        };
        let config: Config =
            serde_json::from_slice(&text).map_err(|error| ModelError::config(&file, error))?;
        let others = config.pooling_mode_max_tokens
            || config.pooling_mode_weightedmean_tokens
            || config.pooling_mode_lasttoken;
        // Dividing by the root of the length does not change the direction.
        let mean = config.pooling_mode_mean_tokens || config.pooling_mode_mean_sqrt_len_tokens;
        match (config.pooling_mode_cls_token, mean, others) {
            (false, true, false) => Ok(Pooling::Mean),
            (true, false, false) => Ok(Pooling::First),
            _ => Err(ModelError::Unsupported(
                "another pooling than the mean or the first token alone".to_owned(),
            )),
        }
    }

    /// The vector of rows of `width` numbers.
    pub(super) fn vector(self, rows: &[f32], width: usize) -> Option<Vector> {
        let mut rows = rows.chunks_exact(width);
        let mut sums = rows.next()?.to_vec();
        if self == Pooling::Mean {
            for row in rows {
                for (sum, value) in sums.iter_mut().zip(row) {
                    *sum += value;
                }
            }
        }
        // Dividing by the number of rows would not change the direction.
        Vector::new(sums)
    }
}
