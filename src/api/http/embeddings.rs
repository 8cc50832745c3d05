//! `POST /v1/embeddings`.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::Request;

use super::chat::{describe, with_id};
use super::{auth, body, errors};
use crate::api::options::{Options, request_id};
use crate::app::Node;
use crate::dialect::openai::embeddings::{Asked, Encoding, answer};
use crate::error::Error;
use crate::inference::Source;
use crate::types::{EmbedRequest, Moment};

/// Makes vectors of texts.
pub(super) async fn embeddings(State(node): State<Arc<Node>>, request: Request<Body>) -> Response {
    let source = Source {
        door: "http",
        path: "/v1/embeddings",
        arrived: Moment::now(),
    };
    let id = request_id(request.headers());
    let (asked, encoding) = match understand(source, request).await {
        Ok(understood) => understood,
        Err(error) => {
            node.engine.refused(source, Some(&id), &error);
            return with_id(errors::render(&error), id.as_str());
        }
    };
    let asked = EmbedRequest {
        id: id.clone(),
        ..asked
    };
    match node.engine.embed_from(source, asked).await {
        Ok(reply) => {
            let bytes = answer(&reply.made, reply.meta.model.as_str(), encoding);
            let mut response = errors::json_response(200, bytes);
            describe(&reply.meta, false, response.headers_mut());
            response
        }
        Err(error) => with_id(errors::render(&error), id.as_str()),
    }
}

async fn understand(
    source: Source,
    request: Request<Body>,
) -> Result<(EmbedRequest, Encoding), Error> {
    let options = Options::read(request.headers(), source.arrived)?;
    let tenant = auth::tenant(request.extensions());
    let (_, bytes) = body::read(request).await?;
    let asked = Asked::parse(&bytes)?;
    let request = EmbedRequest {
        id: options.id,
        tenant,
        priority: options.priority,
        model: asked.model.into(),
        tags: options.tags,
        deadline: options.deadline,
        inputs: Arc::new(asked.inputs),
        dimensions: asked.dimensions,
        user: asked.user.map(Into::into),
        left_out: asked.left_out.into_iter().map(Cow::Owned).collect(),
    };
    Ok((request, asked.encoding))
}
