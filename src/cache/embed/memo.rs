//! Texts seen lately and what became of them, so that a repeated text costs no forward pass.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::vector::Vector;

/// Entries kept: about 7 MB with their vectors, since an entry's size does not depend on its text.
pub(super) const MEMO_ENTRIES: usize = 4096;

/// Identifies a text within a scope without keeping it.
pub(super) type Key = [u8; 32];

/// What a text became; `None` when it is too long for the model.
pub(super) type Meaning = Option<Arc<Vector>>;

/// Hashes a scope and a text; no two pairs share their input bytes.
pub(super) fn key_of(scope: &str, text: &str) -> Key {
    let mut hasher = blake3::Hasher::new();
    hasher
        .update(&scope.len().to_le_bytes())
        .update(scope.as_bytes())
        .update(text.as_bytes());
    *hasher.finalize().as_bytes()
}

/// Forgets the entry that was not asked for the longest.
#[derive(Debug)]
pub(super) struct Memo {
    capacity: usize,
    clock: u64,
    entries: HashMap<Key, (u64, Meaning)>,
    order: BTreeMap<u64, Key>,
}

impl Memo {
    pub(super) fn new(capacity: usize) -> Self {
        Memo {
            capacity,
            clock: 0,
            entries: HashMap::new(),
            order: BTreeMap::new(),
        }
    }

    pub(super) fn get(&mut self, key: &Key) -> Option<Meaning> {
        let (used, meaning) = self.entries.get_mut(key)?;
        self.order.remove(used);
        self.clock += 1;
        *used = self.clock;
        self.order.insert(self.clock, *key);
        Some(meaning.clone())
    }

    pub(super) fn put(&mut self, key: Key, meaning: Meaning) {
        self.clock += 1;
        if let Some((used, _)) = self.entries.insert(key, (self.clock, meaning)) {
            self.order.remove(&used);
        }
        self.order.insert(self.clock, key);
        while self.entries.len() > self.capacity {
            let Some((_, oldest)) = self.order.pop_first() else {
                return;
            };
            self.entries.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn scopes_and_texts_cannot_be_shifted_into_each_other() {
        assert_ne!(key_of("a", "bc"), key_of("ab", "c"));
        assert_ne!(key_of("tenant-a", "hello"), key_of("tenant-b", "hello"));
        assert_eq!(key_of("a", "b"), key_of("a", "b"));
    }

    #[test]
    fn the_entry_asked_for_longest_ago_is_forgotten_first() {
        let mut memo = Memo::new(2);
        let [a, b, c] = ["a", "b", "c"].map(|text| key_of("", text));
        memo.put(a, None);
        memo.put(b, None);
        assert!(memo.get(&a).is_some());
        memo.put(c, None);
        assert!(memo.get(&b).is_none());
        assert!(memo.get(&a).is_some() && memo.get(&c).is_some());
    }

    proptest! {
        #[test]
        fn it_never_outgrows_its_bound(puts in proptest::collection::vec(0_u8..20, 0..200)) {
            let mut memo = Memo::new(5);
            for put in puts {
                memo.put([put; 32], None);
                memo.get(&[put / 2; 32]);
                prop_assert!(memo.entries.len() <= 5);
                prop_assert_eq!(memo.entries.len(), memo.order.len());
                prop_assert!(memo.get(&[put; 32]).is_some());
            }
        }
    }
}
