//! Drawing the cells anew. The leader looks now and then how evenly the cells divide what the nodes
//! hold; when they have become uneven it trains others on a sample from every node and proposes
//! them.

use std::sync::Arc;
use std::time::Duration;

use llm_router_cluster::MemberId;
use llm_router_cluster::placement::{Bucket, Cells, kmeans};

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
    let enough = PER_CELL * view.cells().count() * dimensions;
    if sample.is_empty() || when == When::Uneven && sample.len() < enough {
        return false;
    }
    let (old, copies) = (Arc::clone(&view), peers.copies());
    let trained = tokio::task::spawn_blocking(move || {
        let uneven = when == When::Ordered || unevenness(&old, &sample, copies) > UNEVEN;
        uneven.then(|| train(&old, &sample)).flatten()
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

/// How many times the average the fullest node would have of the sample's copies.
fn unevenness(view: &View, sample: &[f32], copies: usize) -> f64 {
    let mut copies_of = std::collections::BTreeMap::<MemberId, u32>::new();
    for vector in sample.chunks_exact(view.cells().dimensions()) {
        // the sample is of all partitions; the first bucket stands for every one
        let bucket = Bucket::of(&[0; 16]);
        for member in view.walk(vector, bucket, copies) {
            *copies_of.entry(member).or_default() += 1;
        }
    }
    let all: u32 = copies_of.values().sum();
    let most = copies_of.values().max().copied().unwrap_or(0);
    let nodes = u32::try_from(view.members().len()).unwrap_or(1).max(1);
    f64::from(most) * f64::from(nodes) / f64::from(all.max(1))
}

fn train(view: &View, sample: &[f32]) -> Option<Cells> {
    let old = view.cells();
    let trained = kmeans::train(
        sample,
        old.dimensions(),
        old.count(),
        old.epoch() + 1,
        ROUNDS,
    );
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
