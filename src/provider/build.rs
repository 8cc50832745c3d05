//! A model's config → its provider, checked before the first request.

use std::sync::Arc;

use secrecy::SecretString;

use super::{Anthropic, BuildError, Demo, Gemini, Local, Ollama, OpenAi, Plugin, Provider};
use crate::config::routing::{ModelConfig, ProviderKind};

/// Builds the provider of a configured model. `secret` is what its `api_key` refers to.
///
/// # Errors
/// [`BuildError`] names the setting at fault; it quotes neither URL nor key.
pub fn from_config(
    model: &ModelConfig,
    secret: Option<SecretString>,
) -> Result<Arc<dyn Provider>, BuildError> {
    let health_path = model
        .health
        .as_ref()
        .and_then(|health| health.path.as_deref());
    let connect = model.timeouts.connect.get();
    macro_rules! over_http {
        ($provider:ty) => {{
            let mut provider = <$provider>::new(&model.model)
                .options(model.options.clone())
                .connect_timeout(connect);
            if let Some(url) = &model.base_url {
                provider = provider.base_url(url);
            }
            if let Some(key) = secret {
                provider = provider.api_key(key);
            }
            if let Some(path) = health_path {
                provider = provider.health_path(path);
            }
            provider.check()?;
            Ok(Arc::new(provider))
        }};
    }
    match model.provider {
        ProviderKind::OpenAi => over_http!(OpenAi),
        ProviderKind::Anthropic => over_http!(Anthropic),
        ProviderKind::Gemini => over_http!(Gemini),
        ProviderKind::Ollama => over_http!(Ollama),
        ProviderKind::Local => Ok(Arc::new(Local::new(&model.model))),
        ProviderKind::Plugin => {
            let mut provider = Plugin::new(&model.model)
                .options(model.options.clone())
                .connect_timeout(connect);
            if let Some(url) = &model.base_url {
                provider = provider.base_url(url);
            }
            if let Some(key) = secret {
                provider = provider.api_key(key);
            }
            provider.check()?;
            Ok(Arc::new(provider))
        }
        ProviderKind::Custom => Err(BuildError::Custom),
        ProviderKind::Demo => {
            let provider = Demo::new(&model.model).options(model.options.clone());
            provider.check()?;
            Ok(Arc::new(provider))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::provider::BadBase;

    fn config(value: serde_json::Value) -> ModelConfig {
        serde_json::from_value(value).unwrap()
    }

    fn refused(value: serde_json::Value, key: Option<&str>) -> BuildError {
        from_config(&config(value), key.map(SecretString::from))
            .err()
            .unwrap()
    }

    #[test]
    fn bad_addresses_are_refused_before_the_first_request() {
        let with = |url: &str| json!({"provider": "openai", "model": "m", "base_url": url});
        let error = refused(with("http://api.example.com/v1"), Some("sk-12345678"));
        assert!(matches!(error, BuildError::Base(BadBase::ClearTextKey)));
        assert!(!error.to_string().contains("sk-"));
        for (url, problem) in [
            ("https://u:p@example.com", BadBase::UserInfo),
            ("gopher://example.com", BadBase::Scheme),
            ("https://example.com/#x", BadBase::QueryOrFragment),
            ("https://example.com/\r\nx: y", BadBase::ControlCharacters),
        ] {
            let BuildError::Base(found) = refused(with(url), None) else {
                panic!("{url}")
            };
            assert_eq!(found, problem, "{url}");
        }
    }

    #[test]
    fn unknown_demo_models_and_options_are_refused_by_name() {
        let error = refused(json!({"provider": "demo", "model": "nothing"}), None);
        assert!(
            error
                .to_string()
                .contains("echo, lorem, tools, parallel, thinking, flaky"),
            "{error}"
        );
        let option = json!({"provider": "demo", "model": "echo", "options": {"speed": 1}});
        assert!(refused(option, None).to_string().contains("speed"));
    }

    #[test]
    fn impossible_anthropic_options_are_refused_by_name() {
        for (name, value) in [
            ("auth", json!("basic")),
            ("version", json!("2024-01-01")),
            ("max_tokens", json!(0)),
            ("effort", json!("much")),
            ("temperature", json!(1)),
        ] {
            let option = json!({"provider": "anthropic", "model": "m", "options": {name: value}});
            let error = refused(option, None).to_string();
            assert!(error.contains(&format!("`{name}`")), "{error}");
        }
    }

    #[test]
    fn each_kind_is_built_with_its_model() {
        for (kind, model) in [
            ("openai", "gpt-4o"),
            ("ollama", "qwen2.5:3b"),
            ("anthropic", "claude-haiku-4-5"),
            ("gemini", "gemini-2.5-flash"),
            ("demo", "echo"),
            ("plugin", "own"),
        ] {
            let value = json!({"provider": kind, "model": model, "base_url": "http://127.0.0.1:9",
                               "health": {"path": "/healthz"}});
            let provider = from_config(&config(value), None).unwrap();
            assert_eq!((provider.kind(), provider.default_model()), (kind, model));
        }
    }
}
