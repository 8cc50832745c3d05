//! What clients of OpenAI's other APIs see.

use super::cache::key;
use super::*;

const MODELS: &str = "models: { a: { provider: demo, model: echo }, \
    t: { provider: demo, model: tools }, \"org/x:tag\": { provider: demo, model: echo }, \
    v: { provider: local, model: all-MiniLM-L6-v2 } }\n\
    routes: [{ name: r, match: { model: other }, targets: [a] }]\n";

async fn post(one: &One, path: &str, body: &Value) -> (u16, Value) {
    read(ask(one, to(Method::POST, path), body).await).await
}

/// The names and data of a stream's events.
async fn events(one: &One, path: &str, body: &Value) -> Vec<(String, String)> {
    let response = ask(one, to(Method::POST, path), body).await;
    assert_eq!(response.status(), 200);
    assert_eq!(
        response.headers()["content-type"],
        "text/event-stream; charset=utf-8"
    );
    let text = axum::body::to_bytes(response.into_body(), 1 << 20)
        .await
        .unwrap();
    let text = String::from_utf8(text.to_vec()).unwrap();
    let blocks = text
        .split("\n\n")
        .filter(|block| !block.is_empty() && !block.starts_with(':'));
    let fields = blocks.map(|block| {
        let field = |name: &str| {
            let line = block.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_default().to_owned()
        };
        (field("event: "), field("data: "))
    });
    fields.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completion_is_text_and_several_prompts_are_several_choices() {
    let one = One::begin(MODELS).await;
    for path in ["/v1/completions", "/completions"] {
        let body = json!({"model": "a", "prompt": ["hello", "world"]});
        let afresh = to(Method::POST, path).header("x-llm-router-cache", "off");
        let response = ask(&one, afresh, &body).await;
        assert_eq!(response.headers()["x-llm-router-model"], "a");
        assert_eq!(response.headers()["x-llm-router-attempts"], "2");
        let (status, said) = read(response).await;
        assert_eq!((status, &said["object"]), (200, &json!("text_completion")));
        for (index, text) in [(0, "hello"), (1, "world")] {
            let choice = json!({"text": text, "index": index, "logprobs": null,
                "finish_reason": "stop"});
            assert_eq!(said["choices"][index], choice);
        }
        assert!(said["usage"]["total_tokens"].as_u64() > Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streamed_completion_is_chunks_of_text_and_an_end_mark() {
    let one = One::begin(MODELS).await;
    let body = json!({"model": "a", "prompt": ["one two", "three"], "stream": true,
        "stream_options": {"include_usage": true}});
    let mut events = events(&one, "/v1/completions", &body).await;
    assert_eq!(events.pop().unwrap().1, "[DONE]");
    let chunks: Vec<Value> = events
        .iter()
        .map(|(_, data)| serde_json::from_str(data).unwrap())
        .collect();
    let (mut texts, mut ends) = (["", ""].map(str::to_owned), 0);
    for choice in chunks.iter().filter_map(|chunk| chunk["choices"].get(0)) {
        let index = usize::try_from(choice["index"].as_u64().unwrap()).unwrap();
        texts[index].push_str(choice["text"].as_str().unwrap());
        ends += usize::from(choice["finish_reason"] == "stop");
    }
    assert_eq!(
        (texts, ends),
        (["one two".to_owned(), "three".to_owned()], 2)
    );
    let last = chunks.last().unwrap();
    assert_eq!(last["choices"], json!([]));
    assert!(last["usage"]["total_tokens"].as_u64() > Some(0));
}

/// A path, a body, and the status and `param` that it is refused with.
fn mistakes() -> Vec<(&'static str, Value, u16, Value)> {
    vec![
        (
            "/v1/completions",
            json!({"prompt": [1, 2]}),
            400,
            json!("prompt"),
        ),
        (
            "/v1/completions",
            json!({"prompt": "a", "suffix": "b"}),
            400,
            json!("suffix"),
        ),
        (
            "/v1/completions",
            json!({"prompt": "a", "model": "no"}),
            404,
            json!("model"),
        ),
        (
            "/v1/completions",
            json!({"prompt": "a", "model": "no", "stream": true}),
            404,
            json!("model"),
        ),
        ("/v1/responses", json!({}), 400, json!("input")),
        (
            "/v1/responses",
            json!({"input": "a", "model": "no"}),
            404,
            json!("model"),
        ),
        (
            "/v1/embeddings",
            json!({"input": [""]}),
            400,
            json!("input"),
        ),
        (
            "/v1/embeddings",
            json!({"input": "a", "model": "no"}),
            404,
            json!("model"),
        ),
        (
            "/v1/embeddings",
            json!({"input": "a", "model": "a"}),
            400,
            Value::Null,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_openais_shape_at_every_door() {
    let one = One::begin(MODELS).await;
    for (path, body, status, param) in mistakes() {
        let (given, said) = post(&one, path, &body).await;
        let error = &said["error"];
        assert_eq!(
            (given, &error["param"]),
            (status, &param),
            "{path} {body}: {said}"
        );
        let keys: Vec<&str> = error
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(keys, ["code", "message", "param", "type"]);
    }
    let request = to(Method::POST, "/v1/responses")
        .body(Body::from("{"))
        .unwrap();
    let response = routes(Arc::clone(&one.node))
        .oneshot(request)
        .await
        .unwrap();
    assert_eq!(read(response).await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_is_a_whole_object_for_text_and_for_calls() {
    let one = One::begin(MODELS).await;
    let body = json!({"model": "a", "input": "hello", "instructions": "be brief",
        "metadata": {"k": "v"}, "truncation": "auto"});
    let response = ask(&one, to(Method::POST, "/v1/responses"), &body).await;
    assert_eq!(
        response.headers()["x-llm-router-dropped-params"],
        "truncation"
    );
    let (status, said) = read(response).await;
    assert_eq!(
        (status, &said["object"]),
        (200, &json!("response")),
        "{said}"
    );
    assert_eq!(
        (&said["status"], &said["store"]),
        (&json!("completed"), &json!(false))
    );
    assert_eq!(said["output"][0]["content"][0]["text"], "hello");
    assert_eq!(said["metadata"], json!({"k": "v"}));
    assert!(said["usage"]["input_tokens"].as_u64() > Some(0));
    let tool = json!({"type": "function", "name": "weather", "parameters":
        {"type": "object", "properties": {"city": {"type": "string"}}}});
    let body = json!({"model": "t", "input": "weather in Paris?", "tools": [tool]});
    let (_, said) = post(&one, "/v1/responses", &body).await;
    let call = &said["output"][0];
    assert_eq!(
        (&call["type"], &call["name"]),
        (&json!("function_call"), &json!("weather"))
    );
    assert!(call["call_id"].as_str().is_some_and(|id| !id.is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streamed_response_is_named_events_in_order() {
    let one = One::begin(MODELS).await;
    let body = json!({"model": "a", "input": "hello there", "stream": true});
    let events = events(&one, "/responses", &body).await;
    let mut names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    names.dedup();
    let names: Vec<&str> = names
        .iter()
        .map(|name| name.strip_prefix("response.").unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "created",
            "in_progress",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "completed",
        ]
    );
    for (number, (name, data)) in events.iter().enumerate() {
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!(
            (&data["type"], &data["sequence_number"]),
            (&json!(name), &json!(number))
        );
    }
    let end: Value = serde_json::from_str(&events.last().unwrap().1).unwrap();
    let text = &end["response"]["output"][0]["content"][0]["text"];
    assert_eq!(text, "hello there");
    assert!(end["response"]["usage"]["output_tokens"].as_u64() > Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_a_server_that_remembers_is_refused_where_none_is_configured() {
    let one = One::begin(MODELS).await;
    let body = json!({"model": "a", "input": "x", "previous_response_id": "resp_1"});
    let (status, said) = post(&one, "/v1/responses", &body).await;
    let message = said["error"]["message"].as_str().unwrap();
    assert_eq!(status, 400);
    assert!(message.contains("previous_response_id"), "{message}");
    for method in [Method::GET, Method::DELETE] {
        let (status, said) =
            read(ask(&one, to(method, "/v1/responses/resp_1"), &Value::Null).await).await;
        assert_eq!(
            (status, &said["error"]["param"]),
            (404, &json!("response_id"))
        );
        assert!(
            said["error"]["message"]
                .as_str()
                .unwrap()
                .contains("keeps no responses")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_weights_local_models_say_how_to_fetch_them() {
    let one = One::begin(MODELS).await;
    for model in ["local/all-MiniLM-L6-v2", "v"] {
        let body = json!({"model": model, "input": "x"});
        let (status, said) = post(&one, "/v1/embeddings", &body).await;
        assert_eq!(status, 503, "{said}");
        let message = said["error"]["message"].as_str().unwrap();
        assert!(message.contains("llm-router model pull"), "{message}");
    }
    let (status, said) = post(
        &one,
        "/v1/chat/completions",
        &json!({"model": "v",
        "messages": [{"role": "user", "content": "x"}]}),
    )
    .await;
    assert_eq!(status, 400);
    assert!(
        said["error"]["message"]
            .as_str()
            .unwrap()
            .contains("makes vectors only")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_listed_with_what_they_are_under_names_with_slashes_and_colons() {
    let one = One::begin(MODELS).await;
    let (_, list) = read(ask(&one, to(Method::GET, "/v1/models"), &Value::Null).await).await;
    let entry = |id: &str| {
        let entries = list["data"].as_array().unwrap();
        entries
            .iter()
            .find(|entry| entry["id"] == id)
            .unwrap()
            .clone()
    };
    let ours = json!({"kind": "model", "provider": "demo", "model": "echo"});
    assert_eq!(entry("org/x:tag")["llm_router"], ours);
    assert_eq!(entry("auto")["llm_router"], json!({"kind": "auto"}));
    assert_eq!(entry("r")["llm_router"], json!({"kind": "route"}));
    assert_eq!(entry("other")["llm_router"], json!({"kind": "alias"}));
    for path in ["/v1/models/org/x:tag", "/models/org%2Fx%3Atag"] {
        let (status, said) = read(ask(&one, to(Method::GET, path), &Value::Null).await).await;
        assert_eq!((status, &said["id"]), (200, &json!("org/x:tag")), "{path}");
        assert_eq!(said["object"], "model");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_talks_to_the_nodes_own_embedder_is_sent_to_the_embeddings_in_every_dialect() {
    let one = One::begin(MODELS).await;
    let model = "local/all-MiniLM-L6-v2";
    let messages = json!([{"role": "user", "content": "x"}]);
    for (path, body) in [
        (
            "/v1/chat/completions",
            json!({"model": model, "messages": messages}),
        ),
        ("/v1/completions", json!({"model": model, "prompt": "x"})),
        ("/v1/responses", json!({"model": model, "input": "x"})),
        ("/generate", json!({"model": model, "prompt": "x"})),
        (
            "/v1/messages",
            json!({"model": model, "max_tokens": 5, "messages": messages}),
        ),
    ] {
        let (status, said) = post(&one, path, &body).await;
        assert_eq!(status, 400, "{path}: {said}");
        assert_eq!(said["error"]["type"], "invalid_request_error", "{path}");
        let message = said["error"]["message"].as_str().unwrap();
        assert!(message.contains("ask /v1/embeddings"), "{path}: {message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_each_dialect_says_so_in_its_own_words() {
    let one = One::begin(MODELS).await;
    key(&one, None, &json!({"name": "ops"})).await;
    let messages = json!([{"role": "user", "content": "x"}]);
    let asked = json!({"model": "m", "max_tokens": 5, "messages": messages});
    let (status, said) = post(&one, "/v1/messages", &asked).await;
    assert_eq!((status, &said["type"]), (401, &json!("error")), "{said}");
    assert_eq!(said["error"]["type"], "authentication_error");
    assert!(said["error"]["message"].is_string() && said["request_id"].is_string());
    let (status, said) = post(&one, "/v1/chat/completions", &asked).await;
    assert_eq!((status, &said["type"]), (401, &Value::Null), "{said}");
    assert_eq!(said["error"]["code"], "invalid_api_key");
}
