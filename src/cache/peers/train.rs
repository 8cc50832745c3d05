//! Drawing the cells anew. The leader looks now and then how evenly the cells divide what the nodes
//! hold; when they have become uneven it trains others on a sample from every node and proposes
//! them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use llm_router_cluster::MemberId;
use llm_router_cluster::placement::{BUCKETS, Bucket, Cells, STARTING_CELLS, kmeans};

use super::Peers;
use super::serve;
use super::view::View;
use crate::cache::Inner;

/// How often it looks.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(600);
/// Vectors asked of all nodes together.
const SAMPLE: u32 = 16_384;
/// With fewer vectors per cell than this, chance is not told from unevenness.
const PER_CELL: usize = 16;
/// With fewer than this there are not enough for as many cells.
const FEW: usize = 1;
/// Cells of a space, whatever it was divided into before.
const CELLS: usize = STARTING_CELLS;
/// Other cells must be so much evener to be worth the move.
const WORTH: f64 = 0.9;
/// The fullest node has so much more than the average before cells are drawn anew.
const UNEVEN: f64 = 1.25;
/// Rounds of training; the shape hardly moves after.
const ROUNDS: usize = 12;

/// When cells are drawn anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// When they have become uneven, and there is enough to tell.
    Uneven,
    /// Now.
    Ordered,
}

/// Looks once, and trains where that is called for. `true` when other cells were agreed on.
pub(crate) async fn look(inner: &Arc<Inner>, peers: &Peers, when: When) -> bool {
    let view = Arc::clone(&peers.views().target);
    let sample = gather(inner, peers, &view).await;
    let dimensions = view.cells().dimensions();
    let enough = match when {
        When::Uneven => PER_CELL,
        When::Ordered => FEW,
    };
    if sample.len() < enough * CELLS * dimensions {
        return false;
    }
    let (old, copies) = (Arc::clone(&view), super::copies(inner));
    let trained = tokio::task::spawn_blocking(move || {
        let before = unevenness(&old, &sample, copies);
        if when == When::Uneven && before <= UNEVEN {
            return None;
        }
        let cells = train(&old, &sample)?;
        let after = unevenness(&old.with(Arc::new(cells.clone())), &sample, copies);
        let better = when == When::Ordered || after < before * WORTH;
        better.then_some(cells)
    });
    let Some(cells) = trained.await.ok().flatten() else {
        return false;
    };
    let expected = (view.cells().epoch() > 0).then(|| view.cells().epoch());
    match peers.link.recell(expected, &cells).await {
        Ok(()) => true,
        Err(error) => {
            tracing::info!(%error, "new cells were not agreed on");
            false
        }
    }
}

/// Vectors from every node, one after the other.
async fn gather(inner: &Inner, peers: &Peers, view: &View) -> Vec<f32> {
    let members = view.members();
    let each = SAMPLE / u32::try_from(members.len()).unwrap_or(SAMPLE).max(1);
    let mut sample = Vec::new();
    for member in members {
        let some = match member == peers.me() {
            true => serve::sample(inner, inner.space(), each as usize),
            false => {
                let asked = peers.link.sample(member, inner.space(), each).await;
                asked.unwrap_or_default()
            }
        };
        for vector in some.vectors {
            if vector.len() == view.cells().dimensions() {
                sample.extend_from_slice(&vector.widen());
            }
        }
    }
    sample
}

/// How many times the average the fullest node would have of the sample's copies, on average over the
/// buckets of partitions.
fn unevenness(view: &View, sample: &[f32], copies: usize) -> f64 {
    let nodes = u32::try_from(view.members().len()).unwrap_or(1).max(1);
    let mut copies_of = BTreeMap::<(Bucket, MemberId), u32>::new();
    for vector in sample.chunks_exact(view.cells().dimensions()) {
        let near = view.near(vector);
        for bucket in Bucket::all() {
            for member in view.walk(&near, bucket, copies) {
                *copies_of.entry((bucket, member)).or_default() += 1;
            }
        }
    }
    let of_bucket = |bucket: Bucket| {
        let its = copies_of.iter().filter(|((of, _), _)| *of == bucket);
        let its: Vec<u32> = its.map(|(_, copies)| *copies).collect();
        let most = its.iter().copied().max().unwrap_or(0);
        f64::from(most) * f64::from(nodes) / f64::from(its.iter().sum::<u32>().max(1))
    };
    Bucket::all().map(of_bucket).sum::<f64>() / f64::from(BUCKETS)
}

fn train(view: &View, sample: &[f32]) -> Option<Cells> {
    let old = view.cells();
    let trained = kmeans::train(sample, old.dimensions(), CELLS, old.epoch() + 1, ROUNDS);
    let cells = Cells::new(
        old.space(),
        old.epoch() + 1,
        old.dimensions(),
        trained.centroids,
        trained.shares,
    );
    match cells {
        Ok(cells) => Some(cells),
        Err(error) => {
            tracing::warn!(%error, "trained cells are no cells");
            None
        }
    }
}
