//! What a plugin says of itself, and which requests it therefore cannot be told.

use crate::dialect::lost::{Lost, shown};
use crate::dialect::openai::ChatBody;
use crate::dialect::openai::request::Message;

/// What a plugin says of itself. What it does not say is assumed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Described {
    /// Models that may be asked for; any where there are none.
    pub(super) models: Vec<String>,
    pub(super) tools: Option<bool>,
    pub(super) vision: Option<bool>,
    pub(super) prefill: Option<bool>,
    pub(super) json_schema: Option<bool>,
    pub(super) embeddings: Option<bool>,
    /// Fields of a request it does not look at.
    pub(super) unread: Vec<String>,
}

impl Described {
    /// The model may be asked for.
    pub(super) fn serves(&self, model: &str) -> bool {
        self.models.is_empty() || self.models.iter().any(|known| known == model)
    }

    /// It may be asked for vectors.
    pub(super) fn embeds(&self) -> bool {
        self.embeddings != Some(false)
    }

    /// What of a request the plugin cannot be told.
    pub(super) fn lost(&self, body: &ChatBody, lost: &mut Lost) {
        let lacks = |capability: Option<bool>| capability == Some(false);
        if lacks(self.tools) && body.has_tools() {
            lost.essential("tools");
        }
        if lacks(self.vision) && body.messages().iter().any(Message::has_image) {
            lost.essential("messages[].content[type=image_url]");
        }
        if lacks(self.json_schema) && body.wants_json_schema() {
            lost.essential("response_format");
        }
        let begun = body
            .messages()
            .last()
            .is_some_and(|m| m.role == "assistant");
        if lacks(self.prefill) && begun {
            lost.essential("messages[-1][role=assistant]");
        }
        let said = |name: &&String| {
            let value = body.object().get(name);
            value.is_some_and(|value| value.get() != "null")
        };
        for name in self.unread.iter().filter(said) {
            lost.droppable(shown(name));
        }
    }
}
