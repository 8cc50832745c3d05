//! The head: measures, standardised, through one hidden layer to one number.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::{MEASURES, Measures};
use crate::cache::decide::Risk;
use crate::cache::learn::bounds;

/// What `llm-router-testnet train-verifier` wrote.
const FILE: &str = include_str!("head.json");
/// Standard deviations beyond which a measure counts as being there.
pub const FAR: f32 = 5.0;
/// Of the bounds on the error of a range of log odds.
const CONFIDENCE: f64 = 0.95;

static SHIPPED: LazyLock<Option<Head>> = LazyLock::new(|| Head::read(FILE).ok());

/// The weights do not fit this program.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    /// Not the file's format.
    #[error("the verifier's weights cannot be read")]
    Unreadable(#[from] serde_json::Error),
    /// Another number of measures or of hidden units than the arrays hold.
    #[error("the verifier's weights have the wrong shape: {0}")]
    Shape(&'static str),
}

/// One layer: every output is a weighted sum of all inputs and a bias.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Layer {
    /// Outputs × inputs, outputs after one another.
    pub weights: Vec<f32>,
    /// One per output.
    pub bias: Vec<f32>,
}

/// Weights as they are stored.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Shape {
    /// Mean of each measure over the training pairs.
    pub mean: Vec<f32>,
    /// One over its standard deviation.
    pub scale: Vec<f32>,
    /// From the measures to one number; tanh in between.
    pub layers: Vec<Layer>,
}

/// Pairs kept apart from training whose log odds reached a value: what would be served at that bar.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// Least log odds.
    pub from: f32,
    /// How many.
    pub pairs: u32,
    /// Of them, those that may not share an answer.
    pub wrong: u32,
}

/// The file: weights, what the log odds mean, and how both came about.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Trained {
    /// How it was made: data, counts, seed, command.
    pub record: serde_json::Value,
    /// Name of the embedding space it reads.
    pub space: String,
    /// By rising log odds.
    pub calibration: Vec<Bin>,
    /// The weights.
    pub weights: Shape,
}

/// The trained head.
#[derive(Clone, Debug)]
pub struct Head {
    space: String,
    weights: Shape,
    /// From these log odds on, this risk; rising log odds, falling risk.
    risks: Vec<(f32, Risk)>,
}

impl Head {
    /// The head that comes with this program; `None` if its file does not fit the program.
    pub fn shipped() -> Option<&'static Head> {
        SHIPPED.as_ref()
    }

    /// The shipped head, if it reads this embedding space.
    pub fn of_space(space: &str) -> Option<&'static Head> {
        Head::shipped().filter(|head| space.starts_with(&head.space))
    }

    /// Reads a file as [`Trained`] is written.
    ///
    /// # Errors
    /// [`HeadError`] when the file cannot be read, or its arrays do not fit each other.
    pub fn read(file: &str) -> Result<Head, HeadError> {
        let Trained {
            space,
            calibration,
            weights,
            ..
        } = serde_json::from_str(file)?;
        check(&weights)?;
        Ok(Head {
            space,
            weights,
            risks: risks(&calibration),
        })
    }

    /// A head without calibration: every risk is certain.
    ///
    /// # Errors
    /// [`HeadError::Shape`] when the arrays do not fit each other.
    pub fn uncalibrated(weights: Shape) -> Result<Head, HeadError> {
        check(&weights)?;
        Ok(Head {
            space: String::new(),
            weights,
            risks: Vec::new(),
        })
    }

    /// How likely the two may not share an answer, as seen on pairs kept apart from training.
    pub fn risk(&self, measures: &Measures) -> Risk {
        let odds = self.log_odds(measures);
        let reached = self.risks.iter().rev().find(|(from, _)| odds >= *from);
        reached.map_or(
            Risk {
                wrong: 1.0,
                upper_bound: 1.0,
            },
            |(_, risk)| *risk,
        )
    }

    /// Log odds that the two may share an answer, before calibration.
    pub fn log_odds(&self, measures: &Measures) -> f32 {
        let Shape {
            mean,
            scale,
            layers,
        } = &self.weights;
        let standard = measures.iter().zip(mean).zip(scale);
        let mut values: Vec<f32> = standard
            .map(|((x, mean), scale)| ((x - mean) * scale).clamp(-FAR, FAR))
            .collect();
        for (at, layer) in layers.iter().enumerate() {
            let last = at + 1 == layers.len();
            let rows = layer.weights.chunks_exact(values.len().max(1));
            values = rows
                .zip(&layer.bias)
                .map(|(row, bias)| bias + row.iter().zip(&values).map(|(w, x)| w * x).sum::<f32>())
                .map(|sum| if last { sum } else { sum.tanh() })
                .collect();
        }
        values.first().copied().unwrap_or(f32::MIN)
    }
}

/// The arrays fit each other and hold numbers.
fn check(shape: &Shape) -> Result<(), HeadError> {
    if shape.mean.len() != MEASURES || shape.scale.len() != MEASURES {
        return Err(HeadError::Shape("measures"));
    }
    let mut inputs = MEASURES;
    for layer in &shape.layers {
        if layer.bias.is_empty() || layer.weights.len() != layer.bias.len() * inputs {
            return Err(HeadError::Shape("layers"));
        }
        inputs = layer.bias.len();
    }
    let numbers = shape
        .layers
        .iter()
        .flat_map(|layer| [&layer.weights, &layer.bias]);
    let numbers = numbers.chain([&shape.mean, &shape.scale]).flatten();
    if inputs != 1 || numbers.into_iter().any(|number| !number.is_finite()) {
        return Err(HeadError::Shape("outputs"));
    }
    Ok(())
}

/// The risk at each bar: never above that of a lower bar, since higher log odds mean less risk.
fn risks(calibration: &[Bin]) -> Vec<(f32, Risk)> {
    let mut least = Risk {
        wrong: 1.0,
        upper_bound: 1.0,
    };
    let mut risks = Vec::with_capacity(calibration.len());
    for bin in calibration {
        let wrong = (f64::from(bin.wrong) + 0.5) / (f64::from(bin.pairs) + 1.0);
        let upper = bounds::upper(bin.wrong, bin.pairs, CONFIDENCE);
        least = Risk {
            wrong: least.wrong.min(wrong),
            upper_bound: least.upper_bound.min(upper),
        };
        risks.push((bin.from, least));
    }
    risks
}
