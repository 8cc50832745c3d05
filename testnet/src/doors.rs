//! One question through any door of a node, and what is heard in the door's own dialect.
//!
//! An answer is read the way a strict client reads it: every break of the dialect's grammar is kept
//! beside it, so that a matrix can say not only what was answered but whether it may be said so.

mod at;
mod chat;
mod completions;
mod exchange;
mod grpc;
mod heard;
mod messages;
mod responses;

use std::time::Duration;

use serde_json::Value;

use crate::node::Node;
pub use at::At;
pub use heard::{Called, Ended, Heard, Outcome};

/// A way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`: text alone.
    Completions,
    /// `/v1/messages`.
    Messages,
    /// `/v1/responses`.
    Responses,
    /// `RouterService`.
    Grpc,
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// A model or route of the node.
    pub model: String,
    /// The user's words.
    pub prompt: String,
    /// Tools offered, named `f` and `g`; each wants a text `q`.
    pub tools: usize,
    /// As a stream.
    pub stream: bool,
    /// The model may think.
    pub thinking: bool,
    /// What was answered before, and the results of the tools called then.
    pub earlier: Option<(Heard, Vec<String>)>,
    /// How long to wait for all of it.
    pub limit: Duration,
    /// The cache may answer.
    pub cached: bool,
}

impl Question {
    /// A text for `model`.
    pub fn new(model: impl Into<String>, prompt: impl Into<String>) -> Self {
        Question {
            model: model.into(),
            prompt: prompt.into(),
            tools: 0,
            stream: false,
            thinking: false,
            earlier: None,
            limit: Duration::from_secs(20),
            cached: false,
        }
    }

    /// The same as a stream, or not.
    pub fn streamed(self, stream: bool) -> Self {
        Question { stream, ..self }
    }

    /// The same with so many tools offered.
    pub fn with_tools(self, tools: usize) -> Self {
        Question { tools, ..self }
    }

    /// The same for a model that thinks first.
    pub fn thinking(self) -> Self {
        Question {
            thinking: true,
            ..self
        }
    }

    /// The same question after `answer` and the results of its calls.
    pub fn after(self, answer: Heard, results: &[&str]) -> Self {
        let results = results.iter().map(|&result| result.to_owned()).collect();
        Question {
            earlier: Some((answer, results)),
            ..self
        }
    }

    /// The offered tools' names.
    fn tool_names(&self) -> impl Iterator<Item = &'static str> {
        ["f", "g"].into_iter().take(self.tools)
    }
}

/// The schema of a tool's arguments.
fn schema() -> Value {
    serde_json::json!({"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]})
}

impl Door {
    /// All of them.
    pub const ALL: [Door; 5] = [
        Door::Chat,
        Door::Completions,
        Door::Messages,
        Door::Responses,
        Door::Grpc,
    ];

    /// Its name in tables and arguments.
    pub fn name(self) -> &'static str {
        match self {
            Door::Chat => "chat",
            Door::Completions => "completions",
            Door::Messages => "messages",
            Door::Responses => "responses",
            Door::Grpc => "grpc",
        }
    }

    /// The one with this name.
    pub fn named(name: &str) -> Option<Door> {
        Door::ALL.into_iter().find(|door| door.name() == name)
    }

    /// Its dialect has tools.
    pub fn has_tools(self) -> bool {
        self != Door::Completions
    }

    /// Its dialect can hand a model's sealed thinking back to it.
    pub fn keeps_seals(self) -> bool {
        matches!(self, Door::Chat | Door::Messages)
    }

    /// The path and the body it is asked with over HTTP; `None` over gRPC.
    pub fn request(self, question: &Question) -> Option<(&'static str, Value)> {
        match self {
            Door::Chat => Some((chat::PATH, chat::body(question))),
            Door::Completions => Some((completions::PATH, completions::body(question))),
            Door::Messages => Some((messages::PATH, messages::body(question))),
            Door::Responses => Some((responses::PATH, responses::body(question))),
            Door::Grpc => None,
        }
    }

    /// Asks and reads all of the answer.
    pub async fn ask(self, node: &Node, question: &Question) -> Heard {
        match At::new(node.http_address(), node.grpc_address()) {
            Ok(at) => self.ask_at(&at, question).await,
            Err(error) => Heard {
                wrong: vec![format!("{error:#}")],
                ..Heard::default()
            },
        }
    }

    /// The same of a node that is not ours to start.
    pub async fn ask_at(self, at: &At, question: &Question) -> Heard {
        match self {
            Door::Chat => chat::ask(at, question).await,
            Door::Completions => completions::ask(at, question).await,
            Door::Messages => messages::ask(at, question).await,
            Door::Responses => responses::ask(at, question).await,
            Door::Grpc => grpc::ask(at, question).await,
        }
    }
}
