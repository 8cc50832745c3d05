//! How long an attempt may still take, and which limit it broke.

use std::time::Duration;

use super::{Failure, Timeouts};
use crate::config::Span;
use crate::types::Moment;

/// What is being waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The response's head, connecting included.
    Head,
    /// The next piece of the answer.
    Piece,
}

/// Watches one attempt's limits.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    timeouts: Timeouts,
    started: Moment,
    last_piece: Moment,
    /// A stream is still without a real delta.
    awaiting_first: bool,
}

impl Watch {
    /// Starts now. For a stream the first real delta is awaited, for a whole answer only its head.
    pub(super) fn start(timeouts: Timeouts, stream: bool) -> Self {
        let now = Moment::now();
        Watch {
            timeouts,
            started: now,
            last_piece: now,
            awaiting_first: stream,
        }
    }

    /// Notes that something arrived.
    pub(super) fn piece(&mut self) {
        self.last_piece = Moment::now();
    }

    /// Notes a real delta, or the end of an answer without any.
    pub(super) fn first_token(&mut self) {
        self.awaiting_first = false;
    }

    /// The limit that falls due first: when, what it is about, and how long it is. Said in words
    /// only when it breaks: this is asked for every piece of every stream.
    fn nearest(&self, phase: Phase) -> (Moment, &'static str, Duration) {
        let Timeouts {
            first_token,
            idle,
            total,
            ..
        } = self.timeouts;
        let first = (self.started + first_token, "no first token", first_token);
        let pause = (self.last_piece + idle, "nothing more of the answer", idle);
        let whole = (self.started + total, "no complete answer", total);
        let phase_limit = match phase {
            Phase::Head if self.awaiting_first => first,
            Phase::Head => (first.0, "no answer", first_token),
            Phase::Piece if self.awaiting_first && first.0 <= pause.0 => first,
            Phase::Piece => pause,
        };
        if phase_limit.0 <= whole.0 {
            phase_limit
        } else {
            whole
        }
    }

    /// Waits for `work`, at most until the nearest limit.
    pub(super) async fn bound<F: Future>(
        &self,
        phase: Phase,
        work: F,
    ) -> Result<F::Output, Failure> {
        let (due, what, limit) = self.nearest(phase);
        tokio::time::timeout_at(due.to_instant(), work)
            .await
            .map_err(|_| Failure::timed_out(format!("{what} within {}", Span::from(limit))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(watch: &Watch, phase: Phase) -> String {
        let (_, what, limit) = watch.nearest(phase);
        format!("{what} within {}", Span::from(limit))
    }

    fn watch(stream: bool, first_token: u64, idle: u64, total: u64) -> Watch {
        let secs = Duration::from_secs;
        let (first_token, idle, total) = (secs(first_token), secs(idle), secs(total));
        let timeouts = Timeouts {
            connect: secs(1),
            first_token,
            idle,
            total,
        };
        Watch::start(timeouts, stream)
    }

    #[test]
    fn the_nearest_limit_names_itself() {
        assert_eq!(
            said(&watch(true, 20, 60, 600), Phase::Head),
            "no first token within 20s"
        );
        assert_eq!(
            said(&watch(false, 20, 60, 600), Phase::Head),
            "no answer within 20s"
        );
        assert_eq!(
            said(&watch(true, 20, 60, 600), Phase::Piece),
            "no first token within 20s"
        );
        assert_eq!(
            said(&watch(true, 90, 60, 600), Phase::Piece),
            "nothing more of the answer within 1m"
        );
        assert_eq!(
            said(&watch(true, 20, 60, 2), Phase::Piece),
            "no complete answer within 2s"
        );
    }

    #[test]
    fn pieces_move_the_idle_limit_and_never_the_first_token_limit() {
        let mut watch = watch(true, 20, 10, 600);
        watch.last_piece = watch.started + Duration::from_secs(15);
        assert_eq!(
            watch.nearest(Phase::Piece).0,
            watch.started + Duration::from_secs(20)
        );
        watch.first_token();
        assert_eq!(
            watch.nearest(Phase::Piece).0,
            watch.started + Duration::from_secs(25)
        );
    }

    #[tokio::test]
    async fn waiting_ends_at_the_limit() {
        let timeouts = Timeouts {
            first_token: Duration::from_millis(20),
            ..Timeouts::default()
        };
        let failure = Watch::start(timeouts, true)
            .bound(Phase::Head, std::future::pending::<()>())
            .await
            .unwrap_err();
        assert!(failure.timed_out && failure.class == crate::provider::Class::Hard);
        assert_eq!(failure.message, "no first token within 20ms");
    }
}
