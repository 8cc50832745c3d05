//! Rules of one route.

use std::collections::HashSet;

use regex::RegexBuilder;

use super::{bad_name, declared, is_demo};
use crate::config::path::Path;
use crate::config::problem::Finding;
use crate::config::routing::{OneOrMany, RouteConfig, RoutingConfig, Target};
use crate::config::suggest::nearest;
use crate::types::ModelName;

/// Longest regular expression, in bytes.
const MAX_REGEX_BYTES: usize = 4096;
/// Largest compiled regular expression, in bytes.
const MAX_REGEX_COMPILED: usize = 1 << 20;
/// Most values in one condition.
const MAX_VALUES: usize = 1000;

pub(super) fn check(
    route: &RouteConfig,
    path: &Path,
    config: &RoutingConfig,
    found: &mut Vec<Finding>,
) {
    if let Some(problem) = bad_name(route.name.as_str()) {
        found.push(Finding::new(path.key("name"), problem));
    }
    if config.models.contains_key(route.name.as_str()) || is_demo(route.name.as_str()) {
        let message = format!("a model is named `{}` too", route.name);
        found.push(Finding::new(path.key("name"), message));
    }
    declared(route, path, found);
    if let Some(shadow) = &route.shadow
        && !config.models.contains_key(&shadow.model)
        && !is_demo(shadow.model.as_str())
    {
        found.push(unknown(
            path.key("shadow").key("model"),
            &shadow.model,
            config,
        ));
    }
    candidates(route, path, config, found);
    conditions(route, &path.key("match"), found);
}

fn candidates(route: &RouteConfig, path: &Path, config: &RoutingConfig, found: &mut Vec<Finding>) {
    let mut used = HashSet::new();
    let mut targets = Vec::new();
    for (index, target) in route.targets.iter().enumerate() {
        let path = path.key("targets").index(index);
        match target {
            Target::Name(model) => targets.push((path, model)),
            Target::Weighted(weighted) => {
                declared(weighted, &path, found);
                targets.push((path.key("model"), &weighted.model));
            }
        }
    }
    let fallback = route
        .fallback
        .iter()
        .enumerate()
        .map(|(index, model)| (path.key("fallback").index(index), model));
    for (path, model) in targets.into_iter().chain(fallback) {
        if !config.models.contains_key(model) && !is_demo(model.as_str()) {
            found.push(unknown(path, model, config));
        } else if !used.insert(model) {
            found.push(Finding::new(
                path,
                format!("`{model}` is used twice in this route"),
            ));
        }
    }
}

pub(super) fn unknown(path: Path, model: &ModelName, config: &RoutingConfig) -> Finding {
    let known = config.models.keys().map(ModelName::as_str);
    let finding = Finding::new(path, format!("no model is named `{model}`"));
    if let Some(near) = nearest(model.as_str(), known) {
        return finding.help(format!("did you mean `{near}`?"));
    }
    let mut names: Vec<&str> = config
        .models
        .keys()
        .take(8)
        .map(ModelName::as_str)
        .collect();
    if config.models.len() > names.len() {
        names.push("…");
    }
    match names.is_empty() {
        true => finding.help("declare it under `models`"),
        false => finding.help(format!("models: {}", names.join(", "))),
    }
}

fn conditions(route: &RouteConfig, path: &Path, found: &mut Vec<Finding>) {
    let given = &route.matches;
    if let (Some(least), Some(most)) = (given.min_prompt_tokens, given.max_prompt_tokens)
        && least > most
    {
        let message = format!("more than `max_prompt_tokens` ({most}): never matches");
        found.push(Finding::new(path.key("min_prompt_tokens"), message));
    }
    size(given.priority.as_ref(), &path.key("priority"), found);
    for (key, values) in [
        ("model", &given.model),
        ("tenant", &given.tenant),
        ("contains", &given.contains),
        ("regex", &given.regex),
    ] {
        texts(values.as_ref(), &path.key(key), found);
    }
    for (tag, values) in &given.tags {
        size(Some(values), &path.key("tags").key(tag), found);
        if tag.is_empty() {
            found.push(Finding::new(path.key("tags"), "a tag needs a name"));
        }
    }
    let patterns = given
        .regex
        .as_ref()
        .map(OneOrMany::as_slice)
        .unwrap_or_default();
    for (index, pattern) in patterns.iter().enumerate() {
        if let Some(problem) = bad_regex(pattern) {
            found.push(Finding::new(
                item(&path.key("regex"), given.regex.as_ref(), index),
                problem,
            ));
        }
    }
}

fn size<T>(values: Option<&OneOrMany<T>>, path: &Path, found: &mut Vec<Finding>) {
    let Some(values) = values.map(OneOrMany::as_slice) else {
        return;
    };
    if values.is_empty() {
        found.push(Finding::new(path.clone(), "an empty list never matches"));
    } else if values.len() > MAX_VALUES {
        found.push(Finding::new(
            path.clone(),
            format!("at most {MAX_VALUES} values"),
        ));
    }
}

fn texts(values: Option<&OneOrMany<String>>, path: &Path, found: &mut Vec<Finding>) {
    size(values, path, found);
    let list = values.map(OneOrMany::as_slice).unwrap_or_default();
    for (index, text) in list.iter().enumerate().take(MAX_VALUES) {
        if text.is_empty() {
            found.push(Finding::new(item(path, values, index), "must not be empty"));
        }
    }
}

fn item<T>(path: &Path, values: Option<&OneOrMany<T>>, index: usize) -> Path {
    match values {
        Some(OneOrMany::Many(_)) => path.index(index),
        Some(OneOrMany::One(_)) | None => path.clone(),
    }
}

/// The first useful line of why an expression does not compile.
fn bad_regex(pattern: &str) -> Option<String> {
    if pattern.len() > MAX_REGEX_BYTES {
        return Some(format!(
            "a regular expression may have at most {MAX_REGEX_BYTES} bytes"
        ));
    }
    let error = RegexBuilder::new(pattern)
        .size_limit(MAX_REGEX_COMPILED)
        .build()
        .err()?;
    let text = error.to_string();
    let reason = text
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("error: "));
    Some(match reason {
        Some(reason) => format!("does not compile: {reason}"),
        None => format!(
            "does not compile: {}",
            text.lines().next().unwrap_or("unknown reason")
        ),
    })
}
