//! What was called off: purges as epochs.
//!
//! Each purge is the next epoch, and its scope (everything, a tenant, a tag, a model, an entry) has
//! that number from then on. An entry carries the epoch its request began at; it is off once a scope
//! that means it has a larger one. So an answer that was under way when its like was called off is
//! off as well, whoever brings it back: a late upstream, another node, a file.
//!
//! In a cluster the epochs are agreed, and every node looks at its own copy of them whenever it
//! serves. On its own the cache counts by itself, from zero at each start: what is on disk then is
//! older than any purge to come.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::answer::Purge;
use super::entry::Entry;
use super::key::EntryId;
use crate::types::{ModelName, TenantId};

/// Scopes remembered by a cache on its own; past it the oldest calls off all that is as old.
const MAX_SCOPES: usize = 20_000;

/// Epochs by scope. Immutable once published.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    /// Purges so far.
    epoch: u64,
    /// Entries of an earlier epoch are off whatever they are.
    floor: u64,
    all: u64,
    tenants: HashMap<TenantId, u64>,
    tags: HashMap<(String, String), u64>,
    models: HashMap<ModelName, u64>,
    entries: HashMap<EntryId, u64>,
}

impl Table {
    /// The table of agreed scopes. Scopes of kinds not known here are of a newer program and mean
    /// everything.
    pub(crate) fn agreed(epoch: u64, floor: u64, scopes: &BTreeMap<String, u64>) -> Self {
        let mut table = Table {
            epoch,
            floor,
            ..Table::default()
        };
        for (scope, epoch) in scopes {
            let purge = Purge::of_scope(scope).unwrap_or(Purge::All);
            table.set(purge, *epoch);
        }
        table
    }

    fn set(&mut self, purge: Purge, epoch: u64) {
        match purge {
            Purge::All => self.all = self.all.max(epoch),
            Purge::Tenant(tenant) => _ = self.tenants.insert(tenant, epoch),
            Purge::Tag(name, value) => _ = self.tags.insert((name, value), epoch),
            Purge::Model(model) => _ = self.models.insert(model, epoch),
            Purge::Entry(id) => _ = self.entries.insert(id, epoch),
        }
    }

    /// Purges so far.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The scopes called off after `epoch`.
    pub(crate) fn since(&self, epoch: u64) -> Vec<Purge> {
        let later = |at: &u64| *at > epoch;
        let mut purges = Vec::new();
        if later(&self.all) || self.floor > epoch {
            purges.push(Purge::All);
        }
        let tenants = self.tenants.iter().filter(|(_, at)| later(at));
        purges.extend(tenants.map(|(tenant, _)| Purge::Tenant(tenant.clone())));
        let tags = self.tags.iter().filter(|(_, at)| later(at));
        purges.extend(tags.map(|((name, value), _)| Purge::Tag(name.clone(), value.clone())));
        let models = self.models.iter().filter(|(_, at)| later(at));
        purges.extend(models.map(|(model, _)| Purge::Model(model.clone())));
        let entries = self.entries.iter().filter(|(_, at)| later(at));
        purges.extend(entries.map(|(id, _)| Purge::Entry(*id)));
        purges
    }

    /// The entry may not be served any more.
    pub(crate) fn is_off(&self, entry: &Entry) -> bool {
        let after = |epoch: Option<&u64>| epoch.is_some_and(|epoch| *epoch > entry.epoch);
        entry.epoch < self.floor.max(self.all)
            || after(self.tenants.get(&entry.tenant))
            || after(entry.witness.as_ref().and_then(|w| self.tenants.get(w)))
            || after(self.entries.get(&entry.id))
            || after(self.models.get(&entry.answer.model))
            || !self.tags.is_empty() && entry.tags.iter().any(|tag| after(self.tags.get(tag)))
    }

    fn len(&self) -> usize {
        self.tenants.len() + self.tags.len() + self.models.len() + self.entries.len()
    }

    /// The next epoch is this purge's.
    fn grow(&mut self, purge: Purge) -> u64 {
        if self.len() >= MAX_SCOPES {
            self.floor = self.epoch;
            self.tenants.clear();
            self.tags.clear();
            self.models.clear();
            self.entries.clear();
        }
        self.epoch += 1;
        self.set(purge, self.epoch);
        self.epoch
    }
}

/// The table in force, for many readers.
#[derive(Debug, Default)]
pub(crate) struct Epochs {
    table: ArcSwap<Table>,
}

impl Epochs {
    /// As it is now.
    pub(crate) fn now(&self) -> Arc<Table> {
        self.table.load_full()
    }

    /// Purges so far.
    pub(crate) fn epoch(&self) -> u64 {
        self.table.load().epoch
    }

    /// The entry may not be served any more.
    pub(crate) fn is_off(&self, entry: &Entry) -> bool {
        self.table.load().is_off(entry)
    }

    /// Takes over what is agreed, unless it is older than what is known.
    pub(crate) fn adopt(&self, table: Table) {
        let table = Arc::new(table);
        self.table.rcu(|known| {
            let newer = table.epoch >= known.epoch;
            Arc::clone(if newer { &table } else { known })
        });
    }

    /// The next epoch is this purge's, on a cache on its own.
    pub(crate) fn grow(&self, purge: &Purge) -> u64 {
        let mut epoch = 0;
        self.table.rcu(|known| {
            let mut table = Table::clone(known);
            epoch = table.grow(purge.clone());
            table
        });
        epoch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: u8) -> Entry {
        Entry::plain(id, "acme")
    }

    fn scopes(list: &[(&str, u64)]) -> BTreeMap<String, u64> {
        list.iter()
            .map(|(scope, at)| ((*scope).to_owned(), *at))
            .collect()
    }

    #[test]
    fn an_entry_is_off_once_a_scope_that_means_it_is_later_than_its_request() {
        let mut one = entry(1);
        one.tags = vec![("team".to_owned(), "a=b".to_owned())];
        one.epoch = 4;
        let id = one.id;
        let scope = |purge: &Purge| purge.scope();
        for (purge, meant) in [
            (Purge::All, true),
            (Purge::Tenant(one.tenant.clone()), true),
            (Purge::Tenant("somebody else".into()), false),
            (Purge::Tag("team".to_owned(), "a=b".to_owned()), true),
            (Purge::Tag("team".to_owned(), "a".to_owned()), false),
            (Purge::Model(one.answer.model.clone()), true),
            (Purge::Model("another".into()), false),
            (Purge::Entry(id), true),
            (Purge::Entry(EntryId([0; 16])), false),
        ] {
            for (at, off) in [(4, false), (5, meant)] {
                let table = Table::agreed(5, 0, &scopes(&[(&scope(&purge), at)]));
                assert_eq!(table.is_off(&one), off, "{purge:?} at {at}");
            }
            assert_eq!(Purge::of_scope(&scope(&purge)), Some(purge));
        }
        assert!(!Table::agreed(9, 4, &scopes(&[])).is_off(&one));
        assert!(Table::agreed(9, 5, &scopes(&[])).is_off(&one), "the floor");
        let unknown = Table::agreed(5, 0, &scopes(&[("galaxy/far", 5)]));
        assert!(unknown.is_off(&one), "when in doubt it is off");
    }

    #[test]
    fn a_full_table_calls_off_what_is_older_and_goes_on() {
        let epochs = Epochs::default();
        for number in 0..MAX_SCOPES as u64 {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&number.to_be_bytes());
            epochs.grow(&Purge::Entry(EntryId(id)));
        }
        let mut old = entry(1);
        assert!(!epochs.is_off(&old));
        epochs.grow(&Purge::Entry(EntryId([9; 16])));
        assert!(epochs.is_off(&old));
        old.epoch = epochs.epoch();
        assert!(!epochs.is_off(&old));
    }

    #[test]
    fn what_is_older_is_not_adopted() {
        let epochs = Epochs::default();
        epochs.adopt(Table::agreed(2, 0, &scopes(&[("all", 2)])));
        epochs.adopt(Table::agreed(1, 0, &scopes(&[])));
        assert_eq!(epochs.epoch(), 2);
        assert_eq!(epochs.now().since(1), vec![Purge::All]);
        assert_eq!(epochs.now().since(2), vec![]);
    }
}
