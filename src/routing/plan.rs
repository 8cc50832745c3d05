//! From a request and the models' views to an ordered list of candidates.
//!
//! Order of resolution: `auto` takes the first rule that holds, else every model as configured.
//! Any other name takes the first rule that names it in `match.model` and holds, else the route
//! of that name, else that model alone.

use std::borrow::Cow;

use super::order::{Dice, score};
use super::table::{Bar, Barred, RoutingTable, Rule, View};
use crate::config::routing::{OnUnsupported, Resilience, RouteCache, Strategy};
use crate::dialect::carry::Uncarried;
use crate::types::report::{CandidateReport, Explanation, RuleVerdict};
use crate::types::{Features, ModelName, Priority, RouteName};

/// What the rules may look at.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The name the client asked for.
    pub model: &'a str,
    /// Admission level.
    pub priority: Priority,
    /// Who pays.
    pub tenant: &'a str,
    /// The request's tags.
    pub tags: &'a [(String, String)],
    /// What was read off the body.
    pub features: &'a Features,
}

/// Why a candidate is in the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A target of the rule.
    Target,
    /// Tried when no target answers.
    Fallback,
}

/// One choice.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The model.
    pub model: ModelName,
    /// Why it is here.
    pub role: Role,
    /// The strategy's score; lower is tried first.
    pub score: f64,
    /// Why it must not be tried now.
    pub barred: Option<Barred>,
    /// Parameters it is asked without.
    pub dropped: Vec<Cow<'static, str>>,
}

/// Ordered choices.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The rule that matched.
    pub route: Option<RouteName>,
    /// How targets were ordered.
    pub strategy: Strategy,
    /// Choices, best first.
    pub candidates: Vec<Candidate>,
    /// The rule's cache overrides.
    pub cache: Option<RouteCache>,
    /// What the rule does about upstreams that fail or dawdle.
    pub resilience: Resilience,
}

impl Plan {
    /// Parameters a candidate is asked without.
    pub fn dropped(&self, model: &ModelName) -> &[Cow<'static, str>] {
        let candidate = self.candidates.iter().find(|one| one.model == *model);
        candidate.map_or(&[], |candidate| &candidate.dropped)
    }
}

/// Nothing answers to the name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unroutable {
    /// No model, route or alias of that name.
    #[error("model `{0}` does not exist: no model, route or alias has that name")]
    Unknown(String),
    /// Rules name it, but none of them holds for this request.
    #[error("model `{0}` is an alias, but no rule that names it matches this request")]
    NoRule(String),
    /// Nothing is configured.
    #[error("no models are configured")]
    Empty,
}

/// Where a name leads.
enum Way<'a> {
    Rule(&'a Rule),
    Model(ModelName),
    EveryModel,
}

impl RoutingTable {
    /// Plans a request.
    ///
    /// # Errors
    /// [`Unroutable`] when nothing answers to the name.
    pub fn plan(
        &self,
        facts: &Facts<'_>,
        view: impl Fn(&ModelName) -> View,
        seed: u64,
    ) -> Result<Plan, Unroutable> {
        let way = self.resolve(facts)?;
        let rule = match &way {
            Way::Rule(rule) => Some(*rule),
            Way::Model(_) | Way::EveryModel => None,
        };
        let route = rule.map(|rule| rule.name.clone());
        let strategy = rule.map(|rule| rule.strategy).unwrap_or_default();
        let cache = rule.and_then(|rule| rule.cache);
        let policy = rule.map(|rule| rule.on_unsupported).unwrap_or_default();
        let resilience = rule.map(|rule| rule.resilience.clone()).unwrap_or_default();
        let (targets, fallback): (Vec<(ModelName, u32)>, Vec<ModelName>) = match way {
            Way::Rule(rule) => (rule.targets.clone(), rule.fallback.clone()),
            Way::Model(model) => (vec![(model, 1)], Vec::new()),
            Way::EveryModel => (
                self.models.keys().map(|m| (m.clone(), 1)).collect(),
                Vec::new(),
            ),
        };
        let mut dice = Dice(seed);
        let mut candidates: Vec<Candidate> = targets
            .into_iter()
            .filter_map(|(model, weight)| {
                self.candidate(
                    model,
                    (Role::Target, strategy, weight),
                    (facts, policy, &view),
                    &mut dice,
                )
            })
            .collect();
        candidates.sort_by(|a, b| a.score.total_cmp(&b.score));
        for model in fallback {
            let role = (Role::Fallback, Strategy::Ordered, 1);
            if candidates.iter().all(|known| known.model != model) {
                candidates.extend(self.candidate(model, role, (facts, policy, &view), &mut dice));
            }
        }
        if candidates.is_empty() {
            Err(Unroutable::Empty)
        } else {
            Ok(Plan {
                route,
                strategy,
                candidates,
                cache,
                resilience,
            })
        }
    }

    fn candidate(
        &self,
        model: ModelName,
        (role, strategy, weight): (Role, Strategy, u32),
        (facts, policy, view): (&Facts<'_>, OnUnsupported, &impl Fn(&ModelName) -> View),
        dice: &mut Dice,
    ) -> Option<Candidate> {
        let known = self.models.get(&model)?;
        let view = view(&model);
        let score = score(strategy, (known, &view, weight), facts.features, dice);
        let barred = unfit(known, facts.features)
            .or_else(|| untold(&view.uncarried, policy))
            .or(view.barred);
        Some(Candidate {
            model,
            role,
            score,
            barred,
            dropped: droppable(view.uncarried),
        })
    }

    /// Why a model could not take the request whatever its state; `None` when it could.
    pub fn unfit(&self, model: &ModelName, features: &Features) -> Option<Barred> {
        self.models
            .get(model)
            .and_then(|known| unfit(known, features))
    }

    fn resolve(&self, facts: &Facts<'_>) -> Result<Way<'_>, Unroutable> {
        if facts.model == "auto" {
            let rule = self
                .rules
                .iter()
                .find(|rule| rule.conditions.check(facts).is_ok());
            return Ok(rule.map_or(Way::EveryModel, Way::Rule));
        }
        let mut naming = self
            .rules
            .iter()
            .filter(|rule| rule.conditions.names(facts.model));
        if let Some(rule) = naming
            .clone()
            .find(|rule| rule.conditions.check(facts).is_ok())
        {
            return Ok(Way::Rule(rule));
        }
        if let Some(rule) = self
            .rules
            .iter()
            .find(|rule| rule.name.as_str() == facts.model)
        {
            return Ok(Way::Rule(rule));
        }
        if let Some((model, _)) = self.models.get_key_value(facts.model) {
            return Ok(Way::Model(model.clone()));
        }
        let name = facts.model.chars().take(128).collect();
        Err(if naming.next().is_some() {
            Unroutable::NoRule(name)
        } else {
            Unroutable::Unknown(name)
        })
    }

    /// The plan in words, with every rule's verdict.
    ///
    /// # Errors
    /// [`Unroutable`] when nothing answers to the name.
    pub fn explain(
        &self,
        facts: &Facts<'_>,
        view: impl Fn(&ModelName) -> View,
        seed: u64,
    ) -> Result<Explanation, Unroutable> {
        let plan = self.plan(facts, view, seed)?;
        let rules = self.rules.iter().map(|rule| {
            let verdict = rule.conditions.check(facts);
            let matched = verdict.is_ok();
            RuleVerdict {
                route: rule.name.clone(),
                matched,
                reason: verdict.unwrap_or_else(|missing| missing),
            }
        });
        let candidates = plan.candidates.iter().map(|candidate| CandidateReport {
            model: candidate.model.clone(),
            role: match candidate.role {
                Role::Target => "target",
                Role::Fallback => "fallback",
            },
            eligible: candidate.barred.is_none(),
            reason: match (&candidate.barred, &candidate.dropped[..]) {
                (Some(bar), _) => bar.reason.clone(),
                (None, []) => "ready".to_owned(),
                (None, dropped) => format!("ready, without {}", quoted(dropped)),
            },
            dropped: candidate.dropped.iter().map(ToString::to_string).collect(),
            score: candidate.score,
        });
        Ok(Explanation {
            route: plan.route.clone(),
            strategy: plan.strategy.as_str(),
            prompt_tokens: facts.features.prompt_tokens,
            rules: rules.collect(),
            candidates: candidates.collect(),
            stream_recovery: plan.resilience.stream_recovery.as_str(),
            hedge: plan.resilience.hedge,
            shadow: plan.resilience.shadow,
        })
    }
}

fn quoted(params: &[Cow<'static, str>]) -> String {
    let quoted: Vec<String> = params.iter().map(|param| format!("`{param}`")).collect();
    quoted.join(", ")
}

/// What may be left out. The rest bars the model, which is then not asked at all.
fn droppable(uncarried: Vec<Uncarried>) -> Vec<Cow<'static, str>> {
    let droppable = uncarried.into_iter().filter(|part| !part.essential);
    droppable.map(|part| part.param).collect()
}

/// What it cannot be told bars a model where the answer would be wrong without, or where the rule
/// says so.
fn untold(uncarried: &[Uncarried], policy: OnUnsupported) -> Option<Barred> {
    let named = |essential: bool| {
        let parts = uncarried.iter().filter(|part| part.essential == essential);
        parts.map(|part| part.param.clone()).collect::<Vec<_>>()
    };
    let (essential, droppable) = (named(true), named(false));
    let reason = match (&essential[..], &droppable[..], policy) {
        ([], [], _) | ([], _, OnUnsupported::Drop) => return None,
        ([], dropped, OnUnsupported::Error) => format!(
            "cannot be told {}, which `on_unsupported: error` asks for",
            quoted(dropped)
        ),
        (essential, _, _) => format!("cannot be told {}", quoted(essential)),
    };
    Some(Barred {
        reason,
        retry_after: None,
        cause: Bar::Unfit,
    })
}

fn unfit(model: &super::table::ModelFacts, features: &Features) -> Option<Barred> {
    let wanted = features
        .prompt_tokens
        .saturating_add(features.max_output_tokens.unwrap_or(0));
    let reason = match model.context_window {
        Some(window) if wanted > window => {
            format!("context too small: about {wanted} tokens wanted, {window} available")
        }
        _ if features.has_tools && !model.capabilities.tools => "cannot use tools".to_owned(),
        _ if features.has_images && !model.capabilities.vision => "cannot see images".to_owned(),
        _ if features.wants_json_schema && !model.capabilities.json_schema => {
            "cannot hold to a json schema".to_owned()
        }
        _ => return None,
    };
    Some(Barred {
        reason,
        retry_after: None,
        cause: Bar::Unfit,
    })
}
