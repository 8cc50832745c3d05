//! What is asked for when a key is made.

use std::collections::BTreeSet;
use std::time::Duration;

use llm_router_cluster::state::KeyRecord;

use super::caller::Scope;
use super::text::KeyText;
use crate::error::{Error, Kind};

/// How long a node that hears of no leader takes a key, unless it says another time.
const WITHOUT_QUORUM: Duration = Duration::from_secs(600);
/// Longest of those times, a week: beyond it a revoked key would be as good as never revoked.
const MAX_WITHOUT_QUORUM: Duration = Duration::from_secs(7 * 24 * 3600);
/// Longest life of a key that expires: a hundred years, so that no sum overflows.
const MAX_LIFE: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
/// Longest name or tenant in bytes.
const MAX_NAME: usize = 128;

/// A key to be made.
#[derive(Clone, Debug)]
pub struct NewKey {
    name: String,
    tenant: String,
    scopes: Option<BTreeSet<Scope>>,
    life: Option<Duration>,
    without_quorum: Duration,
}

impl NewKey {
    /// A key of this name for the default tenant. Without [`NewKey::scopes`] the first key of a
    /// cluster may do everything, and every later one may ask models.
    pub fn named(name: impl Into<String>) -> Self {
        NewKey {
            name: name.into(),
            tenant: "default".to_owned(),
            scopes: None,
            life: None,
            without_quorum: WITHOUT_QUORUM,
        }
    }

    /// Who pays.
    #[must_use]
    pub fn tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = tenant.into();
        self
    }

    /// What it may do.
    #[must_use]
    pub fn scopes(mut self, scopes: impl IntoIterator<Item = Scope>) -> Self {
        self.scopes = Some(scopes.into_iter().collect());
        self
    }

    /// It is refused after this long.
    #[must_use]
    pub fn expires_after(mut self, life: Duration) -> Self {
        self.life = Some(life);
        self
    }

    /// How long a node that hears of no leader still takes it.
    #[must_use]
    pub fn without_quorum(mut self, valid: Duration) -> Self {
        self.without_quorum = valid;
        self
    }

    /// What it may do; `first` where no other key is in force.
    pub(super) fn scopes_or_default(&self, first: bool) -> BTreeSet<Scope> {
        match (&self.scopes, first) {
            (Some(scopes), _) => scopes.clone(),
            (None, true) => [Scope::Use, Scope::Admin].into(),
            (None, false) => [Scope::Use].into(),
        }
    }

    /// It never expires.
    pub(super) fn is_permanent(&self) -> bool {
        self.life.is_none()
    }

    /// The record to agree on.
    ///
    /// # Errors
    /// [`Kind::InvalidRequest`] naming the field.
    pub(super) fn record(
        &self,
        text: &KeyText,
        scopes: &BTreeSet<Scope>,
        now_ms: u64,
    ) -> Result<KeyRecord, Error> {
        if self.name.is_empty()
            || self.name.len() > MAX_NAME
            || self.name.contains(char::is_control)
        {
            return Err(wrong("name", "must be 1 to 128 bytes of text on one line"));
        }
        let clean = |b: u8| b.is_ascii_alphanumeric() || b"._:-".contains(&b);
        if !(1..=MAX_NAME).contains(&self.tenant.len()) || !self.tenant.bytes().all(clean) {
            return Err(wrong(
                "tenant",
                "must be 1 to 128 characters of A-Z a-z 0-9 . _ : -",
            ));
        }
        if scopes.is_empty() {
            return Err(wrong(
                "scopes",
                "must name at least one of `use` and `admin`",
            ));
        }
        if self
            .life
            .is_some_and(|life| life.is_zero() || life > MAX_LIFE)
        {
            return Err(wrong(
                "expires",
                "must be longer than nothing and at most 100 years",
            ));
        }
        if self.without_quorum > MAX_WITHOUT_QUORUM {
            return Err(wrong("valid_without_quorum", "must be at most 7d"));
        }
        Ok(KeyRecord {
            id: text.id().to_owned(),
            name: self.name.clone(),
            tenant: self.tenant.clone(),
            digest: text.digest().to_hex().to_string(),
            scopes: scopes
                .iter()
                .map(|scope| scope.as_str().to_owned())
                .collect(),
            expires_ms: self.life.map(|life| now_ms.saturating_add(millis(life))),
            valid_without_quorum_s: self.without_quorum.as_secs(),
            ..KeyRecord::default()
        })
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn wrong(field: &str, problem: &str) -> Error {
    Error::new(Kind::InvalidRequest, format!("field `{field}` {problem}")).with_param(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_key_cannot_be_is_refused_by_field() {
        let long = Duration::from_secs(u64::MAX);
        let refused = |new: &NewKey| {
            let scopes = new.scopes_or_default(false);
            let record = new.record(&KeyText::generate(), &scopes, 0);
            record.unwrap_err().param.unwrap()
        };
        let cases = [
            (NewKey::named(""), "name"),
            (NewKey::named("a\nb"), "name"),
            (NewKey::named("x".repeat(129)), "name"),
            (NewKey::named("a").tenant("../b"), "tenant"),
            (NewKey::named("a").tenant(""), "tenant"),
            (NewKey::named("a").scopes([]), "scopes"),
            (NewKey::named("a").expires_after(Duration::ZERO), "expires"),
            (NewKey::named("a").expires_after(long), "expires"),
            (
                NewKey::named("a").without_quorum(long),
                "valid_without_quorum",
            ),
        ];
        for (new, field) in cases {
            assert_eq!(refused(&new), field, "{new:?}");
        }
    }

    #[test]
    fn a_record_holds_a_digest_and_not_the_secret() {
        let text = KeyText::generate();
        let new = NewKey::named("ci").expires_after(Duration::from_secs(1));
        let record = new
            .record(&text, &new.scopes_or_default(false), 500)
            .unwrap();
        assert_eq!(
            (record.id.as_str(), record.expires_ms),
            (text.id(), Some(1500))
        );
        assert_eq!(
            (record.scopes, record.valid_without_quorum_s),
            (vec!["use".to_owned()], 600)
        );
        assert_eq!(record.digest.len(), 64);
    }
}
