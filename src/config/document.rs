//! A parsed document in which every value remembers its line and column.

mod codec;

use serde::Deserialize;
use serde_json::Number;
use serde_saphyr::Location;

use super::path::{Path, Step};

/// Deepest nesting of a document.
const MAX_DEPTH: usize = 64;
/// Most values in a document: a thousand models and routes with every key given fit.
const MAX_NODES: usize = 200_000;

/// A position in the text, from 1, and how many characters it covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Characters covered.
    pub length: usize,
}

impl From<Location> for Place {
    fn from(location: Location) -> Self {
        let count = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        Place {
            line: count(location.line()),
            column: count(location.column()),
            length: count(location.span().len()).max(1),
        }
    }
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it stands.
    pub place: Place,
}

/// A value of YAML or JSON.
#[derive(Clone, Debug)]
pub enum Value {
    /// Nothing given.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// Any number.
    Number(Number),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order written.
    Map(Vec<Entry>),
}

/// One key of a map.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub key_place: Place,
    /// Its value.
    pub node: Node,
}

/// The text is not a document, or not the one asked for; where the reader stopped, when it knows.
#[derive(Debug)]
pub struct Malformed {
    /// What is wrong, without the place.
    pub message: String,
    /// Where.
    pub place: Option<Place>,
}

/// How configuration text is read: `yes`, `no` and `off` are text, keys are unique, aliases bounded.
pub(super) fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        strict_booleans: true,
        with_snippet: false,
        budget: serde_saphyr::budget! { max_depth: MAX_DEPTH, max_nodes: MAX_NODES, max_documents: 1 },
    }
}

impl Malformed {
    /// What the reader said, with the place taken out of the sentence.
    pub(super) fn from_reader(error: &serde_saphyr::Error) -> Self {
        let place = error.location().filter(|at| at.line() > 0).map(Place::from);
        let text = error.without_snippet().to_string();
        let message = match (place, text.split_once(": ")) {
            (Some(_), Some((prefix, rest))) if prefix.contains("line ") => rest,
            _ => &text,
        };
        let message = message.split(" at line ").next().unwrap_or(message);
        Malformed {
            message: message.trim().to_owned(),
            place,
        }
    }
}

/// Reads YAML or JSON. An empty text is an empty map.
///
/// # Errors
/// [`Malformed`] for a syntax error, a key given twice or a document beyond the limits.
pub fn read(text: &str) -> Result<Node, Malformed> {
    let node: Node = serde_saphyr::from_str_with_options(text, options())
        .map_err(|error| Malformed::from_reader(&error))?;
    Ok(match node.value {
        Value::Null => Node {
            value: Value::Map(Vec::new()),
            place: node.place,
        },
        Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => node,
    })
}

impl Node {
    /// The place a problem at `path` should point to: the value when it is a scalar, else its key.
    /// A path that leads nowhere points to the last value on the way.
    pub fn find(&self, path: &Path) -> Place {
        let (mut node, mut key) = (self, None);
        for step in path.steps() {
            let next = match (step, &node.value) {
                (Step::Key(wanted), Value::Map(entries)) => entries
                    .iter()
                    .find(|entry| entry.key == *wanted)
                    .map(|entry| (&entry.node, Some(entry.key_place))),
                (Step::Index(index), Value::List(items)) => {
                    items.get(*index).map(|node| (node, None))
                }
                (Step::Key(_) | Step::Index(_), _) => None,
            };
            match next {
                Some((next, place)) => (node, key) = (next, place),
                None => break,
            }
        }
        match &node.value {
            Value::Null | Value::List(_) | Value::Map(_) => key.unwrap_or(node.place),
            Value::Bool(_) | Value::Number(_) | Value::Text(_) => node.place,
        }
    }

    /// The value as a type of ours, places forgotten.
    ///
    /// # Errors
    /// [`Malformed`] with the place of the value that does not fit.
    pub fn decode<'de, T: Deserialize<'de>>(&'de self) -> Result<T, Malformed> {
        T::deserialize(self)
    }

    /// The value of a key, in a map.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries
                .iter()
                .find(|entry| entry.key == key)
                .map(|e| &e.node),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => {
                None
            }
        }
    }

    /// What the value is, for a person.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }
}
