//! What models cost and can do: the shipped table, a config's own word on it, and what an answer
//! comes to. Pure: no clock, no I/O.
//!
//! Whatever a model's config says of `price`, `context_window` and `capabilities` counts. What it
//! leaves out comes from `ledger/models.yaml`, found by kind of provider and the upstream's name for
//! the model, and what that does not know stays unknown: an answer without a known price has no
//! cost, rather than none to pay. Only what runs at home is free.

mod table;
mod tariff;

use crate::config::routing::{Abilities, ModelConfig, ProviderKind};

pub use table::{Entry, Group, Source, Table, shipped};
pub use tariff::Tariff;

/// What is known of one configured model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Facts {
    /// What it costs.
    pub tariff: Option<Tariff>,
    /// Tokens it can take, prompt and answer together.
    pub context_window: Option<u64>,
    /// Most tokens of one answer.
    pub max_output: Option<u64>,
    /// What it can do.
    pub abilities: Abilities,
}

impl Facts {
    /// What the config says, else what the shipped table does.
    pub fn of(model: &ModelConfig) -> Self {
        Self::from(model, shipped())
    }

    fn from(model: &ModelConfig, table: &Table) -> Self {
        let at = Place::of(model.provider);
        let entry = at.named.then(|| table.find(&model.model)).flatten();
        let listed = if at.free {
            Some(Tariff::FREE)
        } else {
            entry.and_then(Entry::tariff)
        };
        let said = entry.map(|entry| entry.can).unwrap_or_default();
        Facts {
            tariff: model.price.map(Tariff::flat).or(listed),
            context_window: model
                .context_window
                .or_else(|| set_up(model))
                .or(entry.and_then(|entry| entry.context_window)),
            max_output: entry.and_then(|entry| entry.max_output),
            abilities: model.capabilities.or(said).at(model.provider),
        }
    }
}

/// What a kind of provider means for the table.
struct Place {
    /// Its models' names are the table's.
    named: bool,
    /// Nobody is paid for what runs there.
    free: bool,
}

impl Place {
    fn of(provider: ProviderKind) -> Self {
        match provider {
            ProviderKind::OpenAi | ProviderKind::Anthropic | ProviderKind::Gemini => Place {
                named: true,
                free: false,
            },
            ProviderKind::Ollama => Place {
                named: true,
                free: true,
            },
            ProviderKind::Demo | ProviderKind::Local => Place {
                named: false,
                free: true,
            },
            // names there mean what their maker wants them to
            ProviderKind::Plugin | ProviderKind::Custom => Place {
                named: false,
                free: false,
            },
        }
    }
}

/// The window that an Ollama model is loaded with.
fn set_up(model: &ModelConfig) -> Option<u64> {
    match model.provider {
        ProviderKind::Ollama => model.options.get("num_ctx")?.as_u64().filter(|n| *n > 0),
        ProviderKind::OpenAi
        | ProviderKind::Anthropic
        | ProviderKind::Gemini
        | ProviderKind::Local
        | ProviderKind::Demo
        | ProviderKind::Plugin
        | ProviderKind::Custom => None,
    }
}

#[cfg(test)]
mod tests;
