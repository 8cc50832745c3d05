//! Built-in models without a network, chosen by name. For the first five minutes, for tests, and
//! as the answers of [`upstream::Upstream`], which serves them over a real wire.
//!
//! | model | answers with |
//! |---|---|
//! | `echo` | the last user message, word by word |
//! | `lorem` | seeded text, `tokens` words of it |
//! | `tools` | a call of the first tool offered; text when there is none, or after its result |
//! | `parallel` | the same with two calls at once |
//! | `thinking` | sealed thinking first, then a call where a tool is offered, else an echo |
//! | `flaky` | an echo, except when its options make it fail: see [`Fault`] |
//!
//! Everything is counted in words, and the same seed gives the same answer, the same delays and
//! the same failures.
//!
//! ```
//! use llm_router::provider::Demo;
//! let slow = Demo::new("echo").option("tokens_per_second", 50).option("first_token_ms", 200);
//! let broken = Demo::new("flaky").option("fail_first", 5).option("status", 503);
//! ```

pub mod fault;
mod play;
mod script;
mod settings;
pub mod trouble;
pub mod upstream;
mod words;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::try_unfold;
use http::HeaderMap;
use serde_json::{Value, json};

use super::limits::{Phase, Watch};
use super::openai::stream::CUT_OFF;
use super::{Answer, BuildError, Call, ChunkStream, Class, Failure, Provider, classify};
use crate::dialect::openai::build::Head;
use crate::dialect::whole::{Call as Spoken, Thought, Whole};
use crate::types::{Chunk, Completion, Event, Moment};
pub use fault::Fault;
use play::{Play, Step};
use script::{Called, Script};
use settings::Settings;

/// The models there are.
pub const MODELS: [&str; 6] = ["echo", "lorem", "tools", "parallel", "thinking", "flaky"];

/// A built-in model.
#[derive(Debug)]
pub struct Demo {
    model: String,
    options: BTreeMap<String, Value>,
    settings: Result<Settings, String>,
    calls: AtomicU64,
}

impl Demo {
    /// One of [`MODELS`], with default options.
    pub fn new(model: impl Into<String>) -> Self {
        Demo {
            model: model.into(),
            options: BTreeMap::new(),
            settings: Ok(Settings::default()),
            calls: AtomicU64::new(0),
        }
    }

    /// Sets one option. All models: `latency_ms`, `latency_jitter_ms` (both before the answer's
    /// head), `first_token_ms`, `tokens_per_second`, `seed`. `lorem`: `tokens`. `flaky`:
    /// `fail_rate`, `fail_first`, `error_kind` (`connect`, `status`, `cut`, `hang`, `garbled`),
    /// `status`, `retry_after_s`, `cut_after_tokens`, `hang_ms`.
    pub fn option(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.options.insert(name.into(), value.into());
        self.settings = Settings::read(&self.options);
        self
    }

    /// Replaces all options.
    pub fn options(mut self, options: BTreeMap<String, Value>) -> Self {
        self.settings = Settings::read(&options);
        self.options = options;
        self
    }

    /// Checks model and options now rather than at the first call.
    ///
    /// # Errors
    /// [`BuildError::Option`] names what is unknown or out of bounds.
    pub fn check(&self) -> Result<(), BuildError> {
        if !MODELS.contains(&self.model.as_str()) {
            let known = MODELS.join(", ");
            return Err(BuildError::Option(format!(
                "unknown demo model, expected one of {known}"
            )));
        }
        self.settings
            .as_ref()
            .map(|_| ())
            .map_err(|problem| BuildError::Option(problem.clone()))
    }
}

#[async_trait]
impl Provider for Demo {
    fn kind(&self) -> &'static str {
        "demo"
    }

    fn default_model(&self) -> &str {
        &self.model
    }

    async fn generate(&self, call: Call) -> Result<Answer, Failure> {
        let watch = Watch::start(call.timeouts, call.stream);
        let nth = self.calls.fetch_add(1, Ordering::Relaxed);
        let settings = self
            .settings
            .clone()
            .map_err(|problem| Failure::new(Class::Hard, problem))?;
        let model = if call.model.is_empty() {
            self.model.as_str()
        } else {
            &call.model
        };
        let script = Script::write(model, &call.body, &settings).ok_or_else(unknown_model)?;
        let fault = if model == "flaky" {
            settings.fault(nth)
        } else {
            Fault::None
        };
        let pace = settings.pace(nth);
        let waited = watch.bound(Phase::Head, async {
            pause(pace.latency).await;
            fault_before_head(&fault).await
        });
        waited.await??;
        let head = Head::new(model);
        let play = Play::start(script, pace);
        let cut_after = match fault {
            Fault::Cut { after_tokens } => Some(after_tokens),
            Fault::None
            | Fault::Connect
            | Fault::Status { .. }
            | Fault::Hang { .. }
            | Fault::Garbled => None,
        };
        let running = Running {
            play,
            head,
            watch,
            cut_after,
            said: 0,
        };
        if call.stream {
            return Ok(Answer::Stream(running.chunks()));
        }
        Ok(Answer::Whole(running.whole().await?))
    }

    async fn health(&self) -> Result<(), Failure> {
        Ok(())
    }
}

async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep_until((Moment::now() + time).to_instant()).await;
    }
}

fn unknown_model() -> Failure {
    let message = "the demo provider has no such model";
    let error = json!({"message": message, "type": "invalid_request_error", "param": "model",
                       "code": "model_not_found"});
    let body = Bytes::from(json!({"error": error}).to_string());
    Failure {
        status: Some(404),
        body,
        ..Failure::new(Class::Caller, message)
    }
}

/// Faults that show before the first byte of an answer.
async fn fault_before_head(fault: &Fault) -> Result<(), Failure> {
    match fault {
        Fault::None | Fault::Cut { .. } => Ok(()),
        Fault::Connect => Err(Failure::new(Class::Hard, "connection refused")),
        Fault::Status {
            status,
            retry_after_s,
        } => {
            let mut headers = HeaderMap::new();
            if let Some(seconds) = retry_after_s {
                headers.insert("retry-after", (*seconds).into());
            }
            let body = Bytes::from(fault::error_body(*status));
            Err(classify::status(*status, &headers, body, 0))
        }
        Fault::Hang { millis } => {
            pause(Duration::from_millis(*millis)).await;
            Err(Failure::new(Class::Hard, "connection reset"))
        }
        Fault::Garbled => {
            let message = "upstream sent something that is not an OpenAI answer: a page of html";
            Err(Failure::new(Class::Hard, message))
        }
    }
}

/// One answer being given.
struct Running {
    play: Play,
    head: Head,
    watch: Watch,
    cut_after: Option<u64>,
    said: u64,
}

impl Running {
    /// The next step, unless a limit passes or the answer is to be cut here.
    async fn step(&mut self) -> Result<Option<Step>, Failure> {
        if self.cut_after.is_some_and(|tokens| self.said >= tokens) {
            return Err(Failure::new(Class::Hard, CUT_OFF));
        }
        let step = self.watch.bound(Phase::Piece, self.play.next()).await?;
        self.watch.piece();
        if let Some(step) = &step {
            self.said += u64::from(step.is_said());
            if step.is_said() || matches!(step, Step::Finish(_)) {
                self.watch.first_token();
            }
        }
        Ok(step)
    }

    fn chunks(self) -> ChunkStream {
        try_unfold(self, |mut running| async move {
            let step = running.step().await?;
            Ok(step.map(|step| (chunk(&running.head, step), running)))
        })
        .boxed()
    }

    async fn whole(self) -> Result<Completion, Failure> {
        if self.cut_after.is_some() {
            let message = "connection closed before the answer was complete";
            return Err(Failure::new(Class::Hard, message));
        }
        let ready = self.play.ready_at();
        self.watch
            .bound(Phase::Head, tokio::time::sleep_until(ready.to_instant()))
            .await?;
        Ok(completion(&self.head, self.play.script()))
    }
}

/// A step as OpenAI's streams show it.
fn chunk(head: &Head, step: Step) -> Chunk {
    match step {
        Step::Role => head.role(),
        Step::Thinking(word) => head.said(&Event::Thinking(word)),
        Step::Signature(signature) => head.said(&Event::Signature(signature)),
        Step::Word(word) => head.text(&word),
        Step::CallBegins(index, call) => head.said(&Event::ToolCall {
            index,
            id: call.id,
            name: call.name,
            signature: None,
        }),
        Step::CallContinues(index, json) => head.said(&Event::Arguments { index, json }),
        Step::Finish(finish) => head.finish(finish),
        Step::Usage(usage) => head.usage(usage),
    }
}

/// A whole script as OpenAI's answer.
fn completion(head: &Head, script: &Script) -> Completion {
    let call = |called: &Called| Spoken {
        id: called.id.clone(),
        name: called.name.clone(),
        arguments: called.arguments.clone(),
        signature: None,
    };
    let thought = |thought: &script::Thought| Thought::Plain {
        text: thought.text.clone(),
        signature: Some(thought.signature.clone()),
    };
    head.whole(&Whole {
        text: script.text.clone(),
        thoughts: script.thought.iter().map(thought).collect(),
        calls: script.calls.iter().map(call).collect(),
        finish: Some(script.finish),
        usage: Some(script.usage),
        ..Whole::default()
    })
}

#[cfg(test)]
mod tests;
