//! What a load saw: figures a door, and the first failures in words.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::doors::{Door, Outcome};
use crate::table::Table;

/// Failures that are kept in words.
const MOST_TOLD: usize = 12;
/// Latencies are kept in microseconds, up to two minutes, to three digits.
const LONGEST: u64 = 120_000_000;
/// Percentiles that are shown.
const SHOWN: [f64; 4] = [50.0, 90.0, 99.0, 99.9];

/// One request that has ended.
#[derive(Clone, Debug)]
pub struct Tally {
    /// The way in.
    pub door: Door,
    /// From when it should have left to the end of its answer.
    pub took: Duration,
    /// What was wrong; `None` for a right answer.
    pub problem: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
}

/// Figures of one door.
#[derive(Debug)]
struct Lane {
    door: Door,
    latencies: Option<Histogram<u64>>,
    sent: u64,
    failed: u64,
    unsent: u64,
}

/// All of it.
#[derive(Debug)]
pub struct Report {
    lanes: Vec<Lane>,
    told: Vec<String>,
    refused: u64,
    hung: u64,
    /// From the first request to the last answer.
    pub took: Duration,
}

impl Report {
    /// Of these doors; nothing was seen yet.
    pub fn new(doors: &[Door]) -> Self {
        let lane = |door: &Door| Lane {
            door: *door,
            latencies: Histogram::new_with_bounds(1, LONGEST, 3).ok(),
            sent: 0,
            failed: 0,
            unsent: 0,
        };
        Report {
            lanes: doors.iter().map(lane).collect(),
            told: Vec::new(),
            refused: 0,
            hung: 0,
            took: Duration::ZERO,
        }
    }

    pub(super) fn add(&mut self, tally: Tally) {
        let Some(lane) = self.lanes.iter_mut().find(|lane| lane.door == tally.door) else {
            return;
        };
        lane.sent += 1;
        let Some(problem) = tally.problem else {
            let micros = u64::try_from(tally.took.as_micros()).unwrap_or(LONGEST);
            if let Some(latencies) = &mut lane.latencies {
                latencies.saturating_record(micros);
            }
            return;
        };
        lane.failed += 1;
        let refused = tally.outcome == Outcome::Refused;
        self.refused += u64::from(refused);
        self.hung += u64::from(tally.outcome == Outcome::Hung);
        // what is no refusal is told however many of those came before it
        if self.told.len() < MOST_TOLD || !refused && self.told.len() < 2 * MOST_TOLD {
            self.told.push(format!("{}: {problem}", tally.door.name()));
        }
    }

    pub(super) fn unsent(&mut self, door: Door) {
        if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.door == door) {
            lane.unsent += 1;
        }
    }

    /// Requests that left.
    pub fn sent(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.sent).sum()
    }

    /// Requests without a right answer.
    pub fn failures(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.failed).sum()
    }

    /// Those of the failures that were told an error in order.
    pub fn refusals(&self) -> u64 {
        self.refused
    }

    /// Those that did not end in time.
    pub fn hung(&self) -> u64 {
        self.hung
    }

    /// The first failures, in words.
    pub fn told(&self) -> &[String] {
        &self.told
    }

    /// Requests that could not leave, because too many were under way.
    pub fn held_back(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.unsent).sum()
    }

    /// Every request was sent and answered.
    pub fn holds(&self) -> bool {
        self.failures() == 0 && self.held_back() == 0 && self.sent() > 0
    }

    /// A percentile over all doors, in milliseconds.
    pub fn percentile(&self, percent: f64) -> f64 {
        self.together().map_or(0.0, |all| millis(&all, percent))
    }

    fn together(&self) -> Option<Histogram<u64>> {
        let mut all = Histogram::new_with_bounds(1, LONGEST, 3).ok()?;
        for latencies in self.lanes.iter().filter_map(|lane| lane.latencies.as_ref()) {
            all.add(latencies).ok()?;
        }
        Some(all)
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "microseconds of at most two minutes"
)]
fn millis(latencies: &Histogram<u64>, percent: f64) -> f64 {
    latencies.value_at_percentile(percent) as f64 / 1000.0
}

fn cells(name: &str, lane: (u64, u64, u64), latencies: Option<&Histogram<u64>>) -> Vec<String> {
    let (sent, failed, unsent) = lane;
    let mut cells = vec![
        name.to_owned(),
        sent.to_string(),
        failed.to_string(),
        unsent.to_string(),
    ];
    let shown = SHOWN.into_iter().chain([100.0]);
    cells.extend(shown.map(|percent| match latencies {
        Some(latencies) if !latencies.is_empty() => format!("{:.1}", millis(latencies, percent)),
        Some(_) | None => "-".to_owned(),
    }));
    cells
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(&[
            "door",
            "sent",
            "failed",
            "held back",
            "p50 ms",
            "p90",
            "p99",
            "p99.9",
            "max",
        ]);
        for lane in &self.lanes {
            let counts = (lane.sent, lane.failed, lane.unsent);
            table.row(cells(lane.door.name(), counts, lane.latencies.as_ref()));
        }
        let counts = (self.sent(), self.failures(), self.held_back());
        table.row(cells("all", counts, self.together().as_ref()));
        write!(f, "{table}")?;
        self.told
            .iter()
            .try_for_each(|told| writeln!(f, "✗ {told}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(millis: u64, problem: Option<&str>) -> Tally {
        Tally {
            door: Door::Chat,
            took: Duration::from_millis(millis),
            problem: problem.map(str::to_owned),
            outcome: match problem {
                Some(_) => Outcome::Refused,
                None => Outcome::Answered,
            },
        }
    }

    #[test]
    fn a_failure_or_a_request_held_back_is_no_success() {
        let mut good = Report::new(&[Door::Chat]);
        assert!(!good.holds(), "nothing was asked");
        good.add(tally(5, None));
        assert!(good.holds());
        let mut failed = Report::new(&[Door::Chat]);
        failed.add(tally(5, Some("status 503")));
        assert!(!failed.holds());
        assert!(failed.to_string().contains("✗ chat: status 503"));
        good.unsent(Door::Chat);
        assert!(!good.holds());
    }

    #[test]
    fn percentiles_are_of_answers_over_all_doors() {
        let mut report = Report::new(&[Door::Chat, Door::Grpc]);
        for millis in 1..=100 {
            report.add(tally(millis, None));
        }
        report.add(tally(90_000, Some("no answer")));
        assert!((report.percentile(50.0) - 50.0).abs() < 0.5);
        assert!((report.percentile(100.0) - 100.0).abs() < 0.5);
    }

    #[test]
    fn failures_without_end_are_not_kept_without_end() {
        let mut report = Report::new(&[Door::Chat]);
        for _ in 0..1000 {
            report.add(tally(1, Some("x")));
        }
        assert_eq!(report.to_string().matches('✗').count(), MOST_TOLD);
        assert_eq!(report.failures(), 1000);
    }
}
