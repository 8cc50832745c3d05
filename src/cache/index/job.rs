//! One rewriting of segments: claimed, read without a lock, put in their place.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};

use super::PartitionIndex;
use super::plan::Slot;
use super::segment::{Body, Segment};

/// A segment with at most one dead row in so many is not copied to get a graph.
const COPIED_FROM_DEAD_ONE_IN: usize = 20;

/// Segments that are being rewritten as one. Dropped without [`Job::publish`] it changes nothing.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) index: Weak<PartitionIndex>,
    pub(super) slot: Slot,
    pub(super) inputs: Vec<Arc<Segment>>,
    pub(super) dimensions: usize,
    pub(super) called_off: Arc<AtomicBool>,
    pub(super) published: bool,
}

impl Job {
    /// Set when nobody wants the outcome any more.
    pub(super) fn called_off(&self) -> &Arc<AtomicBool> {
        &self.called_off
    }

    /// The living rows of all inputs; for a graph over one input with hardly a dead row, that
    /// input's own rows.
    pub(super) fn merged(&self) -> Arc<Body> {
        if let ([only], Slot::Graph) = (self.inputs.as_slice(), self.slot) {
            let body = only.body();
            if body.dead() * COPIED_FROM_DEAD_ONE_IN <= body.rows().len() {
                return Arc::clone(body);
            }
        }
        let bodies = self.inputs.iter().map(|segment| &**segment.body());
        Arc::new(Body::merge(bodies, self.dimensions))
    }

    /// Puts `segment` in the place of the inputs, less what was removed meanwhile.
    pub(super) fn publish(mut self, segment: Segment) {
        self.published = true;
        if let Some(index) = self.index.upgrade() {
            index.publish(self.slot, segment);
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if !self.published
            && let Some(index) = self.index.upgrade()
        {
            index.abandon(self.slot);
        }
    }
}
