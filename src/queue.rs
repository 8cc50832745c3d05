//! Admission: who waits, who runs, who is refused.
//!
//! Every model has one queue. [`buffer::Buffer`] is the whole decision, without clock or channel:
//! moments come in as arguments, and whoever leaves comes out as a value.
//!
//! ```
//! use std::time::Duration;
//! use llm_router::queue::{Buffer, Item, ItemId, Limits, ServiceEstimate};
//! use llm_router::types::{Moment, Priority, TenantId};
//!
//! let now = Moment::ZERO;
//! let mut buffer = Buffer::new(Limits { max_depth: 2, ..Limits::default() });
//! for (id, priority) in [(1, Priority::Low), (2, Priority::Critical)] {
//!     let item = Item {
//!         id: ItemId(id),
//!         tenant: TenantId::default(),
//!         priority,
//!         deadline: now + Duration::from_secs(60),
//!         arrival: now,
//!         cost: 500,
//!         bytes: 2_000,
//!     };
//!     assert!(buffer.push(item, now, ServiceEstimate::default()).is_ok());
//! }
//! assert_eq!(buffer.pop(now).item.map(|item| item.id), Some(ItemId(2)));
//! ```

pub mod buffer;
pub mod item;
pub mod limits;
pub mod refused;

mod actor;
mod fair;
mod feedback;
mod handle;
mod holdings;
mod ramp;
mod schedule;
mod slots;
mod throughput;

pub(crate) use actor::{Arguments, QueueActor};
pub use buffer::Buffer;
pub(crate) use handle::{Denied, Permit, QueueHandle, QueueLimits, Ticket};
pub use item::{Evicted, Expired, Item, ItemId, Lapse, Popped, ServiceEstimate};
pub use limits::Limits;
pub use refused::Refused;
