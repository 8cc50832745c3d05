//! A plugin that is asked over a real connection, whatever it does wrong.

mod backend;
mod convert;
mod faults;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use serde_json::{Value, json};

use self::backend::{Backend, Told, text};
use super::*;
use crate::provider::{ChunkStream, Timeouts};
use crate::types::{Chunk, Finish, Inputs, Usage};

fn call_with(body: Value, stream: bool) -> Call {
    Call {
        body: Arc::new(ChatBody::parse(body.to_string().as_bytes()).unwrap()),
        model: "".into(),
        stream,
        deadline: Moment::now() + Duration::from_secs(10),
        timeouts: Timeouts::default(),
        traceparent: None,
    }
}

fn call(text: &str, stream: bool) -> Call {
    let body = json!({"messages": [{"role": "user", "content": text}]});
    call_with(body, stream)
}

async fn stream_of(plugin: &Plugin, call: Call) -> Result<ChunkStream, Failure> {
    Ok(match plugin.generate(call).await? {
        Answer::Stream(chunks) => chunks,
        Answer::Whole(_) => panic!("a stream was asked for"),
    })
}

/// Chunks until the end or the failure.
async fn read(plugin: &Plugin, call: Call) -> (Vec<Chunk>, Option<Failure>) {
    let mut chunks = match stream_of(plugin, call).await {
        Ok(chunks) => chunks,
        Err(failure) => return (Vec::new(), Some(failure)),
    };
    let mut said = Vec::new();
    while let Some(item) = chunks.next().await {
        match item {
            Ok(chunk) => said.push(chunk),
            Err(failure) => return (said, Some(failure)),
        }
    }
    (said, None)
}

fn said(chunks: &[Chunk]) -> String {
    chunks.iter().map(|chunk| chunk.tap.text.as_str()).collect()
}

fn everything() -> Vec<Told> {
    use llm_router_proto::llm_router::plugin::v1;
    vec![
        Told::Start(v1::Start {
            id: "a1".into(),
            model: "own-7b".into(),
        }),
        Told::Thinking("hm".into()),
        Told::Signature("seal".into()),
        Told::Redacted("dark".into()),
        text("Hel"),
        text("lo"),
        Told::ToolCall(v1::ToolCall {
            index: 0,
            id: "c1".into(),
            name: "f".into(),
            signature: None,
        }),
        Told::Arguments(v1::Arguments {
            index: 0,
            json: "{\"a\"".into(),
        }),
        Told::Arguments(v1::Arguments {
            index: 0,
            json: ":1}".into(),
        }),
        backend::finish(v1::FinishReason::Stop),
        backend::usage(5, 7),
    ]
}

#[tokio::test]
async fn a_stream_says_everything_the_plugin_does() {
    let backend = Backend::telling(everything()).await;
    let (chunks, failed) = read(&backend.plugin(), call("hi", true)).await;
    assert!(failed.is_none(), "{failed:?}");
    assert_eq!(said(&chunks), "Hello");
    let values: Vec<Value> = chunks
        .iter()
        .map(|chunk| serde_json::from_slice(&chunk.raw).unwrap())
        .collect();
    assert!(values.iter().all(|value| value["model"] == "own-7b"));
    let delta = |index: usize| &values[index]["choices"][0]["delta"];
    assert_eq!(delta(0)["role"], "assistant");
    assert_eq!(delta(1)["reasoning_content"], "hm");
    assert_eq!(delta(2)["thinking_blocks"][0]["signature"], "seal");
    assert_eq!(delta(3)["thinking_blocks"][0]["data"], "dark");
    assert_eq!(delta(6)["tool_calls"][0]["function"]["name"], "f");
    let finish: Vec<_> = chunks.iter().filter_map(|chunk| chunk.tap.finish).collect();
    assert_eq!(
        finish,
        [Finish::ToolCalls],
        "clients look for calls under this reason"
    );
    assert_eq!(chunks.last().unwrap().tap.usage, Some(Usage::new(5, 7)));
}

#[tokio::test]
async fn a_whole_answer_is_the_same_events_put_together() {
    let backend = Backend::telling(everything()).await;
    let Answer::Whole(answer) = backend.plugin().generate(call("hi", false)).await.unwrap() else {
        panic!("a whole answer was asked for")
    };
    let value: Value = serde_json::from_slice(&answer.raw).unwrap();
    let message = &value["choices"][0]["message"];
    assert_eq!(
        (&value["id"], &value["model"]),
        (&json!("a1"), &json!("own-7b"))
    );
    assert_eq!(message["content"], "Hello");
    assert_eq!(
        message["tool_calls"][0]["function"]["arguments"],
        "{\"a\":1}"
    );
    assert_eq!(message["thinking_blocks"][1]["data"], "dark");
    assert_eq!(answer.tap.usage, Some(Usage::new(5, 7)));
    assert!(!backend.asked().unwrap().stream);
}

#[tokio::test]
async fn the_question_arrives_in_the_callers_own_bytes() {
    let backend = Backend::telling(vec![text("ok"), backend::stop()]).await;
    let given = r#"{"model":"auto","seed":12345678901234567890,"messages":[{"role":"user","content":"hi"}],"own_field":{"a":[1.50]}}"#;
    let asked = Call {
        body: Arc::new(ChatBody::parse(given.as_bytes()).unwrap()),
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
        deadline: Moment::now() + Duration::from_secs(3),
        ..call("hi", true)
    };
    let (_, failed) = read(&backend.plugin(), asked).await;
    assert!(failed.is_none(), "{failed:?}");
    let asked = backend.asked().unwrap();
    assert_eq!(String::from_utf8_lossy(&asked.request), given);
    assert_eq!((asked.model.as_str(), asked.stream), ("own", true));
    assert!(asked.traceparent.starts_with("00-4bf9"));
    assert!(
        (1..=3000).contains(&asked.deadline_ms),
        "{}",
        asked.deadline_ms
    );
    assert!(!asked.attempt_id.is_empty());
    let sent = backend.metadata();
    assert!(sent.get("grpc-timeout").is_some() && sent.get("authorization").is_none());
    assert_eq!(
        sent.get("traceparent").unwrap().to_str().unwrap(),
        asked.traceparent
    );
}

#[tokio::test]
async fn options_fill_what_the_caller_leaves_out() {
    let backend = Backend::telling(vec![text("ok"), backend::stop()]).await;
    let options = [
        ("temperature", json!(0.5)),
        ("top_p", json!(0.9)),
        ("messages", json!([])),
    ];
    let options = options.map(|(name, value)| (name.to_owned(), value));
    let plugin = backend.plugin().options(options.into());
    let body = json!({"messages": [{"role": "user", "content": "hi"}], "top_p": 1});
    read(&plugin, call_with(body, true)).await;
    let sent: Value = serde_json::from_slice(&backend.asked().unwrap().request).unwrap();
    assert_eq!(
        (&sent["temperature"], &sent["top_p"]),
        (&json!(0.5), &json!(1))
    );
    assert_eq!(sent["messages"][0]["content"], "hi");
}

#[tokio::test]
async fn the_key_is_sent_and_struck_out_of_what_comes_back() {
    let backend = Backend::failing(tonic::Status::internal("bad key sk-secret-1")).await;
    let plugin = backend.plugin().api_key("sk-secret-1".into());
    let (_, failed) = read(&plugin, call("hi", true)).await;
    assert_eq!(failed.unwrap().message, "grpc INTERNAL: bad key [redacted]");
    let sent = backend.metadata();
    assert_eq!(sent.get("authorization").unwrap(), "Bearer sk-secret-1");
}

#[tokio::test]
async fn what_the_plugin_says_of_itself_guides_planning() {
    use llm_router_proto::llm_router::plugin::v1;
    let backend = Backend::telling(vec![text("ok"), backend::stop()]).await;
    let capabilities = v1::Capabilities {
        tools: Some(false),
        vision: Some(false),
        prefill: Some(false),
        json_schema: Some(false),
        embeddings: None,
    };
    backend.describes(v1::DescribeResponse {
        capabilities: Some(capabilities),
        uncarried_parameters: vec!["logprobs".into(), "seed".into()],
        ..Default::default()
    });
    let plugin = backend.plugin();
    let body = json!({"messages": [
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]},
            {"role": "assistant", "content": "Well"}],
        "tools": [{"type": "function", "function": {"name": "f"}}], "logprobs": true, "seed": null,
        "response_format": {"type": "json_schema", "json_schema": {}}});
    let asked = ChatBody::parse(body.to_string().as_bytes()).unwrap();
    assert!(
        plugin.uncarried(&asked).is_empty(),
        "nothing is known before it was asked"
    );
    plugin.health().await.unwrap();
    let found = plugin.uncarried(&asked);
    let params: Vec<_> = found
        .iter()
        .map(|p| (p.param.as_ref(), p.essential))
        .collect();
    let expected = [
        ("tools", true),
        ("messages[].content[type=image_url]", true),
        ("response_format", true),
        ("messages[-1][role=assistant]", true),
        ("logprobs", false),
    ];
    assert_eq!(params, expected);
    let plain = ChatBody::parse(br#"{"messages":[{"role":"user","content":"hi"}]}"#).unwrap();
    assert!(plugin.uncarried(&plain).is_empty());
}

#[tokio::test]
async fn health_is_the_standard_service_and_the_models_that_are_served() {
    let backend = Backend::telling(vec![]).await;
    backend.plugin().health().await.unwrap();
    backend.describes(llm_router_proto::llm_router::plugin::v1::DescribeResponse {
        models: vec!["other".into()],
        ..Default::default()
    });
    let failure = backend.plugin().health().await.unwrap_err();
    assert_eq!(failure.message, "the plugin does not serve this model");
    backend.serving(false).await;
    let failure = backend.plugin().health().await.unwrap_err();
    assert_eq!(failure.message, "the plugin says it is not serving");
}

#[tokio::test]
async fn a_plugin_of_one_call_is_enough() {
    let backend = Backend::bare(vec![text("ok"), backend::stop()]).await;
    let plugin = backend.plugin();
    plugin.health().await.unwrap();
    let (chunks, failed) = read(&plugin, call("hi", true)).await;
    assert!(failed.is_none(), "{failed:?}");
    assert_eq!(said(&chunks), "ok");
}

fn vectors_of(texts: &[&str]) -> EmbedCall {
    let texts = texts.iter().map(|text| (*text).to_owned()).collect();
    EmbedCall {
        inputs: Arc::new(Inputs::Texts(texts)),
        model: "".into(),
        dimensions: Some(2),
        user: Some("me".into()),
        deadline: Moment::now() + Duration::from_secs(5),
        timeouts: Timeouts::default(),
        traceparent: None,
    }
}

#[tokio::test]
async fn vectors_come_in_the_order_of_their_inputs() {
    let backend = Backend::telling(vec![]).await;
    let plugin = backend.plugin();
    let embeddings = plugin.embed(vectors_of(&["a", "bbb"])).await.unwrap();
    assert_eq!(embeddings.vectors, [[1.0, 2.0], [3.0, 2.0]]);
    assert_eq!(embeddings.usage, Some(Usage::new(4, 0)));
    assert!(plugin.embeds());
}

#[tokio::test]
async fn a_plugin_is_asked_for_vectors_unless_it_says_that_it_makes_none() {
    use llm_router_proto::llm_router::plugin::v1;
    let backend = Backend::telling(vec![]).await;
    let says = |embeddings| {
        let capabilities = Some(v1::Capabilities {
            embeddings,
            ..Default::default()
        });
        backend.describes(v1::DescribeResponse {
            capabilities,
            ..Default::default()
        });
    };
    let plugin = backend.plugin();
    assert!(plugin.embeds(), "nothing is known before it was asked");
    for (said, asked) in [(None, true), (Some(true), true), (Some(false), false)] {
        says(said);
        plugin.health().await.unwrap();
        assert_eq!(plugin.embeds(), asked, "{said:?}");
    }
    let failure = plugin.embed(vectors_of(&["a"])).await.unwrap_err();
    assert_eq!((failure.class, failure.status), (Class::Caller, Some(404)));
}

#[tokio::test]
async fn a_plugin_without_the_call_for_vectors_is_not_asked_for_them_again() {
    let backend = Backend::bare(vec![]).await;
    let plugin = backend.plugin();
    assert!(plugin.embeds(), "it describes nothing");
    let failure = plugin.embed(vectors_of(&["a"])).await.unwrap_err();
    assert_eq!((failure.class, failure.status), (Class::Caller, Some(404)));
    assert!(!plugin.embeds());
}

#[tokio::test]
async fn a_socket_in_the_file_system_will_do() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("own.sock");
    let told = vec![text("from a file"), backend::stop()];
    let _backend = Backend::at_socket(&socket, told);
    let plugin = Plugin::new("own").base_url(format!("unix:{}", socket.display()));
    let (chunks, failed) = read(&plugin, call("hi", true)).await;
    assert!(failed.is_none(), "{failed:?}");
    assert_eq!(said(&chunks), "from a file");
}

#[test]
fn places_that_cannot_be_asked_are_refused_before_the_first_call() {
    for (url, problem) in [
        ("", "needs base_url"),
        ("127.0.0.1:9000", "not an absolute"),
        ("ftp://127.0.0.1:9000", "http://"),
        ("http://127.0.0.1:9000/v1", "no path"),
        ("http://u:p@127.0.0.1:9000", "user or password"),
        ("unix:relative.sock", "absolute path"),
        ("unix:/a\nb", "control"),
    ] {
        let error = Plugin::new("own").base_url(url).check().unwrap_err();
        assert!(error.to_string().contains(problem), "{url:?}: {error}");
    }
    let public = Plugin::new("own").base_url("http://plugin.example.com:9000");
    public.check().unwrap();
    let error = public.api_key("sk-secret-1".into()).check().unwrap_err();
    assert!(error.to_string().contains("clear text"), "{error}");
    let secure = Plugin::new("own").base_url("https://plugin.example.com");
    secure.api_key("sk-secret-1".into()).check().unwrap();
}
