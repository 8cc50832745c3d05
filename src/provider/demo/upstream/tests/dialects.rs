use super::*;

/// The same question in every dialect: path, body, and what a stream of it is asked by.
fn questions(model: &str, text: &str, stream: bool) -> Vec<(String, Value)> {
    let schema =
        json!({"type": "object", "required": ["q"], "properties": {"q": {"type": "string"}}});
    let said = json!([{"role": "user", "content": text}]);
    let tool = json!({"type": "function", "function": {"name": "f", "parameters": schema}});
    let openai = json!({"model": model, "messages": said, "stream": stream, "tools": [tool]});
    let azure = format!("/openai/deployments/{model}/chat/completions?api-version=2024-10-21");
    let verb = if stream {
        "streamGenerateContent?alt=sse"
    } else {
        "generateContent"
    };
    let declared = json!([{"functionDeclarations": [{"name": "f", "parameters": schema}]}]);
    let flat = json!({"type": "function", "name": "f", "parameters": schema});
    vec![
        ("/v1/chat/completions".to_owned(), openai.clone()),
        (azure, openai.clone()),
        ("/api/chat".to_owned(), openai),
        (
            "/v1/messages".to_owned(),
            json!({"model": model, "max_tokens": 99, "messages": said,
            "stream": stream, "tools": [{"name": "f", "input_schema": schema}]}),
        ),
        (
            format!("/v1beta/models/{model}:{verb}"),
            json!({"tools": declared,
            "contents": [{"role": "user", "parts": [{"text": text}]}]}),
        ),
        (
            "/v1/responses".to_owned(),
            json!({"model": model, "input": text, "stream": stream,
            "tools": [flat]}),
        ),
    ]
}

#[tokio::test]
async fn every_dialect_says_the_prompt_back_whole_and_streamed() {
    let upstream = upstream().await;
    for stream in [false, true] {
        for (path, body) in questions("echo", "good-day", stream) {
            let (status, text) = post(&upstream, &path, &body).await;
            assert_eq!(status, 200, "{path}: {text}");
            assert!(text.contains("good-day"), "{path}: {text}");
        }
    }
    assert_eq!(
        (
            upstream.requests(),
            upstream.in_flight(),
            upstream.aborted()
        ),
        (12, 0, 0)
    );
}

#[tokio::test]
async fn every_dialect_calls_two_tools_at_once() {
    let upstream = upstream().await;
    for stream in [false, true] {
        for (path, body) in questions("parallel", "x", stream) {
            let (status, text) = post(&upstream, &path, &body).await;
            assert_eq!(status, 200, "{path}: {text}");
            let names = text.matches(r#""name":"f""#).count();
            // OpenAI's Responses name each call when it begins, ends and is listed
            assert!(names >= 2, "{path}: {names} in {text}");
        }
    }
}

#[tokio::test]
async fn thoughts_go_out_under_a_seal() {
    let upstream = upstream().await;
    let seal = crate::provider::demo::script::seal("They ask: x");
    for stream in [false, true] {
        for (path, body) in questions("thinking", "x", stream) {
            let (_, text) = post(&upstream, &path, &body).await;
            let sealed = !(path.contains("/api/") || path.contains("responses"));
            assert_eq!(text.contains(&seal), sealed, "{path}: {text}");
        }
    }
}

#[tokio::test]
async fn anthropics_stream_opens_and_closes_every_block() {
    let upstream = upstream().await;
    let body = json!({"model": "thinking", "max_tokens": 99, "stream": true,
        "messages": [{"role": "user", "content": "x"}]});
    let (_, text) = post(&upstream, "/v1/messages", &body).await;
    let names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("event: "))
        .collect();
    assert_eq!(
        (names[0], names[names.len() - 1]),
        ("message_start", "message_stop")
    );
    let count = |name: &str| names.iter().filter(|known| **known == name).count();
    assert_eq!(
        (count("content_block_start"), count("content_block_stop")),
        (2, 2)
    );
    assert!(text.contains("signature_delta"));
}

#[tokio::test]
async fn credentials_and_versions_are_demanded() {
    let upstream = upstream().await;
    let bare = |path: &str, body: &Value| {
        let url = format!("{}{path}", upstream.url());
        reqwest_client().post(url).body(body.to_string()).send()
    };
    for (path, body) in questions("echo", "x", false) {
        let answered = bare(&path, &body).await.unwrap();
        let open = ["/v1/chat/completions", "/api/chat", "/v1/responses"].contains(&path.as_str());
        assert_eq!(
            answered.status().as_u16(),
            if open { 200 } else { 401 },
            "{path}"
        );
    }
    let (status, text) = post(
        &upstream,
        "/openai/deployments/x/chat/completions",
        &asking("x"),
    )
    .await;
    assert_eq!(status, 404, "{text}");
    upstream.set_key(Some("another"));
    for (path, body) in questions("echo", "x", false) {
        assert_eq!(post(&upstream, &path, &body).await.0, 401, "{path}");
    }
}

#[tokio::test]
async fn tokens_are_counted_without_an_answer() {
    let upstream = upstream().await;
    let body =
        json!({"model": "m", "messages": [{"role": "user", "content": "three little words"}]});
    let (status, text) = post(&upstream, "/v1/messages/count_tokens", &body).await;
    assert_eq!((status, text.as_str()), (200, r#"{"input_tokens":3}"#));
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test]
async fn the_last_request_of_each_path_is_remembered() {
    let upstream = upstream().await;
    for (path, body) in questions("echo", "x", false) {
        post(&upstream, &path, &body).await;
    }
    let last = upstream.last_at("/v1/messages").unwrap();
    assert_eq!(
        (last.json()["max_tokens"].as_u64(), last.header("x-api-key")),
        (Some(99), "k")
    );
    let azure = upstream
        .last_at("/openai/deployments/echo/chat/completions")
        .unwrap();
    assert_eq!(azure.query, "api-version=2024-10-21");
    assert!(upstream.last_at("/v1/embeddings").is_none());
}

#[tokio::test]
async fn vectors_come_in_every_dialect() {
    let upstream = upstream().await;
    let batch = json!({"requests": [{"model": "models/m", "content": {"parts": [{"text": "x"}]}}]});
    for (path, body) in [
        ("/v1/embeddings", json!({"model": "m", "input": ["x"]})),
        (
            "/openai/deployments/m/embeddings?api-version=2024-10-21",
            json!({"input": "x"}),
        ),
        ("/api/embed", json!({"model": "m", "input": "x"})),
        ("/v1beta/models/m:batchEmbedContents", batch),
    ] {
        let (status, text) = post(&upstream, path, &body).await;
        assert_eq!(status, 200, "{path}: {text}");
    }
    upstream.set_fault(Trouble::Garbled.first(1));
    let body = json!({"model": "m", "input": ["x"]});
    assert!(
        post(&upstream, "/v1/embeddings", &body)
            .await
            .1
            .contains("<html>")
    );
    assert_eq!(post(&upstream, "/v1/embeddings", &body).await.0, 200);
}
