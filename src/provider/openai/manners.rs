//! How an OpenAI-compatible server wants to be asked, beside the fields of the body.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use crate::provider::wire::KeyHeader;

/// Its manners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manners {
    /// How the key travels.
    pub(super) key_header: KeyHeader,
    /// It takes `stream_options`, so that token counts come with a stream.
    pub(super) stream_usage: bool,
    /// It takes what OpenAI's own API takes and no more; as it is told, else by where it is.
    strict: Option<bool>,
    /// Azure's `api-version`.
    version: Option<String>,
}

impl Default for Manners {
    fn default() -> Self {
        Manners {
            key_header: KeyHeader::Bearer,
            stream_usage: true,
            strict: None,
            version: None,
        }
    }
}

impl Manners {
    /// Takes what is no field of the body out of `options`.
    ///
    /// # Errors
    /// The option at fault and what it may be.
    pub(super) fn taken_from(options: &mut BTreeMap<String, Value>) -> Result<Self, String> {
        let mut manners = Manners::default();
        if let Some(given) = options.remove("api_version") {
            let plain = |text: &&str| {
                (1..=64).contains(&text.len())
                    && text
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
            };
            let version = given.as_str().filter(plain);
            let version = version.ok_or("option `api_version` must be a plain word")?;
            manners.version = Some(version.to_owned());
        }
        if let Some(given) = options.remove("auth") {
            manners.key_header = match given.as_str() {
                Some("bearer") => KeyHeader::Bearer,
                Some("api-key") => KeyHeader::Named("api-key"),
                Some(_) | None => return Err("option `auth` must be bearer or api-key".to_owned()),
            };
        }
        if let Some(given) = options.remove("stream_usage") {
            let given = given.as_bool();
            manners.stream_usage = given.ok_or("option `stream_usage` must be true or false")?;
        }
        if let Some(given) = options.remove("strict") {
            let given = given.as_bool();
            manners.strict = Some(given.ok_or("option `strict` must be true or false")?);
        }
        Ok(manners)
    }

    /// At `base_url` answers OpenAI's own API, or one that takes as little else.
    pub(super) fn strict(&self, base_url: &str) -> bool {
        let host = || {
            reqwest::Url::parse(base_url)
                .ok()?
                .host_str()
                .map(str::to_owned)
        };
        let own = |host: String| host == "api.openai.com" || host.ends_with(".azure.com");
        let by_place = || self.version.is_some() || host().is_some_and(own);
        self.strict.unwrap_or_else(by_place)
    }

    /// `path`, with what Azure wants behind it.
    pub(super) fn path(&self, path: &'static str) -> Cow<'static, str> {
        match &self.version {
            Some(version) => format!("{path}?api-version={version}").into(),
            None => path.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn taken(options: &Value) -> (Result<Manners, String>, BTreeMap<String, Value>) {
        let mut options: BTreeMap<String, Value> = serde_json::from_value(options.clone()).unwrap();
        (Manners::taken_from(&mut options), options)
    }

    #[test]
    fn what_says_how_to_ask_is_no_field_of_the_body() {
        let given = json!({"api_version": "2025-04-01-preview", "auth": "api-key",
            "stream_usage": false, "top_p": 0.5});
        let (manners, left) = taken(&given);
        let manners = manners.unwrap();
        assert_eq!(left.keys().collect::<Vec<_>>(), ["top_p"]);
        assert_eq!(manners.key_header, KeyHeader::Named("api-key"));
        assert!(!manners.stream_usage);
        let path = manners.path("/models");
        assert_eq!(path, "/models?api-version=2025-04-01-preview");
        assert_eq!(Manners::default().path("/models"), "/models");
    }

    #[test]
    fn openais_own_and_azures_are_strict_until_told_otherwise() {
        let strict = |options: Value, base: &str| taken(&options).0.unwrap().strict(base);
        let (own, azure) = (
            "https://api.openai.com/v1",
            "https://me.openai.azure.com/openai/v1",
        );
        assert!(strict(json!({}), own) && strict(json!({}), azure));
        assert!(strict(
            json!({"api_version": "1"}),
            "https://gate.example/openai"
        ));
        assert!(!strict(json!({}), "https://api.openai.com.example/v1"));
        assert!(!strict(json!({"strict": false}), own));
        assert!(strict(json!({"strict": true}), "http://127.0.0.1:8000/v1"));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_name() {
        for given in [
            json!({"api_version": "a&b=c"}),
            json!({"api_version": 2025}),
            json!({"api_version": ""}),
            json!({"auth": "basic"}),
            json!({"stream_usage": "no"}),
            json!({"strict": 1}),
        ] {
            let name = given.as_object().unwrap().keys().next().unwrap().clone();
            assert!(taken(&given).0.unwrap_err().contains(&name));
        }
    }
}
