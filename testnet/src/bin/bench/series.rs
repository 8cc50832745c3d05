//! Many timings, kept as histograms.

use std::time::Duration;

use hdrhistogram::Histogram;

/// One request's timing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// Until the first byte of the body.
    pub(crate) first_byte: Duration,
    /// Until its last.
    pub(crate) total: Duration,
}

/// All requests of one side in one scenario.
#[derive(Debug)]
pub(crate) struct Series {
    first_byte: Histogram<u64>,
    total: Histogram<u64>,
    /// Requests that failed.
    pub(crate) errors: u64,
    /// Time spent measuring.
    pub(crate) spent: Duration,
}

/// Nanoseconds in a minute: no request takes longer.
const LONGEST: u64 = 60_000_000_000;

impl Series {
    /// Nothing yet.
    ///
    /// # Errors
    /// Never with these bounds; the histogram checks them.
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Series {
            first_byte: Histogram::new_with_bounds(1, LONGEST, 3)?,
            total: Histogram::new_with_bounds(1, LONGEST, 3)?,
            errors: 0,
            spent: Duration::ZERO,
        })
    }

    /// Adds one request.
    pub(crate) fn record(&mut self, timing: Timing) {
        self.first_byte.saturating_record(nanos(timing.first_byte));
        self.total.saturating_record(nanos(timing.total));
    }

    /// Adds what another worker or turn saw; the time is the caller's to add.
    ///
    /// # Errors
    /// Never: all series have the same bounds.
    pub(crate) fn absorb(&mut self, other: &Series) -> anyhow::Result<()> {
        self.first_byte.add(&other.first_byte)?;
        self.total.add(&other.total)?;
        self.errors += other.errors;
        Ok(())
    }

    /// Good requests.
    pub(crate) fn count(&self) -> u64 {
        self.total.len()
    }

    /// Good requests per second.
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of a bench are far below 2^53"
    )]
    pub(crate) fn rate(&self) -> f64 {
        self.count() as f64 / self.spent.as_secs_f64().max(1e-9)
    }

    /// Percentile of whole answers, in microseconds.
    pub(crate) fn total_us(&self, percentile: f64) -> f64 {
        micros(self.total.value_at_percentile(percentile))
    }

    /// Percentile of the time until the first byte, in microseconds.
    pub(crate) fn first_byte_us(&self, percentile: f64) -> f64 {
        micros(self.first_byte.value_at_percentile(percentile))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(LONGEST)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a minute in nanoseconds is far below 2^53"
)]
fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}
