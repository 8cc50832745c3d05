//! Times that were measured, and what they say together.

use std::time::Duration;

/// Times, sorted.
#[derive(Clone, Debug, Default)]
pub struct Spans(Vec<Duration>);

impl FromIterator<Duration> for Spans {
    fn from_iter<I: IntoIterator<Item = Duration>>(times: I) -> Self {
        let mut times: Vec<Duration> = times.into_iter().collect();
        times.sort_unstable();
        Spans(times)
    }
}

impl Spans {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The time that so many percent of them do not exceed; `None` where there is none.
    pub fn at(&self, percent: usize) -> Option<Duration> {
        let place = (self.0.len() * percent).div_ceil(100);
        self.0.get(place.saturating_sub(1)).copied()
    }

    /// The same in milliseconds, for a table.
    pub fn ms(&self, percent: usize) -> String {
        let Some(time) = self.at(percent) else {
            return String::new();
        };
        let millis = time.as_secs_f64() * 1e3;
        match millis < 10.0 {
            true => format!("{millis:.2}"),
            false => format!("{millis:.0}"),
        }
    }

    /// Name, count, median, 99th percentile and longest, for a table.
    pub fn row(&self, name: &str) -> Vec<String> {
        let mut row = vec![name.to_owned(), self.count().to_string()];
        row.extend([50, 99, 100].map(|percent| self.ms(percent)));
        row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let spans: Spans = (1..=200).map(Duration::from_millis).collect();
        let at = |percent| spans.at(percent).map(|time| time.as_millis());
        assert_eq!([at(50), at(99), at(100)], [Some(100), Some(198), Some(200)]);
        assert_eq!(Spans::default().at(50), None);
    }
}
