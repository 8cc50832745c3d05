//! What an answer costs.

use serde::Serialize;

use crate::config::routing::Price;
use crate::types::Usage;

/// Prices of one model. Some upstreams charge another price for a whole request once its prompt is
/// long enough.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Tariff {
    /// The price of most requests.
    #[serde(flatten)]
    pub price: Price,
    /// The price of requests with more prompt tokens than that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub long: Option<Long>,
}

/// The price of long requests.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Long {
    /// Prompts of more tokens than this, cached ones included.
    pub above_tokens: u64,
    /// What everything in such a request costs.
    #[serde(flatten)]
    pub price: Price,
}

impl Tariff {
    /// Nobody is paid.
    pub const FREE: Tariff = Tariff::flat(Price {
        input_per_mtok: 0.0,
        output_per_mtok: 0.0,
        cached_input_per_mtok: None,
        cache_write_per_mtok: None,
    });

    /// The same for every request.
    pub const fn flat(price: Price) -> Self {
        Tariff { price, long: None }
    }

    /// US dollars for `usage`. Tokens read from and written to the provider's prompt cache have
    /// their own prices, the prompt's where none is known; thinking is part of the answer.
    pub fn cost_usd(&self, usage: Usage) -> f64 {
        let price = match self.long {
            Some(long) if usage.prompt_tokens > long.above_tokens => long.price,
            Some(_) | None => self.price,
        };
        let cached = usage.cached_tokens.min(usage.prompt_tokens);
        let written = usage.cache_write_tokens.min(usage.prompt_tokens - cached);
        let fresh = usage.prompt_tokens - cached - written;
        let otherwise = price.input_per_mtok;
        let sum = tokens(fresh) * price.input_per_mtok
            + tokens(cached) * price.cached_input_per_mtok.unwrap_or(otherwise)
            + tokens(written) * price.cache_write_per_mtok.unwrap_or(otherwise)
            + tokens(usage.completion_tokens) * price.output_per_mtok;
        sum / 1_000_000.0
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "token counts are far below 2^52"
)]
fn tokens(count: u64) -> f64 {
    count as f64
}
