//! The table that is shipped: `models.yaml`, and how a name finds its line in it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use super::tariff::{Long, Tariff};
use crate::config::routing::{Capabilities, Price};

pub(super) const TEXT: &str = include_str!("models.yaml");

/// Words that name a version rather than another model, beside numbers.
const VERSION_WORDS: [&str; 6] = [
    "latest",
    "preview",
    "exp",
    "experimental",
    "default",
    "stable",
];

/// The shipped table.
pub fn shipped() -> &'static Table {
    // a table that cannot be read knows nothing; a test reads it
    static SHIPPED: LazyLock<Table> = LazyLock::new(|| Table::read(TEXT).unwrap_or_default());
    &SHIPPED
}

/// What is known of models by name.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// The day it was put together.
    pub read: String,
    /// Models by who makes them.
    pub groups: BTreeMap<String, Group>,
}

/// Models of one maker.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Where its figures are from.
    pub sources: Vec<Source>,
    /// What a model can do that does not say otherwise.
    #[serde(default)]
    pub can: Capabilities,
    /// What is known of each.
    pub models: BTreeMap<String, Entry>,
}

/// Where figures are from.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The page.
    pub page: String,
    /// The day it was read.
    pub read: String,
}

/// What is known of one model; prices in US dollars per million tokens.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Entry {
    input: Option<f64>,
    output: Option<f64>,
    cache_read: Option<f64>,
    cache_write: Option<f64>,
    long: Option<Beyond>,
    /// Tokens it can take, prompt and answer together.
    pub context_window: Option<u64>,
    /// Most tokens of one answer.
    pub max_output: Option<u64>,
    /// What it can do.
    pub can: Capabilities,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Beyond {
    above: u64,
    input: f64,
    output: f64,
    #[serde(default)]
    cache_read: Option<f64>,
    #[serde(default)]
    cache_write: Option<f64>,
}

impl Entry {
    /// What it costs, where that is known.
    pub fn tariff(&self) -> Option<Tariff> {
        let price = |input, output, cached, written| Price {
            input_per_mtok: input,
            output_per_mtok: output,
            cached_input_per_mtok: cached,
            cache_write_per_mtok: written,
        };
        let long = self.long.map(|long| Long {
            above_tokens: long.above,
            price: price(long.input, long.output, long.cache_read, long.cache_write),
        });
        Some(Tariff {
            price: price(self.input?, self.output?, self.cache_read, self.cache_write),
            long,
        })
    }
}

impl Table {
    /// Reads a table; what a group's models can do is written into each.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut table: Table = serde_saphyr::from_str(text).map_err(|bad| bad.to_string())?;
        for group in table.groups.values_mut() {
            for entry in group.models.values_mut() {
                entry.can = entry.can.or(group.can);
            }
        }
        Ok(table)
    }

    /// The line for an upstream's name of a model: the longest name in the table that is this one,
    /// or this one without the version behind it. `models/` and a maker's name in front do not count.
    pub fn find(&self, name: &str) -> Option<&Entry> {
        let name = name.strip_prefix("models/").unwrap_or(name);
        let lines = self.groups.iter().flat_map(|(maker, group)| {
            let bare = name
                .strip_prefix(maker.as_str())
                .and_then(|rest| rest.strip_prefix('/'))
                .unwrap_or(name);
            let fits = move |known: &str| {
                let rest = bare.strip_prefix(known)?;
                let tag = maker == "open" && rest.starts_with(':');
                (rest.is_empty() || tag || is_version(rest)).then_some(known.len())
            };
            group
                .models
                .iter()
                .filter_map(move |(known, entry)| Some((fits(known)?, entry)))
        });
        lines
            .max_by_key(|(length, _)| *length)
            .map(|(_, entry)| entry)
    }
}

/// Whether what follows a known name only says which version of it: `-2024-11-20`, `-20250929`,
/// `@20250929`, `-001`, `-latest`, `-preview-05-06`. A short number alone is another model:
/// `-5` makes `claude-opus-4` something else.
fn is_version(rest: &str) -> bool {
    let Some(rest) = rest.strip_prefix(['-', '@']) else {
        return false;
    };
    let mut dated = false;
    rest.split(['-', '@']).all(|word| {
        let number = !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
        let fits = match word.len() {
            3..=8 if number => true,
            2 if number => dated,
            _ => VERSION_WORDS.contains(&word),
        };
        dated |= fits;
        fits
    })
}
