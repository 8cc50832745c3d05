//! What a model can do: what a config says of it, and what that comes to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ProviderKind;

/// What a config, or the shipped table, says a model can do. What is not said comes from the shipped
/// table, and where that does not know the model either, from what its kind of provider can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Capabilities {
    /// Takes `tools`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<bool>,
    /// Takes images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vision: Option<bool>,
    /// Continues a started assistant message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefill: Option<bool>,
    /// Takes a JSON schema as response format.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json_schema: Option<bool>,
}

impl Capabilities {
    /// Nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Capabilities::default()
    }

    /// What is said here, else there.
    #[must_use]
    pub fn or(self, other: Capabilities) -> Self {
        Capabilities {
            tools: self.tools.or(other.tools),
            vision: self.vision.or(other.vision),
            prefill: self.prefill.or(other.prefill),
            json_schema: self.json_schema.or(other.json_schema),
        }
    }

    /// What is said here, else what `provider` can do.
    pub fn at(self, provider: ProviderKind) -> Abilities {
        let kind = Abilities::of(provider);
        Abilities {
            tools: self.tools.unwrap_or(kind.tools),
            vision: self.vision.unwrap_or(kind.vision),
            prefill: self.prefill.unwrap_or(kind.prefill),
            json_schema: self.json_schema.unwrap_or(kind.json_schema),
        }
    }
}

/// What a model can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Abilities {
    /// Takes `tools`.
    pub tools: bool,
    /// Takes images.
    pub vision: bool,
    /// Continues a started assistant message.
    pub prefill: bool,
    /// Takes a JSON schema as response format.
    pub json_schema: bool,
}

impl Abilities {
    /// What a model of this kind is taken to be capable of as long as nobody says otherwise:
    /// everything, but for what most of them would get wrong in silence. A started assistant message
    /// is answered rather than continued by most models in the cloud.
    pub fn of(provider: ProviderKind) -> Self {
        Abilities {
            tools: true,
            vision: true,
            prefill: matches!(provider, ProviderKind::Ollama | ProviderKind::Demo),
            json_schema: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Abilities, Capabilities, ProviderKind};

    #[test]
    fn what_is_said_first_counts_and_the_kind_says_the_rest() {
        let config = Capabilities {
            tools: Some(false),
            ..Capabilities::default()
        };
        let table = Capabilities {
            tools: Some(true),
            vision: Some(false),
            ..Capabilities::default()
        };
        let expected = |prefill| Abilities {
            tools: false,
            vision: false,
            prefill,
            json_schema: true,
        };
        assert_eq!(config.or(table).at(ProviderKind::OpenAi), expected(false));
        assert_eq!(config.or(table).at(ProviderKind::Ollama), expected(true));
    }

    #[test]
    fn configs_that_name_every_capability_still_mean_what_they_say() {
        let text = r#"{"tools":true,"vision":true,"prefill":true,"json_schema":false}"#;
        let read: Capabilities = serde_json::from_str(text).unwrap();
        assert_eq!((read.prefill, read.json_schema), (Some(true), Some(false)));
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
        assert_eq!(
            serde_json::to_string(&Capabilities::default()).unwrap(),
            "{}"
        );
    }
}
