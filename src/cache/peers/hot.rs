//! Entries that are asked for again and again through a node that does not own them: it keeps a copy
//! of its own for a while. Pure.

use std::collections::HashMap;
use std::time::Duration;

use crate::cache::key::EntryId;
use crate::types::Moment;

/// Most entries counted; when there is no more room, all counts begin anew.
const MOST: usize = 4096;
/// So many hits from elsewhere make an entry hot.
const HITS: u32 = 3;
/// Within this time.
const WITHIN: Duration = Duration::from_secs(60);

/// How often entries were served from elsewhere lately.
#[derive(Debug, Default)]
pub(crate) struct Hot {
    hits: HashMap<EntryId, (u32, Moment)>,
}

impl Hot {
    /// One more hit from elsewhere; true when the entry has become hot with it.
    pub(crate) fn hit(&mut self, id: EntryId, now: Moment) -> bool {
        if self.hits.len() >= MOST && !self.hits.contains_key(&id) {
            self.hits.clear();
        }
        let (count, since) = self.hits.entry(id).or_insert((0, now));
        if now.since(*since) > WITHIN {
            (*count, *since) = (0, now);
        }
        *count += 1;
        let hot = *count >= HITS;
        if hot {
            self.hits.remove(&id);
        }
        hot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_hits_within_a_minute_make_an_entry_hot() {
        let mut hot = Hot::default();
        let id = EntryId([1; 16]);
        let at = |seconds: u64| Moment::ZERO + Duration::from_secs(seconds);
        assert!(!hot.hit(id, at(0)) && !hot.hit(id, at(30)));
        assert!(hot.hit(id, at(60)));
        assert!(!hot.hit(id, at(61)), "it is kept now and counted anew");
        assert!(!hot.hit(id, at(100)) && !hot.hit(id, at(130)), "too slow");
    }

    #[test]
    fn the_counts_are_bounded() {
        let mut hot = Hot::default();
        for number in 0..3 * MOST as u64 {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&number.to_be_bytes());
            hot.hit(EntryId(id), Moment::ZERO);
            assert!(hot.hits.len() <= MOST);
        }
    }
}
