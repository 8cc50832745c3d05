//! A whole answer as a stream, and a stream as a whole answer.
//!
//! Providers answer in the form they were asked for; a custom provider that knows only one form,
//! and a cached answer asked for as a stream, are reshaped here.

use super::build::Head;
use super::request::ChatBody;
use super::tap::Garbled;
use crate::dialect::transcode::{self, Decoder};
use crate::dialect::whole::Whole;
use crate::provider::{ChunkStream, Class, Failure};
use crate::types::{Chunk, Completion, Event, Finish};
use futures::{StreamExt, stream};

/// Characters of text per chunk of a replayed answer.
const REPLAY_CHARS: usize = 24;
/// Most text collected from a stream, in bytes.
const MAX_COLLECTED: usize = 64 << 20;

/// A whole answer, piece by piece.
pub fn stream(whole: Completion) -> ChunkStream {
    let read = match transcode::whole(&whole) {
        Ok(read) => read,
        Err(bad) => return stream::iter([Err(unread(&bad))]).boxed(),
    };
    let mut head = Head::new(read.model.as_str());
    if !read.id.is_empty() {
        head.id.clone_from(&read.id);
    }
    let read = Whole {
        finish: whole.tap.finish.or(Some(Finish::Stop)),
        usage: whole.tap.usage,
        ..read
    };
    let chunks: Vec<Chunk> = read
        .into_events()
        .into_iter()
        .flat_map(in_steps)
        .map(|event| head.said(&event))
        .collect();
    stream::iter(chunks.into_iter().map(Ok)).boxed()
}

/// A text as several.
fn in_steps(event: Event) -> Vec<Event> {
    let Event::Text(text) = event else {
        return vec![event];
    };
    let letters: Vec<char> = text.chars().collect();
    let steps = letters.chunks(REPLAY_CHARS);
    steps
        .map(|step| Event::Text(step.iter().collect()))
        .collect()
}

/// A stream, read to its end.
///
/// # Errors
/// The stream's own failure, a chunk that cannot be read, a stream that ends unfinished, or one over
/// 64 MiB.
pub async fn collect(mut pieces: ChunkStream, request: &ChatBody) -> Result<Completion, Failure> {
    let (mut decoder, mut whole, mut seen) = (Decoder::default(), Whole::default(), 0usize);
    while let Some(chunk) = pieces.next().await {
        let chunk = chunk?;
        seen = seen.saturating_add(chunk.raw.len());
        if seen > MAX_COLLECTED {
            return Err(Failure::new(Class::Hard, "answer is over 64 MiB"));
        }
        let events = decoder.events(&chunk).map_err(|bad| unread(&bad))?;
        events.into_iter().for_each(|event| whole.add(event));
        whole.finish = chunk.tap.finish.or(whole.finish);
        whole.usage = chunk.tap.usage.or(whole.usage);
    }
    if whole.finish.is_none() {
        return Err(Failure::new(
            Class::Hard,
            "upstream cut the stream off before it finished",
        ));
    }
    Ok(Head::new(request.model()).whole(&whole))
}

fn unread(bad: &Garbled) -> Failure {
    Failure::new(Class::Hard, bad.to_string())
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt, stream as streams};
    use serde_json::{Value, json};

    use super::{collect, stream};
    use crate::dialect::openai::{ChatBody, build::Head};
    use crate::types::{Event, Finish, Usage};

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
    async fn what_nobody_counted_is_not_said_to_be_nothing() {
        let head = Head::new("m");
        let pieces = [head.text("hi"), head.said(&Event::Finish(Finish::Stop))].map(Ok);
        let whole = collect(streams::iter(pieces).boxed(), &request()).await;
        let whole = whole.unwrap();
        assert_eq!((whole.tap.text.as_str(), whole.tap.usage), ("hi", None));
        let shown: Value = serde_json::from_slice(&whole.raw).unwrap();
        assert!(shown.get("usage").is_none(), "{shown}");
    }

    #[tokio::test]
    async fn a_stream_without_an_end_is_not_an_answer() {
        let whole = Head::new("m").completion("hi", &Value::Null, Finish::Stop, Usage::new(1, 1));
        let pieces: Vec<_> = stream(whole).collect().await;
        let cut = streams::iter(pieces.into_iter().take(2)).boxed();
        assert!(collect(cut, &request()).await.is_err());
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_a_failure_and_not_left_out() {
        let mut pieces: Vec<_> =
            stream(Head::new("m").completion("hi", &Value::Null, Finish::Stop, Usage::new(1, 1)))
                .collect()
                .await;
        if let Ok(chunk) = &mut pieces[1] {
            chunk.raw = bytes::Bytes::from_static(b"{\"choices\":7}");
        }
        let failed = collect(streams::iter(pieces).boxed(), &request()).await;
        assert!(failed.unwrap_err().message.contains("not an OpenAI answer"));
        let whole = Head::new("m").completion("hi", &Value::Null, Finish::Stop, Usage::new(1, 1));
        let odd = crate::types::Completion {
            raw: bytes::Bytes::from_static(b"{\"choices\":7}"),
            ..whole
        };
        let said: Vec<_> = stream(odd).collect().await;
        assert!(matches!(said[..], [Err(_)]));
    }
}
