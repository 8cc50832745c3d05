//! Golden requests, golden answers, and the way of a seal there and back.

mod answers;
mod requests;
