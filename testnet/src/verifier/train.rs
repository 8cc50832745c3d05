//! Fits the head: Adam on the logistic loss, everything drawn from one seed.

use llm_router::cache::verifier::{FAR, Layer, MEASURES, Measures, Shape};
use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde::Serialize;

/// One measured pair, its label, and how much it counts.
#[derive(Clone, Debug)]
pub(super) struct Example {
    /// What the head looks at.
    pub(super) measures: Measures,
    /// The two may share an answer.
    pub(super) same: bool,
    /// Weight in the loss.
    pub(super) weight: f32,
}

/// How the head is fitted.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Recipe {
    /// Units of the two hidden layers.
    pub(super) units: [usize; 2],
    /// Passes over the examples.
    pub(super) passes: usize,
    /// Examples per step.
    pub(super) batch: usize,
    /// Step size at the start; it falls to a tenth.
    pub(super) rate: f32,
    /// Weight decay.
    pub(super) decay: f32,
    /// What everything random follows from.
    pub(super) seed: u64,
}

impl Default for Recipe {
    fn default() -> Self {
        Recipe {
            units: [32, 16],
            passes: 80,
            batch: 200,
            rate: 1e-3,
            decay: 1e-4,
            seed: 1,
        }
    }
}

/// A weight and Adam's two moments for it (Kingma and Ba, 2015).
#[derive(Clone, Copy, Default)]
struct Weight {
    value: f32,
    first: f32,
    second: f32,
    slope: f32,
}

struct Net {
    /// Inputs, units and outputs of every layer; weights row by row, biases last.
    layers: Vec<(usize, Vec<Weight>)>,
}

/// Fits a head to the examples.
pub(super) fn fit(examples: &[Example], recipe: Recipe) -> Shape {
    let mut rng = SmallRng::seed_from_u64(recipe.seed);
    let (mean, scale) = standard(examples);
    let inputs: Vec<Vec<f32>> = examples
        .iter()
        .map(|one| {
            let standard = one.measures.iter().zip(&mean).zip(&scale);
            standard
                .map(|((x, m), s)| ((x - m) * s).clamp(-FAR, FAR))
                .collect()
        })
        .collect();
    let mut net = Net::new(&[MEASURES, recipe.units[0], recipe.units[1], 1], &mut rng);
    let mut order: Vec<usize> = (0..examples.len()).collect();
    let mut step = 0_i32;
    for pass in 0..recipe.passes {
        order.shuffle(&mut rng);
        #[expect(clippy::cast_precision_loss, reason = "pass counts are small")]
        let rate = recipe.rate * (1.0 - 0.9 * pass as f32 / recipe.passes as f32);
        for batch in order.chunks(recipe.batch) {
            step += 1;
            let total: f32 = batch.iter().map(|at| examples[*at].weight).sum();
            for &at in batch {
                let example = &examples[at];
                let weight = example.weight / total.max(f32::MIN_POSITIVE);
                net.learn(&inputs[at], example.same, weight);
            }
            net.step(step, rate, recipe.decay);
        }
    }
    Shape {
        mean,
        scale,
        layers: net.layers(),
    }
}

impl Net {
    /// Glorot's uniform start (Glorot and Bengio, 2010).
    #[expect(clippy::cast_precision_loss, reason = "layers are small")]
    fn new(sizes: &[usize], rng: &mut SmallRng) -> Net {
        let layers = sizes.windows(2).map(|pair| {
            let (inputs, outputs) = (pair[0], pair[1]);
            let reach = (6.0 / (inputs + outputs) as f32).sqrt();
            let mut weights = vec![Weight::default(); (inputs + 1) * outputs];
            for weight in &mut weights[..inputs * outputs] {
                weight.value = rng.random_range(-reach..reach);
            }
            (inputs, weights)
        });
        Net {
            layers: layers.collect(),
        }
    }

    /// Adds one example's slopes.
    fn learn(&mut self, input: &[f32], same: bool, weight: f32) {
        let mut values = vec![input.to_vec()];
        let count = self.layers.len();
        for (at, (inputs, weights)) in self.layers.iter().enumerate() {
            let outputs = weights.len() / (inputs + 1);
            let before = &values[at];
            let next = (0..outputs).map(|output| {
                let row = &weights[output * inputs..(output + 1) * inputs];
                let sum: f32 = row.iter().zip(before).map(|(w, x)| w.value * x).sum();
                let sum = sum + weights[outputs * inputs + output].value;
                if at + 1 == count { sum } else { sum.tanh() }
            });
            let next = next.collect();
            values.push(next);
        }
        let odds = values[count][0];
        let wanted = f32::from(u8::from(same));
        let mut back = vec![(1.0 / (1.0 + (-odds).exp()) - wanted) * weight];
        for (at, (inputs, weights)) in self.layers.iter_mut().enumerate().rev() {
            let outputs = back.len();
            let before = &values[at];
            let mut further = vec![0.0_f32; *inputs];
            for (output, slope) in back.iter().enumerate() {
                for (input, value) in before.iter().enumerate() {
                    let weight = &mut weights[output * *inputs + input];
                    weight.slope += slope * value;
                    further[input] += slope * weight.value;
                }
                weights[outputs * *inputs + output].slope += slope;
            }
            // through the tanh of the layer below
            back = further
                .iter()
                .zip(before)
                .map(|(slope, value)| slope * (1.0 - value * value))
                .collect();
        }
    }

    fn step(&mut self, step: i32, rate: f32, decay: f32) {
        let (one, two) = (1.0 - 0.9_f32.powi(step), 1.0 - 0.999_f32.powi(step));
        for weight in self.layers.iter_mut().flat_map(|(_, weights)| weights) {
            let slope = weight.slope + decay * weight.value;
            weight.first = 0.9 * weight.first + 0.1 * slope;
            weight.second = 0.999 * weight.second + 0.001 * slope * slope;
            weight.value -= rate * (weight.first / one) / ((weight.second / two).sqrt() + 1e-8);
            weight.slope = 0.0;
        }
    }

    fn layers(&self) -> Vec<Layer> {
        let rounded = |weights: &[Weight]| {
            weights
                .iter()
                .map(|w| (w.value * 1e5).round() / 1e5)
                .collect()
        };
        let layers = self.layers.iter().map(|(inputs, weights)| {
            let outputs = weights.len() / (inputs + 1);
            Layer {
                weights: rounded(&weights[..outputs * inputs]),
                bias: rounded(&weights[outputs * inputs..]),
            }
        });
        layers.collect()
    }
}

/// Mean and one over the standard deviation of every measure.
#[expect(
    clippy::cast_precision_loss,
    reason = "example counts stay far below 2^24"
)]
fn standard(examples: &[Example]) -> (Vec<f32>, Vec<f32>) {
    let count = examples.len().max(1) as f32;
    let mean: Vec<f32> = (0..MEASURES)
        .map(|at| examples.iter().map(|one| one.measures[at]).sum::<f32>() / count)
        .collect();
    let scale = (0..MEASURES)
        .map(|at| {
            let squares = examples
                .iter()
                .map(|one| (one.measures[at] - mean[at]).powi(2));
            let deviation = (squares.sum::<f32>() / count).sqrt();
            1.0 / deviation.max(1e-3)
        })
        .collect();
    (mean, scale)
}
