//! A map that forgets the key that was not touched for the longest.

use std::hash::Hash;

use indexmap::{Equivalent, IndexMap};

/// Bounded; the oldest key stands first. Touching costs time linear in the size, so it is for what
/// changes rarely.
#[derive(Clone, Debug)]
pub(crate) struct Lately<K, V> {
    most: usize,
    items: IndexMap<K, V>,
}

impl<K: Hash + Eq, V> Lately<K, V> {
    /// Holds at most this many.
    pub(crate) fn new(most: usize) -> Self {
        Lately {
            most,
            items: IndexMap::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn get<Q: ?Sized + Hash + Equivalent<K>>(&self, key: &Q) -> Option<&V> {
        self.items.get(key)
    }

    pub(crate) fn get_mut<Q: ?Sized + Hash + Equivalent<K>>(&mut self, key: &Q) -> Option<&mut V> {
        self.items.get_mut(key)
    }

    pub(crate) fn contains(&self, key: &K) -> bool {
        self.items.contains_key(key)
    }

    /// Keys and values, the oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.items.iter()
    }

    /// As [`Lately::iter`], to change the values.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.items.iter_mut()
    }

    /// Puts a value in as the newest, in place of an earlier one of the key.
    pub(crate) fn put(&mut self, key: K, value: V) {
        self.items.shift_remove(&key);
        self.items.insert(key, value);
        while self.items.len() > self.most {
            self.items.shift_remove_index(0);
        }
    }

    /// Makes a key that is there the newest.
    pub(crate) fn touch(&mut self, key: &K) {
        if let Some(at) = self.items.get_index_of(key) {
            self.items.move_index(at, self.items.len() - 1);
        }
    }
}

impl<K: Hash + Eq + Clone, V: Default> Lately<K, V> {
    /// The key's value as the newest, made if it is not there.
    pub(crate) fn newest(&mut self, key: &K) -> Option<&mut V> {
        match self.items.get_index_of(key) {
            Some(at) => self.items.move_index(at, self.items.len() - 1),
            None => self.put(key.clone(), V::default()),
        }
        self.items.last_mut().map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_touched_for_the_longest_goes_first() {
        let mut lately = Lately::new(2);
        lately.put("a", 1);
        lately.put("b", 2);
        lately.touch(&"a");
        lately.put("c", 3);
        let left: Vec<_> = lately.iter().map(|(key, _)| *key).collect();
        assert_eq!(left, ["a", "c"]);
        *lately.newest(&"a").unwrap() += 10;
        lately.put("d", 4);
        assert_eq!(
            (lately.get(&"a"), lately.contains(&"c")),
            (Some(&11), false)
        );
        assert_eq!(lately.len(), 2);
    }
}
