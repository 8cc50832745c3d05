//! Ollama through its native API: `options`, `keep_alive` and `think` reach it.

mod stream;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::key::KeyGuard;
use super::limits::Watch;
use super::wire::body::Body;
use super::wire::{BuildError, Wire};
use super::{Answer, Call, CannotEmbed, Class, Failure, Provider};
use crate::dialect::carry::Uncarried;
use crate::dialect::ollama::{Bad, Untranslatable, answer, to_native, unsupported};
use crate::dialect::openai::ChatBody;
use crate::dialect::openai::build::Head;
use crate::types::Inputs;

/// Where Ollama listens on this machine.
pub const DEFAULT_BASE: &str = "http://127.0.0.1:11434";

/// An Ollama server.
///
/// ```
/// use llm_router::provider::Ollama;
/// let local = Ollama::new("qwen2.5:3b").option("num_ctx", 8192);
/// ```
#[derive(Debug)]
pub struct Ollama {
    model: String,
    wire: Wire,
    options: BTreeMap<String, Value>,
}

impl Ollama {
    /// A server at [`DEFAULT_BASE`], asked for `model` where a call names none.
    pub fn new(model: impl Into<String>) -> Self {
        Ollama {
            model: model.into(),
            wire: Wire::new(DEFAULT_BASE),
            options: BTreeMap::new(),
        }
    }

    /// Where it is, without `/api`.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.wire.base_url = url.into();
        self
    }

    /// Sent as `authorization: Bearer`; only over https, or to a private host.
    pub fn api_key(mut self, key: SecretString) -> Self {
        self.wire.key = KeyGuard::new(key);
        self
    }

    /// Ollama's `options` for every request; a request's own parameters win.
    pub fn options(mut self, options: BTreeMap<String, Value>) -> Self {
        self.options = options;
        self
    }

    /// One of the `options`.
    pub fn option(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.options.insert(name.into(), value.into());
        self
    }

    /// How long TCP and TLS may take; 5 s when not said.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.wire.connect_timeout = limit;
        self
    }

    /// Path below the server's origin that health checks ask for; `/api/version` when not said.
    pub fn health_path(mut self, path: impl Into<String>) -> Self {
        self.wire.health_path = Some(path.into());
        self
    }

    /// Checks the settings now rather than at the first call.
    ///
    /// # Errors
    /// [`BuildError`] names the setting at fault.
    pub fn check(&self) -> Result<(), BuildError> {
        self.wire.build()
    }
}

#[async_trait]
impl Provider for Ollama {
    fn kind(&self) -> &'static str {
        "ollama"
    }

    fn default_model(&self) -> &str {
        &self.model
    }

    fn uncarried(&self, body: &ChatBody) -> Vec<Uncarried> {
        let mut uncarried = body.untranslated().to_vec();
        uncarried.extend(unsupported(body).into_iter().map(Uncarried::droppable));
        uncarried
    }

    async fn generate(&self, call: Call) -> Result<Answer, Failure> {
        let watch = Watch::start(call.timeouts, call.stream);
        let model = if call.model.is_empty() {
            self.model.as_str()
        } else {
            &call.model
        };
        let sent = to_native(&call.body, model, call.stream, &self.options)
            .map_err(|given| untranslatable(&given))?;
        let head = Head::new(model);
        let response = self
            .wire
            .post("/api/chat", sent, &call, &watch)
            .await
            .map_err(in_openai_words)?;
        let body = Body::of(response, watch);
        if call.stream {
            return Ok(Answer::Stream(stream::chunks(
                body,
                head,
                self.wire.key.clone(),
            )));
        }
        let raw = body.whole().await?;
        let completion = answer::whole(&head, &raw).map_err(|bad| garbled(&bad, &self.wire.key))?;
        Ok(Answer::Whole(completion))
    }

    fn embeds(&self) -> bool {
        true
    }

    fn embed_batch(&self) -> usize {
        512
    }

    fn cannot_embed(&self, inputs: &Inputs, _: Option<u32>) -> Option<CannotEmbed> {
        match inputs {
            Inputs::Texts(_) => None,
            Inputs::Tokens(_) => Some(CannotEmbed::These("takes no token ids".to_owned())),
        }
    }

    async fn health(&self) -> Result<(), Failure> {
        self.wire.health("/api/version").await
    }
}

/// What the upstream got wrong inside a success.
fn garbled(bad: &Bad, key: &KeyGuard) -> Failure {
    Failure::new(Class::Hard, key.strike_out_text(bad.to_string()))
}

fn error_body(message: &str, param: Option<&str>) -> Bytes {
    let error =
        json!({"message": message, "type": "invalid_request_error", "param": param, "code": null});
    Bytes::from(json!({"error": error}).to_string())
}

fn untranslatable(given: &Untranslatable) -> Failure {
    let message = given.to_string();
    let body = error_body(&message, Some(given.param));
    Failure {
        status: Some(400),
        body,
        ..Failure::new(Class::Caller, message)
    }
}

/// Ollama's `{"error": "text"}` as the object OpenAI's clients expect.
fn in_openai_words(failure: Failure) -> Failure {
    if failure.class != Class::Caller {
        return failure;
    }
    let Ok(given) = serde_json::from_slice::<Value>(&failure.body) else {
        return failure;
    };
    match given.get("error").and_then(Value::as_str) {
        Some(text) => Failure {
            body: error_body(text, None),
            ..failure
        },
        None => failure,
    }
}

#[cfg(test)]
mod tests;
