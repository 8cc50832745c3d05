//! From what a chunk is written in to what a client reads: the decoders' side of every door.

use super::anthropic;
use super::openai::build::Head;
use super::openai::decode;
use super::openai::tap::Garbled;
use super::responses;
use super::whole::Whole;
use crate::types::{Chunk, Completion, Dialect, Event};

/// Reads the chunks of one stream, whichever dialect they are in, as events.
#[derive(Debug, Default)]
pub struct Decoder {
    openai: decode::Decoder,
    anthropic: anthropic::Decoder,
    responses: responses::Decoder,
}

impl Decoder {
    /// What a chunk says.
    ///
    /// # Errors
    /// [`Garbled`] when it cannot be read.
    pub fn events(&mut self, chunk: &Chunk) -> Result<Vec<Event>, Garbled> {
        match chunk.dialect {
            Dialect::OpenAi => self.openai.chunk(&chunk.raw),
            Dialect::Anthropic => {
                let mut said = Vec::new();
                self.anthropic.message(&chunk.raw, &mut said)?;
                Ok(said)
            }
            Dialect::Responses => self.responses.event(&chunk.raw),
        }
    }
}

/// What a whole answer says.
///
/// # Errors
/// [`Garbled`] when it cannot be read.
pub fn whole(answer: &Completion) -> Result<Whole, Garbled> {
    let events = match answer.dialect {
        Dialect::OpenAi => decode::whole(&answer.raw)?,
        Dialect::Anthropic => anthropic::decode::whole(&answer.raw)?,
        Dialect::Responses => responses::decode::whole(&answer.raw)?,
    };
    Ok(Whole::of(events))
}

/// Writes the chunks of one stream in OpenAI's shape for a client that reads no other. OpenAI's own
/// pass as they came.
#[derive(Debug)]
pub struct ToOpenAi {
    decoder: Decoder,
    head: Head,
}

impl ToOpenAi {
    /// A writer that names the model so where the answer itself does not.
    pub fn new(model: impl Into<String>) -> Self {
        ToOpenAi {
            decoder: Decoder::default(),
            head: Head::new(model),
        }
    }

    /// A chunk in OpenAI's shape, as several or none.
    ///
    /// # Errors
    /// [`Garbled`] when it cannot be read.
    pub fn chunks(&mut self, chunk: Chunk) -> Result<Vec<Chunk>, Garbled> {
        if chunk.dialect.is_openai() {
            return Ok(vec![chunk]);
        }
        let events = self.decoder.events(&chunk)?;
        let written = events.into_iter().map(|event| {
            if let Event::Start { model, .. } = &event
                && !model.is_empty()
            {
                self.head.model.clone_from(model);
            }
            self.head.said(&event)
        });
        Ok(written.collect())
    }
}

/// A whole answer in OpenAI's shape; one that has it already stays as it came.
///
/// # Errors
/// [`Garbled`] when it cannot be read.
pub fn openai(answer: Completion, model: &str) -> Result<Completion, Garbled> {
    if answer.dialect.is_openai() {
        return Ok(answer);
    }
    Ok(Head::new(model).whole(&whole(&answer)?))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{ToOpenAi, openai};
    use crate::dialect::openai::build::Head;
    use crate::types::{Chunk, Completion, Dialect, Finish, Tap, Usage};

    fn native(raw: &'static str) -> Chunk {
        Chunk {
            raw: Bytes::from_static(raw.as_bytes()),
            dialect: Dialect::Anthropic,
            tap: Tap::default(),
            usage_only: false,
        }
    }

    #[test]
    fn an_openai_client_reads_another_dialects_stream() {
        let mut writer = ToOpenAi::new("m");
        let mut said = Vec::new();
        for raw in [
            r#"{"type":"message_start","message":{"id":"msg_1","model":"c","usage":{"input_tokens":3}}}"#,
            r#"{"type":"ping"}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}"#,
            r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":5}}"#,
            r#"{"type":"message_stop"}"#,
        ] {
            said.extend(writer.chunks(native(raw)).unwrap());
        }
        assert!(said.iter().all(|chunk| chunk.dialect.is_openai()));
        let text: String = said.iter().map(|chunk| chunk.tap.text.as_str()).collect();
        assert_eq!(text, "hi");
        assert_eq!(said[2].tap.finish, Some(Finish::Stop));
        assert!(said[3].usage_only);
        assert_eq!(said[3].tap.usage, Some(Usage::new(3, 5)));
        assert!(writer.chunks(native("{\"type\":\"error\"}")).is_err());
    }

    #[test]
    fn openais_own_chunks_and_answers_pass_byte_for_byte() {
        let head = Head::new("m");
        let given = head.text("hi");
        let passed = ToOpenAi::new("x").chunks(given.clone()).unwrap();
        assert_eq!(passed[0].raw, given.raw);
        let whole = head.completion(
            "hi",
            &serde_json::Value::Null,
            Finish::Stop,
            Usage::new(1, 1),
        );
        assert_eq!(openai(whole.clone(), "x").unwrap().raw, whole.raw);
        let message = r#"{"type":"message","id":"msg_1","model":"c","stop_reason":"end_turn",
            "content":[{"type":"text","text":"hi"}],"usage":{"input_tokens":3,"output_tokens":5}}"#;
        let native = Completion {
            raw: Bytes::from_static(message.as_bytes()),
            dialect: Dialect::Anthropic,
            tap: Tap::default(),
        };
        let read = openai(native, "m").unwrap();
        assert_eq!((&*read.tap.text, read.dialect), ("hi", Dialect::OpenAi));
    }
}
