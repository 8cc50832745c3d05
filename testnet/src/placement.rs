//! Which nodes keep which entries: cells that ship, and a simulator of placement.

pub mod load;
pub mod recall;
pub mod shipped;
pub mod simulate;
pub mod texts;
pub mod topics;
