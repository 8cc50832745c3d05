//! What a rule does about upstreams that fail, dawdle, or are to be compared with another.

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::RouteConfig;
use crate::types::ModelName;

/// What becomes of a stream whose upstream dies after its first word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StreamRecovery {
    /// Another candidate carries it on where that makes one whole answer of it; otherwise it ends in
    /// an error.
    #[default]
    Auto,
    /// It ends in an error.
    Off,
}

impl StreamRecovery {
    pub(super) fn is_default(&self) -> bool {
        *self == StreamRecovery::default()
    }

    /// The name as written in config.
    pub const fn as_str(self) -> &'static str {
        match self {
            StreamRecovery::Auto => "auto",
            StreamRecovery::Off => "off",
        }
    }
}

/// A second attempt beside a first one that dawdles.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default, deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct HedgeConfig {
    /// A first attempt without a word after this percentile of the model's own times to the first
    /// word gets company.
    #[garde(range(min = 50.0, max = 99.9))]
    pub percentile: f64,
    /// Second attempts as a share of this rule's requests.
    #[garde(range(min = 0.0, max = 1.0))]
    pub budget: f64,
}

impl Default for HedgeConfig {
    fn default() -> Self {
        HedgeConfig {
            percentile: 95.0,
            budget: 0.05,
        }
    }
}

/// A model that is asked what the callers ask, and whose answers nobody gets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct ShadowConfig {
    /// The model.
    pub model: ModelName,
    /// The share of the requests that go upstream which it is asked too.
    #[serde(default = "every_request")]
    #[garde(range(min = 0.0, max = 1.0))]
    pub fraction: f64,
}

fn every_request() -> f64 {
    1.0
}

/// All of it, as a plan carries it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resilience {
    /// What becomes of a stream whose upstream dies.
    pub stream_recovery: StreamRecovery,
    /// Second attempts.
    pub hedge: Option<HedgeConfig>,
    /// The model asked beside.
    pub shadow: Option<ShadowConfig>,
}

impl RouteConfig {
    /// What it does about upstreams that fail or dawdle.
    pub fn resilience(&self) -> Resilience {
        Resilience {
            stream_recovery: self.stream_recovery,
            hedge: self.hedge,
            shadow: self.shadow.clone(),
        }
    }
}
