//! One chat request, from outside ([`Request`], for embedders) and inside ([`ChatRequest`]).

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::clock::Moment;
use super::name::{RequestId, TenantId};
use super::priority::Priority;
use crate::dialect::openai::ChatBody;

/// What a request allows the cache to do: `x-llm-router-cache`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheMode {
    /// Both tiers may answer.
    #[default]
    On,
    /// Only an identical request may answer.
    Exact,
    /// Neither read nor written.
    Off,
    /// Not read, but written: the next one finds a fresh answer.
    Refresh,
}

impl FromStr for CacheMode {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text.trim().to_ascii_lowercase().as_str() {
            "on" => Ok(CacheMode::On),
            "exact" => Ok(CacheMode::Exact),
            "off" => Ok(CacheMode::Off),
            "refresh" => Ok(CacheMode::Refresh),
            _ => Err(()),
        }
    }
}

/// What routing reads off a request. Computed once, at the door.
#[derive(Clone, Debug, Default)]
pub struct Features {
    /// Estimated prompt tokens (about four bytes of text each).
    pub prompt_tokens: u64,
    /// Most tokens the answer may have, when the client said.
    pub max_output_tokens: Option<u64>,
    /// Text of all messages, joined by newlines, for `contains` and `regex`.
    pub text: Arc<str>,
    /// Tools are offered.
    pub has_tools: bool,
    /// A message holds an image.
    pub has_images: bool,
    /// The answer is to follow a JSON schema.
    pub wants_json_schema: bool,
    /// The body's `user` field.
    pub user: Option<String>,
}

/// A request as every door hands it to [`crate::inference::Engine`].
#[derive(Clone, Debug)]
pub struct ChatRequest {
    /// `x-request-id`.
    pub id: RequestId,
    /// Who pays.
    pub tenant: TenantId,
    /// Admission level.
    pub priority: Priority,
    /// The name the client asked for; `auto` lets the routes decide.
    pub model: Arc<str>,
    /// `x-llm-router-tags`.
    pub tags: Vec<(String, String)>,
    /// `x-llm-router-cache`.
    pub cache: CacheMode,
    /// `x-llm-router-cache-threshold`: no answer less similar than this is reused by meaning. A
    /// caller can only ask for more than the route does.
    pub min_similarity: Option<f32>,
    /// When the client stops waiting.
    pub deadline: Moment,
    /// The OpenAI-shaped body, fields kept as they came.
    pub body: Arc<ChatBody>,
    /// The client wants a stream.
    pub stream: bool,
    /// The client asked for usage in the stream.
    pub include_usage: bool,
    /// What routing reads.
    pub features: Features,
}

/// A request of the embedding application.
///
/// ```
/// use llm_router::{Priority, Request};
/// let request = Request::prompt("What is the capital of France?").priority(Priority::High);
/// ```
#[derive(Clone, Debug)]
pub struct Request {
    pub(crate) messages: Vec<(String, String)>,
    pub(crate) model: String,
    pub(crate) priority: Priority,
    pub(crate) tenant: TenantId,
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) cache: CacheMode,
    pub(crate) min_similarity: Option<f32>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) temperature: Option<f64>,
    pub(crate) max_tokens: Option<u64>,
}

impl Request {
    /// A single user message, routed automatically.
    pub fn prompt(text: impl Into<String>) -> Self {
        Request {
            messages: vec![("user".to_owned(), text.into())],
            model: "auto".to_owned(),
            priority: Priority::default(),
            tenant: TenantId::default(),
            tags: Vec::new(),
            cache: CacheMode::default(),
            min_similarity: None,
            timeout: None,
            temperature: None,
            max_tokens: None,
        }
    }

    /// Puts a system message in front.
    pub fn system(mut self, text: impl Into<String>) -> Self {
        self.messages.insert(0, ("system".to_owned(), text.into()));
        self
    }

    /// Appends a message with any role.
    pub fn message(mut self, role: impl Into<String>, text: impl Into<String>) -> Self {
        self.messages.push((role.into(), text.into()));
        self
    }

    /// Asks for a model, route or alias by name.
    pub fn model(mut self, name: impl Into<String>) -> Self {
        self.model = name.into();
        self
    }

    /// Sets the admission level.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Sets who pays.
    pub fn tenant(mut self, tenant: impl Into<TenantId>) -> Self {
        self.tenant = tenant.into();
        self
    }

    /// Adds a tag that rules can match.
    pub fn tag(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.push((name.into(), value.into()));
        self
    }

    /// Sets what the cache may do.
    pub fn cache(mut self, mode: CacheMode) -> Self {
        self.cache = mode;
        self
    }

    /// Least cosine, 0 to 1, of an answer reused by meaning; less than the route asks for changes
    /// nothing.
    pub fn min_similarity(mut self, least: f32) -> Self {
        self.min_similarity = Some(least);
        self
    }

    /// Gives up after this long.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sampling temperature; answers above the cache's `max_temperature` are never reused.
    pub fn temperature(mut self, temperature: f64) -> Self {
        self.temperature = Some(temperature);
        self
    }

    /// Limits the answer's length in tokens.
    pub fn max_tokens(mut self, tokens: u64) -> Self {
        self.max_tokens = Some(tokens);
        self
    }
}
