//! What the nodes agree on about the cache: epochs that make old entries invalid, and the cells
//! that embeddings fall into.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::rows::Place;
use super::{Centroids, MAX_EPOCHS, State, bounds};
use crate::command::{Done, Rejected};

/// Largest scope in bytes: a tag's name and value fit.
const MAX_SCOPE: usize = 512;
/// Most embedding spaces: one is in use, another is being built.
const MAX_SPACES: usize = 8;
/// Largest set of centroids in bytes, decoded.
const MAX_CENTROIDS: usize = 2 << 20;

/// Centroids as they are kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Cells {
    pub(super) epoch: u64,
    pub(super) centroids: Centroids,
}

impl Centroids {
    fn check(&self) -> Result<(), Rejected> {
        bounds::name("a space's name", &self.space, bounds::MAX_NAME)?;
        bounds::text(
            "centroids in base64",
            &self.data,
            MAX_CENTROIDS.div_ceil(3) * 4,
        )?;
        let row = u64::from(self.dimensions) * 4;
        match decoded_len(&self.data) {
            Some(bytes) if row > 0 && bytes > 0 && bytes % row == 0 => {
                self.check_shares(bytes / row)
            }
            _ => Err(bounds::too_much(
                "centroids are whole rows of little-endian f32 in padded base64",
            )),
        }
    }

    fn check_shares(&self, centroids: u64) -> Result<(), Rejected> {
        let count = self.shares.len() as u64;
        let fits = |share: &f32| share.is_finite() && *share >= 0.0;
        if count == 0 || (count == centroids && self.shares.iter().all(fits)) {
            return Ok(());
        }
        Err(bounds::too_much(
            "shares are one finite number from 0 up per centroid, or none",
        ))
    }
}

/// How many bytes padded base64 stands for; `None` where it is not base64.
fn decoded_len(data: &str) -> Option<u64> {
    let body = data.trim_end_matches('=');
    let padding = data.len() - body.len();
    let clean = |b: u8| b.is_ascii_alphanumeric() || b"+/".contains(&b);
    if !data.len().is_multiple_of(4) || padding > 2 || !body.bytes().all(clean) {
        return None;
    }
    u64::try_from(data.len() / 4 * 3 - padding).ok()
}

impl State {
    /// Calls off what a scope holds: the cluster's cache epoch grows by one, and the scope has that
    /// number from now on. A full table forgets the scope that was called off longest ago, and with
    /// it calls off whatever is as old.
    pub(super) fn grow_epoch(&mut self, scope: &str) -> Result<Done, Rejected> {
        bounds::name("a scope", scope, MAX_SCOPE)?;
        if !self.epochs.contains_key(scope) && self.epochs.len() >= MAX_EPOCHS {
            self.forget_oldest_epoch();
        }
        self.meta.cache_epoch = self.meta.cache_epoch.saturating_add(1);
        let epoch = self.meta.cache_epoch;
        self.touch(&Place::Meta);
        self.touch(&Place::Epoch(scope));
        Arc::make_mut(&mut self.epochs).insert(scope.to_owned(), epoch);
        Ok(Done::Epoch { epoch })
    }

    fn forget_oldest_epoch(&mut self) {
        let oldest = self.epochs.iter().min_by_key(|(_, epoch)| **epoch);
        let Some((scope, epoch)) = oldest.map(|(scope, epoch)| (scope.clone(), *epoch)) else {
            return;
        };
        self.meta.cache_floor = self.meta.cache_floor.max(epoch);
        self.touch(&Place::Epoch(&scope));
        Arc::make_mut(&mut self.epochs).remove(&scope);
    }

    pub(super) fn set_centroids(
        &mut self,
        expected: Option<u64>,
        centroids: &Centroids,
    ) -> Result<Done, Rejected> {
        centroids.check()?;
        let space = &centroids.space;
        let known = self.centroids.get(space).map(|cells| cells.epoch);
        if expected != known {
            return Err(Rejected::Stale {
                expected: expected.unwrap_or(0),
                current: known.unwrap_or(0),
            });
        }
        if known.is_none() {
            bounds::room("embedding spaces", self.centroids.len(), MAX_SPACES)?;
        }
        let epoch = known.unwrap_or(0).saturating_add(1);
        let cells = Cells {
            epoch,
            centroids: centroids.clone(),
        };
        self.touch(&Place::Centroids(space));
        Arc::make_mut(&mut self.centroids).insert(space.clone(), Arc::new(cells));
        Ok(Done::Epoch { epoch })
    }
}
