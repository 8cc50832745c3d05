//! What of a request an upstream's dialect has no place for, named rather than lost.

use std::borrow::Cow;
use std::sync::Arc;

use super::json::Object;
use super::lost::Lost;
use crate::types::Dialect;

/// A part of a request that cannot be told to an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uncarried {
    /// The field, as the client wrote it: `logprobs`, `messages[].content[type=input_audio]`.
    pub param: Cow<'static, str>,
    /// Without it the answer would be wrong, so it is never dropped: the upstream cannot be asked.
    pub essential: bool,
}

impl Uncarried {
    /// A parameter that may be left out where the route's policy allows it.
    pub fn droppable(param: impl Into<Cow<'static, str>>) -> Self {
        Uncarried {
            param: param.into(),
            essential: false,
        }
    }

    /// A part without which the question would be another one.
    pub fn essential(param: impl Into<Cow<'static, str>>) -> Self {
        Uncarried {
            param: param.into(),
            essential: true,
        }
    }
}

/// A request in the dialect it came in, for upstreams that speak it: they get these bytes, whatever
/// its OpenAI-shaped translation beside it could carry.
#[derive(Clone, Debug)]
pub struct Native {
    /// What it is written in.
    pub dialect: Dialect,
    /// Its top-level fields, raw.
    pub object: Object,
    /// What its translation has no field for and tells it from other requests: the cache reads it,
    /// no upstream is sent it.
    pub beside: Object,
    /// Headers of the dialect that go upstream with it, such as `anthropic-version`.
    pub headers: Arc<[(&'static str, String)]>,
    /// What its OpenAI-shaped translation could not carry: upstreams of other dialects never see it.
    pub uncarried: Lost,
}
