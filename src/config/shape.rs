//! Does a document have the shape the schema asks for? Every misfit is reported, not just the first.
//!
//! The schema is made from the very structs that are read, so parser, checker and published schema
//! cannot disagree. What does not fit is left out of the result, so that the rest can be checked too.

use serde_json::Value as Json;

use super::document::{Entry, Node, Value};
use super::path::Path;
use super::problem::Finding;
use super::suggest::nearest;

/// Deepest nesting of schema and document followed.
const MAX_DEPTH: usize = 64;

/// A checker for one schema.
#[derive(Debug)]
pub struct Shape<'a> {
    schema: &'a Json,
}

impl<'a> Shape<'a> {
    /// A checker for the JSON Schema `schema`, whose definitions are under `$defs`.
    pub fn new(schema: &'a Json) -> Self {
        Shape { schema }
    }

    /// What of `node` fits, and a finding for everything that does not.
    pub fn fit(&self, node: &Node) -> (Node, Vec<Finding>) {
        let mut found = Vec::new();
        let fitting = self.node(self.schema, node, &Path::top(), &mut found);
        let nothing = || Node {
            value: Value::Map(Vec::new()),
            place: node.place,
        };
        (fitting.unwrap_or_else(nothing), found)
    }

    fn resolve(&self, mut schema: &'a Json) -> &'a Json {
        for _ in 0..MAX_DEPTH {
            let Some(name) = schema["$ref"]
                .as_str()
                .and_then(|at| at.strip_prefix("#/$defs/"))
            else {
                break;
            };
            schema = &self.schema["$defs"][name];
        }
        schema
    }

    fn node(
        &self,
        schema: &'a Json,
        node: &Node,
        path: &Path,
        found: &mut Vec<Finding>,
    ) -> Option<Node> {
        let schema = self.resolve(schema);
        if path.steps().len() > MAX_DEPTH {
            found.push(Finding::new(path.clone(), "nested too deeply"));
            return None;
        }
        if let Some(words) = words(schema) {
            return word(&words, node, path, found);
        }
        if let Some(branches) = branches(schema) {
            return self.any(branches, node, path, found);
        }
        if !self.takes(schema, node) {
            found.push(misfit(&describe(schema), node, path));
            return None;
        }
        match &node.value {
            Value::Map(entries) => {
                let kept = self.map(schema, entries, path, found);
                Some(Node {
                    value: Value::Map(kept),
                    place: node.place,
                })
            }
            Value::List(items) => {
                let kept = self.list(&schema["items"], items, path, found);
                Some(Node {
                    value: Value::List(kept),
                    place: node.place,
                })
            }
            Value::Text(text) => match schema["pattern"].as_str().map(regex::Regex::new) {
                Some(Ok(pattern)) if !pattern.is_match(text) => {
                    found.push(misfit(&describe(schema), node, path));
                    None
                }
                Some(Ok(_) | Err(_)) | None => Some(node.clone()),
            },
            Value::Null | Value::Bool(_) | Value::Number(_) => Some(node.clone()),
        }
    }

    fn any(
        &self,
        branches: &'a [Json],
        node: &Node,
        path: &Path,
        found: &mut Vec<Finding>,
    ) -> Option<Node> {
        let mut best: Option<(Option<Node>, Vec<Finding>)> = None;
        for branch in branches.iter().filter(|branch| self.takes(branch, node)) {
            let mut misfits = Vec::new();
            let fitting = self.node(branch, node, path, &mut misfits);
            if best
                .as_ref()
                .is_none_or(|(_, fewest)| misfits.len() < fewest.len())
            {
                best = Some((fitting, misfits));
            }
        }
        let Some((fitting, misfits)) = best else {
            let mut kinds: Vec<String> = branches
                .iter()
                .map(|branch| describe(self.resolve(branch)))
                .collect();
            kinds.retain(|kind| kind != "nothing");
            kinds.dedup();
            found.push(misfit(&kinds.join(" or "), node, path));
            return None;
        };
        found.extend(misfits);
        fitting
    }

    fn map(
        &self,
        schema: &'a Json,
        entries: &[Entry],
        path: &Path,
        found: &mut Vec<Finding>,
    ) -> Vec<Entry> {
        let known = schema["properties"].as_object();
        let required: Vec<&str> = schema["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Json::as_str)
            .collect();
        let mut kept = Vec::new();
        for entry in entries {
            let path = path.key(&entry.key);
            let given = known.and_then(|known| known.get(&entry.key));
            let Some(inner) = given.or_else(|| free(schema)) else {
                found.push(unknown(
                    entry,
                    path,
                    known.into_iter().flat_map(|known| known.keys()),
                ));
                continue;
            };
            let not_given = matches!(entry.node.value, Value::Null) && given.is_some();
            if not_given && !required.contains(&entry.key.as_str()) {
                continue;
            }
            if let Some(node) = self.node(inner, &entry.node, &path, found) {
                kept.push(Entry {
                    node,
                    ..entry.clone()
                });
            }
        }
        for key in required {
            if !entries.iter().any(|entry| entry.key == key) {
                found.push(Finding::new(path.clone(), format!("missing key `{key}`")));
            }
        }
        kept
    }

    fn list(
        &self,
        schema: &'a Json,
        items: &[Node],
        path: &Path,
        found: &mut Vec<Finding>,
    ) -> Vec<Node> {
        // Positions must stay what they are, so a misfit leaves a gap.
        let gap = |item: &Node| Node {
            value: Value::Null,
            place: item.place,
        };
        let items = items.iter().enumerate().map(|(index, item)| {
            let fitting = self.node(schema, item, &path.index(index), found);
            fitting.unwrap_or_else(|| gap(item))
        });
        items.collect()
    }

    /// The schema could take a value of this kind, whatever is inside it.
    fn takes(&self, schema: &'a Json, node: &Node) -> bool {
        let schema = self.resolve(schema);
        if let Some(words) = words(schema) {
            return words.is_empty() || matches!(node.value, Value::Text(_));
        }
        if let Some(branches) = branches(schema) {
            return branches.iter().any(|branch| self.takes(branch, node));
        }
        let types = types(schema);
        types.is_empty() || types.iter().any(|name| is(name, schema, node))
    }
}

fn is(name: &str, schema: &Json, node: &Node) -> bool {
    match (name, &node.value) {
        ("null", Value::Null)
        | ("boolean", Value::Bool(_))
        | ("number", Value::Number(_))
        | ("string", Value::Text(_))
        | ("array", Value::List(_))
        | ("object", Value::Map(_)) => true,
        ("integer", Value::Number(number)) => match schema["format"].as_str() {
            Some("uint32") => number
                .as_u64()
                .is_some_and(|value| u32::try_from(value).is_ok()),
            Some("uint" | "uint64") => number.as_u64().is_some(),
            Some(_) | None => number.is_i64() || number.is_u64(),
        },
        _ => false,
    }
}

fn types(schema: &Json) -> Vec<&str> {
    match &schema["type"] {
        Json::String(one) => vec![one],
        Json::Array(many) => many.iter().filter_map(Json::as_str).collect(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_) => Vec::new(),
    }
}

fn branches(schema: &Json) -> Option<&[Json]> {
    let list = schema.get("anyOf").or_else(|| schema.get("oneOf"))?;
    list.as_array().map(Vec::as_slice)
}

/// The words of an enum whose values are all text.
fn words(schema: &Json) -> Option<Vec<&str>> {
    if let Some(word) = schema["const"].as_str() {
        return Some(vec![word]);
    }
    if let Some(listed) = schema["enum"].as_array() {
        return listed.iter().map(Json::as_str).collect();
    }
    let each = branches(schema)?
        .iter()
        .map(words)
        .collect::<Option<Vec<_>>>()?;
    Some(each.into_iter().flatten().collect())
}

/// The schema of keys that are not listed, when there may be any.
fn free(schema: &Json) -> Option<&Json> {
    let rest = &schema["additionalProperties"];
    let closed = *rest == Json::Bool(false) || (rest.is_null() && schema["properties"].is_object());
    (!closed).then_some(rest)
}

fn word(words: &[&str], node: &Node, path: &Path, found: &mut Vec<Finding>) -> Option<Node> {
    let list = words.join(", ");
    match &node.value {
        Value::Text(text) if words.contains(&text.as_str()) => return Some(node.clone()),
        Value::Text(text) => {
            let finding = Finding::new(path.clone(), format!("expected one of {list}"));
            found.push(match nearest(text, words.iter().copied()) {
                Some(near) => finding.help(format!("did you mean `{near}`?")),
                None => finding,
            });
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Map(_) => {
            found.push(misfit(&format!("one of {list}"), node, path));
        }
    }
    None
}

fn misfit(expected: &str, node: &Node, path: &Path) -> Finding {
    let finding = Finding::new(
        path.clone(),
        format!("expected {expected}, got {}", node.kind()),
    );
    let quotable = matches!(node.value, Value::Number(_) | Value::Bool(_));
    match &node.value {
        Value::Text(_) if expected.starts_with("a duration") || expected.starts_with("a size") => {
            Finding::new(path.clone(), format!("expected {expected}"))
        }
        Value::Text(_) if expected == "text" => finding,
        _ if quotable && expected.contains("text") => finding.help("put it in quotes"),
        _ if quotable && expected.starts_with("a duration") => {
            finding.help("add a unit: ms, s, m, h or d")
        }
        _ if quotable && expected.starts_with("a size") => {
            finding.help("add a unit: B, KiB, MiB or GiB")
        }
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::Text(_)
        | Value::List(_)
        | Value::Map(_) => finding,
    }
}

fn unknown<'k>(entry: &Entry, path: Path, known: impl Iterator<Item = &'k String>) -> Finding {
    let known: Vec<&str> = known.map(String::as_str).collect();
    let help = match nearest(&entry.key, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known here: {}", known.join(", ")),
    };
    Finding::new(path, format!("unknown key `{}`", entry.key))
        .help(help)
        .at(entry.key_place)
}

fn describe(schema: &Json) -> String {
    if schema["pattern"].is_string()
        && let Some(about) = schema["description"].as_str()
    {
        return about.to_owned();
    }
    if let Some(words) = words(schema) {
        return format!("one of {}", words.join(", "));
    }
    let kinds: Vec<&str> = types(schema)
        .into_iter()
        .filter_map(|name| match name {
            "string" => Some("text"),
            "integer" => Some("a whole number"),
            "number" => Some("a number"),
            "boolean" => Some("true or false"),
            "array" => Some("a list"),
            "object" => Some("a map"),
            _ => None,
        })
        .collect();
    if kinds.is_empty() {
        "nothing".to_owned()
    } else {
        kinds.join(" or ")
    }
}
