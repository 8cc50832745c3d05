use std::sync::Arc;

use super::*;
use crate::dialect::openai::ChatBody;
use crate::provider::Timeouts;
use crate::types::Finish;

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
    call_with(
        json!({"messages": [{"role": "user", "content": text}]}),
        stream,
    )
}

async fn whole(demo: &Demo, call: Call) -> Result<Completion, Failure> {
    match demo.generate(call).await? {
        Answer::Whole(completion) => Ok(completion),
        Answer::Stream(_) => panic!("a stream was not asked for"),
    }
}

async fn streamed(demo: &Demo, call: Call) -> Vec<Result<Chunk, Failure>> {
    match demo.generate(call).await.unwrap() {
        Answer::Stream(chunks) => chunks.collect().await,
        Answer::Whole(_) => panic!("a stream was asked for"),
    }
}

#[tokio::test]
async fn an_unknown_model_or_option_fails_with_its_name() {
    let failure = whole(&Demo::new("gpt"), call("x", false))
        .await
        .unwrap_err();
    assert_eq!((failure.class, failure.status), (Class::Caller, Some(404)));
    let failure = whole(&Demo::new("echo").option("speed", 1), call("x", false))
        .await
        .unwrap_err();
    assert!(failure.message.contains("speed"));
}

#[tokio::test]
async fn every_fault_has_its_class() {
    let demo = |kind: &str| {
        Demo::new("flaky")
            .option("fail_rate", 1)
            .option("error_kind", kind)
    };
    for (kind, words) in [
        ("connect", "refused"),
        ("garbled", "not an OpenAI answer"),
        ("cut", "closed"),
    ] {
        let failure = whole(&demo(kind), call("a b", false)).await.unwrap_err();
        assert_eq!(failure.class, Class::Hard);
        assert!(failure.message.contains(words), "{}", failure.message);
    }
    for (status, class) in [
        (401, Class::Credential),
        (400, Class::Caller),
        (500, Class::Hard),
    ] {
        let failure = whole(&demo("status").option("status", status), call("a", false))
            .await
            .unwrap_err();
        assert_eq!(failure.class, class);
    }
    let limited = demo("status")
        .option("status", 429)
        .option("retry_after_s", 4);
    let failure = whole(&limited, call("a", true)).await.unwrap_err();
    assert_eq!(
        failure.class,
        Class::Gate {
            retry_after: Some(Duration::from_secs(4))
        }
    );
}

#[tokio::test]
async fn a_hang_ends_at_the_callers_limit() {
    let demo = Demo::new("flaky")
        .option("fail_rate", 1)
        .option("error_kind", "hang");
    let timeouts = Timeouts {
        first_token: Duration::from_millis(20),
        ..Timeouts::default()
    };
    let failure = whole(
        &demo,
        Call {
            timeouts,
            ..call("a", true)
        },
    )
    .await
    .unwrap_err();
    assert!(failure.timed_out && failure.message == "no first token within 20ms");
}

#[tokio::test]
async fn a_cut_stream_says_its_words_and_then_fails() {
    let demo = Demo::new("flaky")
        .option("fail_first", 1)
        .option("cut_after_tokens", 2);
    let items = streamed(&demo, call("a b c", true)).await;
    let text: String = items
        .iter()
        .flatten()
        .map(|chunk| chunk.tap.text.as_str())
        .collect();
    assert_eq!(text, "a b ");
    assert_eq!(items.last().unwrap().as_ref().unwrap_err().message, CUT_OFF);
    let healed = streamed(&demo, call("a b c", true)).await;
    assert!(healed.iter().all(Result::is_ok));
}

#[tokio::test]
async fn a_slow_first_token_breaks_the_limit_and_a_fast_one_does_not() {
    let demo = Demo::new("echo").option("first_token_ms", 60);
    let timeouts = Timeouts {
        first_token: Duration::from_millis(20),
        ..Timeouts::default()
    };
    let items = streamed(
        &demo,
        Call {
            timeouts,
            ..call("a", true)
        },
    )
    .await;
    assert_eq!(
        items.last().unwrap().as_ref().unwrap_err().message,
        "no first token within 20ms"
    );
    let timeouts = Timeouts {
        idle: Duration::from_millis(200),
        first_token: Duration::from_secs(5),
        ..timeouts
    };
    assert!(
        streamed(
            &demo,
            Call {
                timeouts,
                ..call("a", true)
            }
        )
        .await
        .iter()
        .all(Result::is_ok)
    );
}

#[tokio::test]
async fn an_echo_streams_word_by_word_and_counts() {
    let items = streamed(&Demo::new("echo"), call("hello  big\nworld", true)).await;
    let texts: Vec<&str> = items
        .iter()
        .flatten()
        .map(|chunk| chunk.tap.text.as_str())
        .collect();
    assert_eq!(texts, ["", "hello  ", "big\n", "world", "", ""]);
    assert_eq!(items[4].as_ref().unwrap().tap.finish, Some(Finish::Stop));
    assert_eq!(
        items[5].as_ref().unwrap().tap.usage.unwrap().total_tokens,
        6
    );
}

#[tokio::test]
async fn the_rate_holds_whole_and_streamed() {
    let demo = Demo::new("lorem")
        .option("tokens", 11)
        .option("tokens_per_second", 100);
    for stream in [false, true] {
        let started = Moment::now();
        match stream {
            true => assert_eq!(streamed(&demo, call("x", true)).await.len(), 14),
            false => assert_eq!(
                whole(&demo, call("x", false)).await.unwrap().tap.finish,
                Some(Finish::Stop)
            ),
        }
        let took = Moment::now().since(started);
        assert!(took >= Duration::from_millis(99), "{took:?}");
    }
}

#[tokio::test]
async fn a_tool_call_streams_in_fragments_that_join_to_an_object() {
    let tools = json!([{"type": "function", "function": {"name": "f", "parameters":
        {"required": ["q"], "properties": {"q": {"type": "string"}}}}}]);
    let body = json!({"messages": [{"role": "user", "content": "two words"}], "tools": tools});
    let items = streamed(&Demo::new("tools"), call_with(body, true)).await;
    let mut arguments = String::new();
    for chunk in items.iter().flatten() {
        let value: Value = serde_json::from_slice(&chunk.raw).unwrap();
        let call = &value["choices"][0]["delta"]["tool_calls"][0];
        if call.is_object() {
            assert_eq!(call["index"], 0);
            arguments.push_str(call["function"]["arguments"].as_str().unwrap());
        }
    }
    assert_eq!(
        serde_json::from_str::<Value>(&arguments).unwrap(),
        json!({"q": "two words"})
    );
    assert!(
        items
            .iter()
            .flatten()
            .any(|chunk| chunk.tap.finish == Some(Finish::ToolCalls))
    );
}
