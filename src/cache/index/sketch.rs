//! A first look at many rows: 256 bits each, so that few have to be read whole.
//!
//! Each bit says on which side of a random plane through the origin the vector lies; two vectors
//! at an angle `a` differ in a share `a/π` of the bits (Charikar, "Similarity estimation techniques
//! from rounding algorithms", 2002). The planes are the rows of a randomised Walsh–Hadamard
//! transform, two rounds of sign flips and butterflies, which takes n log n steps instead of n² and
//! behaves like random planes (Ailon and Chazelle, "The fast Johnson–Lindenstrauss transform",
//! 2009). At a cosine of 0.92 33 bits of 256 differ, give or take 5; at 0.75 59 give or take 7; at
//! 0.3 103 give or take 8.
//!
//! A search counts differing bits for all rows, an eighth of the bytes of their codes, and hands
//! the few with the fewest on to be scored.

use std::sync::OnceLock;

/// Words of 64 bits per sketch.
const WORDS: usize = 4;
/// Bits per sketch.
const BITS: usize = 64 * WORDS;
/// Rows whose words lie side by side, one register wide.
const LANES: usize = 8;
/// Rounds of flips and butterflies.
const ROUNDS: usize = 2;
/// Groups counted before their rows are looked at; their distances stay in the nearest cache.
const GROUPS_AT_ONCE: usize = 64;

/// The bits of one vector.
pub(super) type Sketch = [u64; WORDS];

/// The first word of eight rows, their second word, and so on.
type Group = [[u64; LANES]; WORDS];

/// Makes sketches of vectors of one length; the same for all indexes and all time.
#[derive(Debug)]
pub(super) struct Planes {
    flips: [Vec<f32>; ROUNDS],
}

impl Planes {
    /// For vectors with so many dimensions.
    pub(super) fn new(dimensions: usize) -> Self {
        let length = dimensions.max(BITS).next_power_of_two();
        let mut state = 0u64;
        let mut flip = || {
            // SplitMix64 (Steele, Lea and Flood, 2014)
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            if (z ^ (z >> 31)) & 1 == 0 { 1.0 } else { -1.0 }
        };
        Planes {
            flips: std::array::from_fn(|_| (0..length).map(|_| flip()).collect()),
        }
    }

    /// The sketch of a vector, which may be of any norm.
    pub(super) fn sketch(&self, vector: impl Iterator<Item = f32>) -> Sketch {
        let mut numbers = vec![0.0f32; self.flips[0].len()];
        for (number, x) in numbers.iter_mut().zip(vector) {
            *number = x;
        }
        for flips in &self.flips {
            for (number, flip) in numbers.iter_mut().zip(flips) {
                *number *= flip;
            }
            butterflies(&mut numbers);
        }
        let mut sketch = [0; WORDS];
        for (word, numbers) in sketch.iter_mut().zip(numbers.chunks(64)) {
            for (bit, number) in numbers.iter().enumerate() {
                *word |= u64::from(*number > 0.0) << bit;
            }
        }
        sketch
    }
}

/// The Walsh–Hadamard transform, not normalised; the length is a power of two.
fn butterflies(numbers: &mut [f32]) {
    let mut half = 1;
    while half < numbers.len() {
        for pair in numbers.chunks_exact_mut(half * 2) {
            let (low, high) = pair.split_at_mut(half);
            for (a, b) in low.iter_mut().zip(high) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half *= 2;
    }
}

/// The sketches of many rows.
#[derive(Debug, Default)]
pub(super) struct Sketches {
    groups: Vec<Group>,
    rows: usize,
}

impl Sketches {
    /// With room for so many.
    pub(super) fn with_capacity(rows: usize) -> Self {
        Sketches {
            groups: Vec::with_capacity(rows.div_ceil(LANES)),
            rows: 0,
        }
    }

    pub(super) fn push(&mut self, sketch: Sketch) {
        let lane = self.rows % LANES;
        if lane == 0 {
            self.groups.push([[0; LANES]; WORDS]);
        }
        if let Some(group) = self.groups.last_mut() {
            for (words, word) in group.iter_mut().zip(sketch) {
                words[lane] = word;
            }
        }
        self.rows += 1;
    }

    /// The sketch of a row that is there.
    pub(super) fn get(&self, row: usize) -> Sketch {
        let group = &self.groups[row / LANES];
        std::array::from_fn(|word| group[word][row % LANES])
    }

    pub(super) fn bytes(&self) -> usize {
        self.groups.capacity() * size_of::<Group>()
    }
}

/// The rows of many parts with the fewest bits different from a query.
#[derive(Debug)]
pub(super) struct Shortlist {
    query: Sketch,
    wanted: usize,
    held: Vec<Listed>,
    /// How many are held at each distance up to `most`.
    counts: Vec<usize>,
    within: usize,
    /// No row farther than this is wanted any more.
    most: u16,
}

#[derive(Clone, Copy, Debug)]
struct Listed {
    distance: u16,
    part: usize,
    row: usize,
}

impl Shortlist {
    /// At least so many rows, or all there are.
    pub(super) fn new(query: Sketch, wanted: usize) -> Self {
        Shortlist {
            query,
            wanted: wanted.max(1),
            held: Vec::with_capacity(wanted * 4),
            counts: vec![0; BITS + 1],
            within: 0,
            most: u16::MAX,
        }
    }

    /// Looks at the rows of a part; `usable` is asked about those that would be listed.
    pub(super) fn look(
        &mut self,
        part: usize,
        sketches: &Sketches,
        mut usable: impl FnMut(usize) -> bool,
    ) {
        let count = counting();
        let mut distances = [[0u16; LANES]; GROUPS_AT_ONCE];
        for (chunk, groups) in sketches.groups.chunks(GROUPS_AT_ONCE).enumerate() {
            count(&self.query, groups, &mut distances);
            for (group, distances) in distances[..groups.len()].iter().enumerate() {
                // all eight at once; for most groups that is all
                if !distances
                    .iter()
                    .fold(false, |any, d| any | (*d <= self.most))
                {
                    continue;
                }
                let first = (chunk * GROUPS_AT_ONCE + group) * LANES;
                for (row, &distance) in (first..sketches.rows).zip(distances) {
                    if distance <= self.most && usable(row) {
                        self.list(Listed {
                            distance,
                            part,
                            row,
                        });
                    }
                }
            }
        }
    }

    fn list(&mut self, listed: Listed) {
        self.held.push(listed);
        self.counts[usize::from(listed.distance)] += 1;
        self.within += 1;
        let mut last = usize::from(self.most).min(BITS);
        while last > 0 && self.within - self.counts[last] >= self.wanted {
            self.within -= self.counts[last];
            last -= 1;
            self.most = u16::try_from(last).unwrap_or(u16::MAX);
        }
        if self.held.len() > 2 * self.within.max(self.wanted) {
            let most = self.most;
            self.held.retain(|listed| listed.distance <= most);
        }
    }

    /// Part and row of those listed.
    pub(super) fn rows(&self) -> impl Iterator<Item = (usize, usize)> {
        let most = self.most;
        let listed = self
            .held
            .iter()
            .filter(move |listed| listed.distance <= most);
        listed.map(|listed| (listed.part, listed.row))
    }
}

type Counting = fn(&Sketch, &[Group], &mut [[u16; LANES]]);

/// The fastest way to count of this processor.
fn counting() -> Counting {
    static FASTEST: OnceLock<Counting> = OnceLock::new();
    *FASTEST.get_or_init(|| {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512vpopcntdq") && is_x86_feature_detected!("avx512f") {
                return x86::count_wide;
            }
            if is_x86_feature_detected!("popcnt") {
                return x86::count_one_by_one;
            }
        }
        count
    })
}

/// Differing bits of every row of every group.
#[inline(always)]
fn count(query: &Sketch, groups: &[Group], distances: &mut [[u16; LANES]]) {
    for (group, distances) in groups.iter().zip(distances) {
        let mut sums = [0u64; LANES];
        for (words, query) in group.iter().zip(query) {
            for (sum, word) in sums.iter_mut().zip(words) {
                *sum += u64::from((word ^ query).count_ones());
            }
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most 256")]
        let narrow = sums.map(|sum| sum as u16);
        *distances = narrow;
    }
}

/// Counting on processors that count bits in one step.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m128i, __m512i, _mm_storeu_si128, _mm512_add_epi64, _mm512_cvtepi64_epi16,
        _mm512_loadu_si512, _mm512_popcnt_epi64, _mm512_set1_epi64, _mm512_setzero_si512,
        _mm512_xor_si512,
    };

    use super::{Group, LANES, Sketch, count};

    /// A group at a time, in order. Written out because the compiler, left alone, gathers words of
    /// eight groups, and memory is not read in order then.
    pub(super) fn count_wide(query: &Sketch, groups: &[Group], distances: &mut [[u16; LANES]]) {
        #[target_feature(enable = "avx512vpopcntdq,avx512f")]
        fn compiled(query: &Sketch, groups: &[Group], distances: &mut [[u16; LANES]]) {
            let query = query.map(|word| _mm512_set1_epi64(word.cast_signed()));
            for (group, distances) in groups.iter().zip(distances) {
                let mut sums = _mm512_setzero_si512();
                for (words, query) in group.iter().zip(query) {
                    #[expect(unsafe_code, reason = "an unaligned load of a whole array")]
                    // SAFETY: `words` are 64 readable bytes, and the load needs no alignment
                    let words = unsafe { _mm512_loadu_si512(words.as_ptr().cast::<__m512i>()) };
                    let differing = _mm512_popcnt_epi64(_mm512_xor_si512(words, query));
                    sums = _mm512_add_epi64(sums, differing);
                }
                #[expect(unsafe_code, reason = "an unaligned store into a whole array")]
                // SAFETY: `distances` has room for 16 bytes, and the store needs no alignment
                unsafe {
                    let to = distances.as_mut_ptr().cast::<__m128i>();
                    _mm_storeu_si128(to, _mm512_cvtepi64_epi16(sums));
                }
            }
        }
        #[expect(unsafe_code, reason = "safe but for the features it needs")]
        // SAFETY: `counting` hands it out after the processor was asked for the features
        unsafe {
            compiled(query, groups, distances);
        }
    }

    /// A word at a time.
    pub(super) fn count_one_by_one(
        query: &Sketch,
        groups: &[Group],
        distances: &mut [[u16; LANES]],
    ) {
        #[target_feature(enable = "popcnt")]
        fn compiled(query: &Sketch, groups: &[Group], distances: &mut [[u16; LANES]]) {
            count(query, groups, distances);
        }
        #[expect(unsafe_code, reason = "safe but for the features it needs")]
        // SAFETY: `counting` hands it out after the processor was asked for the features
        unsafe {
            compiled(query, groups, distances);
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    fn normal(random: &mut StdRng, dimensions: usize) -> Vec<f32> {
        let one = |random: &mut StdRng| (0..12).map(|_| random.random_range(-0.5..0.5f32)).sum();
        (0..dimensions).map(|_| one(random)).collect()
    }

    fn distance(a: Sketch, b: Sketch) -> u32 {
        a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum()
    }

    #[test]
    fn bits_differ_as_the_angle_says() {
        let mut random = StdRng::seed_from_u64(1);
        for dimensions in [24, 384, 1000] {
            let planes = Planes::new(dimensions);
            for cosine in [0.92f32, 0.75, 0.3, 0.0, -1.0] {
                let mut sum = 0;
                for _ in 0..200 {
                    let (a, b) = (
                        normal(&mut random, dimensions),
                        normal(&mut random, dimensions),
                    );
                    let dot =
                        |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
                    let along = dot(&a, &b) / dot(&a, &a);
                    let away: Vec<f32> = a.iter().zip(&b).map(|(a, b)| b - along * a).collect();
                    let length = (dot(&a, &a) / dot(&away, &away)).sqrt();
                    let sine = (1.0 - cosine * cosine).sqrt() * length;
                    let near = a
                        .iter()
                        .zip(&away)
                        .map(|(a, away)| cosine * a + sine * away);
                    let (a, near) = (planes.sketch(a.iter().copied()), planes.sketch(near));
                    sum += distance(a, near);
                }
                let expected = f64::from(cosine.acos()) / std::f64::consts::PI * 256.0;
                let mean = f64::from(sum) / 200.0;
                assert!(
                    (mean - expected).abs() < 3.0,
                    "{dimensions}, {cosine}: {mean}, not {expected}"
                );
            }
        }
    }

    #[test]
    fn every_way_to_count_gives_the_same() {
        let mut random = StdRng::seed_from_u64(2);
        let groups: Vec<Group> = (0..37)
            .map(|_| std::array::from_fn(|_| random.random()))
            .collect();
        let query = random.random();
        let mut expected = vec![[0; LANES]; groups.len()];
        count(&query, &groups, &mut expected);
        let mut ways: Vec<Counting> = vec![counting()];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("popcnt") {
            ways.push(x86::count_one_by_one);
        }
        for way in ways {
            let mut distances = vec![[0; LANES]; groups.len()];
            way(&query, &groups, &mut distances);
            assert_eq!(distances, expected);
        }
    }

    #[test]
    fn at_least_as_many_are_listed_as_were_wanted_and_the_nearest_are_among_them() {
        let mut random = StdRng::seed_from_u64(3);
        let planes = Planes::new(64);
        let (mut sketches, mut all) = (Sketches::with_capacity(5003), Vec::new());
        for _ in 0..5003 {
            let sketch = planes.sketch(normal(&mut random, 64).into_iter());
            sketches.push(sketch);
            all.push(sketch);
            assert_eq!(sketches.get(all.len() - 1), sketch);
        }
        let query = planes.sketch(normal(&mut random, 64).into_iter());
        for one_in in [1, 7, 1000, 6000] {
            let usable = |row: usize| row.is_multiple_of(one_in);
            let mut shortlist = Shortlist::new(query, 20);
            shortlist.look(9, &sketches, usable);
            let listed: Vec<(usize, usize)> = shortlist.rows().collect();
            assert!(listed.iter().all(|&(part, row)| part == 9 && usable(row)));
            let there = 5003_usize.div_ceil(one_in);
            assert!(listed.len() >= there.min(20), "{} of {there}", listed.len());
            let nearest = (0..5003)
                .filter(|&row| usable(row))
                .min_by_key(|&row| distance(all[row], query));
            let least = distance(all[nearest.unwrap()], query);
            let found = listed
                .iter()
                .map(|&(_, row)| distance(all[row], query))
                .min();
            assert!(found.unwrap() <= least + 20, "{found:?}, not {least}");
        }
    }
}
