//! OpenAI Chat Completions, and everything compatible with it, Azure's included. Bytes in, bytes out.

mod embed;
mod manners;
mod responses;
pub(super) mod stream;
mod translated;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use secrecy::SecretString;
use serde_json::Value;

use super::key::KeyGuard;
use super::limits::Watch;
use super::wire::body::Body;
use super::wire::{BuildError, Post, Wire};
use super::{Answer, Call, Class, EmbedCall, Failure, Provider, classify};
use crate::dialect::carry::Uncarried;
use crate::dialect::openai::{Asking, ChatBody, tap};
use crate::types::{Dialect, Embeddings};
use manners::Manners;

/// Where OpenAI is.
pub const DEFAULT_BASE: &str = "https://api.openai.com/v1";

/// An OpenAI-compatible upstream.
///
/// ```
/// use llm_router::provider::OpenAi;
/// use secrecy::SecretString;
/// let cloud = OpenAi::new("gpt-4o").api_key(SecretString::from("sk-..."));
/// let local = OpenAi::new("qwen").base_url("http://127.0.0.1:8000/v1");
/// ```
///
/// Azure OpenAI is told by three words: the deployment in the address, and two options.
///
/// ```
/// # use std::collections::BTreeMap;
/// # use llm_router::provider::OpenAi;
/// let azure = OpenAi::new("gpt-4o")
///     .base_url("https://mine.openai.azure.com/openai/deployments/chat")
///     .options(BTreeMap::from([
///         ("api_version".to_owned(), "2025-04-01-preview".into()),
///         ("auth".to_owned(), "api-key".into()),
///     ]));
/// azure.check().unwrap();
/// ```
#[derive(Debug)]
pub struct OpenAi {
    model: String,
    wire: Wire,
    options: BTreeMap<String, Value>,
    /// How it wants to be asked; an error until [`OpenAi::check`] has said so.
    manners: Result<Manners, String>,
    /// It has the Responses API; what is said of it, or nothing.
    responses: Option<Value>,
}

impl OpenAi {
    /// An upstream at [`DEFAULT_BASE`], asked for `model` where a call names none.
    pub fn new(model: impl Into<String>) -> Self {
        OpenAi {
            model: model.into(),
            wire: Wire::new(DEFAULT_BASE),
            options: BTreeMap::new(),
            manners: Ok(Manners::default()),
            responses: None,
        }
    }

    /// Where it is, `/v1` included where there is one; only a trailing slash is trimmed.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.wire.base_url = url.into();
        self
    }

    /// Sent as `authorization: Bearer`; only over https, or to a private host.
    pub fn api_key(mut self, key: SecretString) -> Self {
        self.wire.key = KeyGuard::new(key);
        self
    }

    /// Fields added to every chat request that does not state them itself. Five are no fields but
    /// say how to ask: `api_version` goes into the address as `?api-version=`, `auth: api-key` sends
    /// the key in a header of that name, `stream_usage: false` leaves `stream_options` out, for
    /// servers that refuse it, `responses` says whether the upstream has the Responses API, as
    /// only OpenAI's own is taken to, and `strict` whether it refuses what OpenAI's own API does, as
    /// that and Azure's are taken to: requests of other dialects are then put in its words.
    pub fn options(mut self, mut options: BTreeMap<String, Value>) -> Self {
        self.responses = options.remove("responses");
        self.manners = Manners::taken_from(&mut options);
        if let Ok(manners) = &self.manners {
            self.wire.key_header = manners.key_header;
        }
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
        if self
            .responses
            .as_ref()
            .is_some_and(|said| !said.is_boolean())
        {
            let message = "option `responses` must be true or false";
            return Err(BuildError::Option(message.to_owned()));
        }
        match &self.manners {
            Ok(_) => self.wire.build(),
            Err(problem) => Err(BuildError::Option(problem.clone())),
        }
    }

    fn manners(&self) -> Result<&Manners, Failure> {
        self.manners
            .as_ref()
            .map_err(|problem| Failure::new(Class::Hard, problem.clone()))
    }

    fn model_of<'a>(&'a self, asked: &'a str) -> &'a str {
        if asked.is_empty() { &self.model } else { asked }
    }
}

/// What the upstream got wrong inside a success.
fn garbled(garbled: tap::Garbled, raw: &Bytes, key: &KeyGuard) -> Failure {
    let message = garbled.to_string();
    let failure = match garbled {
        tap::Garbled::Error(_) => classify::reported(raw, message),
        tap::Garbled::Shape(_) | tap::Garbled::NoChoice => Failure::new(Class::Hard, message),
    };
    failure.struck(key)
}

#[async_trait]
impl Provider for OpenAi {
    fn kind(&self) -> &'static str {
        "openai"
    }

    fn default_model(&self) -> &str {
        &self.model
    }

    fn uncarried(&self, body: &ChatBody) -> Vec<Uncarried> {
        if body.native_in(Dialect::Responses).is_some() && self.has_responses() {
            return Vec::new();
        }
        let mut lost = body.lost();
        if body.recalls_thinking() {
            lost.droppable("messages[].thinking");
        }
        for name in self.refused(body, &self.model) {
            lost.droppable(name);
        }
        lost.told()
    }

    async fn generate(&self, call: Call) -> Result<Answer, Failure> {
        if self.has_responses()
            && let Some(native) = call.body.native_in(Dialect::Responses)
        {
            return self.respond(native, &call).await;
        }
        let watch = Watch::start(call.timeouts, call.stream);
        let (manners, model) = (self.manners()?, self.model_of(&call.model));
        let sent = call.body.to_upstream_with(&Asking {
            model,
            stream: call.stream,
            counts: manners.stream_usage,
            defaults: &self.options,
            limit: self.limit(),
            without: &self.refused(&call.body, model),
        });
        let path = manners.path("/chat/completions");
        let response = self.wire.send(Post::of(&call, path, sent), &watch).await?;
        let is_json = response
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
        let body = Body::of(response, watch);
        if call.stream && !is_json {
            return Ok(Answer::Stream(stream::chunks(body, self.wire.key.clone())));
        }
        let raw = body.whole().await?;
        let completion =
            tap::completion(raw.clone()).map_err(|bad| garbled(bad, &raw, &self.wire.key))?;
        if call.stream {
            let message = "upstream answered a stream request with a whole answer";
            return Err(Failure::new(Class::Hard, message));
        }
        Ok(Answer::Whole(completion))
    }

    async fn embed(&self, call: EmbedCall) -> Result<Embeddings, Failure> {
        embed::embed(self, &call).await
    }

    fn embeds(&self) -> bool {
        true
    }

    fn embed_batch(&self) -> usize {
        2048
    }

    async fn health(&self) -> Result<(), Failure> {
        self.wire.health(&self.manners()?.path("/models")).await
    }
}

#[cfg(test)]
mod tests;
