//! The four levels of admission.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How urgent a request is. Levels share capacity 8 : 4 : 2 : 1, so none starves.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Someone is blocked until this is answered.
    Critical,
    /// Interactive and important.
    High,
    /// What is meant when nothing is said.
    #[default]
    Normal,
    /// Batch work that may wait.
    Low,
}

impl Priority {
    /// All levels, most urgent first.
    pub const ALL: [Priority; 4] = [
        Priority::Critical,
        Priority::High,
        Priority::Normal,
        Priority::Low,
    ];

    /// Position in [`Priority::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Share of dispatched cost while every level is backlogged, out of 15.
    pub const fn weight(self) -> u64 {
        match self {
            Priority::Critical => 8,
            Priority::High => 4,
            Priority::Normal => 2,
            Priority::Low => 1,
        }
    }

    /// The name used in headers, config, metrics and stats.
    pub const fn as_str(self) -> &'static str {
        match self {
            Priority::Critical => "critical",
            Priority::High => "high",
            Priority::Normal => "normal",
            Priority::Low => "low",
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text named no level.
#[derive(Debug, thiserror::Error)]
#[error("unknown priority, expected critical, high, normal or low")]
pub struct UnknownPriority;

impl FromStr for Priority {
    type Err = UnknownPriority;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Priority::ALL
            .into_iter()
            .find(|level| level.as_str().eq_ignore_ascii_case(text.trim()))
            .ok_or(UnknownPriority)
    }
}
