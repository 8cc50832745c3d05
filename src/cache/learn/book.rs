//! Everything learnt, in memory: verdicts by level, the routes' tiers, vetoes. No I/O, no clock, no
//! lock of its own; every map is bounded.

use serde::{Deserialize, Serialize};

use super::lately::Lately;
use super::record::{Evidence, Level, Tally};
use super::tier::{Change, Tier, TierState};
use crate::cache::key::{EntryId, PairId, PartitionId};
use crate::types::report::CacheRoute;

/// Routes with a tier of their own: all a config may have, and requests that matched none.
const MOST_ROUTES: usize = 1024;
/// Partitions and entries with verdicts of their own; the others have those of the level above.
const MOST_PARTITIONS: usize = 2048;
const MOST_ENTRIES: usize = 8192;
/// Pairs that never hit again. A veto is an operator's word or a found mistake, so there are few.
pub(crate) const MOST_VETOES: usize = 10_000;

/// One route.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Route {
    tier: Tier,
    tally: Tally,
}

/// What a verdict is about.
#[derive(Clone, Debug)]
pub(crate) struct About<'a> {
    pub(crate) route: &'a str,
    pub(crate) partition: PartitionId,
    pub(crate) entry: EntryId,
}

/// Everything learnt.
#[derive(Debug)]
pub(crate) struct Book {
    cache: Tally,
    routes: Lately<String, Route>,
    partitions: Lately<PartitionId, Tally>,
    entries: Lately<EntryId, Tally>,
    vetoes: Lately<PairId, ()>,
}

impl Default for Book {
    fn default() -> Self {
        Book {
            cache: Tally::default(),
            routes: Lately::new(MOST_ROUTES),
            partitions: Lately::new(MOST_PARTITIONS),
            entries: Lately::new(MOST_ENTRIES),
            vetoes: Lately::new(MOST_VETOES),
        }
    }
}

impl Book {
    /// What the tier of a route may do at `now`.
    pub(crate) fn tier(&mut self, route: &str, now: u64) -> (TierState, Option<Change>) {
        match self.routes.get_mut(route) {
            Some(route) => route.tier.at(now),
            None => (TierState::Normal, None),
        }
    }

    /// What is known of an entry.
    pub(crate) fn evidence(&self, about: &About<'_>, now: u64) -> Evidence {
        let route = self.routes.get(about.route).map(|route| &route.tally);
        let faded =
            |tally: Option<&Tally>, level| tally.copied().unwrap_or_default().faded(now, level);
        Evidence::pooled([
            self.cache.faded(now, Level::Cache),
            faded(route, Level::Route),
            faded(self.partitions.get(&about.partition), Level::Partition),
            faded(self.entries.get(&about.entry), Level::Entry),
        ])
    }

    /// Takes a verdict in. `budget` is the route's `max_error_rate`.
    pub(crate) fn judge(
        &mut self,
        about: &About<'_>,
        wrong: bool,
        (now, budget): (u64, f64),
    ) -> Option<Change> {
        self.cache.add(wrong, (Level::Cache, now));
        if let Some(tally) = self.partitions.newest(&about.partition) {
            tally.add(wrong, (Level::Partition, now));
        }
        if let Some(tally) = self.entries.newest(&about.entry) {
            tally.add(wrong, (Level::Entry, now));
        }
        let route = self.routes.newest(&about.route.to_owned())?;
        route.tally.add(wrong, (Level::Route, now));
        route.tier.judge(now, wrong, budget)
    }

    /// This pair never hits again.
    pub(crate) fn veto(&mut self, pair: PairId) {
        self.vetoes.put(pair, ());
    }

    /// The pair must not hit; being asked for keeps a veto.
    pub(crate) fn is_vetoed(&mut self, pair: PairId) -> bool {
        let vetoed = self.vetoes.contains(&pair);
        if vetoed {
            self.vetoes.touch(&pair);
        }
        vetoed
    }

    pub(crate) fn vetoes(&self) -> usize {
        self.vetoes.len()
    }

    /// Every route that has verdicts, by name; rates and bounds are left to whoever asks, for they
    /// take longer than this may be held.
    pub(crate) fn routes(&mut self, now: u64) -> Vec<CacheRoute> {
        let shown = self.routes.iter_mut().map(|(name, route)| {
            let (wrong, judged) = route.tier.counted(now);
            let state = route.tier.state(now);
            CacheRoute {
                route: name.clone(),
                tier: state.as_str(),
                tier_level: state.level(),
                pause_left_s: route.tier.pause_left(now).map(|left| left.div_ceil(1000)),
                judged,
                wrong,
                false_hit_rate: 0.0,
                false_hit_lower: 0.0,
                false_hit_upper: 1.0,
            }
        });
        let mut shown: Vec<CacheRoute> = shown.collect();
        shown.sort_by(|a, b| a.route.cmp(&b.route));
        shown
    }

    /// All of it, to write down.
    pub(crate) fn written(&self) -> Written {
        let named = |(name, route): (&String, &Route)| (name.clone(), route.clone());
        Written {
            cache: self.cache,
            routes: self.routes.iter().map(named).collect(),
            partitions: pairs(&self.partitions),
            entries: pairs(&self.entries),
            vetoes: self
                .vetoes
                .iter()
                .map(|(pair, ())| pair.to_string())
                .collect(),
        }
    }

    /// Reads back what was written; `None` when it cannot have come from here.
    pub(crate) fn read(written: Written) -> Option<Self> {
        let mut book = Book {
            cache: sound(written.cache)?,
            ..Book::default()
        };
        for (name, route) in written.routes {
            sound(route.tally)?;
            book.routes.put(name, route);
        }
        for (id, tally) in written.partitions {
            book.partitions.put(id.parse().ok()?, sound(tally)?);
        }
        for (id, tally) in written.entries {
            book.entries.put(id.parse().ok()?, sound(tally)?);
        }
        for pair in written.vetoes {
            book.vetoes.put(pair.parse().ok()?, ());
        }
        Some(book)
    }
}

/// The book as it is written down: ids and counts, no text.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Written {
    cache: Tally,
    routes: Vec<(String, Route)>,
    partitions: Vec<(String, Tally)>,
    entries: Vec<(String, Tally)>,
    vetoes: Vec<String>,
}

fn pairs<K: ToString + std::hash::Hash + Eq>(kept: &Lately<K, Tally>) -> Vec<(String, Tally)> {
    kept.iter()
        .map(|(id, tally)| (id.to_string(), *tally))
        .collect()
}

fn sound(tally: Tally) -> Option<Tally> {
    tally.is_sound().then_some(tally)
}
