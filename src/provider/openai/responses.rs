//! The Responses API: requests of that dialect go out as they came, answers come back as they are.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use serde_json::Value;

use super::{DEFAULT_BASE, OpenAi, garbled};
use crate::dialect::carry::Native;
use crate::dialect::json::raw;
use crate::dialect::openai::tap::Garbled;
use crate::dialect::responses::decode::{self, Decoder};
use crate::dialect::whole::Whole;
use crate::provider::key::KeyGuard;
use crate::provider::limits::Watch;
use crate::provider::translate::{Decode, Form, Framing, as_text, chunks, may_carry};
use crate::provider::wire::Post;
use crate::provider::wire::body::Body;
use crate::provider::{Answer, Call, Class, Failure, classify};
use crate::types::{Completion, Dialect, Event};

impl OpenAi {
    /// As its option says, else where it is OpenAI's own.
    pub(super) fn has_responses(&self) -> bool {
        let said = self.responses.as_ref().and_then(Value::as_bool);
        said.unwrap_or_else(|| self.wire.base_url.trim_end_matches('/') == DEFAULT_BASE)
    }

    /// One try. Only `model` is rewritten, and `stream` where the answer is wanted in another form.
    pub(super) async fn respond(&self, native: &Native, call: &Call) -> Result<Answer, Failure> {
        let watch = Watch::start(call.timeouts, call.stream);
        let streamed: bool = native.object.read("stream").unwrap_or(false);
        let mut changes = vec![("model", Some(raw(self.model_of(&call.model))))];
        if streamed != call.stream {
            changes.push(("stream", Some(raw(&call.stream))));
        }
        let sent = native.object.to_bytes_with(&changes);
        let path = self.manners()?.path("/responses");
        let response = self.wire.send(Post::of(call, path, sent), &watch).await?;
        let is_json = response
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
        let body = Body::of(response, watch);
        if call.stream && !is_json {
            let form = (Framing::media(), Form::AsCame(Dialect::Responses));
            let key = self.wire.key.clone();
            return Ok(Answer::Stream(chunks(body, Decoder::default(), form, key)));
        }
        let raw = body.whole().await?;
        let completion = whole(raw, &self.wire.key)?;
        if call.stream {
            let message = "upstream answered a stream request with a whole answer";
            return Err(Failure::new(Class::Hard, message));
        }
        Ok(Answer::Whole(completion))
    }
}

fn whole(raw: Bytes, key: &KeyGuard) -> Result<Completion, Failure> {
    as_text(&raw)?;
    let said = decode::whole(&raw).map_err(|bad| wrong(bad, &raw, key))?;
    Ok(Completion {
        raw,
        dialect: Dialect::Responses,
        tap: Whole::of(said).tap(),
    })
}

/// What the upstream got wrong inside a success. An error it reports is classed by its code.
fn wrong(bad: Garbled, raw: &Bytes, key: &KeyGuard) -> Failure {
    let told = match &bad {
        Garbled::Error(error) => Bytes::from(format!("{{\"error\":{error}}}")),
        Garbled::Shape(_) | Garbled::NoChoice => raw.clone(),
    };
    garbled(bad, &told, key)
}

impl Decode for Decoder {
    fn message(&mut self, message: &[u8], said: &mut Vec<Event>) -> Result<(), Failure> {
        match self.event(message) {
            Ok(events) => said.extend(events),
            Err(Garbled::Shape(_)) if !may_carry(message) => {}
            Err(Garbled::Error(error)) => {
                let told = Bytes::from(format!("{{\"error\":{error}}}"));
                return Err(classify::reported(&told, Garbled::Error(error).to_string()));
            }
            Err(bad) => return Err(Failure::new(Class::Hard, bad.to_string())),
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        Decoder::is_done(self)
    }
}
