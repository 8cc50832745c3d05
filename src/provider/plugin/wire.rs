//! The one room that knows the generated types of `llm_router.plugin.v1`.

pub(super) mod call;
mod convert;
