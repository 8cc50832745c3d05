//! gRPC's `RouterService`.

use llm_router_proto::llm_router::v1 as pb;
use pb::router_service_client::RouterServiceClient;
use pb::stream_generate_response::Event;
use serde_json::Value;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use super::{At, Called, Ended, Heard, Question};

pub(super) async fn ask(at: &At, question: &Question) -> Heard {
    let mut heard = Heard {
        status: 200,
        ..Heard::default()
    };
    let asked = async {
        let mut client = RouterServiceClient::new(at.grpc.clone());
        let told = if question.stream {
            stream(&mut client, (at, question), &mut heard).await
        } else {
            whole(&mut client, (at, question), &mut heard).await
        };
        if let Err(status) = told {
            refused(&mut heard, &status);
        }
    };
    if timeout(question.limit, asked).await.is_err() {
        heard.hung = true;
    }
    heard
}

fn request(question: &Question) -> pb::GenerateRequest {
    let tool = |name: &str| pb::Tool {
        name: name.to_owned(),
        description: Some("asks".to_owned()),
        parameters: Some(parameters()),
    };
    let mode = match question.cached {
        true => pb::CacheMode::On,
        false => pb::CacheMode::Off,
    };
    let mut request = pb::GenerateRequest {
        model: question.model.clone(),
        cache: mode.into(),
        max_tokens: Some(4000),
        tools: question.tool_names().map(tool).collect(),
        ..pb::GenerateRequest::default()
    };
    let Some((answer, results)) = &question.earlier else {
        request.prompt.clone_from(&question.prompt);
        return request;
    };
    let message = |role: &str, content: &str| pb::Message {
        role: role.to_owned(),
        content: content.to_owned(),
        ..pb::Message::default()
    };
    let mut called = message("assistant", &answer.text);
    called.tool_calls = answer
        .calls
        .iter()
        .map(|call| pb::ToolCall {
            id: call.id.clone(),
            name: call.name.clone(),
            arguments: call.arguments.clone(),
        })
        .collect();
    request.messages = vec![message("user", &question.prompt), called];
    for (call, result) in answer.calls.iter().zip(results) {
        let mut told = message("tool", result);
        told.tool_call_id = Some(call.id.clone());
        request.messages.push(told);
    }
    request
}

/// The schema of a tool's arguments, as protobuf's JSON.
fn parameters() -> prost_types::Struct {
    use prost_types::value::Kind;
    let value = |kind| prost_types::Value { kind: Some(kind) };
    let text = |text: &str| value(Kind::StringValue(text.to_owned()));
    let object = |fields: Vec<(&str, prost_types::Value)>| prost_types::Struct {
        fields: fields
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    };
    let q = value(Kind::StructValue(object(vec![("type", text("string"))])));
    let required = prost_types::ListValue {
        values: vec![text("q")],
    };
    object(vec![
        ("type", text("object")),
        (
            "properties",
            value(Kind::StructValue(object(vec![("q", q)]))),
        ),
        ("required", value(Kind::ListValue(required))),
    ])
}

/// A message with the key that the asker has.
fn dressed<T>(at: &At, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(bearer) = &at.bearer {
        let metadata = request.metadata_mut();
        metadata.insert("authorization", bearer.clone());
    }
    request
}

async fn whole(
    client: &mut RouterServiceClient<Channel>,
    (at, question): (&At, &Question),
    heard: &mut Heard,
) -> Result<(), Status> {
    let answer = client.generate(dressed(at, request(question))).await?;
    let answer = answer.into_inner();
    heard.ended = ended(answer.finish_reason());
    heard.text = answer.content;
    heard.thinking = answer.thinking.unwrap_or_default();
    heard.refusal = answer.refusal.unwrap_or_default();
    heard.answered_by = answer.model_used;
    heard.attempts = Some(answer.attempts.into());
    heard.usage = answer
        .usage
        .map(|usage| (usage.prompt_tokens, usage.completion_tokens));
    heard.calls = answer
        .tool_calls
        .into_iter()
        .map(|call| Called {
            id: call.id,
            name: call.name,
            arguments: call.arguments,
        })
        .collect();
    Ok(())
}

async fn stream(
    client: &mut RouterServiceClient<Channel>,
    (at, question): (&At, &Question),
    heard: &mut Heard,
) -> Result<(), Status> {
    let request = request(question);
    let request = pb::StreamGenerateRequest {
        prompt: request.prompt,
        messages: request.messages,
        model: request.model,
        cache: request.cache,
        max_tokens: request.max_tokens,
        tools: request.tools,
        ..pb::StreamGenerateRequest::default()
    };
    let mut events = client
        .stream_generate(dressed(at, request))
        .await?
        .into_inner();
    let mut started = false;
    while let Some(message) = events.message().await? {
        heard.must(heard.ended.is_none(), || {
            "an event after the finish".to_owned()
        });
        match message.event {
            Some(Event::Start(start)) => {
                heard.must(!started, || "a second start".to_owned());
                started = true;
                heard.answered_by = start.model_used;
                heard.attempts = Some(start.attempts.into());
            }
            Some(Event::Delta(text)) => heard.text.push_str(&text),
            Some(Event::ThinkingDelta(text)) => heard.thinking.push_str(&text),
            Some(Event::RefusalDelta(text)) => heard.refusal.push_str(&text),
            Some(Event::ToolCallDelta(calls)) => fragments(heard, &calls),
            Some(Event::Finish(finish)) => {
                heard.ended = ended(finish.finish_reason());
                heard.recovered_by.clone_from(&finish.recovered_by);
                heard.usage = finish
                    .usage
                    .map(|usage| (usage.prompt_tokens, usage.completion_tokens));
            }
            None => heard.wrong.push("an event that is none".to_owned()),
        }
        heard.must(started, || "an event before the start".to_owned());
    }
    let ended = heard.ended.is_some();
    heard.must(ended, || {
        "it ends without a finish and without a status".to_owned()
    });
    Ok(())
}

fn fragments(heard: &mut Heard, calls: &str) {
    let calls: Vec<Value> = serde_json::from_str(calls).unwrap_or_default();
    heard.must(!calls.is_empty(), || {
        "fragments that are no array".to_owned()
    });
    for (at, fragment) in calls.iter().enumerate() {
        let index = fragment["index"]
            .as_u64()
            .and_then(|index| usize::try_from(index).ok());
        let call = heard.call(index.unwrap_or(at));
        call.id.push_str(fragment["id"].as_str().unwrap_or(""));
        let function = &fragment["function"];
        call.name.push_str(function["name"].as_str().unwrap_or(""));
        call.arguments
            .push_str(function["arguments"].as_str().unwrap_or(""));
    }
}

fn refused(heard: &mut Heard, status: &Status) {
    heard.ended = None;
    heard.unsent = is_connect(status);
    let told = !matches!(
        status.code(),
        Code::Unknown | Code::Internal | Code::Cancelled
    );
    heard.must(told, || format!("a status of the transport: {status:?}"));
    let details = status.get_error_details();
    let domain = details.error_info().map(|info| info.domain.clone());
    let ours = domain.as_deref() == Some("llm-router");
    heard.must(ours, || format!("no ErrorInfo of ours: {status:?}"));
    heard.error = Some(format!("{} ({:?})", status.message(), status.code()));
}

/// There was no connection to send it on.
fn is_connect(status: &Status) -> bool {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

fn ended(reason: pb::FinishReason) -> Option<Ended> {
    match reason {
        pb::FinishReason::Stop | pb::FinishReason::Other => Some(Ended::Stop),
        pb::FinishReason::Length => Some(Ended::Length),
        pb::FinishReason::ToolCalls => Some(Ended::Tools),
        pb::FinishReason::ContentFilter => Some(Ended::Filtered),
        pb::FinishReason::Unspecified => None,
    }
}
