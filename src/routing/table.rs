//! The compiled routing config and what it needs to know of each model.

use std::time::Duration;

use indexmap::IndexMap;

use super::rules::{BadPattern, Conditions};
use crate::config::RoutingConfig;
use crate::config::routing::{Abilities, OnUnsupported, Resilience, RouteCache, Strategy};
use crate::dialect::carry::Uncarried;
use crate::ledger::{Facts, Tariff};
use crate::types::{ModelName, RouteName};

/// Unchanging facts about one model.
#[derive(Clone, Copy, Debug)]
pub struct ModelFacts {
    /// Tokens it can take, prompt and answer together.
    pub context_window: Option<u64>,
    /// Most tokens of one answer.
    pub max_output: Option<u64>,
    /// What it costs.
    pub price: Option<Tariff>,
    /// What it can do.
    pub capabilities: Abilities,
    /// Attempts that may run at once.
    pub max_concurrency: u32,
}

/// One model at this moment, as published by its actors.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Why it must not be tried now; `None` means it may.
    pub barred: Option<Barred>,
    /// Requests waiting and running.
    pub busy: u64,
    /// Moving average until the first real delta; `None` until measured.
    pub first_token: Option<Duration>,
    /// What of the request it cannot be told.
    pub uncarried: Vec<Uncarried>,
}

/// Why a model must not be tried now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Barred {
    /// In words: `breaker open`, `queue full`, …
    pub reason: String,
    /// When it may be worth trying again.
    pub retry_after: Option<Duration>,
    /// What kind of bar it is.
    pub cause: Bar,
}

/// What kind of bar keeps a model from being tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bar {
    /// Its breaker, or its credential.
    Broken,
    /// It asked for patience (429).
    Gated,
    /// Its queue.
    Full,
    /// It cannot do what the request asks: context, tools, images, a schema.
    Unfit,
}

#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) name: RouteName,
    pub(super) conditions: Conditions,
    pub(super) targets: Vec<(ModelName, u32)>,
    pub(super) fallback: Vec<ModelName>,
    pub(super) strategy: Strategy,
    pub(super) cache: Option<RouteCache>,
    pub(super) on_unsupported: OnUnsupported,
    pub(super) resilience: Resilience,
}

/// One revision of the routing config, compiled.
#[derive(Clone, Debug, Default)]
pub struct RoutingTable {
    pub(super) rules: Vec<Rule>,
    pub(super) models: IndexMap<ModelName, ModelFacts>,
}

impl RoutingTable {
    /// Compiles a checked config.
    ///
    /// # Errors
    /// A regular expression that does not compile.
    pub fn compile(config: &RoutingConfig) -> Result<Self, BadPattern> {
        let rules = config.routes.iter().map(|route| {
            Ok(Rule {
                name: route.name.clone(),
                conditions: Conditions::compile(&route.matches)?,
                targets: route
                    .targets
                    .iter()
                    .map(|t| (t.model().clone(), t.weight()))
                    .collect(),
                fallback: route.fallback.clone(),
                strategy: route.strategy,
                cache: route.cache,
                on_unsupported: route.on_unsupported,
                resilience: route.resilience(),
            })
        });
        let models = config.models.iter().map(|(name, model)| {
            let known = Facts::of(model);
            let facts = ModelFacts {
                context_window: known.context_window,
                max_output: known.max_output,
                price: known.tariff,
                capabilities: known.abilities,
                max_concurrency: model.max_concurrency,
            };
            (name.clone(), facts)
        });
        Ok(RoutingTable {
            rules: rules.collect::<Result<_, _>>()?,
            models: models.collect(),
        })
    }

    /// Facts about a model.
    pub fn model(&self, name: &ModelName) -> Option<&ModelFacts> {
        self.models.get(name)
    }

    /// Names clients may ask for: `auto`, models, routes and the aliases of `match.model`.
    pub fn names(&self) -> Vec<String> {
        let mut names = vec!["auto".to_owned()];
        let models = self.models.keys().map(|name| name.as_str().to_owned());
        let routes = self.rules.iter().map(|rule| rule.name.as_str().to_owned());
        let aliases = self
            .rules
            .iter()
            .filter_map(|rule| rule.conditions.models.clone())
            .flatten();
        for name in models.chain(routes).chain(aliases) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}
