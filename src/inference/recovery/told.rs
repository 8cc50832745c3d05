//! What a client has been told of an answer so far, and whether another model can go on from there.
//! Pure.

use bytes::Bytes;
use serde::Deserialize;

use crate::dialect::openai::build::Head;
use crate::dialect::openai::decode::Decoder;
use crate::types::{ChatRequest, Chunk, Event};

/// Most text that is kept to go on from, in bytes; beyond it, asking for it all again or sending it
/// all along costs more than an error.
const MAX_TEXT: usize = 1 << 20;

/// What a client has been told.
#[derive(Debug, Default)]
pub(super) struct Told {
    text: String,
    /// The first chunk: its id, name and time are the answer's.
    first: Option<Bytes>,
    /// Something was told that nobody can go on from.
    beyond: bool,
    finished: bool,
}

impl Told {
    /// Nothing yet; `None` when the request asks for more than text could carry on.
    pub(super) fn of(request: &ChatRequest) -> Option<Self> {
        let body = &request.body;
        let probabilities = body
            .object()
            .get("logprobs")
            .is_some_and(|given| !matches!(given.get(), "null" | "false"));
        let plain = body.choices() == 1 && !probabilities && body.untranslated().is_empty();
        plain.then(Told::default)
    }

    /// The client is told this.
    pub(super) fn hear(&mut self, chunk: &Chunk) {
        if self.beyond {
            return;
        }
        self.first.get_or_insert_with(|| chunk.raw.clone());
        self.finished |= chunk.tap.finish.is_some();
        self.beyond |= !chunk.dialect.is_openai();
        self.beyond |= chunk.tap.beyond_text && !only_thinks(&chunk.raw);
        self.say(&chunk.tap.text);
    }

    /// The client is told more text.
    pub(super) fn say(&mut self, text: &str) {
        self.text.push_str(text);
        if self.text.len() > MAX_TEXT {
            self.go_beyond();
        }
    }

    /// The client is told something that nobody can go on from.
    pub(super) fn go_beyond(&mut self) {
        self.beyond = true;
        self.text = String::new();
    }

    /// The client is told that this was all.
    pub(super) fn finish(&mut self) {
        self.finished = true;
    }

    /// Another model can go on from here.
    pub(super) fn can_go_on(&self) -> bool {
        !self.beyond && !self.finished
    }

    /// All the text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Id, name and time of the answer, as every further chunk has to have them.
    pub(super) fn head(&self) -> Head {
        #[derive(Default, Deserialize)]
        struct Shown {
            #[serde(default)]
            id: Option<String>,
            #[serde(default)]
            created: Option<u64>,
            #[serde(default)]
            model: Option<String>,
        }
        let first = self.first.as_deref().unwrap_or_default();
        let shown: Shown = serde_json::from_slice(first).unwrap_or_default();
        let fresh = Head::new(shown.model.unwrap_or_default());
        Head {
            id: shown.id.unwrap_or(fresh.id),
            created: shown.created.unwrap_or(fresh.created),
            model: fresh.model,
        }
    }
}

/// Beyond text it holds nothing but thinking without a seal.
fn only_thinks(raw: &[u8]) -> bool {
    let events = Decoder::default().chunk(raw).unwrap_or_default();
    let thinks = |event: &Event| matches!(event, Event::Thinking(_));
    events.iter().any(thinks)
        && events.iter().all(|event| match event {
            Event::Start { .. }
            | Event::Text(_)
            | Event::Thinking(_)
            | Event::Usage(_)
            | Event::Finish(_) => true,
            Event::Refusal(_)
            | Event::Signature(_)
            | Event::Redacted(_)
            | Event::ToolCall { .. }
            | Event::Arguments { .. } => false,
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Told;
    use crate::dialect::openai::build::Head;
    use crate::types::{Dialect, Event, Finish};

    fn after(events: &[Event]) -> Told {
        let (head, mut told) = (Head::new("shown"), Told::default());
        events.iter().for_each(|event| told.hear(&head.said(event)));
        told
    }

    #[test]
    fn text_and_plain_thinking_can_be_gone_on_from() {
        let told = after(&[
            Event::Thinking("hm".into()),
            Event::Text("one ".into()),
            Event::Text("two".into()),
        ]);
        assert!(told.can_go_on());
        assert_eq!(told.text(), "one two");
    }

    #[test]
    fn whatever_is_more_than_text_cannot() {
        let call = Event::ToolCall {
            index: 0,
            id: "c".into(),
            name: "f".into(),
            signature: None,
        };
        let json = "{".into();
        for event in [
            call,
            Event::Arguments { index: 0, json },
            Event::Refusal("no".into()),
            Event::Signature("seal".into()),
            Event::Redacted("opaque".into()),
            Event::Finish(Finish::Stop),
        ] {
            let told = after(&[Event::Text("one ".into()), event.clone()]);
            assert!(!told.can_go_on(), "{event:?}");
        }
        let mut native = Head::new("m").text("hi");
        native.dialect = Dialect::Anthropic;
        let mut told = Told::default();
        told.hear(&native);
        assert!(!told.can_go_on());
        let mut long = Told::default();
        long.say(&"a".repeat(super::MAX_TEXT + 1));
        assert!(!long.can_go_on() && long.text().is_empty());
    }

    #[test]
    fn an_answer_keeps_the_id_name_and_time_it_began_with() {
        let mut told = Told::default();
        let raw = json!({"id": "x-1", "created": 7, "model": "gpt", "choices": []}).to_string();
        let mut first = Head::new("gpt").role();
        first.raw = raw.into();
        told.hear(&first);
        told.hear(&Head::new("other").text("hi"));
        let head = told.head();
        assert_eq!((&*head.id, head.created, &*head.model), ("x-1", 7, "gpt"));
    }
}
