//! However the network cuts a stream, it says the same.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::dialect::{anthropic, gemini, ollama};
use crate::provider::Timeouts;
use crate::provider::limits::Watch;

/// Chunk by chunk, and how it ended.
type Told = (Vec<Bytes>, Option<String>);

/// `text` in pieces cut at `cuts`, which count bytes and may lie inside a character.
fn cut(text: &str, cuts: &[prop::sample::Index]) -> Vec<Result<Bytes, Failure>> {
    let bytes = Bytes::copy_from_slice(text.as_bytes());
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len())).collect();
    ends.push(text.len());
    ends.sort_unstable();
    let mut start = 0;
    let pieces = ends.into_iter().map(|end| {
        let piece = bytes.slice(start..end);
        start = end;
        Ok(piece)
    });
    pieces.collect()
}

fn told<D: Decode>(pieces: Vec<Result<Bytes, Failure>>, decoder: D, framing: Framing) -> Told {
    let read = async {
        let watch = Watch::start(Timeouts::default(), true);
        let body = Body::new(futures::stream::iter(pieces), watch);
        let form = Form::OpenAi(Head {
            id: "chatcmpl-1".to_owned(),
            created: 1,
            model: "m".to_owned(),
        });
        let mut stream = chunks(body, decoder, (framing, form), KeyGuard::default());
        let (mut said, mut failed) = (Vec::new(), None);
        while let Some(item) = stream.next().await {
            match item {
                Ok(chunk) => said.push(chunk.raw),
                Err(failure) => failed = Some(failure.message),
            }
        }
        (said, failed)
    };
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(read)
}

/// A stream with thinking, text beyond ASCII, a call, noise and comments; `end` says how it ends.
fn of_gemini(end: &str) -> String {
    let part = |part: serde_json::Value| {
        format!(
            "data: {}\r\n\r\n",
            json!({"candidates": [{"content": {"parts": [part]}}]})
        )
    };
    [
        ": ping\n\n".to_owned(),
        part(json!({"text": "überlegt…", "thought": true})),
        "data: {not json}\n\n".to_owned(),
        part(json!({"text": "日本語 🦀"})),
        part(json!({"functionCall": {"id": "c", "name": "f", "args": {"q": "ß"}}, "thoughtSignature": "S=="})),
        end.to_owned(),
    ]
    .concat()
}

fn of_ollama(end: &str) -> String {
    let line =
        |message: serde_json::Value| format!("{}\n", json!({"message": message, "done": false}));
    [
        line(json!({"thinking": "überlegt…"})),
        "\r\n".to_owned(),
        line(json!({"content": "日本語 🦀"})),
        line(json!({"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": {"q": "ß"}}}]})),
        end.to_owned(),
    ]
    .concat()
}

const GEMINI_ENDS: [&str; 4] = [
    "data: {\"candidates\":[{\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":1}}\n\n",
    "data: {\"candidates\":[{\"finishReason\":\"STOP\"}]}",
    "data: {\"candidates\":[{\"finishRea",
    "data: [{\"error\":{\"code\":503,\"message\":\"überlastet\"}}]\n\n",
];

const OLLAMA_ENDS: [&str; 4] = [
    "{\"done\":true,\"done_reason\":\"stop\",\"eval_count\":1}\n",
    "{\"done\":true,\"done_reason\":\"length\"}",
    "{\"done\":tr",
    "{\"error\":\"überlastet\"}",
];

proptest! {
    #[test]
    fn events_say_the_same_wherever_they_are_cut(
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
        end in prop::sample::select(&GEMINI_ENDS[..]),
    ) {
        let text = of_gemini(end);
        let once = told(cut(&text, &[]), gemini::Decoder::default(), Framing::sse());
        let pieces = told(cut(&text, &cuts), gemini::Decoder::default(), Framing::sse());
        prop_assert_eq!(&once, &pieces);
        prop_assert_eq!(once.1.is_none(), end.contains("STOP"));
    }

    #[test]
    fn lines_say_the_same_wherever_they_are_cut(
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
        end in prop::sample::select(&OLLAMA_ENDS[..]),
    ) {
        let text = of_ollama(end);
        let once = told(cut(&text, &[]), ollama::Decoder::default(), Framing::lines());
        let pieces = told(cut(&text, &cuts), ollama::Decoder::default(), Framing::lines());
        prop_assert_eq!(&once, &pieces);
        prop_assert_eq!(once.1.is_none(), end.contains("true"));
    }
}

#[tokio::test]
async fn what_is_passed_on_as_it_came_is_text() {
    let wire = |said: &[u8]| {
        [
            b"data: {\"type\":\"novelty\",\"x\":\"".as_slice(),
            said,
            b"\"}\n\n",
            b"data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\n",
        ]
        .concat()
    };
    for (said, passes) in [("ß".as_bytes(), true), (b"\x8e", false)] {
        let pieces = futures::stream::iter([Ok(Bytes::from(wire(said)))]);
        let body = Body::new(pieces, Watch::start(Timeouts::default(), true));
        let form = (Framing::sse(), Form::AsCame(Dialect::Anthropic));
        let chunks = chunks(
            body,
            anthropic::Decoder::default(),
            form,
            KeyGuard::default(),
        );
        let read: Vec<_> = chunks.collect().await;
        assert_eq!(read.iter().all(Result::is_ok), passes, "{read:?}");
    }
}

#[test]
fn only_what_may_have_been_an_answer_counts_as_one() {
    for message in ["{\"a", " [{\"b\"", "{\"choices\":7}"] {
        assert!(may_carry(message.as_bytes()), "{message}");
    }
    for noise in ["", "nonsense", "{not json}", "[1]", "\"text\""] {
        assert!(!may_carry(noise.as_bytes()), "{noise}");
    }
}
