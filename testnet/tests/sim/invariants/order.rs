//! Purged ≤ snapshot ≤ applied ≤ committed ≤ last, on every process.

use super::{Event, Invariant};

#[derive(Debug, Default)]
pub(super) struct Order;

impl Invariant for Order {
    fn notice(&mut self, event: &Event<'_>) -> Result<(), String> {
        let Event::Seen {
            node,
            metrics,
            image,
            ..
        } = event
        else {
            return Ok(());
        };
        let index = |id: Option<_>| id.map(|id: crate::types::LogId| id.index);
        let told = [
            index(metrics.purged),
            index(metrics.snapshot),
            index(metrics.last_applied),
            index(metrics.local_committed),
            metrics.last_log_index,
        ];
        if !told.is_sorted() {
            return Err(format!(
                "n{node} says purged, snapshot, applied, committed, last: {told:?}"
            ));
        }
        let kept = image
            .snapshot
            .as_ref()
            .and_then(|kept| kept.meta.last_log_id);
        let stored = [image.purged, kept, image.applied.last];
        if !stored.is_sorted() {
            return Err(format!(
                "n{node} stored purged, snapshot, applied: {stored:?}"
            ));
        }
        Ok(())
    }
}
