//! Who goes next: the order of last use, of all entries and of each tenant's. Pure.
//!
//! Under `lru` the least recently used goes. Under `cost` an entry is young first, in a window of
//! one in a hundred; when it leaves the window of a full shelf it must be worth more than the
//! cheapest of the least recently used, or it goes itself. Worth is how often it was asked for,
//! times the tokens it saves, by its bytes. A scan of questions nobody repeats so passes through
//! the window and leaves the rest alone.

use std::collections::{BTreeMap, HashMap};

use super::EntryId;
use crate::config::routing::{CacheConfig, Eviction};
use crate::types::TenantId;

/// The least recently used that are weighed against each other.
const WEIGHED: usize = 8;
/// Young entries, as a share of all.
const YOUNG_SHARE: u64 = 100;

/// What the shelf may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Most entries; at least one is held.
    pub(crate) max_entries: u64,
    /// Most entries of one tenant; 0: no bound of its own.
    pub(crate) per_tenant: u64,
    /// What goes.
    pub(crate) eviction: Eviction,
}

impl From<&CacheConfig> for Limits {
    fn from(config: &CacheConfig) -> Self {
        Limits {
            max_entries: config.max_entries.max(1),
            per_tenant: config.max_entries_per_tenant,
            eviction: config.eviction,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits::from(&CacheConfig::default())
    }
}

/// An entry's place in the order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    used: u64,
    young: bool,
}

/// Entries by their last use.
#[derive(Debug, Default)]
pub(super) struct Order {
    uses: u64,
    young: BTreeMap<u64, EntryId>,
    settled: BTreeMap<u64, EntryId>,
    tenants: HashMap<TenantId, BTreeMap<u64, EntryId>>,
}

impl Order {
    /// Entries in it.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let of_tenants: usize = self.tenants.values().map(BTreeMap::len).sum();
        assert_eq!(of_tenants, self.young.len() + self.settled.len());
        assert!(self.tenants.values().all(|entries| !entries.is_empty()));
        of_tenants
    }

    /// Entries of one tenant.
    pub(super) fn of_tenant(&self, tenant: &TenantId) -> u64 {
        self.tenants
            .get(tenant)
            .map_or(0, |entries| entries.len() as u64)
    }

    /// Tenants with more entries than the quota.
    pub(super) fn over(&self, quota: u64) -> Vec<TenantId> {
        let over = self.tenants.iter().filter(|(_, e)| e.len() as u64 > quota);
        over.map(|(tenant, _)| tenant.clone()).collect()
    }

    /// Puts an entry in as the one used last.
    pub(super) fn enter(&mut self, id: EntryId, tenant: &TenantId, eviction: Eviction) -> Place {
        let young = match eviction {
            Eviction::Lru => false,
            Eviction::Cost => true,
        };
        self.uses += 1;
        let place = Place {
            used: self.uses,
            young,
        };
        self.row(young).insert(place.used, id);
        self.tenants
            .entry(tenant.clone())
            .or_default()
            .insert(place.used, id);
        place
    }

    /// Takes an entry out.
    pub(super) fn leave(&mut self, place: Place, tenant: &TenantId) {
        self.row(place.young).remove(&place.used);
        if let Some(entries) = self.tenants.get_mut(tenant) {
            entries.remove(&place.used);
            if entries.is_empty() {
                self.tenants.remove(tenant);
            }
        }
    }

    /// Makes an entry the one used last.
    pub(super) fn renew(&mut self, id: EntryId, place: Place, tenant: &TenantId) -> Place {
        self.uses += 1;
        let renewed = Place {
            used: self.uses,
            ..place
        };
        let row = self.row(place.young);
        row.remove(&place.used);
        row.insert(renewed.used, id);
        if let Some(entries) = self.tenants.get_mut(tenant) {
            entries.remove(&place.used);
            entries.insert(renewed.used, id);
        }
        renewed
    }

    /// A young entry has earned its place.
    pub(super) fn settle(&mut self, id: EntryId, place: Place) -> Place {
        self.young.remove(&place.used);
        self.settled.insert(place.used, id);
        Place {
            young: false,
            ..place
        }
    }

    /// The oldest young entry when there are more of them than the window holds.
    pub(super) fn leaving_window(&self, limits: Limits) -> Option<EntryId> {
        let window = (limits.max_entries / YOUNG_SHARE).max(1);
        let full = self.young.len() as u64 > window || limits.eviction == Eviction::Lru;
        let oldest = self.young.first_key_value();
        oldest.filter(|_| full).map(|(_, id)| *id)
    }

    /// The least recently used of all.
    pub(super) fn oldest(&self) -> Option<EntryId> {
        let (young, settled) = (self.young.first_key_value(), self.settled.first_key_value());
        match (young, settled) {
            (Some(a), Some(b)) => Some(*if a.0 < b.0 { a.1 } else { b.1 }),
            (a, b) => a.or(b).map(|(_, id)| *id),
        }
    }

    /// The cheapest of the least recently used that have settled.
    pub(super) fn cheapest(&self, worth: impl Fn(EntryId) -> f64) -> Option<EntryId> {
        cheapest(&self.settled, worth)
    }

    /// A tenant's cheapest among his least recently used.
    pub(super) fn cheapest_of(
        &self,
        tenant: &TenantId,
        worth: impl Fn(EntryId) -> f64,
    ) -> Option<EntryId> {
        cheapest(self.tenants.get(tenant)?, worth)
    }

    /// A tenant's least recently used.
    pub(super) fn oldest_of(&self, tenant: &TenantId) -> Option<EntryId> {
        let (_, id) = self.tenants.get(tenant)?.first_key_value()?;
        Some(*id)
    }

    fn row(&mut self, young: bool) -> &mut BTreeMap<u64, EntryId> {
        if young {
            &mut self.young
        } else {
            &mut self.settled
        }
    }
}

fn cheapest(row: &BTreeMap<u64, EntryId>, worth: impl Fn(EntryId) -> f64) -> Option<EntryId> {
    row.values()
        .take(WEIGHED)
        .map(|&id| (id, worth(id)))
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(id, _)| id)
}
