//! What an answer costs.

use crate::config::routing::Price;
use crate::types::Usage;

/// US dollars for `usage` at `price`.
#[expect(
    clippy::cast_precision_loss,
    reason = "token counts are far below 2^52"
)]
pub fn cost_usd(price: Price, usage: Usage) -> f64 {
    let input = usage.prompt_tokens as f64 * price.input_per_mtok;
    let output = usage.completion_tokens as f64 * price.output_per_mtok;
    (input + output) / 1_000_000.0
}

#[cfg(test)]
mod tests {
    use super::cost_usd;
    use crate::config::routing::Price;
    use crate::types::Usage;

    #[test]
    fn a_million_tokens_each_way_cost_the_two_prices() {
        let price = Price {
            input_per_mtok: 2.5,
            output_per_mtok: 10.0,
        };
        let cost = cost_usd(price, Usage::new(1_000_000, 1_000_000));
        assert!((cost - 12.5).abs() < 1e-9);
    }
}
