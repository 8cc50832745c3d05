//! What goes to OpenAI's own API of requests that came in another dialect.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::dialect::anthropic::{self, Purpose, Version};
use crate::dialect::completions::Asked;
use crate::dialect::openai::ChatBody;
use crate::dialect::responses;
use crate::provider::stand_in::{StandIn, call};
use crate::provider::{Call, OpenAi, Provider};

const ANSWER: &str =
    r#"{"choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}]}"#;

fn messages(rest: Value) -> ChatBody {
    let mut body = json!({"model": "m", "max_tokens": 1000,
        "messages": [{"role": "user", "content": "hi"}]});
    let fields = rest.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(fields);
    let bytes = body.to_string();
    anthropic::to_openai(bytes.as_bytes(), Purpose::Answer, Version::default(), None).unwrap()
}

fn upstream(model: &str, url: &str, options: Value) -> OpenAi {
    let options: BTreeMap<String, Value> = serde_json::from_value(options).unwrap();
    OpenAi::new(model).base_url(url).options(options)
}

/// What an upstream with these options is sent of a request.
async fn sent(model: &str, options: Value, body: ChatBody) -> Value {
    let answers = StandIn::saying(ANSWER).await;
    let call = Call {
        body: Arc::new(body),
        ..call(
            &json!({"messages": [{"role": "user", "content": "x"}]}),
            false,
        )
    };
    let provider = upstream(model, &answers.url, options);
    provider.generate(call).await.unwrap();
    answers.asked().remove(0).body
}

fn lost(model: &str, url: &str, body: &ChatBody) -> Vec<String> {
    let lost = upstream(model, url, json!({})).uncarried(body);
    lost.into_iter()
        .map(|part| part.param.into_owned())
        .collect()
}

#[tokio::test]
async fn a_limit_goes_out_under_the_one_name_that_the_upstream_takes() {
    let completion = br#"{"model":"m","prompt":"hi","max_tokens":1000}"#;
    let completion = Asked::parse(completion).unwrap().chats.remove(0);
    let response = br#"{"model":"m","input":"hi","max_output_tokens":1000}"#;
    let response = responses::read(response).unwrap().chat;
    for body in [messages(json!({})), completion, response] {
        let strict = sent("gpt-5", json!({"strict": true}), body.clone()).await;
        assert_eq!(strict["max_completion_tokens"], 1000);
        assert_eq!(strict.get("max_tokens"), None);
        let other = sent("gpt-5", json!({}), body).await;
        assert_eq!(other["max_tokens"], 1000);
        assert_eq!(other.get("max_completion_tokens"), None);
    }
}

#[tokio::test]
async fn what_openai_would_refuse_is_left_out_and_named() {
    let thinking = json!({"type": "enabled", "budget_tokens": 8000});
    let body = messages(json!({"top_k": 5, "thinking": thinking}));
    let strict = json!({"strict": true});
    let think = sent("gpt-5", strict.clone(), body.clone()).await;
    assert_eq!(think["reasoning_effort"], "medium");
    assert_eq!(think.get("top_k"), None);
    let plain = sent("gpt-4o", strict, body.clone()).await;
    assert_eq!(plain.get("reasoning_effort"), None);
    let own = super::super::DEFAULT_BASE;
    assert_eq!(lost("gpt-5", own, &body), ["top_k"]);
    assert_eq!(lost("gpt-4o", own, &body), ["top_k", "reasoning_effort"]);
    let elsewhere = "http://127.0.0.1:8000/v1";
    assert_eq!(lost("gpt-4o", elsewhere, &body), [""; 0]);
    assert_eq!(sent("gpt-4o", json!({}), body).await["top_k"], 5);
}

#[tokio::test]
async fn what_a_client_wrote_for_openai_goes_out_as_it_came() {
    let said = json!({"messages": [{"role": "user", "content": "hi"}], "max_tokens": 7, "top_k": 3,
        "reasoning_effort": "low", "x_untranslated": {"a": 1}});
    let body = ChatBody::parse(said.to_string().as_bytes()).unwrap();
    let mut expected = said.clone();
    expected["model"] = json!("gpt-4o");
    let strict = json!({"strict": true});
    assert_eq!(sent("gpt-4o", strict.clone(), body.clone()).await, expected);
    assert_eq!(lost("gpt-4o", super::super::DEFAULT_BASE, &body), [""; 0]);
    let limited = json!({"strict": true, "max_completion_tokens": 99});
    assert_eq!(sent("gpt-4o", limited, body).await, expected);
}
