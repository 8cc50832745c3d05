//! Who decides whether two answers tell the same.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::config::check::MAX_NAME_BYTES;

/// Who compares a served answer with a fresh one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct JudgeConfig {
    /// A configured model that is asked. It is shown the question and both answers. Without one the
    /// node compares embeddings, numbers and polarity itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<JudgeModel>,
}

/// A model's name kept in place, so that the cache's settings stay a plain value to copy.
#[derive(Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String")]
pub struct JudgeModel {
    length: u8,
    bytes: [u8; MAX_NAME_BYTES],
}

impl JudgeModel {
    /// The name, if it is no longer than a name may be.
    pub fn new(name: &str) -> Option<Self> {
        let mut bytes = [0; MAX_NAME_BYTES];
        bytes
            .get_mut(..name.len())?
            .copy_from_slice(name.as_bytes());
        let length = u8::try_from(name.len()).ok()?;
        Some(JudgeModel { length, bytes })
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        let name = self.bytes.get(..usize::from(self.length));
        // it was a text when it was copied in
        name.and_then(|name| std::str::from_utf8(name).ok())
            .unwrap_or_default()
    }
}

impl fmt::Debug for JudgeModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JudgeModel({})", self.as_str())
    }
}

impl Serialize for JudgeModel {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for JudgeModel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        JudgeModel::new(&name).ok_or_else(|| {
            serde::de::Error::custom(format!("a name has at most {MAX_NAME_BYTES} bytes"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_as_it_was_written() {
        let longest = "m".repeat(MAX_NAME_BYTES);
        for name in ["", "gpt", "demo/echo", &longest] {
            let config: JudgeConfig =
                serde_json::from_value(serde_json::json!({"model": name})).unwrap();
            assert_eq!(config.model.unwrap().as_str(), name);
            let written = serde_json::to_value(config).unwrap();
            assert_eq!(written["model"], name);
        }
        assert!(JudgeModel::new(&format!("{longest}m")).is_none());
        let none = serde_json::to_string(&JudgeConfig::default()).unwrap();
        assert_eq!(none, "{}");
    }
}
