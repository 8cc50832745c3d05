//! Which nodes keep an entry of the cache, and which are asked for one: pure arithmetic that comes
//! out the same on every node.
//!
//! A *cell* is the part of an embedding space that is nearer to one centroid than to any other. Each
//! cell has one owner per *bucket* of partitions. The copies of an entry go to the owners of the
//! cells nearest to its vector, one copy to a node, so that a lookup which asks the owners of the
//! cells nearest to the question finds it:
//!
//! ```
//! use std::collections::BTreeMap;
//! use llm_router_cluster::MemberId;
//! use llm_router_cluster::placement::{Bucket, Cells, Ownership};
//!
//! let cells = Cells::starting("all-MiniLM-L6-v2", 384);
//! let members: BTreeMap<MemberId, u32> = (1..=3).map(|n| (MemberId(n), 1)).collect();
//! let ownership = Ownership::new(&cells, &members);
//!
//! let mut vector = vec![0.0; 384];
//! vector[7] = 1.0;
//! let near = cells.nearest(&vector);
//! let bucket = Bucket::of(&[9; 16]);
//! let copies = ownership.walk(&near, bucket, 2);
//! assert_eq!(copies.len(), 2);
//! assert!(ownership.probe(&near, bucket, 2).contains(&copies[0]));
//! ```
//!
//! Not here: who is alive, moving entries, and the network.

mod cells;
pub mod kmeans;
mod ownership;
mod score;
mod starting;
mod vector;

pub use cells::{BadCells, Cells, MAX_CELLS, Near};
pub use ownership::{BUCKETS, Bucket, MARGIN, Ownership};
pub use starting::{STARTING_CELLS, encode};
pub use vector::dot;

#[cfg(test)]
mod tests;
