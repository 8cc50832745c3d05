//! What every decoder reads, every encoder writes, and is read back the same.

mod golden;
mod interleaved;
mod strange;

use bytes::Bytes;
use serde_json::json;

use super::openai::build::Head;
use super::sse::Splitter;
use super::whole::Whole;
use super::{anthropic, openai, responses};
use crate::types::Event;

/// Who writes an answer.
#[derive(Clone, Copy, Debug)]
enum Encoder {
    OpenAi,
    Anthropic,
    Responses,
}

const ENCODERS: [Encoder; 3] = [Encoder::OpenAi, Encoder::Anthropic, Encoder::Responses];

impl Encoder {
    /// What is left of a stream once it was written and read back.
    fn stream(self, events: Vec<Event>) -> Whole {
        match self {
            Encoder::OpenAi => {
                let (head, mut decoder) = (Head::new("m"), openai::decode::Decoder::default());
                let chunks = events.iter().map(|event| head.said(event).raw);
                Whole::of(chunks.flat_map(|raw| decoder.chunk(&raw).unwrap()))
            }
            Encoder::Anthropic => {
                let mut encoder = anthropic::Encoder::new("m");
                events.into_iter().for_each(|event| encoder.say(event));
                encoder.end();
                let (mut splitter, mut said) = (Splitter::default(), Vec::new());
                let mut decoder = anthropic::Decoder::default();
                splitter.push(encoder.take());
                while let Some(event) = splitter.next_event() {
                    decoder.message(&event.unwrap().data, &mut said).unwrap();
                }
                assert!(decoder.is_done());
                Whole::of(said)
            }
            Encoder::Responses => {
                let (mut encoder, mut decoder) = (writer(), responses::Decoder::default());
                let mut written = Vec::new();
                for event in events {
                    written.extend(encoder.said(event));
                }
                written.extend(encoder.ended());
                let said = written
                    .iter()
                    .flat_map(|one| decoder.event(&one.data).unwrap());
                let whole = Whole::of(said);
                assert!(decoder.is_done());
                whole
            }
        }
    }

    /// The same for an answer that is written at once.
    fn whole(self, whole: &Whole) -> Whole {
        Whole::of(match self {
            Encoder::OpenAi => openai::decode::whole(&Head::new("m").whole(whole).raw).unwrap(),
            Encoder::Anthropic => {
                anthropic::decode::whole(&anthropic::message(whole, "m")).unwrap()
            }
            Encoder::Responses => responses::decode::whole(&writer().whole(whole.clone())).unwrap(),
        })
    }
}

fn writer() -> responses::Encoder {
    let asked = Bytes::from(json!({"model": "m", "input": "hi"}).to_string());
    responses::Encoder::new(responses::read(&asked).unwrap().echo, "m")
}

/// What has to survive: who answers under which name and id is each writer's own affair.
fn kept(whole: Whole) -> Whole {
    let thinking = whole.thinking();
    let thoughts = (!thinking.is_empty()).then_some(super::whole::Thought::Plain {
        text: thinking,
        signature: None,
    });
    Whole {
        id: String::new(),
        model: String::new(),
        thoughts: thoughts.into_iter().collect(),
        ..whole
    }
}
