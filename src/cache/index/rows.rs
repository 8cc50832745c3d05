//! Vectors in order of their labels, twelve bits a number.
//!
//! A number is kept as `scale * (code + (fine + ½) / 16)`: a signed byte `code`, which the scan
//! reads, and four more bits `fine`, which only the last word on the best few needs. Each vector
//! has its own scale, its largest number over 127. The scan alone is off by about a thousandth of
//! cosine; with the fine bits no number is off by more than 1/32 of the scale, which moves the
//! cosine of two unit-length vectors by 0.0003 at the very most in practice (a test holds 0.001).

use super::kernel::{self, Left};
use super::plan::TAIL_ROWS;

/// Vectors of one length under labels that only grow.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    dimensions: usize,
    labels: Vec<u64>,
    scales: Vec<f32>,
    codes: Vec<i8>,
    fine: Vec<u8>,
}

impl Rows {
    /// No vectors, with room for so many.
    pub(super) fn with_capacity(dimensions: usize, rows: usize) -> Self {
        Rows {
            dimensions,
            labels: Vec::with_capacity(rows),
            scales: Vec::with_capacity(rows),
            codes: Vec::with_capacity(rows * dimensions),
            fine: Vec::with_capacity(rows * dimensions.div_ceil(2)),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.labels.len()
    }

    pub(super) fn labels(&self) -> &[u64] {
        &self.labels
    }

    pub(super) fn codes(&self) -> &[i8] {
        &self.codes
    }

    pub(super) fn scale(&self, row: usize) -> f32 {
        self.scales.get(row).copied().unwrap_or(0.0)
    }

    /// The codes of one row; none past the end.
    pub(super) fn row(&self, row: usize) -> &[i8] {
        let start = row * self.dimensions;
        self.codes
            .get(start..start + self.dimensions)
            .unwrap_or_default()
    }

    /// The row of `label`.
    pub(super) fn find(&self, label: u64) -> Option<usize> {
        self.labels.binary_search(&label).ok()
    }

    /// Bytes held, spare room included.
    pub(super) fn bytes(&self) -> usize {
        self.labels.capacity() * 8
            + self.scales.capacity() * 4
            + self.codes.capacity()
            + self.fine.capacity()
    }

    /// Adds a vector of the right length under a label that is not there yet.
    pub(super) fn insert(&mut self, label: u64, vector: &Packed) {
        let row = self.labels.partition_point(|&other| other < label);
        if row == self.labels.capacity() {
            self.grow();
        }
        let (at, half) = (row * self.dimensions, row * self.dimensions.div_ceil(2));
        self.labels.insert(row, label);
        self.scales.insert(row, vector.scale);
        self.codes.splice(at..at, vector.codes.iter().copied());
        self.fine.splice(half..half, vector.fine.iter().copied());
    }

    /// Takes a row out; the later ones move down.
    pub(super) fn remove(&mut self, row: usize) {
        let (d, halves) = (self.dimensions, self.dimensions.div_ceil(2));
        self.labels.remove(row);
        self.scales.remove(row);
        self.codes.drain(row * d..(row + 1) * d);
        self.fine.drain(row * halves..(row + 1) * halves);
    }

    /// Adds row `row` of `other`, whose label is past all of these.
    pub(super) fn append(&mut self, other: &Rows, row: usize) {
        let halves = self.dimensions.div_ceil(2);
        self.labels.extend(other.labels.get(row));
        self.scales.push(other.scale(row));
        self.codes.extend_from_slice(other.row(row));
        self.fine
            .extend_from_slice(&other.fine[row * halves..(row + 1) * halves]);
    }

    /// Cosine of a row with a vector, both of unit length, from all twelve bits.
    pub(super) fn cosine(&self, row: usize, vector: &[f32]) -> f32 {
        let halves = self.dimensions.div_ceil(2);
        let fine = &self.fine[row * halves..(row + 1) * halves];
        let mut sum = 0.0;
        for ((codes, fine), numbers) in self.row(row).chunks(2).zip(fine).zip(vector.chunks(2)) {
            for ((&code, fine), number) in codes.iter().zip([fine & 15, fine >> 4]).zip(numbers) {
                sum += (f32::from(code) + (f32::from(fine) - 7.5) / 16.0) * number;
            }
        }
        sum * self.scale(row)
    }

    /// Room for half as many again, for most partitions stay small; none to spare at a full tail.
    fn grow(&mut self) {
        let to_full = TAIL_ROWS.saturating_sub(self.len());
        let more = (self.len() / 2).min(to_full).max(1);
        self.labels.reserve_exact(more);
        self.scales.reserve_exact(more);
        self.codes.reserve_exact(more * self.dimensions);
        self.fine.reserve_exact(more * self.dimensions.div_ceil(2));
    }
}

/// A query in the scan's eight bits.
#[derive(Debug)]
pub(super) struct Query {
    codes: Vec<i8>,
    scale: f32,
    sum: i32,
}

impl Query {
    pub(super) fn new(vector: &[f32]) -> Self {
        let scale = scale_of(vector);
        let codes = codes_of(vector, scale);
        let sum = kernel::sum(&codes);
        Query { codes, scale, sum }
    }

    pub(super) fn left(&self) -> Left<'_> {
        Left::new(&self.codes, self.sum)
    }

    /// What a whole-number dot product with a row of `scale` means.
    pub(super) fn score(&self, dot: i32, scale: f32) -> f32 {
        to_f32(dot) * (self.scale * scale)
    }

    pub(super) fn parts(&self) -> (&[i8], f32) {
        (&self.codes, self.scale)
    }
}

/// A whole-number dot product as a float; below 2^24 for up to a thousand dimensions, and off by
/// less than a ten-millionth part beyond.
#[expect(clippy::cast_precision_loss, reason = "see above")]
pub(super) fn to_f32(dot: i32) -> f32 {
    dot as f32
}

fn scale_of(vector: &[f32]) -> f32 {
    let largest = vector.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    largest / 127.0
}

/// Zero where the scale is too small to divide by.
fn ratio(number: f32, scale: f32) -> f32 {
    if scale > f32::MIN_POSITIVE {
        number / scale
    } else {
        0.0
    }
}

/// A vector as it is kept.
#[derive(Debug)]
pub(super) struct Packed {
    codes: Vec<i8>,
    fine: Vec<u8>,
    scale: f32,
}

impl Packed {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "codes are rounded into -127..=127, fine bits are clamped into 0..=15"
    )]
    pub(super) fn new(vector: &[f32]) -> Self {
        let scale = scale_of(vector);
        let fine = |x: &f32| {
            let exact = ratio(*x, scale);
            ((exact - exact.round()) * 16.0 + 8.0)
                .floor()
                .clamp(0.0, 15.0) as u8
        };
        Packed {
            codes: codes_of(vector, scale),
            fine: vector
                .chunks(2)
                .map(|pair| pair.first().map_or(0, fine) | pair.get(1).map_or(0, fine) << 4)
                .collect(),
            scale,
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "rounded into -127..=127 by the scale"
)]
fn codes_of(vector: &[f32], scale: f32) -> Vec<i8> {
    let codes = vector.iter().map(|x| ratio(*x, scale).round() as i8);
    codes.collect()
}
