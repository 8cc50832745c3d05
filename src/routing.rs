//! Which models to try for a request, in which order, and why. Pure: no clock, no I/O.
//!
//! A [`RoutingTable`] is compiled once per revision of the routing config. [`plan`](RoutingTable::plan)
//! combines it with a view of every model at this moment.

mod order;
mod plan;
mod rules;
mod table;

pub use plan::{Candidate, Facts, Plan, Role, Unroutable};
pub use rules::BadPattern;
pub use table::{Bar, Barred, ModelFacts, RoutingTable, View};

#[cfg(test)]
mod tests;
