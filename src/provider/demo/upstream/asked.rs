//! A request as it reached the upstream: whose dialect it is in, and whether that would take it.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::place::{Place, Vectors};
use super::socket::Lever;
use super::speak::anthropic::{self, Anthropic};
use super::speak::gemini::{self, Gemini};
use super::speak::ollama::{self, Ollama};
use super::speak::openai::OpenAi;
use super::speak::responses::{self, Responses};
use super::speak::{Reason, Refusal, Speak};
use crate::dialect::json::raw;
use crate::dialect::openai::ChatBody;
use crate::dialect::openai::build::Head;
use crate::provider::demo::trouble::Orders;

/// What reached the upstream.
pub(super) struct Asked {
    pub(super) place: Place,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) lever: Arc<Lever>,
    pub(super) orders: Orders,
}

impl Asked {
    fn says(&self, name: &str, value: &str) -> bool {
        let pairs = self.query.split('&');
        pairs
            .filter_map(|pair| pair.split_once('='))
            .any(|pair| pair == (name, value))
    }

    /// The credential it carries, in whichever header its dialect allows.
    fn key(&self) -> Option<&str> {
        let text = |name: &str| self.headers.get(name).and_then(|value| value.to_str().ok());
        let bearer = text(AUTHORIZATION.as_str()).and_then(|v| v.strip_prefix("Bearer "));
        let own =
            text(self.place.key_header()).filter(|_| self.place.key_header() != "authorization");
        let in_query = self
            .query
            .split('&')
            .find_map(|pair| pair.strip_prefix("key="));
        let in_query = in_query.filter(|_| matches!(self.place, Place::Gemini { .. }));
        own.or(bearer).or(in_query).filter(|key| !key.is_empty())
    }

    fn version(&self) -> Option<&str> {
        let version = self.headers.get("anthropic-version")?;
        version.to_str().ok()
    }

    /// What is wrong with it before its body is looked at.
    pub(super) fn refusal(&self, wanted: Option<&str>) -> Option<Refusal> {
        let key = self.key();
        let keyless = key.is_none() && self.place.wants_key();
        if keyless || wanted.is_some_and(|wanted| key != Some(wanted)) {
            let problem = "no valid credential was given".to_owned();
            return Some(Refusal::new(401, Reason::Bad(problem, None)));
        }
        let azure = matches!(
            self.place,
            Place::Azure(_) | Place::Vectors(Vectors::Azure(_))
        );
        if azure
            && !self
                .query
                .split('&')
                .any(|pair| pair.starts_with("api-version=2"))
        {
            return Some(Refusal::new(
                404,
                Reason::Bad("Resource not found".to_owned(), None),
            ));
        }
        let anthropic = matches!(self.place, Place::Anthropic | Place::CountTokens);
        match self.version() {
            None if anthropic => Some(Refusal::bad("anthropic-version: header is required")),
            Some(version) if anthropic && !["2023-06-01", "2026-10-21"].contains(&version) => Some(
                Refusal::bad(format!("anthropic-version: {version} is not known")),
            ),
            Some(_) | None => None,
        }
    }

    /// The dialect of its answer.
    pub(super) fn speaker(&self, chat: Option<&ChatBody>) -> Box<dyn Speak> {
        let model = || chat.map(ChatBody::model).unwrap_or_default();
        match &self.place {
            Place::Azure(deployment) | Place::Vectors(Vectors::Azure(deployment)) => {
                Box::new(OpenAi {
                    head: Head::new(deployment),
                    usage: chat.is_some_and(ChatBody::wants_usage),
                    azure: true,
                })
            }
            Place::Responses => Box::new(Responses::new(model())),
            Place::Anthropic | Place::CountTokens => Box::new(Anthropic::new(model())),
            Place::Gemini { model, .. } | Place::Vectors(Vectors::Gemini { model, .. }) => {
                Box::new(Gemini::new(model.clone()))
            }
            Place::Ollama | Place::Vectors(Vectors::Ollama) => Box::new(Ollama::new(model())),
            Place::OpenAi
            | Place::Vectors(Vectors::OpenAi)
            | Place::Models
            | Place::OllamaVersion
            | Place::OllamaTags => Box::new(OpenAi {
                head: Head::new(model()),
                usage: chat.is_some_and(ChatBody::wants_usage),
                azure: false,
            }),
        }
    }

    pub(super) fn chat(&self) -> Result<ChatBody, Refusal> {
        let version = self.version().unwrap_or("");
        Ok(match &self.place {
            Place::Anthropic => anthropic::read(&self.body, version, false)?,
            Place::CountTokens => anthropic::read(&self.body, version, true)?,
            Place::Gemini { model, .. } => gemini::read(&self.body, model)?,
            Place::Ollama => ollama::read(&self.body)?,
            Place::Responses => responses::read(&self.body)?,
            Place::Azure(deployment) => {
                ChatBody::parse(&self.body)?.with("model", raw(deployment))?
            }
            Place::OpenAi
            | Place::Vectors(_)
            | Place::Models
            | Place::OllamaVersion
            | Place::OllamaTags => ChatBody::parse(&self.body)?,
        })
    }

    /// Gemini streams a JSON array unless told otherwise; a short answer is an array of one.
    pub(super) fn wants_array(&self) -> bool {
        matches!(self.place, Place::Gemini { .. }) && !self.says("alt", "sse")
    }

    pub(super) fn wants_stream(&self, chat: &ChatBody) -> bool {
        match &self.place {
            Place::Gemini { stream, .. } => *stream,
            Place::Ollama => chat.object().read("stream").unwrap_or(true),
            Place::OpenAi
            | Place::Azure(_)
            | Place::Responses
            | Place::Anthropic
            | Place::CountTokens
            | Place::Vectors(_)
            | Place::Models
            | Place::OllamaVersion
            | Place::OllamaTags => chat.wants_stream(),
        }
    }
}
