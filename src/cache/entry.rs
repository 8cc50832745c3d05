//! One stored answer with everything needed to find it, to judge it and to forget it.

use std::fmt;
use std::sync::Arc;

use super::answer::StoredAnswer;
use super::guard::Features;
use super::key::{EntryId, PartitionId};
use crate::types::TenantId;

/// Bytes an entry costs besides its texts: vector, codes, features and map slots, about.
const OVERHEAD: usize = 3072;

/// One entry. Immutable; a newer answer to the same request is another entry.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) id: EntryId,
    /// Unique on this node, growing; its label in the index and its key on disk.
    pub(crate) serial: u64,
    /// Whom it was made for.
    pub(crate) tenant: TenantId,
    /// The second tenant who was given an agreeing answer, which made it everyone's; `None` while
    /// it is its own tenant's.
    pub(crate) witness: Option<TenantId>,
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) meaning: Option<Meaning>,
    /// Purges its request had seen; a later one that means it calls it off.
    pub(crate) epoch: u64,
    /// Unix milliseconds.
    pub(crate) created: u64,
    /// Unix milliseconds.
    pub(crate) expires: u64,
    pub(crate) answer: Arc<StoredAnswer>,
    /// A copy kept for a while beside those of its owners: it is not brought anywhere.
    pub(crate) borrowed: bool,
}

/// What the semantic tier knows of an entry.
#[derive(Clone)]
pub(crate) struct Meaning {
    pub(crate) partition: PartitionId,
    pub(crate) text: Arc<str>,
    pub(crate) features: Arc<Features>,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Entry({} #{}, semantic {})",
            self.id,
            self.serial,
            self.meaning.is_some()
        )
    }
}

impl Entry {
    /// May still be served: neither its own lifetime nor the asker's is over.
    pub(crate) fn is_fresh(&self, now: u64, ttl_millis: u64) -> bool {
        now < self.expires && now.saturating_sub(self.created) < ttl_millis
    }

    /// Tokens an upstream would have read and written for it, about.
    pub(crate) fn tokens_saved(&self) -> u64 {
        let usage = &self.answer.usage;
        let counted = usage
            .total_tokens
            .max(usage.prompt_tokens.saturating_add(usage.completion_tokens));
        // without a count, about four bytes to a token
        counted.max(self.answer.text.len() as u64 / 4).max(1)
    }

    /// Memory it takes, about.
    pub(crate) fn bytes(&self) -> usize {
        let question = self
            .meaning
            .as_ref()
            .map_or(0, |meaning| meaning.text.len() * 4);
        let tags: usize = self
            .tags
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        self.answer.text.len() + question + tags + OVERHEAD
    }
}

#[cfg(test)]
impl Entry {
    /// Some entry of the exact tier, for tests.
    pub(crate) fn plain(id: u8, tenant: &str) -> Self {
        Entry {
            id: EntryId([id; 16]),
            serial: u64::from(id),
            tenant: tenant.into(),
            witness: None,
            tags: Vec::new(),
            meaning: None,
            epoch: 0,
            created: 0,
            expires: u64::MAX,
            answer: Arc::new(StoredAnswer {
                text: "a".to_owned(),
                usage: crate::types::Usage::default(),
                model: "m".into(),
                shown_model: "m".to_owned(),
                created: 0,
            }),
            borrowed: false,
        }
    }
}
