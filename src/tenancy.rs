//! Who calls, and what they may do: keys over the agreed state.
//!
//! A key is `rk_<id>_<secret>_<check>`, shown once. The nodes agree on its id and a digest of its
//! secret, so every node knows a new key, and refuses a revoked one, as soon as it has applied the
//! change. Checking one reads the published state and never waits.
//!
//! ```no_run
//! # use llm_router::tenancy::{Caller, Keys, NewKey, Scope};
//! # use llm_router_cluster::Author;
//! # async fn example(keys: &Keys) -> Result<(), llm_router::Error> {
//! let new = NewKey::named("ci").scopes([Scope::Use, Scope::Admin]);
//! let made = keys.create(&Caller::anyone(), new, Author::new("operator")).await?;
//! let caller = keys.check(Some(made.text()))?;
//! assert!(caller.may(Scope::Use));
//! # Ok(())
//! # }
//! ```

mod agreement;
mod caller;
mod judge;
mod keys;
mod new;
mod shown;
#[cfg(test)]
pub(crate) mod testing;
mod text;

pub use agreement::Agreement;
pub use caller::{Caller, Scope};
pub use judge::Refused;
pub use keys::Keys;
pub use new::NewKey;
pub use shown::{KeyShown, Made};
