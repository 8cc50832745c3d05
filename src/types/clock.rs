//! The node's two clocks: a monotonic one that decides, and the wall clock that is only shown.
//!
//! Pure machines take a [`Moment`] as an argument and never read a clock themselves, so a test can
//! walk through an hour in a microsecond.

use std::ops::{Add, Sub};
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A point on the node's monotonic clock, counted from the first reading in this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(Duration);

static ORIGIN: LazyLock<Instant> = LazyLock::new(read_monotonic);

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the monotonic clock"
)]
fn read_monotonic() -> Instant {
    Instant::now()
}

impl Moment {
    /// The beginning of the clock; tests count from here.
    pub const ZERO: Moment = Moment(Duration::ZERO);

    /// Reads the monotonic clock.
    pub fn now() -> Self {
        Moment(read_monotonic().saturating_duration_since(*ORIGIN))
    }

    /// The moment `millis` milliseconds after [`Moment::ZERO`].
    pub const fn from_millis(millis: u64) -> Self {
        Moment(Duration::from_millis(millis))
    }

    /// Time passed from `earlier` to `self`; zero when `earlier` is later.
    pub fn since(self, earlier: Moment) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// Time left from `self` until `later`; zero when it has passed.
    pub fn until(self, later: Moment) -> Duration {
        later.0.saturating_sub(self.0)
    }

    /// The same point for tokio's timers.
    pub fn to_instant(self) -> tokio::time::Instant {
        tokio::time::Instant::from_std(*ORIGIN + self.0)
    }

    /// Distance from [`Moment::ZERO`].
    pub const fn as_duration(self) -> Duration {
        self.0
    }
}

impl Add<Duration> for Moment {
    type Output = Moment;
    fn add(self, rhs: Duration) -> Moment {
        Moment(self.0.saturating_add(rhs))
    }
}

impl Sub<Duration> for Moment {
    type Output = Moment;
    fn sub(self, rhs: Duration) -> Moment {
        Moment(self.0.saturating_sub(rhs))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the wall clock"
)]
fn since_epoch() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// Wall-clock seconds since 1970, as in OpenAI's `created`.
pub fn unix_seconds() -> u64 {
    since_epoch().as_secs()
}

/// Wall-clock milliseconds since 1970; entry ages and expiry are kept in these.
pub fn unix_millis() -> u64 {
    u64::try_from(since_epoch().as_millis()).unwrap_or(u64::MAX)
}
