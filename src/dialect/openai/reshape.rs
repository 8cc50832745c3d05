//! A whole answer as a stream, and a stream as a whole answer.
//!
//! Providers answer in the form they were asked for; a custom provider that knows only one form,
//! and a cached answer asked for as a stream, are reshaped here.

use std::collections::BTreeMap;

use futures::{StreamExt, stream};
use serde_json::{Value, json};

use super::build::Head;
use super::request::ChatBody;
use crate::provider::{ChunkStream, Class, Failure};
use crate::types::{Chunk, Completion, Finish, Usage};

/// Characters of text per chunk of a replayed answer.
const REPLAY_CHARS: usize = 24;
/// Most text collected from a stream, in bytes.
const MAX_COLLECTED: usize = 64 << 20;

/// A whole answer, piece by piece.
pub fn stream(whole: Completion) -> ChunkStream {
    let document: Value = serde_json::from_slice(&whole.raw).unwrap_or_default();
    let word = |name: &str| document[name].as_str().unwrap_or_default().to_owned();
    let mut head = Head::new(word("model"));
    if !word("id").is_empty() {
        head.id = word("id");
    }
    let calls = document["choices"][0]["message"]["tool_calls"]
        .as_array()
        .cloned();
    let finish = whole.tap.finish.unwrap_or(Finish::Stop);
    let chunks = replay(
        &head,
        &whole.tap.text,
        calls.as_deref(),
        (finish, whole.tap.usage),
    );
    stream::iter(chunks.into_iter().map(Ok)).boxed()
}

/// The chunks of an answer known in full: role, text, tool calls, finish, usage.
pub fn replay(
    head: &Head,
    text: &str,
    calls: Option<&[Value]>,
    (finish, usage): (Finish, Option<Usage>),
) -> Vec<Chunk> {
    let mut chunks = vec![head.role()];
    let letters: Vec<char> = text.chars().collect();
    for piece in letters.chunks(REPLAY_CHARS) {
        chunks.push(head.text(&piece.iter().collect::<String>()));
    }
    let indexed = calls
        .unwrap_or_default()
        .iter()
        .enumerate()
        .map(|(at, call)| {
            let mut call = call.clone();
            call["index"] = json!(at);
            call
        });
    let indexed: Vec<Value> = indexed.collect();
    if !indexed.is_empty() {
        chunks.push(head.tool_calls(&Value::Array(indexed)));
    }
    chunks.push(head.finish(finish));
    chunks.extend(usage.map(|usage| head.usage(usage)));
    chunks
}

/// A stream, read to its end.
///
/// # Errors
/// The stream's own failure, a stream that ends unfinished, or one over 64 MiB.
pub async fn collect(mut pieces: ChunkStream, request: &ChatBody) -> Result<Completion, Failure> {
    let (mut text, mut seen) = (String::new(), 0usize);
    let mut calls: BTreeMap<u64, Value> = BTreeMap::new();
    let (mut finish, mut usage, mut head) = (None, None, Head::new(request.model()));
    while let Some(chunk) = pieces.next().await {
        let chunk = chunk?;
        text.push_str(&chunk.tap.text);
        seen = seen.saturating_add(chunk.raw.len());
        if seen > MAX_COLLECTED {
            return Err(Failure::new(Class::Hard, "answer is over 64 MiB"));
        }
        finish = chunk.tap.finish.or(finish);
        usage = chunk.tap.usage.or(usage);
        let document: Value = serde_json::from_slice(&chunk.raw).unwrap_or_default();
        if let Some(model) = document["model"].as_str() {
            model.clone_into(&mut head.model);
        }
        for call in document["choices"][0]["delta"]["tool_calls"]
            .as_array()
            .into_iter()
            .flatten()
        {
            join(&mut calls, call);
        }
    }
    let finish = finish.ok_or_else(|| {
        Failure::new(
            Class::Hard,
            "upstream cut the stream off before it finished",
        )
    })?;
    let calls: Vec<Value> = calls.into_values().collect();
    let calls = if calls.is_empty() {
        Value::Null
    } else {
        Value::Array(calls)
    };
    Ok(head.completion(&text, &calls, finish, usage.unwrap_or_default()))
}

/// Joins a fragment of a tool call to what came before, by `index`.
fn join(calls: &mut BTreeMap<u64, Value>, fragment: &Value) {
    const MAX_CALLS: usize = 128;
    let index = fragment["index"].as_u64().unwrap_or(0);
    if !calls.contains_key(&index) && calls.len() >= MAX_CALLS {
        return;
    }
    let call = calls.entry(index).or_insert_with(
        || json!({"id": "", "type": "function", "function": {"name": "", "arguments": ""}}),
    );
    if let Some(id) = fragment["id"].as_str() {
        call["id"] = json!(id);
    }
    for part in ["name", "arguments"] {
        if let Some(more) = fragment["function"][part].as_str() {
            let so_far = call["function"][part].as_str().unwrap_or_default();
            call["function"][part] = json!(format!("{so_far}{more}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt, stream as streams};
    use serde_json::{Value, json};

    use super::{collect, stream};
    use crate::dialect::openai::{ChatBody, build::Head};
    use crate::types::{Finish, Usage};

    fn request() -> ChatBody {
        ChatBody::from_messages("m", &[("user".into(), "hi".into())]).unwrap()
    }

    #[tokio::test]
    async fn an_answer_survives_the_way_there_and_back() {
        let calls = json!([{"id": "c1", "type": "function",
            "function": {"name": "f", "arguments": "{\"a\":1}"}}]);
        let text = "täglich ein langes Wort mit Umlauten, das in Stücke zerfällt";
        let whole = Head::new("m").completion(text, &calls, Finish::ToolCalls, Usage::new(3, 4));
        let back = collect(stream(whole.clone()), &request()).await.unwrap();
        assert_eq!(back.tap.text, whole.tap.text);
        assert_eq!(back.tap.usage, whole.tap.usage);
        let read = |raw: &[u8]| serde_json::from_slice::<Value>(raw).unwrap();
        let at = "/choices/0/message/tool_calls";
        assert_eq!(read(&back.raw).pointer(at), read(&whole.raw).pointer(at));
    }

    #[tokio::test]
    async fn a_stream_without_an_end_is_not_an_answer() {
        let whole = Head::new("m").completion("hi", &Value::Null, Finish::Stop, Usage::new(1, 1));
        let pieces: Vec<_> = stream(whole).collect().await;
        let cut = streams::iter(pieces.into_iter().take(2)).boxed();
        assert!(collect(cut, &request()).await.is_err());
    }
}
