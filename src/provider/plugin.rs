//! A model of the operator's own, in a process of its own: anything that serves
//! `llm_router.plugin.v1.BackendService` over gRPC.
//!
//! The question travels as the OpenAI-shaped request it is inside the node, so nothing of it is
//! lost; the answer comes as events. What the plugin says of itself (`Described`) is asked for
//! before the first attempt, with every health check and after a lost connection, and guides
//! planning alone: a plugin may still refuse what it is sent.

mod described;
mod line;
mod status;
mod stream;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::RwLock;
use secrecy::SecretString;
use serde_json::Value;
use tonic::Code;

use self::described::Described;
use self::line::Line;
use self::status::Unheard;
use self::stream::Listening;
use self::wire::call::{Asked, AskedVectors};
use super::key::KeyGuard;
use super::limits::{Phase, Watch};
use super::{Answer, BuildError, Call, Class, EmbedCall, Failure, Provider};
use crate::dialect::carry::Uncarried;
use crate::dialect::json::raw;
use crate::dialect::openai::ChatBody;
use crate::dialect::openai::build::Head;
use crate::types::{Embeddings, Moment};

/// How long a health check, or the question what is there, may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A process that serves `BackendService`.
///
/// ```
/// use llm_router::provider::Plugin;
/// let own = Plugin::new("anything").base_url("http://127.0.0.1:9000");
/// let beside = Plugin::new("anything").base_url("unix:/run/own-model.sock");
/// ```
#[derive(Debug)]
pub struct Plugin {
    model: String,
    line: Line,
    options: BTreeMap<String, Value>,
    described: RwLock<Option<Arc<Described>>>,
}

impl Plugin {
    /// A plugin asked for `model` where a call names none. Where it is has to be said.
    pub fn new(model: impl Into<String>) -> Self {
        Plugin {
            model: model.into(),
            line: Line::default(),
            options: BTreeMap::new(),
            described: RwLock::new(None),
        }
    }

    /// `http://host:port`, `https://host:port` or `unix:/path`.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.line.base_url = url.into();
        self
    }

    /// Sent as `authorization: Bearer`; only over https, or to a private host.
    pub fn api_key(mut self, key: SecretString) -> Self {
        self.line.key = KeyGuard::new(key);
        self
    }

    /// Fields for every request that does not have them itself.
    pub fn options(mut self, options: BTreeMap<String, Value>) -> Self {
        self.options = options;
        self
    }

    /// How long connecting may take; 5 s when not said.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.line.connect_timeout = limit;
        self
    }

    /// Checks the settings now rather than at the first call.
    ///
    /// # Errors
    /// [`BuildError`] names the setting at fault.
    pub fn check(&self) -> Result<(), BuildError> {
        self.line.check()
    }

    fn asked_for<'a>(&'a self, model: &'a str) -> &'a str {
        if model.is_empty() { &self.model } else { model }
    }

    /// The caller's bytes, with this model's options where the caller leaves a field out.
    fn question(&self, body: &ChatBody) -> Bytes {
        let object = body.object();
        let owned = ["model", "messages", "stream"];
        let missing = self
            .options
            .iter()
            .filter(|(name, _)| !owned.contains(&name.as_str()) && object.get(name).is_none());
        let added = missing.map(|(name, value)| (name.as_str(), Some(raw(value))));
        let changed: Vec<_> = added.collect();
        Bytes::from(object.to_bytes_with(&changed))
    }

    /// What is there, asked for where it is not known. A plugin that does not say is taken to be
    /// capable of everything; one that cannot be reached fails the attempt here.
    async fn describe_once(&self) -> Result<(), Failure> {
        if self.described.read().is_some() {
            return Ok(());
        }
        match self.describe().await {
            Ok(_) => Ok(()),
            Err(Unheard::Status(status)) if status.code() != Code::Unavailable => Ok(()),
            Err(unheard) => Err(self.failed(unheard)),
        }
    }

    async fn describe(&self) -> Result<Arc<Described>, Unheard> {
        let line = self.line.ready()?;
        let asked = wire::call::describe(line.channel(), line.metadata(None));
        let described = tokio::time::timeout(PATIENCE, asked)
            .await
            .map_err(|_| Unheard::Slow("no description within 5s".to_owned()))?;
        let described = match described {
            Err(unheard) if unheard.is_unknown_call() => Ok(Described::default()),
            described => described,
        };
        let described = Arc::new(described?);
        *self.described.write() = Some(Arc::clone(&described));
        Ok(described)
    }

    /// The call is not there, whatever was described: planning knows until it is described anew.
    fn lacks_embed(&self) {
        if let Some(described) = self.described.write().as_mut() {
            Arc::make_mut(described).embeddings = Some(false);
        }
    }

    /// What an attempt's failure means. A plugin that was lost may come back as another one.
    fn failed(&self, unheard: Unheard) -> Failure {
        if unheard.is_lost() {
            *self.described.write() = None;
        }
        unheard.into_failure(&self.line.key, self.line.connect_timeout)
    }
}

#[async_trait]
impl Provider for Plugin {
    fn kind(&self) -> &'static str {
        "plugin"
    }

    fn default_model(&self) -> &str {
        &self.model
    }

    fn uncarried(&self, body: &ChatBody) -> Vec<Uncarried> {
        let mut lost = body.lost();
        if let Some(described) = self.described.read().as_ref() {
            described.lost(body, &mut lost);
        }
        lost.told()
    }

    async fn generate(&self, call: Call) -> Result<Answer, Failure> {
        let watch = Watch::start(call.timeouts, call.stream);
        watch.bound(Phase::Head, self.describe_once()).await??;
        let model = self.asked_for(&call.model);
        let asked = Asked {
            attempt_id: attempt_id(),
            model: model.to_owned(),
            request: self.question(&call.body),
            stream: call.stream,
            left: left(call.deadline, call.timeouts.total),
            traceparent: call.traceparent.unwrap_or_default(),
        };
        let line = self.line.ready().map_err(|unheard| self.failed(unheard))?;
        let metadata = line.metadata(Some(&asked.traceparent));
        let opened = wire::call::generate(line.channel(), asked, metadata);
        let said = watch
            .bound(Phase::Head, opened)
            .await?
            .map_err(|unheard| self.failed(unheard))?;
        let listening = Listening::new(said, watch, &self.line);
        let head = Head::new(model);
        if call.stream {
            return Ok(Answer::Stream(stream::chunks(listening, head)));
        }
        Ok(Answer::Whole(stream::whole(listening, &head).await?))
    }

    fn embeds(&self) -> bool {
        let described = self.described.read();
        described
            .as_ref()
            .is_none_or(|described| described.embeds())
    }

    async fn embed(&self, call: EmbedCall) -> Result<Embeddings, Failure> {
        let watch = Watch::start(call.timeouts, false);
        watch.bound(Phase::Head, self.describe_once()).await??;
        if !self.embeds() {
            return Err(makes_no_embeddings());
        }
        let asked = AskedVectors {
            attempt_id: attempt_id(),
            model: self.asked_for(&call.model).to_owned(),
            left: left(call.deadline, call.timeouts.total),
            call: &call,
        };
        let line = self.line.ready().map_err(|unheard| self.failed(unheard))?;
        let metadata = line.metadata(call.traceparent.as_deref());
        let asked = wire::call::embed(line.channel(), asked, metadata);
        let answer = watch.bound(Phase::Head, asked).await?;
        answer.map_err(|unheard| {
            if unheard.is_unknown_call() {
                self.lacks_embed();
                makes_no_embeddings()
            } else {
                self.failed(unheard)
            }
        })
    }

    async fn health(&self) -> Result<(), Failure> {
        let line = self.line.ready().map_err(|unheard| self.failed(unheard))?;
        let asked = wire::call::health(line.channel(), line.metadata(None));
        let answer = tokio::time::timeout(PATIENCE, asked)
            .await
            .map_err(|_| Failure::timed_out("no answer to a health check within 5s"))?;
        match answer {
            Ok(()) => {}
            Err(unheard) if unheard.is_unknown_call() => {}
            Err(unheard) => return Err(self.failed(unheard)),
        }
        let described = self.describe().await.map_err(|lost| self.failed(lost))?;
        if described.serves(&self.model) {
            return Ok(());
        }
        let message = "the plugin does not serve this model";
        Err(Failure::new(Class::Hard, message))
    }
}

/// What is left of the caller's patience, and of the attempt's.
fn left(deadline: Moment, total: Duration) -> Duration {
    Moment::now().until(deadline).min(total)
}

fn attempt_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// A model that does may be next: to the caller this one is not there.
fn makes_no_embeddings() -> Failure {
    let message = "this plugin makes no embeddings";
    Failure {
        status: Some(404),
        body: status::error_body(message, Some("model"), None),
        ..Failure::new(Class::Caller, message)
    }
}

#[cfg(test)]
mod tests;
