//! Strategies: a score per target, lower is tried first.

use super::table::{ModelFacts, View};
use crate::config::routing::Strategy;
use crate::types::{Features, Usage};

/// Answer tokens assumed when the request names no limit.
const ASSUMED_OUTPUT_TOKENS: u64 = 256;

/// Deterministic numbers in [0, 1) from a seed (splitmix64, Steele et al. 2014).
#[derive(Clone, Copy, Debug)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
    pub(super) fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The score of one target.
///
/// `weighted` draws an exponential variate of rate `weight`: the order of the draws is a weighted
/// shuffle (Efraimidis and Spirakis 2006), so the first target is chosen in proportion to weight.
#[expect(clippy::cast_precision_loss, reason = "scores only order candidates")]
pub(super) fn score(
    strategy: Strategy,
    target: (&ModelFacts, &View, u32),
    features: &Features,
    dice: &mut Dice,
) -> f64 {
    let (facts, view, weight) = target;
    match strategy {
        Strategy::Ordered => 0.0,
        Strategy::Weighted => {
            let uniform = (1.0 - dice.roll()).max(f64::MIN_POSITIVE);
            -uniform.ln() / f64::from(weight.max(1))
        }
        Strategy::LeastBusy => view.busy as f64 / f64::from(facts.max_concurrency.max(1)),
        Strategy::LowestLatency => view
            .first_token
            .map_or(0.0, |time| time.as_secs_f64() * 1000.0),
        Strategy::LowestCost => facts.price.map_or(0.0, |price| {
            let output = features.max_output_tokens.unwrap_or(ASSUMED_OUTPUT_TOKENS);
            price.cost_usd(Usage::new(features.prompt_tokens, output))
        }),
    }
}
