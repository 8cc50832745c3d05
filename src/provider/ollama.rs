//! Ollama through its native API: `options`, `keep_alive` and `think` reach it.

mod embed;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use serde_json::Value;

use super::key::KeyGuard;
use super::limits::Watch;
use super::translate::{self, Decode, Form, Framing};
use super::wire::body::Body;
use super::wire::{BuildError, Wire};
use super::{Answer, Call, CannotEmbed, Class, EmbedCall, Failure, Provider, classify};
use crate::dialect::carry::Uncarried;
use crate::dialect::ollama::{Bad, Decoder, Untranslatable, answer, to_native, uncarried};
use crate::dialect::openai::ChatBody;
use crate::dialect::openai::build::Head;
use crate::types::{Embeddings, Event, Inputs};

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

    fn asked<'a>(&'a self, model: &'a str) -> &'a str {
        if model.is_empty() { &self.model } else { model }
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
        uncarried(body)
    }

    async fn generate(&self, call: Call) -> Result<Answer, Failure> {
        let watch = Watch::start(call.timeouts, call.stream);
        let model = self.asked(&call.model);
        let sent = to_native(&call.body, model, call.stream, &self.options)
            .map_err(|given| untranslatable(&given))?;
        let head = Head::new(model);
        let response = self.wire.post("/api/chat", sent, &call, &watch).await?;
        let body = Body::of(response, watch);
        let key = self.wire.key.clone();
        if call.stream {
            let form = (Framing::lines(), Form::OpenAi(head));
            let chunks = translate::chunks(body, Decoder::default(), form, key);
            return Ok(Answer::Stream(chunks));
        }
        let raw = body.whole().await?;
        match answer::whole(&raw) {
            Ok(whole) => Ok(Answer::Whole(head.whole(&whole))),
            Err(bad) => Err(garbled(&bad).struck(&key)),
        }
    }

    async fn embed(&self, call: EmbedCall) -> Result<Embeddings, Failure> {
        embed::embed(self, &call).await
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

impl Decode for Decoder {
    /// A line is a message: unlike events, lines have no room for noise between them.
    fn message(&mut self, message: &[u8], said: &mut Vec<Event>) -> Result<(), Failure> {
        self.line(message, said).map_err(|bad| garbled(&bad))
    }

    fn is_done(&self) -> bool {
        self.is_done()
    }
}

/// What the upstream got wrong inside a success; its text may quote the upstream.
fn garbled(bad: &Bad) -> Failure {
    Failure::new(Class::Hard, bad.to_string())
}

fn untranslatable(given: &Untranslatable) -> Failure {
    refused(given.to_string(), given.param)
}

/// A mistake of the caller's that the upstream was not asked about.
fn refused(message: String, param: &str) -> Failure {
    let body = classify::told(&message, "invalid_request_error", (Some(param), None));
    Failure {
        status: Some(400),
        body,
        ..Failure::new(Class::Caller, message)
    }
}

#[cfg(test)]
mod tests;
