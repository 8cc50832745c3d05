//! Nodes that have healed hold the same state.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Verdict;

/// Holds what every node shows of the agreed state, by node, against what the others show.
pub fn check(shown: &BTreeMap<usize, Value>) -> Verdict {
    let mut wrong = Vec::new();
    if let Some((first, expected)) = shown.first_key_value() {
        for (node, value) in shown.iter().skip(1) {
            wrong.extend(
                difference("", expected, value)
                    .map(|place| format!("n{first} and n{node} differ at {place}")),
            );
        }
    }
    Verdict::new("healed nodes hold equal state", shown.len(), wrong)
}

/// The first place where two values differ, with both.
fn difference(place: &str, one: &Value, other: &Value) -> Option<String> {
    match (one, other) {
        (Value::Object(ours), Value::Object(theirs)) => ours
            .keys()
            .chain(theirs.keys())
            .find_map(|key| difference(&format!("{place}/{key}"), &one[key], &other[key])),
        (Value::Array(ours), Value::Array(theirs)) if ours.len() == theirs.len() => ours
            .iter()
            .zip(theirs)
            .enumerate()
            .find_map(|(n, (a, b))| difference(&format!("{place}/{n}"), a, b)),
        _ if one == other => None,
        _ => Some(format!("{place}: {one} and {other}")),
    }
}
