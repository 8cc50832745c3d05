//! Requests that came in another dialect, in the words that this upstream takes.
//!
//! OpenAI's own API refuses fields it does not know, and some that it does know for some models.
//! What a client wrote for it is the client's business and goes out as it came; what we wrote from
//! another dialect has to be put right.

use super::OpenAi;
use crate::dialect::openai::ChatBody;

impl OpenAi {
    /// What the limit on an answer is called: reasoning models take the new name alone, many
    /// compatible servers the old one alone.
    pub(super) fn limit(&self) -> &'static str {
        match self.is_strict() {
            true => "max_completion_tokens",
            false => "max_tokens",
        }
    }

    /// Fields of a translated request that are left out, because they would be refused.
    pub(super) fn refused(&self, body: &ChatBody, model: &str) -> Vec<&'static str> {
        if !body.is_translated() || !self.is_strict() {
            return Vec::new();
        }
        let stated = |name: &str| {
            let value = body.object().get(name);
            value.is_some_and(|value| value.get() != "null")
        };
        let mut refused = Vec::new();
        if stated("top_k") {
            refused.push("top_k");
        }
        if stated("reasoning_effort") && !reasons(model) {
            refused.push("reasoning_effort");
        }
        refused
    }

    fn is_strict(&self) -> bool {
        let manners = self.manners.as_ref();
        manners.is_ok_and(|manners| manners.strict(&self.wire.base_url))
    }
}

/// Whether a model of this name thinks before it answers, and can be told how much: the o-series,
/// GPT from 5 on except for its chat models, Codex and the open models.
fn reasons(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model);
    let name = name.strip_prefix("ft:").unwrap_or(name);
    let number = |rest: &str| {
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
        digits.and_then(|digits| digits.parse::<u32>().ok())
    };
    if let Some(rest) = name.strip_prefix("gpt-") {
        // Azure writes 3.5 without its point
        let late = number(rest).is_some_and(|generation| generation >= 5 && generation != 35);
        return rest.starts_with("oss") || (late && !rest.contains("-chat"));
    }
    name.starts_with("codex") || name.strip_prefix('o').and_then(number).is_some()
}

#[cfg(test)]
mod tests {
    use super::reasons;

    #[test]
    fn models_that_think_are_known_by_their_names() {
        let think = [
            "o1",
            "o3-mini",
            "o4-mini-2025-04-16",
            "gpt-5",
            "gpt-5.2-codex",
            "gpt-6-sol",
            "openai/gpt-5-mini",
            "ft:o4-mini:us::1",
            "codex-mini-latest",
            "gpt-oss-120b",
        ];
        assert!(think.into_iter().all(reasons));
        let others = [
            "gpt-4o",
            "gpt-4.1-mini",
            "gpt-4-turbo",
            "gpt-35-turbo",
            "chatgpt-4o-latest",
            "gpt-5-chat-latest",
            "ft:gpt-4o:us::1",
            "omni",
            "opus",
            "",
        ];
        assert!(!others.into_iter().any(reasons));
    }
}
