//! Traces, metrics, log lines and propagation: how a node is seen from outside.
//!
//! ```text
//! setup         builds the providers, layers and exporters; flushes them at the end
//! metrics       every instrument, behind typed methods; rendered for `GET /metrics`
//! spans         one constructor per kind of span, and what becomes known late
//! propagation   W3C trace context in and out
//! sampling      which traces are told
//! content       prompts and answers on spans, where they were asked for
//! record        what one finished request tells: metrics, stats, the access log
//! ```
//!
//! Labels come from configured names or from closed lists, never from traffic. Deliberately not
//! here: baggage (it would carry a client's data to others), keys, and logs
//! over OTLP (standard error is collected by whoever runs the node).

pub mod content;
pub mod log;
pub mod metrics;
pub mod propagation;
pub mod record;
pub mod recorder;
pub mod setup;
pub mod spans;
pub mod stats;

mod export;
mod lines;
mod sampling;
#[cfg(test)]
mod testing;

pub use log::access_log;
pub use metrics::{AttemptOutcome, AttemptRecord, ConfiguredModel, GrpcCall, HttpCall, Metrics};
pub use record::RequestRecord;
pub use recorder::{InFlight, Recorder};
pub use setup::{Settings, Telemetry};
pub use stats::Counters;
