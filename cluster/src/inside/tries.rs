//! How long somebody who asks the leader goes on hoping for one.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::{HOPE, Inside};
use crate::coordinate::Leadership;

/// Pause between two tries when nothing is heard: the same leader may be fine again, and then no
/// news says so.
const PAUSE: Duration = Duration::from_millis(50);

/// Tries of one question. Made before the first, so that no news of a leader is missed.
pub(super) struct Tries {
    news: watch::Receiver<Leadership>,
    hope: Instant,
    deadline: Instant,
}

impl Tries {
    /// For a question that has to be answered by `deadline`.
    pub(super) fn new(inside: &Inside, deadline: Instant) -> Self {
        Tries {
            news: inside.leading.subscribe(),
            hope: Instant::now() + HOPE,
            deadline,
        }
    }

    /// A leader was seen: hope is counted from now.
    pub(super) fn hope_anew(&mut self) {
        self.hope = Instant::now() + HOPE;
    }

    /// Waits for news of the leader, or a moment; false when there is no hope left.
    pub(super) async fn again(&mut self) -> bool {
        let end = self.hope.min(self.deadline);
        let moment = (Instant::now() + PAUSE).min(end);
        // either way it is tried again
        let _ = timeout_at(moment, self.news.changed()).await;
        Instant::now() < end
    }
}
