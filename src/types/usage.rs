//! Token counts of one answer.

use serde::{Deserialize, Serialize};

/// LLM tokens used by one request, as the upstream counted them. Written and read as OpenAI's `usage`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Usage {
    /// Tokens of the prompt, cached ones included.
    pub prompt_tokens: u64,
    /// Tokens of the answer, the model's thinking included.
    pub completion_tokens: u64,
    /// Their sum as reported; zero when the upstream left it out.
    pub total_tokens: u64,
    /// Of the prompt's: read from the provider's own prompt cache.
    pub cached_tokens: u64,
    /// Of the prompt's: written to the provider's own prompt cache.
    pub cache_write_tokens: u64,
    /// Of the answer's: spent on thinking.
    pub reasoning_tokens: u64,
}

impl Usage {
    /// Usage with the total filled in.
    pub const fn new(prompt_tokens: u64, completion_tokens: u64) -> Self {
        Usage {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens.saturating_add(completion_tokens),
            cached_tokens: 0,
            cache_write_tokens: 0,
            reasoning_tokens: 0,
        }
    }

    /// Every count added.
    #[must_use]
    pub fn plus(self, other: Usage) -> Self {
        self.each(other, u64::saturating_add)
    }

    /// Every count taken away, down to zero.
    #[must_use]
    pub fn less(self, other: Usage) -> Self {
        self.each(other, u64::saturating_sub)
    }

    /// The same with the total filled in where the upstream left it out.
    #[must_use]
    pub const fn totalled(self) -> Self {
        let sum = self.prompt_tokens.saturating_add(self.completion_tokens);
        let total_tokens = match self.total_tokens {
            0 => sum,
            told => told,
        };
        Usage {
            total_tokens,
            ..self
        }
    }

    fn each(self, other: Usage, join: impl Fn(u64, u64) -> u64) -> Self {
        Usage {
            prompt_tokens: join(self.prompt_tokens, other.prompt_tokens),
            completion_tokens: join(self.completion_tokens, other.completion_tokens),
            total_tokens: join(self.total_tokens, other.total_tokens),
            cached_tokens: join(self.cached_tokens, other.cached_tokens),
            cache_write_tokens: join(self.cache_write_tokens, other.cache_write_tokens),
            reasoning_tokens: join(self.reasoning_tokens, other.reasoning_tokens),
        }
    }
}

/// OpenAI's nesting. Counts that are null count as absent.
#[derive(Default, Serialize, Deserialize)]
struct Written {
    #[serde(default)]
    prompt_tokens: Option<u64>,
    #[serde(default)]
    completion_tokens: Option<u64>,
    #[serde(default)]
    total_tokens: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prompt_tokens_details: Option<OfPrompt>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    completion_tokens_details: Option<OfAnswer>,
}

#[derive(Default, Serialize, Deserialize)]
struct OfPrompt {
    #[serde(default)]
    cached_tokens: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cache_write_tokens: Option<u64>,
}

#[derive(Default, Serialize, Deserialize)]
struct OfAnswer {
    #[serde(default)]
    reasoning_tokens: Option<u64>,
}

impl From<Written> for Usage {
    fn from(given: Written) -> Self {
        let prompt = given.prompt_tokens_details.unwrap_or_default();
        let answer = given.completion_tokens_details.unwrap_or_default();
        Usage {
            prompt_tokens: given.prompt_tokens.unwrap_or(0),
            completion_tokens: given.completion_tokens.unwrap_or(0),
            total_tokens: given.total_tokens.unwrap_or(0),
            cached_tokens: prompt.cached_tokens.unwrap_or(0),
            cache_write_tokens: prompt.cache_write_tokens.unwrap_or(0),
            reasoning_tokens: answer.reasoning_tokens.unwrap_or(0),
        }
    }
}

impl From<Usage> for Written {
    fn from(usage: Usage) -> Self {
        let stated = |count: u64| (count > 0).then_some(count);
        let cached = usage.cached_tokens > 0 || usage.cache_write_tokens > 0;
        Written {
            prompt_tokens: Some(usage.prompt_tokens),
            completion_tokens: Some(usage.completion_tokens),
            total_tokens: Some(usage.total_tokens),
            prompt_tokens_details: cached.then_some(OfPrompt {
                cached_tokens: Some(usage.cached_tokens),
                cache_write_tokens: stated(usage.cache_write_tokens),
            }),
            completion_tokens_details: stated(usage.reasoning_tokens).map(|count| OfAnswer {
                reasoning_tokens: Some(count),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Usage;

    #[test]
    fn plain_counts_are_written_as_three_numbers() {
        let text = serde_json::to_string(&Usage::new(3, 4)).unwrap();
        assert_eq!(
            text,
            r#"{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}"#
        );
    }

    #[test]
    fn details_survive_the_way_there_and_back_and_nulls_are_absent() {
        let usage = Usage {
            cached_tokens: 2,
            cache_write_tokens: 1,
            reasoning_tokens: 3,
            ..Usage::new(5, 4)
        };
        let text = serde_json::to_string(&usage).unwrap();
        assert_eq!(serde_json::from_str::<Usage>(&text).unwrap(), usage);
        let sparse = r#"{"prompt_tokens":5,"total_tokens":null,"prompt_tokens_details":null,
            "completion_tokens_details":{"audio_tokens":1}}"#;
        let read: Usage = serde_json::from_str(sparse).unwrap();
        assert_eq!((read.prompt_tokens, read.completion_tokens), (5, 0));
    }
}
