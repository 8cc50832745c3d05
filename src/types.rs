//! The domain's words, one meaning each.
//!
//! Everything here is plain data without I/O; any module may use it.

pub mod clock;
pub mod completion;
pub mod embedding;
pub mod event;
pub mod name;
pub mod priority;
pub mod report;
pub mod request;
pub mod usage;

pub use clock::{Moment, unix_millis, unix_seconds};
pub use completion::{Chunk, Completion, Finish, Tap};
pub use embedding::{EmbedRequest, Embeddings, Inputs};
pub use event::{Dialect, Event};
pub use name::{ModelName, RequestId, RouteName, TenantId};
pub use priority::Priority;
pub use request::{CacheMode, ChatRequest, Features, Request};
pub use usage::Usage;
