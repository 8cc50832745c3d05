//! What a history of operations has to keep to, whoever recorded it: the simulation or the harness
//! of processes. Pure: times come in, verdicts go out.

pub mod history;
pub mod linear;
