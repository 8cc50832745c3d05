//! Another routing part in a config file's text: its node part stays, with its comments.

use super::document::{self, Entry, Malformed, Node, Value};

/// The keys of the routing part.
const ROUTING: [&str; 6] = [
    "models",
    "routes",
    "circuit_breaker",
    "cache",
    "retry",
    "placement",
];

/// The text with this routing part instead of its own. What cannot be cut by lines (JSON, or a map
/// in braces) is written anew, in its own language.
///
/// # Errors
/// [`Malformed`] when the text is no document, or what is to be put in is no map.
pub fn with_routing(text: &str, routing: &Node) -> Result<String, Malformed> {
    let before = document::read(text)?;
    let (place, old) = (before.place, entries(&before)?.to_vec());
    let mut joined: Vec<Entry> = old.iter().filter(|e| !is_routing(e)).cloned().collect();
    joined.extend(entries(routing)?.iter().cloned());
    let joined = Node {
        value: Value::Map(joined),
        place,
    };
    if let Some(cut) = by_lines(text, &old, routing)
        && document::read(&cut).is_ok_and(|read| same(&read, &joined))
    {
        return Ok(cut);
    }
    match text.trim_start().starts_with('{') {
        true => serde_json::to_string_pretty(&joined)
            .map(|text| text + "\n")
            .map_err(|error| malformed(&error.to_string())),
        false => yaml(&joined),
    }
}

/// Top-level keys in the first column: what begins at one of the routing part ends at the next.
fn by_lines(text: &str, entries: &[Entry], routing: &Node) -> Option<String> {
    if entries.iter().any(|entry| entry.key_place.column != 1) {
        return None;
    }
    let mut kept = String::new();
    let mut keeps = true;
    for (at, line) in text.lines().enumerate() {
        let begins = |entry: &&Entry| entry.key_place.line == at + 1;
        if let Some(entry) = entries.iter().find(begins) {
            keeps = !is_routing(entry);
        }
        if keeps {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    Some(kept + &yaml(routing).ok()?)
}

fn yaml(node: &Node) -> Result<String, Malformed> {
    let text = serde_saphyr::to_string(node).map_err(|error| malformed(&error.to_string()))?;
    Ok(text.trim_end().to_owned() + "\n")
}

fn is_routing(entry: &Entry) -> bool {
    ROUTING.contains(&entry.key.as_str())
}

fn same(a: &Node, b: &Node) -> bool {
    let value = |node| serde_json::to_value(node).ok();
    value(a).is_some_and(|a| Some(a) == value(b))
}

fn entries(node: &Node) -> Result<&[Entry], Malformed> {
    match &node.value {
        Value::Map(entries) => Ok(entries),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => {
            Err(malformed("a map is expected"))
        }
    }
}

fn malformed(message: &str) -> Malformed {
    Malformed {
        message: message.to_owned(),
        place: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    const AGREED: &str = r#"{"models":{"z":{"provider":"demo","model":"echo"}},"routes":[]}"#;

    fn replaced(text: &str) -> String {
        with_routing(text, &document::read(AGREED).unwrap()).unwrap()
    }

    #[test]
    fn the_node_part_stays_with_its_comments() {
        let text = "# ours\nnode: { id: n1 }\nmodels:\n  # old\n  a: { provider: demo, model: lorem }\n\
                    listen:\n  http: 127.0.0.1:9 # fixed\nroutes:\n- { name: r, targets: [a] }\n";
        let after = replaced(text);
        let head = "# ours\nnode: { id: n1 }\nlisten:\n  http: 127.0.0.1:9 # fixed\n";
        assert!(after.starts_with(head), "{after}");
        let parsed = parse(&after, "after").unwrap();
        assert_eq!(parsed.node.node.id.as_deref(), Some("n1"));
        let names: Vec<&str> = parsed.routing.models.keys().map(AsRef::as_ref).collect();
        assert_eq!((names, parsed.routing.routes.len()), (vec!["z"], 0));
        assert!(!after.contains("lorem"), "{after}");
    }

    #[test]
    fn json_and_maps_in_braces_are_written_anew_and_keep_their_node_part() {
        for text in [
            r#"{"node": {"id": "n1"}, "models": {}}"#,
            "{ node: { id: n1 }, models: {} }",
            "{\nnode: { id: n1 },\nmodels: {}\n}",
        ] {
            let after = replaced(text);
            assert!(
                serde_json::from_str::<serde_json::Value>(&after).is_ok(),
                "{after}"
            );
            let parsed = parse(&after, "after").unwrap();
            assert_eq!(parsed.node.node.id.as_deref(), Some("n1"), "{text}");
            assert_eq!(parsed.routing.models.len(), 1);
        }
    }

    #[test]
    fn an_empty_file_takes_the_routing_part_alone_and_no_document_is_refused() {
        assert!(replaced("").starts_with("models:\n"));
        let agreed = document::read(AGREED).unwrap();
        assert!(with_routing("- a\n- b\n", &agreed).is_err());
        assert!(with_routing("a: [", &agreed).is_err());
    }
}
