//! One continuation, as far as it has come: what of its chunks is news to the client. Pure.

use super::splice::{Mismatch, Splice};
use super::told::Told;
use crate::dialect::json::{Object, raw};
use crate::dialect::openai::build::Head;
use crate::dialect::openai::decode::Decoder;
use crate::dialect::openai::tap;
use crate::types::{Chunk, Event, ModelName, Usage};

/// One continuation on its way to where the answer broke off.
pub(super) struct Rejoining {
    from: ModelName,
    splice: Splice,
    /// It goes on from the beginning it was given.
    prefilled: bool,
    head: Head,
    decoder: Decoder,
    /// Thinking under a seal was kept from the client.
    sealed: bool,
    /// Nobody has heard of it yet.
    unheard: bool,
}

impl Rejoining {
    /// A continuation of what `from` left unfinished, under the answer's own head.
    pub(super) fn new(from: ModelName, splice: Splice, head: Head) -> Self {
        Rejoining {
            from,
            prefilled: !splice.repeats(),
            splice,
            head,
            decoder: Decoder::default(),
            sealed: false,
            unheard: true,
        }
    }

    /// Whose answer is carried on and how, the first time this is asked.
    pub(super) fn news(&mut self) -> Option<(ModelName, &'static str)> {
        if !std::mem::take(&mut self.unheard) {
            return None;
        }
        let how = if self.prefilled {
            "prefill"
        } else {
            "regenerate"
        };
        Some((self.from.clone(), how))
    }

    /// The answer's token counts.
    pub(super) fn usage(&self, usage: Usage) -> Chunk {
        self.head.usage(usage)
    }

    /// What of a chunk is news to the client, who is told it.
    pub(super) fn fit(&mut self, told: &mut Told, chunk: &Chunk) -> Result<Vec<Chunk>, Mismatch> {
        if !chunk.dialect.is_openai() {
            return Err(Mismatch);
        }
        if chunk.usage_only {
            return Ok(Vec::new());
        }
        let plain = self.splice == Splice::Joined && !chunk.tap.beyond_text;
        if let Some(renamed) = plain.then(|| renamed(chunk, &self.head)).flatten() {
            let speaks = renamed.tap.real || renamed.tap.finish.is_some();
            return Ok(speaks
                .then(|| {
                    told.hear(&renamed);
                    renamed
                })
                .into_iter()
                .collect());
        }
        let events = self.decoder.chunk(&chunk.raw).map_err(|_| Mismatch)?;
        // what the decoder has no word for would be lost
        let read = |event: &Event| !matches!(event, Event::Start { .. } | Event::Usage(_));
        if chunk.tap.beyond_text && !events.iter().any(read) {
            return Err(Mismatch);
        }
        let mut said = Said::default();
        for event in events {
            self.say(told, event, &mut said)?;
        }
        Ok(said.tell(told))
    }

    /// One thing the continuation says, as far as the client has not got it.
    fn say(&mut self, told: &Told, event: Event, said: &mut Said) -> Result<(), Mismatch> {
        let news = match &event {
            Event::Text(text) => self.splice.text(told.text(), text)?,
            Event::Refusal(_)
            | Event::ToolCall { .. }
            | Event::Arguments { .. }
            | Event::Finish(_) => self.splice.settle(told.text())?,
            Event::Signature(_) | Event::Redacted(_) => {
                self.sealed = true;
                return Ok(());
            }
            // the client has the thinking of the first attempt, or what there was of it
            Event::Start { .. } | Event::Thinking(_) | Event::Usage(_) => return Ok(()),
        };
        self.prefilled &= !self.splice.repeats();
        if !news.is_empty() {
            said.chunks.push(self.head.text(&news));
            said.text.push_str(&news);
        }
        match event {
            // its provider would want the seal back with the call, and the client has not got it
            Event::ToolCall { .. } if self.sealed => return Err(Mismatch),
            Event::ToolCall { .. } | Event::Arguments { .. } | Event::Refusal(_) => {
                said.beyond = true;
                said.chunks.push(self.head.said(&event));
            }
            Event::Finish(_) => {
                said.finished = true;
                said.chunks.push(self.head.said(&event));
            }
            Event::Text(_)
            | Event::Start { .. }
            | Event::Thinking(_)
            | Event::Signature(_)
            | Event::Redacted(_)
            | Event::Usage(_) => {}
        }
        Ok(())
    }
}

/// What one chunk says that is news. Told only once all of the chunk has turned out to fit: of one
/// that does not, the client gets nothing.
#[derive(Default)]
struct Said {
    chunks: Vec<Chunk>,
    text: String,
    beyond: bool,
    finished: bool,
}

impl Said {
    fn tell(self, told: &mut Told) -> Vec<Chunk> {
        told.say(&self.text);
        if self.beyond {
            told.go_beyond();
        }
        if self.finished {
            told.finish();
        }
        self.chunks
    }
}

/// The chunk under the answer's own id, name and time, and without counts of its own.
fn renamed(chunk: &Chunk, head: &Head) -> Option<Chunk> {
    let mut object = Object::parse(&tap::without_usage(chunk.raw.clone())).ok()?;
    object.set("id", raw(&head.id));
    object.set("created", raw(&head.created));
    object.set("model", raw(&head.model));
    let mut tap = chunk.tap.clone();
    tap.usage = None;
    Some(Chunk {
        raw: object.to_bytes().into(),
        tap,
        ..chunk.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::{Rejoining, Splice, Told};
    use crate::dialect::openai::build::Head;
    use crate::types::Event;

    #[test]
    fn of_a_chunk_that_does_not_fit_nothing_counts_as_told() {
        let (head, mut told) = (Head::new("m"), Told::default());
        told.hear(&head.text("one two three four "));
        let mut rejoining = Rejoining::new("a".into(), Splice::prefill(0), head.clone());
        let seal = head.said(&Event::Signature("seal".into()));
        assert!(rejoining.fit(&mut told, &seal).unwrap().is_empty());
        // might be the beginning once more: it is held back until something else comes
        let held = head.text("one");
        assert!(rejoining.fit(&mut told, &held).unwrap().is_empty());
        let call = head.said(&Event::ToolCall {
            index: 0,
            id: "c".into(),
            name: "f".into(),
            signature: None,
        });
        assert!(rejoining.fit(&mut told, &call).is_err());
        assert_eq!(told.text(), "one two three four ");
        assert!(told.can_go_on());
    }
}
