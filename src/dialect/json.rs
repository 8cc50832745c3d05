//! JSON objects whose values stay the bytes they came as.
//!
//! Only the top level is parsed: name → raw text. What we do not own goes out exactly as it came
//! in, 30-digit integers and odd escapes included.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Deepest nesting accepted.
pub const MAX_DEPTH: usize = 32;
/// Most values (scalars, arrays and objects) in one document. A call of a tool and its result are
/// about 22 of them, so that a day's work of an agent fits; what reads a document looks at each
/// value a fixed number of times, so that this many cost milliseconds.
pub const MAX_NODES: usize = 100_000;

/// Why a document was refused.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// Not UTF-8.
    #[error("body is not valid UTF-8")]
    NotUtf8,
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("json is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// More values than are taken.
    #[error("json holds more than {0} values")]
    TooManyNodes(usize),
    /// The top level names a field twice.
    #[error("field `{0}` is given twice")]
    Duplicate(String),
    /// Not JSON, or not an object.
    #[error("invalid json: {0}")]
    Syntax(#[source] serde_json::Error),
}

/// A JSON object: ordered fields with raw values.
#[derive(Clone, Debug, Default)]
pub struct Object {
    fields: Vec<(String, Box<RawValue>)>,
}

impl Object {
    /// Parses the top level after a linear scan for depth and size.
    ///
    /// # Errors
    /// See [`JsonError`]. Never recurses, so nesting cannot exhaust the stack.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        Self::parse_within(bytes, MAX_NODES)
    }

    /// The same for a document of at most `nodes` values, where each may be a mere number.
    ///
    /// # Errors
    /// As [`Object::parse`].
    pub fn parse_within(bytes: &[u8], nodes: usize) -> Result<Self, JsonError> {
        let text = std::str::from_utf8(bytes).map_err(|_| JsonError::NotUtf8)?;
        check_shape(text.as_bytes(), nodes)?;
        let object: Object = serde_json::from_str(text).map_err(JsonError::Syntax)?;
        let mut names: Vec<&str> = object
            .fields
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(JsonError::Duplicate(twice[0].to_owned()));
        }
        Ok(object)
    }

    /// The raw value of a field.
    pub fn get(&self, name: &str) -> Option<&RawValue> {
        self.fields
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, value)| &**value)
    }

    /// The value of a field read as `T`; `None` when absent, null or of another shape.
    pub fn read<'a, T: Deserialize<'a>>(&'a self, name: &str) -> Option<T> {
        self.get(name)
            .and_then(|raw| serde_json::from_str(raw.get()).ok())
    }

    /// Fields in the order they came.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.fields
            .iter()
            .map(|(name, value)| (name.as_str(), &**value))
    }

    /// Replaces a field in place, or appends it.
    pub fn set(&mut self, name: &str, value: Box<RawValue>) {
        match self.fields.iter_mut().find(|(field, _)| field == name) {
            Some((_, old)) => *old = value,
            None => self.fields.push((name.to_owned(), value)),
        }
    }

    /// Adds a field that is known not to be there yet: unlike [`Object::set`], without a search.
    pub fn append(&mut self, name: &str, value: Box<RawValue>) {
        self.fields.push((name.to_owned(), value));
    }

    /// Takes a field out.
    pub fn remove(&mut self, name: &str) -> Option<Box<RawValue>> {
        let at = self.fields.iter().position(|(field, _)| field == name)?;
        Some(self.fields.remove(at).1)
    }

    /// Writes the object, values byte for byte, with no space between fields.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        for (at, (name, value)) in self.fields.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            write_string(name, out);
            out.push(b':');
            out.extend_from_slice(value.get().as_bytes());
        }
        out.push(b'}');
    }

    /// The object as text with some fields replaced in place, appended where absent, or (`None`)
    /// left out; every other value byte for byte.
    pub fn to_bytes_with(&self, changes: &[(&str, Option<Box<RawValue>>)]) -> Vec<u8> {
        let kept = self.fields.iter().filter_map(|(name, value)| {
            match changes.iter().find(|(changed, _)| changed == name) {
                Some((_, new)) => new.as_ref().map(|new| (name.as_str(), new)),
                None => Some((name.as_str(), value)),
            }
        });
        let added = changes
            .iter()
            .filter(|(name, _)| self.get(name).is_none())
            .filter_map(|(name, new)| new.as_ref().map(|new| (*name, new)));
        let sizes = self
            .fields
            .iter()
            .map(|(name, value)| name.len() + value.get().len() + 4);
        let new = changes
            .iter()
            .flat_map(|(name, new)| new.as_ref().map(|v| name.len() + v.get().len() + 4));
        let mut out = Vec::with_capacity(sizes.chain(new).sum::<usize>() + 2);
        for (name, value) in kept.chain(added) {
            out.push(if out.is_empty() { b'{' } else { b',' });
            write_string(name, &mut out);
            out.push(b':');
            out.extend_from_slice(value.get().as_bytes());
        }
        if out.is_empty() {
            out.push(b'{');
        }
        out.push(b'}');
        out
    }

    /// The object as text.
    pub fn to_bytes(&self) -> Vec<u8> {
        let room: usize = self
            .fields
            .iter()
            .map(|(n, v)| n.len() + v.get().len() + 4)
            .sum();
        let mut out = Vec::with_capacity(room + 2);
        self.write(&mut out);
        out
    }
}

/// Appends `text` as a JSON string.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    // writing a str into a Vec cannot fail
    let _ = serde_json::to_writer(out, text);
}

/// Any serialisable value as raw JSON; `null` when it cannot be written as JSON.
pub fn raw<T: serde::Serialize + ?Sized>(value: &T) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Object;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut fields = Vec::new();
                while let Some(entry) = map.next_entry::<String, Box<RawValue>>()? {
                    fields.push(entry);
                }
                Ok(Object { fields })
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// Counts nesting and values without building anything.
fn check_shape(bytes: &[u8], most: usize) -> Result<(), JsonError> {
    let (mut depth, mut nodes, mut in_string, mut escaped) = (0usize, 1usize, false, false);
    for &byte in bytes {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth += 1;
                nodes += 1;
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' => nodes += 1,
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(JsonError::TooDeep);
        }
    }
    if nodes > most {
        Err(JsonError::TooManyNodes(most))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
