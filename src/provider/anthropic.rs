//! Anthropic Messages, and everything compatible with it.
//!
//! A request of a client that speaks the dialect goes out as it came, and its answer comes back as
//! it came; every other client's is translated both ways.

mod stream;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};

use super::key::KeyGuard;
use super::limits::Watch;
use super::translate::{Form, Framing, as_text, chunks};
use super::wire::body::Body;
use super::wire::{BuildError, KeyHeader, Post, Wire};
use super::{Answer, Call, Class, Failure, Provider, classify};
use crate::dialect::anthropic::{
    Bad, Decoder, Defaults, Untranslatable, VERSION, decode, to_native, unsupported,
};
use crate::dialect::carry::Uncarried;
use crate::dialect::openai::ChatBody;
use crate::dialect::openai::build::Head;
use crate::dialect::whole::Whole;
use crate::types::{Completion, Dialect};

/// Where Anthropic is.
pub const DEFAULT_BASE: &str = "https://api.anthropic.com/v1";

/// An upstream that speaks Anthropic Messages.
///
/// ```
/// use llm_router::provider::Anthropic;
/// use secrecy::SecretString;
/// let cloud = Anthropic::new("claude-haiku-4-5").api_key(SecretString::from("sk-ant-..."));
/// ```
#[derive(Debug)]
pub struct Anthropic {
    model: String,
    wire: Wire,
    defaults: Defaults,
    unknown_option: Option<String>,
}

/// How the key is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Auth {
    XApiKey,
    Bearer,
}

impl From<Auth> for KeyHeader {
    fn from(auth: Auth) -> Self {
        match auth {
            Auth::XApiKey => KeyHeader::Named("x-api-key"),
            Auth::Bearer => KeyHeader::Bearer,
        }
    }
}

impl Anthropic {
    /// An upstream at [`DEFAULT_BASE`], asked for `model` where a call names none.
    pub fn new(model: impl Into<String>) -> Self {
        let mut wire = Wire::new(DEFAULT_BASE);
        wire.key_header = Auth::XApiKey.into();
        Anthropic {
            model: model.into(),
            wire,
            defaults: Defaults::default(),
            unknown_option: None,
        }
    }

    /// Where it is, `/v1` included; only a trailing slash is trimmed.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.wire.base_url = url.into();
        self
    }

    /// Sent as `x-api-key` unless the options say otherwise; only over https, or to a private host.
    pub fn api_key(mut self, key: SecretString) -> Self {
        self.wire.key = KeyGuard::new(key);
        self
    }

    /// `auth` (`x-api-key` or `bearer`), `version` (of requests that name none), `max_tokens` (of
    /// those that do not limit the answer) and `effort` (how `reasoning_effort` is told:
    /// `adaptive`, `budget` or `off`). Others are refused by [`Anthropic::check`].
    pub fn options(mut self, options: BTreeMap<String, Value>) -> Self {
        for (name, value) in options {
            if self.set(&name, value).is_none() {
                self.unknown_option = Some(name);
            }
        }
        self
    }

    fn set(&mut self, name: &str, value: Value) -> Option<()> {
        match name {
            "auth" => {
                let auth: Auth = serde_json::from_value(value).ok()?;
                self.wire.key_header = auth.into();
            }
            "version" => {
                self.defaults.version =
                    crate::dialect::anthropic::Version::read(Some(value.as_str()?)).ok()?;
            }
            "max_tokens" => {
                self.defaults.max_tokens = Some(value.as_u64().filter(|limit| *limit > 0)?);
            }
            "effort" => self.defaults.effort = serde_json::from_value(value).ok()?,
            _ => return None,
        }
        Some(())
    }

    /// How long TCP and TLS may take; 5 s when not said.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.wire.connect_timeout = limit;
        self
    }

    /// Path below the upstream's origin that health checks ask for; `{base_url}/models` when not said.
    pub fn health_path(mut self, path: impl Into<String>) -> Self {
        self.wire.health_path = Some(path.into());
        self
    }

    /// Checks the settings now rather than at the first call.
    ///
    /// # Errors
    /// [`BuildError`] names the setting at fault.
    pub fn check(&self) -> Result<(), BuildError> {
        if let Some(name) = &self.unknown_option {
            return Err(BuildError::Option(format!(
                "option `{name}` is unknown or impossible; there are `auth` (x-api-key, bearer), \
                 `version` (2023-06-01, 2026-10-21), `max_tokens` and `effort` (adaptive, budget, off)"
            )));
        }
        self.wire.build()
    }

    fn model_of<'a>(&'a self, call: &'a Call) -> &'a str {
        match &*call.model {
            "" => &self.model,
            named => named,
        }
    }

    /// What is posted, with the version and the trials its client asked for.
    fn post<'a>(&self, call: &'a Call, path: &'static str, body: Vec<u8>) -> Post<'a> {
        let mut post = Post::of(call, path, body);
        match call.body.native_in(Dialect::Anthropic) {
            Some(native) => {
                let headers = native.headers.iter();
                post.headers = headers
                    .map(|(name, value)| (*name, value.as_str()))
                    .collect();
            }
            None => post.headers.push((VERSION, self.defaults.version.as_str())),
        }
        post
    }
}

#[async_trait]
impl Provider for Anthropic {
    fn kind(&self) -> &'static str {
        "anthropic"
    }

    fn default_model(&self) -> &str {
        &self.model
    }

    fn uncarried(&self, body: &ChatBody) -> Vec<Uncarried> {
        unsupported(body, &self.defaults)
    }

    async fn generate(&self, call: Call) -> Result<Answer, Failure> {
        let watch = Watch::start(call.timeouts, call.stream);
        let model = self.model_of(&call);
        let is_native = call.body.native_in(Dialect::Anthropic).is_some();
        let sent = to_native(&call.body, model, call.stream, &self.defaults)
            .map_err(|given| untranslatable(&given))?;
        let response = self
            .wire
            .send(self.post(&call, "/messages", sent), &watch)
            .await
            .map_err(|failure| {
                if is_native {
                    failure
                } else {
                    in_openai_words(failure)
                }
            })?;
        let body = Body::of(response, watch);
        if call.stream {
            let form = match is_native {
                true => Form::AsCame(Dialect::Anthropic),
                false => Form::OpenAi(Head::new(model)),
            };
            let framed = (Framing::sse(), form);
            let key = self.wire.key.clone();
            return Ok(Answer::Stream(chunks(
                body,
                Decoder::default(),
                framed,
                key,
            )));
        }
        let raw = body.whole().await?;
        as_text(&raw)?;
        let said = decode::whole(&raw).map_err(|bad| garbled(&bad, &raw, &self.wire.key))?;
        let whole = Whole::of(said);
        Ok(Answer::Whole(match is_native {
            true => Completion {
                raw,
                dialect: Dialect::Anthropic,
                tap: whole.tap(),
            },
            false => Head::new(model).whole(&whole),
        }))
    }

    async fn count_tokens(&self, call: Call) -> Option<Result<u64, Failure>> {
        #[derive(Deserialize)]
        struct Counted {
            input_tokens: u64,
        }
        let native = call.body.native_in(Dialect::Anthropic)?;
        let watch = Watch::start(call.timeouts, false);
        let model = serde_json::value::to_raw_value(self.model_of(&call)).ok()?;
        let sent = native.object.to_bytes_with(&[("model", Some(model))]);
        let counted = async {
            let post = self.post(&call, "/messages/count_tokens", sent);
            let response = self.wire.send(post, &watch).await?;
            let raw = Body::of(response, watch.clone()).whole().await?;
            let counted: Counted = serde_json::from_slice(&raw)
                .map_err(|error| Failure::hard("upstream counted nothing", error))?;
            Ok(counted.input_tokens)
        };
        Some(counted.await)
    }

    async fn health(&self) -> Result<(), Failure> {
        self.wire.health("/models").await
    }
}

/// What the upstream got wrong inside a success. An error it reports is classed by its type.
fn garbled(bad: &Bad, raw: &Bytes, key: &KeyGuard) -> Failure {
    let message = bad.to_string();
    let failure = match bad {
        Bad::Reported { .. } => classify::reported(raw, message),
        Bad::Shape(_) | Bad::NotEnded => Failure::new(Class::Hard, message),
    };
    failure.struck(key)
}

fn error_body((kind, message): (&str, &str), param: Option<&str>, code: Option<&str>) -> Bytes {
    let error = json!({"message": message, "type": kind, "param": param, "code": code});
    Bytes::from(json!({"error": error}).to_string())
}

fn untranslatable(given: &Untranslatable) -> Failure {
    let message = given.to_string();
    let body = error_body(("invalid_request_error", &message), Some(given.param), None);
    Failure {
        status: Some(400),
        body,
        ..Failure::new(Class::Caller, message)
    }
}

/// The upstream's refusal in the shape OpenAI's clients expect.
fn in_openai_words(failure: Failure) -> Failure {
    #[derive(Deserialize)]
    struct Given {
        error: Told,
    }
    #[derive(Deserialize)]
    struct Told {
        #[serde(rename = "type")]
        kind: String,
        message: String,
    }
    if failure.class != Class::Caller {
        return failure;
    }
    let Ok(Given { error }) = serde_json::from_slice(&failure.body) else {
        return failure;
    };
    let (kind, code) = match error.kind.as_str() {
        "not_found_error" => ("invalid_request_error", Some("model_not_found")),
        "request_too_large" => ("invalid_request_error", Some("request_too_large")),
        _ if error.message.starts_with("prompt is too long") => {
            ("invalid_request_error", Some("context_length_exceeded"))
        }
        kind => (kind, None),
    };
    Failure {
        body: error_body((kind, &error.message), None, code),
        ..failure
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
