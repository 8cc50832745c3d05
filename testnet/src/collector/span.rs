//! A span as it is kept and shown.

use std::collections::BTreeMap;
use std::fmt;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1 as otlp;
use serde::{Deserialize, Serialize};

/// Longest value of an attribute that is kept, in bytes.
const MAX_VALUE: usize = 32 << 10;

/// One span.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// The trace, 32 hexadecimal digits.
    pub trace: String,
    /// Its own id, 16 hexadecimal digits.
    pub id: String,
    /// The span above it, wherever that one is.
    pub parent: Option<String>,
    /// Who tells it: `service.instance.id`, else `service.name`.
    pub node: String,
    /// What it is called.
    pub name: String,
    /// Its part in a call.
    pub kind: Kind,
    /// Nanoseconds since 1970, by its node's clock.
    pub start_ns: u64,
    /// The same.
    pub end_ns: u64,
    /// It failed.
    pub failed: bool,
    /// Attributes as text.
    pub attributes: BTreeMap<String, String>,
    /// Spans it points at: trace and id.
    pub links: Vec<(String, String)>,
}

/// A span's part in a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// In none.
    #[default]
    Internal,
    /// It answers.
    Server,
    /// It asks.
    Client,
    /// It puts something into a queue.
    Producer,
    /// It takes it out.
    Consumer,
}

impl Kind {
    /// In lower case, as OpenTelemetry has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Internal => "internal",
            Kind::Server => "server",
            Kind::Client => "client",
            Kind::Producer => "producer",
            Kind::Consumer => "consumer",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Span {
    /// From the wire; `None` for one whose ids are none.
    pub fn from_wire(node: &str, span: otlp::Span) -> Option<Self> {
        let failed = span.status.is_some_and(|status| {
            otlp::status::StatusCode::try_from(status.code) == Ok(otlp::status::StatusCode::Error)
        });
        let links = span.links.iter();
        Some(Span {
            trace: id(&span.trace_id, 16)?,
            id: id(&span.span_id, 8)?,
            parent: id(&span.parent_span_id, 8),
            node: node.to_owned(),
            kind: kind(span.kind),
            name: span.name,
            start_ns: span.start_time_unix_nano,
            end_ns: span.end_time_unix_nano,
            failed,
            attributes: attributes(span.attributes),
            links: links
                .filter_map(|link| Some((id(&link.trace_id, 16)?, id(&link.span_id, 8)?)))
                .collect(),
        })
    }

    /// An attribute; empty when there is none.
    pub fn attribute(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }

    /// About how much memory it takes.
    pub fn bytes(&self) -> usize {
        let attributes = self.attributes.iter();
        let attributes: usize = attributes
            .map(|(key, value)| key.len() + value.len() + 64)
            .sum();
        256 + self.name.len() + self.node.len() + attributes + 96 * self.links.len()
    }
}

/// Who tells spans with these attributes of its resource.
pub fn node(resource: Vec<KeyValue>) -> String {
    let mut known = attributes(resource);
    let name = known.remove("service.instance.id");
    let name = name.filter(|name| !name.is_empty());
    name.or_else(|| known.remove("service.name"))
        .unwrap_or_else(|| "?".to_owned())
}

fn attributes(pairs: Vec<KeyValue>) -> BTreeMap<String, String> {
    let pairs = pairs.into_iter().filter_map(|pair| {
        let mut text = show(&pair.value?.value?)?;
        if text.len() > MAX_VALUE {
            let end = (0..=MAX_VALUE).rev().find(|at| text.is_char_boundary(*at));
            text.truncate(end.unwrap_or(0));
        }
        Some((pair.key, text))
    });
    pairs.collect()
}

fn show(value: &Value) -> Option<String> {
    Some(match value {
        Value::StringValue(text) => text.clone(),
        Value::BoolValue(flag) => flag.to_string(),
        Value::IntValue(number) => number.to_string(),
        Value::DoubleValue(number) => number.to_string(),
        Value::ArrayValue(array) => {
            let values = array.values.iter().filter_map(|value| value.value.as_ref());
            // a list of lists is no attribute
            let plain = values.filter(|value| !matches!(value, Value::ArrayValue(_)));
            plain.filter_map(show).collect::<Vec<_>>().join(",")
        }
        Value::KvlistValue(_) | Value::BytesValue(_) | Value::StringValueStrindex(_) => {
            return None;
        }
    })
}

fn kind(number: i32) -> Kind {
    match otlp::span::SpanKind::try_from(number) {
        Ok(otlp::span::SpanKind::Server) => Kind::Server,
        Ok(otlp::span::SpanKind::Client) => Kind::Client,
        Ok(otlp::span::SpanKind::Producer) => Kind::Producer,
        Ok(otlp::span::SpanKind::Consumer) => Kind::Consumer,
        Ok(otlp::span::SpanKind::Internal | otlp::span::SpanKind::Unspecified) | Err(_) => {
            Kind::Internal
        }
    }
}

/// In hexadecimal; `None` for one of another length, or of zeros alone.
fn id(bytes: &[u8], length: usize) -> Option<String> {
    let valid = bytes.len() == length && bytes.iter().any(|byte| *byte != 0);
    valid.then(|| bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
