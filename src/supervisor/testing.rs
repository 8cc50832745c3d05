//! What tests of the actor tree ask for.

use std::sync::Arc;
use std::time::Duration;

use crate::dialect::openai::ChatBody;
use crate::types::{ChatRequest, Moment, Request, RequestId, TenantId};

/// A plain request of a client that waits for five seconds.
pub(super) fn request() -> ChatRequest {
    let body = ChatBody::from_messages("auto", &[("user".into(), "hi".into())]).unwrap();
    let given = Request::prompt("hi");
    ChatRequest {
        id: RequestId::generate(),
        tenant: TenantId::default(),
        priority: given.priority,
        model: "auto".into(),
        tags: Vec::new(),
        cache: given.cache,
        min_similarity: given.min_similarity,
        deadline: Moment::now() + Duration::from_secs(5),
        features: body.features(),
        body: Arc::new(body),
        stream: false,
        include_usage: false,
    }
}
