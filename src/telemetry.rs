//! Traces, metrics, log lines and propagation.
