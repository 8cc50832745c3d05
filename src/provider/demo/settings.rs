//! The demo provider's options, checked.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::fault::Fault;
use super::play::Pace;
use super::words::draw;

/// Longest delay of any kind, in milliseconds.
const MAX_DELAY_MS: u64 = 3_600_000;
/// Most words of one answer.
const MAX_TOKENS: u64 = 100_000;

/// How a fault shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ErrorKind {
    Connect,
    Status,
    Cut,
    Hang,
    Garbled,
}

/// All options. What is not stated is harmless.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Settings {
    latency_ms: u64,
    latency_jitter_ms: u64,
    first_token_ms: u64,
    tokens_per_second: Option<f64>,
    pub(super) seed: u64,
    pub(super) tokens: u64,
    fail_rate: Option<f64>,
    fail_first: u64,
    error_kind: Option<ErrorKind>,
    status: u16,
    retry_after_s: Option<u64>,
    cut_after_tokens: Option<u64>,
    hang_ms: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            latency_ms: 0,
            latency_jitter_ms: 0,
            first_token_ms: 0,
            tokens_per_second: None,
            seed: 0,
            tokens: 64,
            fail_rate: None,
            fail_first: 0,
            error_kind: None,
            status: 503,
            retry_after_s: None,
            cut_after_tokens: None,
            hang_ms: None,
        }
    }
}

impl Settings {
    /// Reads and checks the options; the error names the one at fault.
    pub(super) fn read(options: &BTreeMap<String, Value>) -> Result<Self, String> {
        let object = Value::Object(options.clone().into_iter().collect());
        let settings: Settings =
            serde_json::from_value(object).map_err(|problem| format!("demo options: {problem}"))?;
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<(), String> {
        let delays = [
            ("latency_ms", self.latency_ms),
            ("latency_jitter_ms", self.latency_jitter_ms),
            ("first_token_ms", self.first_token_ms),
            ("hang_ms", self.hang_ms.unwrap_or(0)),
        ];
        if let Some((name, _)) = delays
            .into_iter()
            .find(|(_, millis)| *millis > MAX_DELAY_MS)
        {
            return Err(format!("demo option `{name}` is over {MAX_DELAY_MS}"));
        }
        if self
            .tokens_per_second
            .is_some_and(|rate| !(0.01..=1e6).contains(&rate))
        {
            return Err(
                "demo option `tokens_per_second` must lie between 0.01 and 1000000".to_owned(),
            );
        }
        if self.tokens > MAX_TOKENS {
            return Err(format!("demo option `tokens` is over {MAX_TOKENS}"));
        }
        if self
            .fail_rate
            .is_some_and(|rate| !(0.0..=1.0).contains(&rate))
        {
            return Err("demo option `fail_rate` must lie between 0 and 1".to_owned());
        }
        if !(300..=599).contains(&self.status) {
            return Err("demo option `status` must lie between 300 and 599".to_owned());
        }
        Ok(())
    }

    /// What goes wrong with the `nth` call, counted from 0. With neither `fail_first` nor
    /// `fail_rate` stated, every second call fails on average.
    pub(super) fn fault(&self, nth: u64) -> Fault {
        let rate = self
            .fail_rate
            .unwrap_or(if self.fail_first > 0 { 0.0 } else { 0.5 });
        if nth >= self.fail_first && draw(self.seed, nth) >= rate {
            return Fault::None;
        }
        let implied = match (self.cut_after_tokens, self.hang_ms) {
            (Some(_), _) => ErrorKind::Cut,
            (None, Some(_)) => ErrorKind::Hang,
            (None, None) => ErrorKind::Status,
        };
        match self.error_kind.unwrap_or(implied) {
            ErrorKind::Connect => Fault::Connect,
            ErrorKind::Status => Fault::Status {
                status: self.status,
                retry_after_s: self.retry_after_s,
            },
            ErrorKind::Cut => Fault::Cut {
                after_tokens: self.cut_after_tokens.unwrap_or(1),
            },
            ErrorKind::Hang => Fault::Hang {
                millis: self.hang_ms.unwrap_or(MAX_DELAY_MS),
            },
            ErrorKind::Garbled => Fault::Garbled,
        }
    }

    /// The delays of the `nth` call.
    pub(super) fn pace(&self, nth: u64) -> Pace {
        let jitter = Duration::from_millis(self.latency_jitter_ms).mul_f64(draw(!self.seed, nth));
        Pace {
            latency: Duration::from_millis(self.latency_ms) + jitter,
            first_token: Duration::from_millis(self.first_token_ms),
            between: self
                .tokens_per_second
                .map_or(Duration::ZERO, |rate| Duration::from_secs_f64(1.0 / rate)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(options: Value) -> Result<Settings, String> {
        Settings::read(&serde_json::from_value(options).unwrap())
    }

    #[test]
    fn options_out_of_bounds_are_refused_by_name() {
        for (name, value) in [
            ("latency_ms", json!(MAX_DELAY_MS + 1)),
            ("hang_ms", json!(MAX_DELAY_MS + 1)),
            ("tokens_per_second", json!(0)),
            ("tokens", json!(MAX_TOKENS + 1)),
            ("fail_rate", json!(1.5)),
            ("status", json!(200)),
            ("speed", json!(1)),
        ] {
            let problem = read(json!({name: value})).unwrap_err();
            assert!(problem.contains(name), "{name}: {problem}");
        }
        assert!(read(json!({"latency_ms": -1})).is_err());
    }

    #[test]
    fn the_first_calls_fail_and_then_it_heals() {
        let settings = read(json!({"fail_first": 2, "status": 500})).unwrap();
        let failure = Fault::Status {
            status: 500,
            retry_after_s: None,
        };
        let faults: Vec<Fault> = (0..4).map(|nth| settings.fault(nth)).collect();
        assert_eq!(faults, [failure, failure, Fault::None, Fault::None]);
    }

    #[test]
    fn the_rate_holds_and_the_seed_decides_which() {
        let faults = |seed: u64| {
            let settings = read(json!({"fail_rate": 0.3, "seed": seed})).unwrap();
            (0..1000)
                .map(|nth| settings.fault(nth) != Fault::None)
                .collect::<Vec<bool>>()
        };
        let failed = faults(1).iter().filter(|failed| **failed).count();
        assert!((250..350).contains(&failed), "{failed}");
        assert_eq!(faults(1), faults(1));
        assert_ne!(faults(1), faults(2));
    }

    #[test]
    fn a_cut_or_a_hang_is_meant_when_its_option_is_set() {
        let fault = |options| read(options).unwrap().fault(0);
        assert_eq!(
            fault(json!({"fail_rate": 1, "cut_after_tokens": 3})),
            Fault::Cut { after_tokens: 3 }
        );
        assert_eq!(
            fault(json!({"fail_rate": 1, "hang_ms": 5})),
            Fault::Hang { millis: 5 }
        );
        assert_eq!(
            fault(json!({"fail_rate": 1, "error_kind": "connect"})),
            Fault::Connect
        );
        assert_eq!(
            fault(json!({"fail_rate": 1, "error_kind": "garbled"})),
            Fault::Garbled
        );
        assert_eq!(fault(json!({"fail_rate": 0})), Fault::None);
    }
}
