//! The cells of one embedding space.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::starting;
use super::vector::dot;
use crate::state::Centroids;

/// Most cells of a space: more would not fit the agreed state at 512 dimensions.
pub const MAX_CELLS: usize = 1024;
/// Most dimensions of a space.
const MAX_DIMENSIONS: usize = 8192;
/// How far a centroid's squared length may be from 1.
const ROUNDING: f32 = 1e-3;

/// Unit vectors that divide an embedding space, each with the share of all copies its cell is
/// expected to hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Cells {
    space: String,
    epoch: u64,
    dimensions: usize,
    centroids: Box<[f32]>,
    shares: Box<[f32]>,
}

/// A cell, and the cosine of its centroid and a vector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Near {
    /// The cell's number, from 0.
    pub cell: u16,
    /// The cosine, -1 to 1 up to rounding.
    pub similarity: f32,
}

/// Why something is not a set of cells.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCells {
    /// The centroids are not base64.
    #[error("centroids are not padded base64")]
    NotBase64,
    /// The numbers do not make 1 to [`MAX_CELLS`] rows of 1 to 8192.
    #[error("{numbers} numbers do not make 1 to {MAX_CELLS} centroids of {dimensions} dimensions")]
    NotRows {
        /// How many numbers there are.
        numbers: usize,
        /// How many make a centroid.
        dimensions: usize,
    },
    /// A centroid's length is not 1.
    #[error("centroid {cell} is not of length 1")]
    NotUnit {
        /// Which, from 0.
        cell: usize,
    },
    /// There is not one share, finite and not negative, per centroid.
    #[error("shares are not one finite number from 0 up per centroid")]
    BadShares,
}

impl Cells {
    /// Cells of `space` from `centroids`, row after row of `dimensions` numbers, with a share each
    /// or none at all when they are not known. Shares are scaled to a sum of 1.
    ///
    /// # Errors
    /// What is wrong with the numbers.
    pub fn new(
        space: &str,
        epoch: u64,
        dimensions: usize,
        centroids: Vec<f32>,
        shares: Vec<f32>,
    ) -> Result<Self, BadCells> {
        let not_rows = BadCells::NotRows {
            numbers: centroids.len(),
            dimensions,
        };
        if !(1..=MAX_DIMENSIONS).contains(&dimensions)
            || !centroids.len().is_multiple_of(dimensions)
            || !(1..=MAX_CELLS).contains(&(centroids.len() / dimensions))
        {
            return Err(not_rows);
        }
        let unit = |row: &[f32]| (dot(row, row) - 1.0).abs() <= ROUNDING;
        if let Some(cell) = centroids
            .chunks_exact(dimensions)
            .position(|row| !unit(row))
        {
            return Err(BadCells::NotUnit { cell });
        }
        let shares = scaled(shares, centroids.len() / dimensions)?;
        Ok(Cells {
            space: space.to_owned(),
            epoch,
            dimensions,
            centroids: centroids.into_boxed_slice(),
            shares,
        })
    }

    /// The set a space begins with, epoch 0: trained on open questions for all-MiniLM-L6-v2, random
    /// directions that follow from the name for any other space, where every name gives the same
    /// set on every node. `dimensions` are taken as 1 to 8192.
    #[must_use]
    pub fn starting(space: &str, dimensions: usize) -> Self {
        let dimensions = dimensions.clamp(1, MAX_DIMENSIONS);
        let (centroids, shares) = starting::set(space, dimensions);
        let count = centroids.len() / dimensions;
        Cells {
            space: space.to_owned(),
            epoch: 0,
            dimensions,
            shares: scaled(shares, count).unwrap_or_else(|_| uniform(count)),
            centroids: centroids.into_boxed_slice(),
        }
    }

    /// Cells as they were agreed, under the epoch the agreed state gave them.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn from_agreed(epoch: u64, agreed: &Centroids) -> Result<Self, BadCells> {
        let bytes = STANDARD
            .decode(&agreed.data)
            .map_err(|_| BadCells::NotBase64)?;
        let (numbers, rest) = bytes.as_chunks::<4>();
        let dimensions = usize::try_from(agreed.dimensions).unwrap_or(usize::MAX);
        if !rest.is_empty() {
            return Err(BadCells::NotRows {
                numbers: numbers.len(),
                dimensions,
            });
        }
        let centroids = numbers.iter().map(|number| f32::from_le_bytes(*number));
        Cells::new(
            &agreed.space,
            epoch,
            dimensions,
            centroids.collect(),
            agreed.shares.clone(),
        )
    }

    /// The form that is agreed; the epoch is given by the agreed state.
    #[must_use]
    pub fn to_agreed(&self) -> Centroids {
        let bytes: Vec<u8> = self
            .centroids
            .iter()
            .flat_map(|n| n.to_le_bytes())
            .collect();
        Centroids {
            space: self.space.clone(),
            dimensions: u32::try_from(self.dimensions).unwrap_or(u32::MAX),
            data: STANDARD.encode(bytes),
            shares: self.shares.to_vec(),
        }
    }

    /// Every cell, the nearest to `vector` first; cells equally near by number. A vector of other
    /// dimensions is compared by what it shares with the centroids.
    #[must_use]
    pub fn nearest(&self, vector: &[f32]) -> Vec<Near> {
        let mut near: Vec<Near> = (0_u16..)
            .zip(self.centroids.chunks_exact(self.dimensions))
            .map(|(cell, centroid)| Near {
                cell,
                similarity: dot(centroid, vector),
            })
            .collect();
        near.sort_unstable_by(|a, b| {
            let by_similarity = b.similarity.total_cmp(&a.similarity);
            by_similarity.then(a.cell.cmp(&b.cell))
        });
        near
    }

    /// The embedding space's name.
    #[must_use]
    pub fn space(&self) -> &str {
        &self.space
    }

    /// Which agreed set this is; 0 for a starting set.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// How many cells, 1 to [`MAX_CELLS`].
    #[must_use]
    pub fn count(&self) -> usize {
        self.shares.len()
    }

    /// Numbers per centroid.
    #[must_use]
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// The share of all copies each cell is expected to hold; they sum to 1.
    #[must_use]
    pub fn shares(&self) -> &[f32] {
        &self.shares
    }

    /// The centroids, row after row.
    #[must_use]
    pub fn centroids(&self) -> &[f32] {
        &self.centroids
    }
}

impl fmt::Display for Cells {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cells { space, epoch, .. } = self;
        write!(f, "{} cells of {space}, epoch {epoch}", self.count())
    }
}

fn uniform(count: usize) -> Box<[f32]> {
    let count = u16::try_from(count).unwrap_or(u16::MAX).max(1);
    vec![1.0 / f32::from(count); usize::from(count)].into_boxed_slice()
}

/// Shares that sum to 1; uniform where none are known or all are 0.
fn scaled(mut shares: Vec<f32>, count: usize) -> Result<Box<[f32]>, BadCells> {
    if shares.is_empty() {
        return Ok(uniform(count));
    }
    let fits = |share: &f32| share.is_finite() && *share >= 0.0;
    let sum: f32 = shares.iter().sum();
    if shares.len() != count || !shares.iter().all(fits) || !sum.is_finite() {
        return Err(BadCells::BadShares);
    }
    if sum <= 0.0 {
        return Ok(uniform(count));
    }
    // Shares that were scaled before stay as they are, so that going to the agreed form and back
    // changes nothing.
    if (sum - 1.0).abs() > 1e-5 {
        shares.iter_mut().for_each(|share| *share /= sum);
    }
    Ok(shares.into_boxed_slice())
}
