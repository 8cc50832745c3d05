//! Golden streams without a socket; the same provider against a scripted upstream with one.

mod golden;
mod manners;
mod responses;
mod translated;
mod vectors;
mod wire;
