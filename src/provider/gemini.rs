//! Google's Gemini through its native API.

mod embed;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use secrecy::SecretString;
use serde_json::Value;

use super::key::KeyGuard;
use super::limits::Watch;
use super::translate::{self, Decode, Form, Framing};
use super::wire::body::Body;
use super::wire::{BuildError, KeyHeader, Post, Wire};
use super::{Answer, Call, CannotEmbed, Class, EmbedCall, Failure, Provider, classify};
use crate::dialect::carry::Uncarried;
use crate::dialect::gemini::{Bad, Decoder, decode, to_native, uncarried};
use crate::dialect::openai::ChatBody;
use crate::dialect::openai::build::Head;
use crate::types::{Embeddings, Event, Inputs};

/// Where Gemini is.
pub const DEFAULT_BASE: &str = "https://generativelanguage.googleapis.com/v1beta";

/// A Gemini model.
///
/// ```
/// use llm_router::provider::Gemini;
/// use secrecy::SecretString;
/// let cloud = Gemini::new("gemini-2.5-flash").api_key(SecretString::from("AIza..."));
/// ```
#[derive(Debug)]
pub struct Gemini {
    model: String,
    wire: Wire,
    options: BTreeMap<String, Value>,
}

impl Gemini {
    /// An upstream at [`DEFAULT_BASE`], asked for `model` where a call names none.
    pub fn new(model: impl Into<String>) -> Self {
        let mut wire = Wire::new(DEFAULT_BASE);
        wire.key_header = KeyHeader::Named("x-goog-api-key");
        Gemini {
            model: model.into(),
            wire,
            options: BTreeMap::new(),
        }
    }

    /// Where it is, the API's version included; only a trailing slash is trimmed.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.wire.base_url = url.into();
        self
    }

    /// Sent as `x-goog-api-key`; only over https, or to a private host.
    pub fn api_key(mut self, key: SecretString) -> Self {
        self.wire.key = KeyGuard::new(key);
        self
    }

    /// Fields of `generationConfig` for every request, and `safetySettings`, `cachedContent`,
    /// `labels` and `serviceTier`; a request's own parameters win.
    pub fn options(mut self, options: BTreeMap<String, Value>) -> Self {
        self.options = options;
        self
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
        self.wire.build()
    }

    fn asked<'a>(&'a self, model: &'a str) -> &'a str {
        if model.is_empty() { &self.model } else { model }
    }
}

#[async_trait]
impl Provider for Gemini {
    fn kind(&self) -> &'static str {
        "gemini"
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
        let sent = to_native(&call.body, model, &self.options).map_err(|part| untold(&part))?;
        let verb = if call.stream {
            "streamGenerateContent?alt=sse"
        } else {
            "generateContent"
        };
        let head = Head::new(model);
        let post = Post::of(&call, path(model, verb), sent);
        let response = self.wire.send(post, &watch).await?;
        let is_json = response
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
        let body = Body::of(response, watch);
        let key = self.wire.key.clone();
        if call.stream && !is_json {
            let form = (Framing::media(), Form::OpenAi(head));
            let chunks = translate::chunks(body, Decoder::default(), form, key);
            return Ok(Answer::Stream(chunks));
        }
        let raw = body.whole().await?;
        match decode::whole(&raw) {
            Ok(_) if call.stream => {
                let message = "upstream answered a stream request with a whole answer";
                Err(Failure::new(Class::Hard, message))
            }
            Ok(whole) => Ok(Answer::Whole(head.whole(&whole))),
            Err(bad) => Err(garbled(&bad, &raw).struck(&key)),
        }
    }

    async fn embed(&self, call: EmbedCall) -> Result<Embeddings, Failure> {
        let model = self.asked(&call.model);
        embed::embed(&self.wire, model, &call).await
    }

    fn embeds(&self) -> bool {
        true
    }

    fn embed_batch(&self) -> usize {
        100
    }

    fn cannot_embed(&self, inputs: &Inputs, _: Option<u32>) -> Option<CannotEmbed> {
        match inputs {
            Inputs::Texts(_) => None,
            Inputs::Tokens(_) => Some(CannotEmbed::These("takes no token ids".to_owned())),
        }
    }

    async fn health(&self) -> Result<(), Failure> {
        self.wire.health("/models?pageSize=1").await
    }
}

impl Decode for Decoder {
    fn message(&mut self, message: &[u8], said: &mut Vec<Event>) -> Result<(), Failure> {
        match self.message(message, said) {
            Ok(()) => Ok(()),
            Err(Bad::Shape(_)) if !translate::may_carry(message) => Ok(()),
            Err(bad) => Err(garbled(&bad, &Bytes::copy_from_slice(message))),
        }
    }

    fn is_done(&self) -> bool {
        self.is_done()
    }

    fn ended(&mut self, said: &mut Vec<Event>) {
        self.ended(said);
    }
}

/// What the upstream got wrong inside a success; texts may quote it.
fn garbled(bad: &Bad, raw: &Bytes) -> Failure {
    match bad {
        Bad::Error(_) => classify::reported(raw, bad.to_string()),
        Bad::Unsealed => refused(bad.to_string(), "messages"),
        Bad::Shape(_) | Bad::Broken(_) | Bad::NotDone => Failure::new(Class::Hard, bad.to_string()),
    }
}

/// The path of a method of a model: `models/m`, `tunedModels/m` and bare names alike.
fn path(model: &str, verb: &str) -> String {
    let mut path = String::from(if model.contains('/') { "/" } else { "/models/" });
    for byte in model.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'/' | b'@' => {
                path.push(char::from(byte));
            }
            other => path.push_str(&format!("%{other:02X}")),
        }
    }
    path + ":" + verb
}

fn untold(part: &Uncarried) -> Failure {
    let message = format!("this upstream cannot be told `{}`", part.param);
    refused(message, &part.param)
}

/// A mistake of the caller's that the upstream was not asked about, or said without a status.
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
