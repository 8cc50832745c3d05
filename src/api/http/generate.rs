//! `POST /generate`: a prompt in, an answer out, for callers who want nothing else.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::Request;
use serde_json::json;

use super::chat::{assemble, describe, with_id};
use super::{auth, body, errors};
use crate::api::options::{Options, request_id, wants_explanation};
use crate::app::Node;
use crate::dialect::json::{Object, raw};
use crate::dialect::openai::{BadRequest, ChatBody};
use crate::error::{Error, Kind};
use crate::inference::{CacheStatus, Reply, ReplyBody, Source};
use crate::types::{ChatRequest, Moment, Priority};

/// Answers one prompt.
pub(super) async fn generate(State(node): State<Arc<Node>>, request: Request<Body>) -> Response {
    let source = Source {
        door: "http",
        path: "/generate",
        arrived: Moment::now(),
    };
    answer(&node, source, request).await
}

async fn answer(node: &Node, source: Source, request: Request<Body>) -> Response {
    let id = request_id(request.headers());
    let explain = wants_explanation(request.headers());
    let options = match Options::read(request.headers(), source.arrived) {
        Ok(options) => Options {
            id: id.clone(),
            tenant: auth::tenant(request.extensions()),
            ..options
        },
        Err(error) => {
            node.engine.refused(source, Some(&id), &error);
            return with_id(errors::render(&error), id.as_str());
        }
    };
    let read = async {
        let (_, bytes) = body::read(request).await?;
        understand(options, &bytes)
    };
    let answered = match read.await {
        Ok(chat) => node.engine.chat_from(source, chat).await,
        Err(error) => {
            node.engine.refused(source, Some(&id), &error);
            Err(error)
        }
    };
    match answered {
        Ok(reply) => render(reply, explain),
        Err(error) => with_id(errors::render(&error), id.as_str()),
    }
}

/// `{"prompt", "priority"?, "model"?, …}`: further fields go along as in a chat request.
fn understand(mut options: Options, bytes: &[u8]) -> Result<ChatRequest, Error> {
    let mut object = Object::parse(bytes).map_err(BadRequest::from)?;
    let field = |param: &'static str, problem: &str| {
        Error::new(Kind::InvalidRequest, format!("field `{param}` {problem}")).with_param(param)
    };
    let prompt = object.get("prompt").ok_or(BadRequest::Missing("prompt"))?;
    let prompt: String =
        serde_json::from_str(prompt.get()).map_err(|_| field("prompt", "must be a string"))?;
    object.remove("prompt");
    if let Some(priority) = object.remove("priority") {
        let level: Option<Priority> = serde_json::from_str(priority.get())
            .map_err(|_| field("priority", "must be critical, high, normal or low"))?;
        options.priority = level.unwrap_or(options.priority);
    }
    for ours in ["stream", "stream_options", "messages"] {
        object.remove(ours);
    }
    if object
        .get("model")
        .is_none_or(|model| model.get() == "null")
    {
        object.set("model", raw("auto"));
    }
    object.set(
        "messages",
        raw(&[json!({"role": "user", "content": prompt})]),
    );
    let chat = ChatBody::from_object(object)?.as_translated();
    Ok(assemble(options, chat))
}

fn render(reply: Reply, explain: bool) -> Response {
    let Reply { meta, body } = reply;
    let ReplyBody::Complete(whole) = body else {
        return errors::render(&Error::new(Kind::Internal, "a stream nobody asked for"));
    };
    let answer = json!({
        "content": whole.tap.text,
        "model_used": meta.model,
        "cached": matches!(meta.cache, CacheStatus::Exact | CacheStatus::Semantic),
        "cache": meta.cache.as_str(),
        "similarity": meta.similarity,
        "route": meta.route,
        "attempts": meta.attempts,
        "finish_reason": whole.tap.finish.map(crate::types::Finish::as_openai),
        "usage": whole.tap.usage,
        "cost_usd": meta.cost_usd,
        "latency_ms": u64::try_from(meta.elapsed.as_millis()).unwrap_or(u64::MAX),
        "request_id": meta.id,
    });
    let mut response = errors::json_response(200, answer.to_string());
    describe(&meta, explain, response.headers_mut());
    response
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::understand;
    use crate::api::options::Options;
    use crate::types::{Moment, Priority};

    fn options() -> Options {
        Options::read(&HeaderMap::new(), Moment::ZERO).unwrap()
    }

    #[test]
    fn what_is_missing_or_misspelt_is_named() {
        let wrong = |body: &str| understand(options(), body.as_bytes()).unwrap_err().param;
        assert_eq!(wrong("{}").as_deref(), Some("prompt"));
        assert_eq!(wrong(r#"{"prompt": 3}"#).as_deref(), Some("prompt"));
        assert_eq!(
            wrong(r#"{"prompt":"a","priority":"urgent"}"#).as_deref(),
            Some("priority")
        );
    }

    #[test]
    fn a_prompt_becomes_one_user_message_and_further_fields_go_along() {
        let body = br#"{"prompt":"hi","priority":"low","temperature":0.1,"stream":true}"#;
        let request = understand(options(), body).unwrap();
        assert_eq!(request.priority, Priority::Low);
        assert_eq!(&*request.model, "auto");
        assert!(!request.stream);
        assert_eq!(request.body.messages()[0].text(), "hi");
        assert_eq!(request.body.temperature(), Some(0.1));
    }
}
