//! The head: measures, standardised, through one hidden layer to one number.

use serde::{Deserialize, Serialize};

use super::{MEASURES, Measures};

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

/// Weights as they are stored, outputs after one another.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Shape {
    /// Mean of each measure over the training pairs.
    pub mean: Vec<f32>,
    /// One over its standard deviation.
    pub scale: Vec<f32>,
    /// Hidden units × measures.
    pub hidden: Vec<f32>,
    /// One per hidden unit.
    pub hidden_bias: Vec<f32>,
    /// One per hidden unit.
    pub output: Vec<f32>,
    /// Of the output.
    pub output_bias: f32,
}

/// The trained head.
#[derive(Clone, Debug)]
pub struct Head(Shape);

impl Head {
    /// Checks the arrays against each other.
    ///
    /// # Errors
    /// [`HeadError::Shape`] when they do not fit, or hold what is not a number.
    pub fn new(shape: Shape) -> Result<Head, HeadError> {
        let units = shape.output.len();
        if shape.mean.len() != MEASURES || shape.scale.len() != MEASURES {
            return Err(HeadError::Shape("measures"));
        }
        if shape.hidden.len() != units * MEASURES || shape.hidden_bias.len() != units {
            return Err(HeadError::Shape("hidden units"));
        }
        let all = [
            &shape.mean,
            &shape.scale,
            &shape.hidden,
            &shape.hidden_bias,
            &shape.output,
        ];
        let finite = all.into_iter().flatten().all(|x| x.is_finite()) && shape.output_bias.is_finite();
        if !finite {
            return Err(HeadError::Shape("not a number"));
        }
        Ok(Head(shape))
    }

    /// Log odds that the two may share an answer.
    pub fn log_odds(&self, measures: &Measures) -> f32 {
        let shape = &self.0;
        let standard: Vec<f32> = measures
            .iter()
            .zip(&shape.mean)
            .zip(&shape.scale)
            .map(|((x, mean), scale)| ((x - mean) * scale).clamp(-5.0, 5.0))
            .collect();
        let hidden = shape.hidden.chunks_exact(MEASURES).zip(&shape.hidden_bias);
        let activated = hidden.map(|(weights, bias)| {
            let sum: f32 = weights.iter().zip(&standard).map(|(w, x)| w * x).sum();
            (sum + bias).tanh()
        });
        shape.output_bias + activated.zip(&shape.output).map(|(x, w)| x * w).sum::<f32>()
    }
}
