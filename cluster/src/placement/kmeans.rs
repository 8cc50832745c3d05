//! Spherical k-means (Dhillon and Modha 2001): centroids that follow where vectors really are.

use super::cells::MAX_CELLS;
use super::score::mix;
use super::vector::{dot, unit};

/// Most vectors that are looked at: more make no better centroids.
pub const MAX_SAMPLE: usize = 65_536;
/// Most rounds.
pub const MAX_ROUNDS: usize = 50;
/// Vectors per centroid among which the first centroids are drawn.
const SEEDING: usize = 16;
/// Cells a vector counts for: an entry has two copies.
const COPIES: usize = 2;

/// What came out.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// Unit vectors, row after row.
    pub centroids: Vec<f32>,
    /// The share of the sample's copies, two a vector, in each cell; they sum to 1.
    pub shares: Vec<f32>,
}

/// At most `k` centroids (and at most [`MAX_CELLS`]) of unit vectors given row after row, of which
/// the first [`MAX_SAMPLE`] count. Fewer vectors than `k` are their own centroids; none, or no
/// `dimensions`, make none. The same input gives the same output on every machine.
///
/// First centroids are drawn with chances in proportion to the squared distance from those drawn
/// before (Arthur and Vassilvitskii 2007). Ends after `rounds`, or when no vector changes its cell.
/// Takes about `sample × k × dimensions × rounds` multiplications on the caller's thread: four
/// seconds for 20,000 × 256 × 384 in ten rounds.
#[must_use]
pub fn train(sample: &[f32], dimensions: usize, k: usize, seed: u64, rounds: usize) -> Trained {
    let rows = Rows::new(sample, dimensions);
    let k = k.min(MAX_CELLS).min(rows.count());
    if k == 0 {
        return Trained {
            centroids: Vec::new(),
            shares: Vec::new(),
        };
    }
    let mut centroids = first(&rows, k, seed);
    let mut cells = vec![usize::MAX; rows.count()];
    for _ in 0..rounds.min(MAX_ROUNDS) {
        let (now, similarity) = assign(&rows, &centroids);
        let settled = now == cells;
        cells = now;
        if settled {
            break;
        }
        centroids = means(&rows, &mut cells, &similarity, k);
    }
    let shares = shares(&rows, &centroids, k);
    Trained { centroids, shares }
}

/// Vectors row after row.
struct Rows<'a> {
    numbers: &'a [f32],
    dimensions: usize,
}

impl<'a> Rows<'a> {
    fn new(sample: &'a [f32], dimensions: usize) -> Self {
        let dimensions = dimensions.max(1);
        let count = (sample.len() / dimensions).min(MAX_SAMPLE);
        Rows {
            numbers: &sample[..count * dimensions],
            dimensions,
        }
    }

    fn count(&self) -> usize {
        self.numbers.len() / self.dimensions
    }

    fn row(&self, at: usize) -> &'a [f32] {
        &self.numbers[at * self.dimensions..][..self.dimensions]
    }
}

/// Draws numbers that follow from a seed.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// Below `end`, which is not 0.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap_or(0)
    }

    /// 0 to below 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn first(rows: &Rows<'_>, k: usize, seed: u64) -> Vec<f32> {
    let mut draws = Draws(seed);
    let mut pool: Vec<usize> = (0..rows.count()).collect();
    for at in 0..pool.len().min(k * SEEDING) {
        let other = at + draws.below(pool.len() - at);
        pool.swap(at, other);
    }
    pool.truncate(k * SEEDING);
    let mut distance = vec![f64::from(f32::MAX); pool.len()];
    let mut centroids = Vec::with_capacity(k * rows.dimensions);
    let mut chosen = 0;
    for _ in 0..k {
        let row = rows.row(pool[chosen]);
        centroids.extend_from_slice(row);
        for (distance, at) in distance.iter_mut().zip(&pool) {
            let far = f64::from(1.0 - dot(row, rows.row(*at)));
            *distance = distance.min(far.max(0.0));
        }
        let mut left = draws.part() * distance.iter().sum::<f64>();
        chosen = distance
            .iter()
            .position(|far| {
                left -= far;
                left < 0.0
            })
            .unwrap_or_else(|| draws.below(pool.len()));
    }
    centroids
}

/// Each vector's nearest centroid and its similarity.
fn assign(rows: &Rows<'_>, centroids: &[f32]) -> (Vec<usize>, Vec<f32>) {
    let nearest = |at| {
        let row = rows.row(at);
        let mut best = (0, f32::NEG_INFINITY);
        for (cell, centroid) in centroids.chunks_exact(rows.dimensions).enumerate() {
            let similarity = dot(row, centroid);
            if similarity > best.1 {
                best = (cell, similarity);
            }
        }
        best
    };
    (0..rows.count()).map(nearest).unzip()
}

/// New centroids. An empty cell takes the vector that fits worst in the largest one.
fn means(rows: &Rows<'_>, cells: &mut [usize], similarity: &[f32], k: usize) -> Vec<f32> {
    refill(cells, similarity, k);
    let mut sums = vec![0.0_f32; k * rows.dimensions];
    for (at, cell) in cells.iter().enumerate() {
        let sum = &mut sums[cell * rows.dimensions..][..rows.dimensions];
        for (sum, component) in sum.iter_mut().zip(rows.row(at)) {
            *sum += component;
        }
    }
    for (cell, sum) in sums.chunks_exact_mut(rows.dimensions).enumerate() {
        // Vectors that cancel out leave no direction: any of them stands for the cell.
        if !unit(sum) {
            let one = cells.iter().position(|of| *of == cell).unwrap_or(0);
            sum.copy_from_slice(rows.row(one));
        }
    }
    sums
}

fn refill(cells: &mut [usize], similarity: &[f32], k: usize) {
    let mut sizes = vec![0_usize; k];
    cells.iter().for_each(|cell| sizes[*cell] += 1);
    for empty in 0..k {
        if sizes[empty] > 0 {
            continue;
        }
        let largest = (0..k)
            .max_by_key(|cell| (sizes[*cell], k - cell))
            .unwrap_or(0);
        let worst = (0..cells.len())
            .filter(|at| cells[*at] == largest)
            .min_by(|a, b| similarity[*a].total_cmp(&similarity[*b]));
        if let Some(at) = worst {
            cells[at] = empty;
            sizes[largest] -= 1;
            sizes[empty] += 1;
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of at most 131,072")]
fn shares(rows: &Rows<'_>, centroids: &[f32], k: usize) -> Vec<f32> {
    let copies = COPIES.min(k);
    let mut counts = vec![0_u32; k];
    for at in 0..rows.count() {
        let row = rows.row(at);
        let mut nearest = [(f32::NEG_INFINITY, 0); COPIES];
        for (cell, centroid) in centroids.chunks_exact(rows.dimensions).enumerate() {
            let similarity = dot(row, centroid);
            if similarity > nearest[0].0 {
                nearest = [(similarity, cell), nearest[0]];
            } else if similarity > nearest[1].0 {
                nearest[1] = (similarity, cell);
            }
        }
        for (_, cell) in nearest.iter().take(copies) {
            counts[*cell] += 1;
        }
    }
    let all = (rows.count() * copies) as f32;
    counts.iter().map(|count| *count as f32 / all).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::Cells;

    /// Vectors near `groups` directions of a made-up space, in turns.
    fn sample(groups: usize, count: usize, dimensions: usize) -> Vec<f32> {
        let middles = Cells::starting("middles", dimensions);
        let mut draws = Draws(5);
        let mut numbers = Vec::new();
        for at in 0..count {
            let middle = &middles.centroids()[at % groups * dimensions..][..dimensions];
            let mut row: Vec<f32> = middle
                .iter()
                .map(|component| component + f32::from(draws.next().to_le_bytes()[0]) / 2550.0)
                .collect();
            assert!(unit(&mut row));
            numbers.extend(row);
        }
        numbers
    }

    #[test]
    fn groups_that_are_there_are_found() {
        let trained = train(&sample(12, 600, 32), 32, 24, 3, 20);
        let middles = Cells::starting("middles", 32);
        for middle in middles.centroids().chunks_exact(32).take(12) {
            let similarity = |row| dot(middle, row);
            let best = trained
                .centroids
                .chunks_exact(32)
                .map(similarity)
                .fold(-1.0, f32::max);
            assert!(best > 0.95, "nearest centroid at {best}");
        }
        assert!(trained.shares.iter().all(|share| *share > 0.0));
        assert!((trained.shares.iter().sum::<f32>() - 1.0).abs() < 1e-4);
    }

    #[test]
    fn a_seed_gives_one_result_and_it_is_a_set_of_cells() {
        let sample = sample(5, 300, 24);
        let trained = train(&sample, 24, 32, 9, 10);
        assert_eq!(trained, train(&sample, 24, 32, 9, 10));
        assert_ne!(trained, train(&sample, 24, 32, 10, 10));
        assert!(Cells::new("s", 1, 24, trained.centroids, trained.shares).is_ok());
    }

    #[test]
    fn little_or_odd_input_makes_what_it_can() {
        assert!(train(&[], 8, 4, 1, 5).centroids.is_empty());
        assert!(train(&[1.0; 8], 0, 0, 1, 5).centroids.is_empty());
        let two = train(&sample(2, 2, 8), 8, 16, 1, 5);
        assert_eq!(two.shares.len(), 2);
        // All vectors alike: every cell still has a direction.
        let alike: Vec<f32> = sample(1, 1, 8).repeat(50);
        let trained = train(&alike, 8, 4, 1, 5);
        assert!(Cells::new("s", 1, 8, trained.centroids, trained.shares).is_ok());
    }

    #[test]
    fn an_empty_cell_takes_the_worst_fit_of_the_largest() {
        let mut cells = vec![0, 0, 0, 2, 2];
        refill(&mut cells, &[0.9, 0.1, 0.8, 0.0, 0.5], 3);
        assert_eq!(cells, [0, 1, 0, 2, 2]);
    }
}
