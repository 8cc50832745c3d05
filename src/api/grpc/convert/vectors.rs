//! A request for vectors from the message and the metadata beside it, and the vectors as a message.

use std::sync::Arc;

use llm_router_proto::llm_router::v1;

use super::inbound::{Call, deadline, tags};
use super::{bad, priority};
use crate::api::options::Options;
use crate::dialect::openai::embeddings::{MAX_DIMENSIONS, check};
use crate::error::Error;
use crate::inference::EmbedReply;
use crate::types::{EmbedRequest, Inputs};

/// Checks a message and makes it a request.
///
/// # Errors
/// [`crate::Kind::InvalidRequest`] naming the field or the header.
pub(in crate::api::grpc) fn embed_request(
    asked: v1::EmbedRequest,
    call: Call<'_>,
) -> Result<EmbedRequest, Error> {
    let options = Options::read(call.headers, call.now)?;
    let priority = priority(asked.priority)?.unwrap_or(options.priority);
    let deadline = deadline(asked.timeout_ms, &options, &call)?;
    let tags = tags(options.tags, &asked.tags)?;
    if asked
        .dimensions
        .is_some_and(|wanted| !(1..=MAX_DIMENSIONS).contains(&wanted))
    {
        let problem = format!("must lie between 1 and {MAX_DIMENSIONS}");
        return Err(bad("dimensions", problem));
    }
    let model = if asked.model.is_empty() {
        "auto"
    } else {
        asked.model.as_str()
    };
    Ok(EmbedRequest {
        id: options.id,
        tenant: call.tenant,
        priority,
        model: model.into(),
        tags,
        deadline,
        inputs: Arc::new(inputs(asked.inputs, asked.token_inputs)?),
        dimensions: asked.dimensions,
        user: (!asked.user.is_empty()).then(|| asked.user.into()),
        left_out: Vec::new(),
    })
}

fn inputs(texts: Vec<String>, lists: Vec<v1::TokenList>) -> Result<Inputs, Error> {
    let (field, inputs) = match (texts.is_empty(), lists.is_empty()) {
        (true, false) => {
            let lists = lists.into_iter().map(|list| list.ids).collect();
            ("token_inputs", Inputs::Tokens(lists))
        }
        (false, false) => return Err(bad("token_inputs", "excludes `inputs`")),
        (_, true) => ("inputs", Inputs::Texts(texts)),
    };
    match check(&inputs) {
        Ok(()) => Ok(inputs),
        Err(problem) => {
            // the check speaks of OpenAI's field
            let text = problem.to_string();
            let problem = text.strip_prefix("field `input` ").unwrap_or(&text);
            Err(bad(field, problem))
        }
    }
}

/// The vectors, with what is known of how they were made.
pub(in crate::api::grpc) fn embedded(reply: EmbedReply) -> v1::EmbedResponse {
    let EmbedReply { meta, made } = reply;
    let embeddings = made
        .vectors
        .into_iter()
        .map(|values| v1::Embedding { values });
    v1::EmbedResponse {
        embeddings: embeddings.collect(),
        model_used: meta.model.as_str().to_owned(),
        upstream_model: made.model,
        route: meta.route.map(|route| route.as_str().to_owned()),
        attempts: meta.attempts,
        usage: made.usage.map(Into::into),
        request_id: meta.id.as_str().to_owned(),
        latency_ms: meta.elapsed.as_secs_f64() * 1000.0,
        cost_usd: meta.cost_usd,
    }
}
