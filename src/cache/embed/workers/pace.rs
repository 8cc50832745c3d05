//! Which texts run together, and how long a text would have to wait. Pure: sizes and times come in.

use std::time::Duration;

/// Longest texts of each bucket, in word pieces. Texts of a bucket run together, so that a short one
/// never waits for a long one that came after it.
const BUCKETS: [usize; 4] = [16, 32, 64, 128];
/// Bytes per word piece of English, marks and spaces included.
const BYTES_PER_PIECE: usize = 4;
/// What a text costs besides its pieces, in pieces: the reading of the weights.
const EVERY_TEXT: usize = 8;
/// Most pieces that run together, by the guess above: about 20 ms of work for one core.
const BATCH_PIECES: usize = 512;
/// Most texts that run together.
const BATCH_TEXTS: usize = 32;
/// One part in this many of what is believed comes from the last batch.
const MEMORY: f64 = 8.0;

/// A guess at a text's size, from its length in bytes alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pieces: usize,
}

impl Size {
    pub(super) fn of(text: &str) -> Size {
        Size {
            pieces: text.len() / BYTES_PER_PIECE + 2,
        }
    }

    /// Texts of one bucket may run together.
    pub(super) fn bucket(self) -> usize {
        BUCKETS
            .iter()
            .position(|longest| self.pieces <= *longest)
            .unwrap_or(BUCKETS.len())
    }

    /// What it costs, in pieces.
    pub(super) fn cost(self) -> usize {
        self.pieces.min(BATCH_PIECES) + EVERY_TEXT
    }
}

/// How many of the waiting texts of one bucket a worker takes, itself included: its share, so that
/// idle workers have work as well, within what may run together.
pub(super) fn batch_of(first: Size, waiting: usize, idle: usize) -> usize {
    let share = (waiting + 1).div_ceil(idle + 1);
    let fitting = BATCH_PIECES / first.pieces.clamp(1, BATCH_PIECES);
    share.min(fitting).clamp(1, BATCH_TEXTS)
}

/// What a piece costs on this machine, as seen lately.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    nanos_per_piece: f64,
}

impl Pace {
    /// Before anything was seen: what `cost` pieces took when the model was checked.
    pub(super) fn starting(took: Duration, cost: usize) -> Pace {
        Pace {
            nanos_per_piece: per_piece(took, cost),
        }
    }

    /// A batch of this cost took this long.
    pub(super) fn saw(&mut self, took: Duration, cost: usize) {
        self.nanos_per_piece += (per_piece(took, cost) - self.nanos_per_piece) / MEMORY;
    }

    /// Until `workers` have done work of this cost.
    pub(super) fn expects(&self, cost: usize, workers: usize) -> Duration {
        #[expect(clippy::cast_precision_loss, reason = "thousands at most")]
        let each = cost as f64 / workers.max(1) as f64;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates, and is never negative"
        )]
        Duration::from_nanos((each * self.nanos_per_piece) as u64)
    }
}

#[expect(clippy::cast_precision_loss, reason = "thousands of pieces at most")]
fn per_piece(took: Duration, cost: usize) -> f64 {
    took.as_secs_f64() * 1e9 / cost.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(bytes: usize) -> Size {
        Size::of(&"x".repeat(bytes))
    }

    #[test]
    fn buckets_end_where_they_say() {
        let bucket = |bytes| size(bytes).bucket();
        assert_eq!([bucket(0), bucket(56), bucket(60)], [0, 0, 1]);
        assert_eq!(
            [bucket(120), bucket(124), bucket(504), bucket(9999)],
            [1, 2, 3, 4]
        );
    }

    #[test]
    fn a_batch_leaves_the_idle_their_share_and_keeps_its_bounds() {
        let short = size(40);
        assert_eq!(batch_of(short, 0, 3), 1);
        assert_eq!(batch_of(short, 7, 0), 8);
        assert_eq!(batch_of(short, 7, 1), 4);
        assert_eq!(batch_of(short, 200, 0), BATCH_TEXTS);
        assert_eq!(batch_of(size(1000), 200, 0), 2);
        assert_eq!(batch_of(size(1 << 20), 200, 0), 1);
    }

    #[test]
    fn the_pace_follows_what_is_seen_and_workers_share_the_work() {
        let mut pace = Pace::starting(Duration::from_millis(1), 100);
        assert_eq!(pace.expects(200, 1), Duration::from_millis(2));
        assert_eq!(pace.expects(200, 2), Duration::from_millis(1));
        for _ in 0..100 {
            pace.saw(Duration::from_millis(4), 100);
        }
        let expected = pace.expects(100, 1).as_secs_f64();
        assert!((expected - 0.004).abs() < 1e-5, "{expected}");
    }
}
