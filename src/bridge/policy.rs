//! What the leader has to know of the routing config.

use std::collections::BTreeMap;
use std::time::Duration;

use llm_router_cluster::Policy;
use llm_router_cluster::policy::{BreakerPolicy, LimitId, LimitKind};
use llm_router_cluster::state::TargetId;

use super::target;
use crate::config::RoutingConfig;
use crate::config::routing::{RouteConfig, Target};
use crate::types::ModelName;

/// The numbers of a config, by upstream.
pub fn policy(config: &RoutingConfig) -> Policy {
    let targets: BTreeMap<&ModelName, TargetId> = config
        .models
        .iter()
        .map(|(name, model)| (name, target(name, model)))
        .collect();
    Policy {
        breakers: breakers(config, &targets),
        groups: groups(config, &targets),
        limits: limits(config, &targets),
    }
}

fn breakers(
    config: &RoutingConfig,
    targets: &BTreeMap<&ModelName, TargetId>,
) -> BTreeMap<TargetId, BreakerPolicy> {
    let breaker = &config.circuit_breaker;
    let of = |(name, target): (&&ModelName, &TargetId)| {
        let model = config.models.get(*name)?;
        let policy = BreakerPolicy {
            failure_threshold: breaker.failure_threshold,
            recovery_ms: millis(breaker.recovery_timeout.get()),
            success_threshold: breaker.success_threshold,
            first_token_ms: millis(model.timeouts.first_token.get()),
        };
        Some((target.clone(), policy))
    };
    targets.iter().filter_map(of).collect()
}

/// Targets and fallbacks of each route stand in for one another; without a route all models do.
fn groups(config: &RoutingConfig, targets: &BTreeMap<&ModelName, TargetId>) -> Vec<Vec<TargetId>> {
    let of_route = |route: &RouteConfig| {
        let names = route.targets.iter().map(Target::model);
        collected(names.chain(&route.fallback), targets)
    };
    let all = collected(config.models.keys(), targets);
    let mut groups: Vec<_> = config.routes.iter().map(of_route).chain([all]).collect();
    groups.retain(|group| !group.is_empty());
    groups
}

fn collected<'a>(
    names: impl Iterator<Item = &'a ModelName>,
    targets: &BTreeMap<&ModelName, TargetId>,
) -> Vec<TargetId> {
    let mut group = Vec::new();
    for target in names.filter_map(|name| targets.get(name)) {
        if !group.contains(target) {
            group.push(target.clone());
        }
    }
    group
}

fn limits(
    config: &RoutingConfig,
    targets: &BTreeMap<&ModelName, TargetId>,
) -> BTreeMap<LimitId, u64> {
    let mut limits = BTreeMap::new();
    for (name, target) in targets {
        let Some(model) = config.models.get(*name) else {
            continue;
        };
        let given = [
            (
                LimitKind::Concurrency,
                Some(u64::from(model.max_concurrency)),
            ),
            (LimitKind::Requests, model.limits.rpm),
            (LimitKind::Tokens, model.limits.tpm),
        ];
        for (kind, limit) in given {
            let target = target.clone();
            if let Some(limit) = limit {
                limits.insert(LimitId { target, kind }, limit);
            }
        }
    }
    limits
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
