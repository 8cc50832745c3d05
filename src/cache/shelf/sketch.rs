//! How often each id was asked for, about: a count-min sketch that ages.
//!
//! Four rows of small counters; an id has one counter in each row, and the least of the four is the
//! estimate, so it is never too low except by ageing. After ten times as many counts as a row has
//! counters all are halved: what was popular last week fades. As in TinyLFU (Einziger, Friedman,
//! Manes, "TinyLFU: A Highly Efficient Cache Admission Policy", 2017). Ids are keyed hashes already,
//! so their own bytes choose the counters and nobody can aim at one.

use super::EntryId;

/// Rows of counters.
const ROWS: usize = 4;
/// Highest count kept.
const MOST: u8 = 63;
/// Fewest and most counters in a row; the latter take 4 MiB.
const WIDTHS: (usize, usize) = (1 << 10, 1 << 20);

/// The counters.
#[derive(Debug)]
pub(super) struct Sketch {
    width: usize,
    counters: Vec<u8>,
    counted: usize,
}

impl Sketch {
    /// A sketch for about so many ids.
    pub(super) fn new(entries: u64) -> Self {
        let width = Sketch::width(entries);
        Sketch {
            width,
            counters: vec![0; ROWS * width],
            counted: 0,
        }
    }

    /// Made for about so many ids.
    pub(super) fn suits(&self, entries: u64) -> bool {
        Sketch::width(entries) == self.width
    }

    fn width(entries: u64) -> usize {
        let wanted = usize::try_from(entries).unwrap_or(WIDTHS.1);
        wanted.clamp(WIDTHS.0, WIDTHS.1).next_power_of_two()
    }

    /// One more.
    pub(super) fn count(&mut self, id: EntryId) {
        for place in self.places(id) {
            if let Some(counter) = self.counters.get_mut(place) {
                *counter = counter.saturating_add(1).min(MOST);
            }
        }
        self.counted += 1;
        if self.counted >= self.width * 10 {
            self.counters.iter_mut().for_each(|counter| *counter /= 2);
            self.counted = 0;
        }
    }

    /// How often, about; at most 63.
    pub(super) fn estimate(&self, id: EntryId) -> u8 {
        self.places(id)
            .into_iter()
            .filter_map(|place| self.counters.get(place).copied())
            .min()
            .unwrap_or(0)
    }

    fn places(&self, id: EntryId) -> [usize; ROWS] {
        let mut places = [0; ROWS];
        for (row, (place, bytes)) in places.iter_mut().zip(id.0.as_chunks::<4>().0).enumerate() {
            let within = u32::from_le_bytes(*bytes) as usize % self.width;
            *place = row * self.width + within;
        }
        places
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    #[test]
    fn an_estimate_is_never_too_low_and_seldom_too_high() {
        let mut rng = StdRng::seed_from_u64(5);
        let mut sketch = Sketch::new(1000);
        let ids: Vec<EntryId> = (0..1000).map(|_| EntryId(rng.random())).collect();
        let mut too_high = 0;
        for (at, id) in ids.iter().enumerate() {
            (0..=at % 5).for_each(|_| sketch.count(*id));
        }
        for (at, id) in ids.iter().enumerate() {
            let truth = u8::try_from(at % 5 + 1).unwrap();
            assert!(sketch.estimate(*id) >= truth);
            too_high += u32::from(sketch.estimate(*id) > truth + 1);
        }
        assert!(too_high < 100, "{too_high}");
    }

    #[test]
    fn what_is_no_longer_asked_for_fades() {
        let mut rng = StdRng::seed_from_u64(6);
        let mut sketch = Sketch::new(1000);
        let old = EntryId([9; 16]);
        (0..60).for_each(|_| sketch.count(old));
        assert!(sketch.estimate(old) >= 60);
        (0..40_000).for_each(|_| sketch.count(EntryId(rng.random())));
        assert!(sketch.estimate(old) < 40);
    }
}
