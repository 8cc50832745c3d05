//! Answers that all tenants share: how one becomes everyone's.
//!
//! On a route with a shared scope every answer is first its own tenant's, under that tenant's ids.
//! What it would be for everyone waits here as a statement. When another tenant's upstream has
//! independently given an agreeing answer to the same request, or to one the decision pipeline
//! accepts as the same, the earlier of the two is put on the shelf under shared ids with the other
//! tenant as its witness, and from then on serves every tenant.
//!
//! The principals are tenants, not keys: the keys of one tenant are in one hand, so two of them that
//! agree prove nothing. One caller alone, with however many keys, never makes an answer everyone's.
//!
//! Statements are kept in memory alone; after a restart two tenants must agree anew. Purges reach
//! them as they reach entries.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Inner;
use super::agree::{Statement as Told, agree};
use super::answer::{Purge, StoredAnswer};
use super::compact::Compact;
use super::decide::{Budget, Decision, Grounds, decide};
use super::entry::{Entry, Meaning};
use super::index::dot;
use super::insert::Pending;
use super::key::EntryId;
use super::stats::Counters;
use crate::config::routing::CacheConfig;
use crate::types::{Moment, TenantId, unix_millis};

/// Statements that wait for a second tenant; the oldest goes first.
const MAX_STATEMENTS: usize = 2048;
/// Most bytes of their texts.
const MAX_BYTES: usize = 32 << 20;
/// Statements one answer is compared with.
const COMPARED: usize = 8;
/// Longest wait for the vectors of two answers.
const EMBED_WITHIN: Duration = Duration::from_secs(5);

/// One tenant's answer, as everyone's it would be.
#[derive(Clone)]
pub(crate) struct Statement {
    /// The shared id.
    pub(crate) id: EntryId,
    /// The id under which its tenant has it.
    pub(crate) own: EntryId,
    pub(crate) tenant: TenantId,
    pub(crate) tags: Vec<(String, String)>,
    /// In the shared partition.
    pub(crate) meaning: Option<Meaning>,
    /// Of the question.
    pub(crate) vector: Option<Arc<[f32]>>,
    pub(crate) answer: Arc<StoredAnswer>,
    /// Unix milliseconds.
    pub(crate) created: u64,
    /// Unix milliseconds.
    pub(crate) expires: u64,
    /// Purges the request had seen.
    pub(crate) epoch: u64,
}

impl fmt::Debug for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Statement({} of {})", self.id, self.tenant)
    }
}

/// The statements that wait.
#[derive(Debug, Default)]
pub(crate) struct Statements {
    waiting: VecDeque<Statement>,
    bytes: usize,
}

impl Statements {
    /// Adds one; it takes the place of what the same tenant said before.
    pub(crate) fn add(&mut self, statement: Statement) {
        self.retain(|other| other.id != statement.id || other.tenant != statement.tenant);
        self.bytes += statement.bytes();
        self.waiting.push_back(statement);
        while self.waiting.len() > MAX_STATEMENTS || self.bytes > MAX_BYTES {
            let Some(oldest) = self.waiting.pop_front() else {
                break;
            };
            self.bytes = self.bytes.saturating_sub(oldest.bytes());
        }
    }

    /// Other tenants' fresh statements on the same request, the latest first.
    pub(crate) fn others(
        &self,
        than: &Statement,
        now: u64,
        same: impl Fn(&Statement) -> bool,
    ) -> Vec<Statement> {
        self.waiting
            .iter()
            .rev()
            .filter(|other| other.tenant != than.tenant && now < other.expires)
            .filter(|other| other.id == than.id || same(other))
            .take(COMPARED)
            .cloned()
            .collect()
    }

    /// This very statement still waits.
    pub(crate) fn holds(&self, statement: &Statement) -> bool {
        self.waiting.iter().any(|other| {
            other.id == statement.id
                && other.tenant == statement.tenant
                && Arc::ptr_eq(&other.answer, &statement.answer)
        })
    }

    /// Takes out what has become everyone's.
    pub(crate) fn settle(&mut self, id: EntryId) {
        self.retain(|other| other.id != id);
    }

    /// Takes out what `purge` means.
    pub(crate) fn purge(&mut self, purge: &Purge) {
        self.retain(|statement| match purge {
            Purge::All => false,
            Purge::Tenant(tenant) => *tenant != statement.tenant,
            Purge::Tag(name, value) => !statement.tags.iter().any(|(n, v)| n == name && v == value),
            Purge::Model(model) => *model != statement.answer.model,
            Purge::Entry(id) => *id != statement.id && *id != statement.own,
        });
    }

    fn retain(&mut self, keep: impl Fn(&Statement) -> bool) {
        self.waiting.retain(keep);
        self.bytes = self.waiting.iter().map(Statement::bytes).sum();
    }
}

impl Statement {
    fn bytes(&self) -> usize {
        let question = self.meaning.as_ref().map_or(0, |m| m.text.len() * 4);
        self.answer.text.len() + question + 3072
    }

    fn told<'a>(&'a self, vector: Option<&'a [f32]>) -> Told<'a> {
        Told {
            text: &self.answer.text,
            vector,
        }
    }

    /// The decision pipeline takes both for one question.
    fn is_same_question(&self, other: &Statement, budget: Budget) -> bool {
        let (Some(a), Some(b)) = (&self.meaning, &other.meaning) else {
            return false;
        };
        let (Some(x), Some(y)) = (&self.vector, &other.vector) else {
            return false;
        };
        let near = a.partition == b.partition && x.len() == y.len();
        let grounds = Grounds {
            similarity: dot(x, y),
            a: &a.features,
            b: &b.features,
            verified: None,
        };
        near && decide(grounds, budget) == Decision::Hit
    }

    /// The entry it becomes with another tenant's agreement.
    fn promoted(&self, witness: &Statement, serial: u64) -> Entry {
        let mut tags = self.tags.clone();
        tags.extend(witness.tags.iter().cloned());
        tags.sort();
        tags.dedup();
        Entry {
            id: self.id,
            serial,
            tenant: self.tenant.clone(),
            witness: Some(witness.tenant.clone()),
            tags,
            meaning: self.meaning.clone(),
            epoch: self.epoch.min(witness.epoch),
            created: self.created,
            expires: self.expires.min(witness.expires),
            borrowed: false,
            answer: Arc::clone(&self.answer),
        }
    }
}

/// Hears a statement; returns what is left to do when it makes an answer everyone's.
pub(super) async fn hear(
    inner: &Arc<Inner>,
    statement: Statement,
    config: &CacheConfig,
) -> Option<Pending> {
    let others = {
        let mut statements = inner.statements.lock();
        statements.add(statement.clone());
        let budget = inner.budget(config, None);
        let same = |other: &Statement| statement.is_same_question(other, budget);
        statements.others(&statement, unix_millis(), same)
    };
    for other in others {
        if says_the_same(inner, &statement, &other).await {
            return promote(inner, &other, &statement);
        }
    }
    None
}

async fn says_the_same(inner: &Inner, a: &Statement, b: &Statement) -> bool {
    if agree(a.told(None), b.told(None)) {
        return true;
    }
    let Some(embedder) = &inner.embedder else {
        return false;
    };
    let deadline = Moment::now() + EMBED_WITHIN;
    let mut vectors = Vec::with_capacity(2);
    for side in [a, b] {
        let scope = side.tenant.as_str();
        let vector = embedder.embed(scope, &side.answer.text, deadline).await;
        let Ok(Some(vector)) = vector else {
            return false;
        };
        vectors.push(vector);
    }
    let [x, y] = vectors.as_slice() else {
        return false;
    };
    agree(a.told(Some(x)), b.told(Some(y)))
}

fn promote(inner: &Inner, first: &Statement, witness: &Statement) -> Option<Pending> {
    let mut shelf = inner.shelf.lock();
    let mut statements = inner.statements.lock();
    // a purge in the meantime took them out
    if !statements.holds(first) || !statements.holds(witness) {
        return None;
    }
    let serial = shelf.next_serial();
    let entry = Arc::new(first.promoted(witness, serial));
    let removed = shelf.insert(Arc::clone(&entry))?;
    statements.settle(first.id);
    drop((statements, shelf));
    Counters::add(&inner.counters.promoted);
    Some(Pending {
        entry,
        vector: first.vector.as_deref().map(Compact::of),
        removed,
    })
}

#[cfg(test)]
mod tests;
