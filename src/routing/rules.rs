//! One rule, compiled: does it hold for this request?

use regex::{Regex, RegexBuilder};

use super::plan::Facts;
use crate::config::routing::{MatchConfig, OneOrMany};
use crate::types::Priority;

/// Largest compiled size of one pattern, in bytes.
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// A pattern that does not compile.
#[derive(Debug, thiserror::Error)]
#[error("pattern `{pattern}` does not compile: {source}")]
pub struct BadPattern {
    /// The pattern.
    pub pattern: String,
    /// Why.
    #[source]
    pub source: Box<regex::Error>,
}

/// When a rule holds. Empty conditions hold always.
#[derive(Clone, Debug, Default)]
pub(super) struct Conditions {
    priority: Option<Vec<Priority>>,
    pub(super) models: Option<Vec<String>>,
    tenant: Option<Vec<String>>,
    tags: Vec<(String, Vec<String>)>,
    min_prompt_tokens: Option<u64>,
    max_prompt_tokens: Option<u64>,
    contains: Option<Vec<String>>,
    patterns: Option<Vec<Regex>>,
}

fn list<T: Clone>(given: Option<&OneOrMany<T>>) -> Option<Vec<T>> {
    given.map(|values| values.as_slice().to_vec())
}

impl Conditions {
    pub(super) fn compile(config: &MatchConfig) -> Result<Self, BadPattern> {
        let patterns = match &config.regex {
            None => None,
            Some(given) => Some(
                given
                    .as_slice()
                    .iter()
                    .map(|p| pattern(p))
                    .collect::<Result<Vec<_>, _>>()?,
            ),
        };
        Ok(Conditions {
            priority: list(config.priority.as_ref()),
            models: list(config.model.as_ref()),
            tenant: list(config.tenant.as_ref()),
            tags: config
                .tags
                .iter()
                .map(|(k, v)| (k.clone(), v.as_slice().to_vec()))
                .collect(),
            min_prompt_tokens: config.min_prompt_tokens,
            max_prompt_tokens: config.max_prompt_tokens,
            contains: list(config.contains.as_ref())
                .map(|words| words.iter().map(|word| word.to_lowercase()).collect()),
            patterns,
        })
    }

    /// The rule names this model in `match.model`.
    pub(super) fn names(&self, model: &str) -> bool {
        self.models
            .as_ref()
            .is_some_and(|names| names.iter().any(|name| name == model))
    }

    /// `Ok` with what held, or `Err` with the first condition that did not.
    pub(super) fn check(&self, facts: &Facts<'_>) -> Result<String, String> {
        let mut held = Vec::new();
        let mut verdict = |name: &str, holds: bool| -> Result<(), String> {
            if !holds {
                return Err(format!("{name} does not match"));
            }
            held.push(name.to_owned());
            Ok(())
        };
        if let Some(levels) = &self.priority {
            verdict("priority", levels.contains(&facts.priority))?;
        }
        if self.models.is_some() {
            verdict("model", self.names(facts.model))?;
        }
        if let Some(tenants) = &self.tenant {
            let user = facts.features.user.as_deref();
            let known = |name: &String| name == facts.tenant || Some(name.as_str()) == user;
            verdict("tenant", tenants.iter().any(known))?;
        }
        for (name, values) in &self.tags {
            let carried = |value: &String| facts.tags.iter().any(|(k, v)| k == name && v == value);
            verdict(&format!("tag {name}"), values.iter().any(carried))?;
        }
        let tokens = facts.features.prompt_tokens;
        if let Some(least) = self.min_prompt_tokens {
            verdict("min_prompt_tokens", tokens >= least)?;
        }
        if let Some(most) = self.max_prompt_tokens {
            verdict("max_prompt_tokens", tokens <= most)?;
        }
        if let Some(words) = &self.contains {
            let text = facts.features.text.to_lowercase();
            verdict(
                "contains",
                words.iter().any(|word| text.contains(word.as_str())),
            )?;
        }
        if let Some(patterns) = &self.patterns {
            verdict(
                "regex",
                patterns.iter().any(|p| p.is_match(&facts.features.text)),
            )?;
        }
        Ok(if held.is_empty() {
            "matches everything".to_owned()
        } else {
            held.join(", ")
        })
    }
}

fn pattern(text: &str) -> Result<Regex, BadPattern> {
    RegexBuilder::new(text)
        .size_limit(MAX_PATTERN_BYTES)
        .build()
        .map_err(|source| BadPattern {
            pattern: text.to_owned(),
            source: Box::new(source),
        })
}
