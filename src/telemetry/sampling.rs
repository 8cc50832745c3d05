//! Which traces are told, decided once, at the door where a request comes in.
//!
//! ```text
//!  begins here                  by its id, at the configured ratio
//!  comes from a client, 00      not told: the caller keeps no such trace
//!  comes from a client, 01      told, as long as clients do not ask for more than so many a second;
//!                               beyond it by chance, at the configured ratio, and so are those of
//!                               callers who are not let in
//!  comes from another node      as that node decided, and so does everything below
//! ```
//!
//! A client chooses its trace ids, so what it sends is never held against the ratio by id: ids made
//! for it would all pass.

use std::sync::Arc;

use opentelemetry::trace::{Link, SpanKind, TraceContextExt, TraceId, TraceState};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, ShouldSample};
use parking_lot::Mutex;

use super::propagation::FromClient;
use crate::config::node::SamplingConfig;
use crate::types::Moment;

/// Decides about every span, as this file's head says.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    ratio: f64,
    by_id: Sampler,
    asked: Arc<Allowance>,
}

impl Choice {
    pub(super) fn new(config: &SamplingConfig) -> Self {
        Choice {
            ratio: config.ratio,
            by_id: Sampler::TraceIdRatioBased(config.ratio),
            asked: Arc::new(Allowance::new(config.client_per_second)),
        }
    }

    /// A client's trace that it wants to be told. Where all are told anyway, it asks for nothing; and
    /// who is not let in takes nothing from those who are.
    fn asked_for(&self, client: FromClient, now: Moment, chance: f64) -> bool {
        chance < self.ratio || (client.known && self.asked.take(now))
    }
}

impl ShouldSample for Choice {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let Some(context) = parent.filter(|parent| parent.has_active_span()) else {
            let by_id = &self.by_id;
            return by_id.should_sample(None, trace_id, name, kind, attributes, links);
        };
        let span = context.span();
        let above = span.span_context();
        let wanted = above.is_sampled();
        let client = context.get::<FromClient>().filter(|_| above.is_remote());
        let told = match client {
            Some(client) => wanted && self.asked_for(*client, Moment::now(), rand::random()),
            None => wanted,
        };
        result(told, above.trace_state().clone())
    }
}

fn result(told: bool, trace_state: TraceState) -> SamplingResult {
    SamplingResult {
        decision: match told {
            true => SamplingDecision::RecordAndSample,
            false => SamplingDecision::Drop,
        },
        attributes: Vec::new(),
        trace_state,
    }
}

/// So many a second, and after a quiet second as many at once.
#[derive(Debug)]
struct Allowance {
    per_second: f64,
    left: Mutex<(f64, Moment)>,
}

impl Allowance {
    fn new(per_second: u32) -> Self {
        Allowance {
            per_second: f64::from(per_second),
            left: Mutex::new((f64::from(per_second), Moment::now())),
        }
    }

    fn take(&self, now: Moment) -> bool {
        let mut left = self.left.lock();
        let (before, at) = *left;
        let earned = now.since(at).as_secs_f64() * self.per_second;
        let there = (before + earned).min(self.per_second);
        let taken = there >= 1.0;
        *left = (if taken { there - 1.0 } else { there }, now.max(at));
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use opentelemetry::trace::{SpanContext, SpanId, TraceFlags};

    use super::*;

    const KNOWN: FromClient = FromClient { known: true };

    fn choice(ratio: f64, client_per_second: u32) -> Choice {
        Choice::new(&SamplingConfig {
            ratio,
            client_per_second,
        })
    }

    fn parent(flags: TraceFlags, remote: bool) -> Context {
        let above = SpanContext::new(
            TraceId::from(1),
            SpanId::from(2),
            flags,
            remote,
            TraceState::default(),
        );
        Context::new().with_remote_span_context(above)
    }

    fn told(choice: &Choice, parent: Option<&Context>, id: u128) -> bool {
        let kind = SpanKind::Server;
        let result = choice.should_sample(parent, TraceId::from(id), "door", &kind, &[], &[]);
        result.decision == SamplingDecision::RecordAndSample
    }

    #[test]
    fn traces_that_begin_here_are_told_at_the_ratio() {
        let quarter = choice(0.25, 0);
        let count = (0..4000).filter(|_| told(&quarter, None, rand::random()));
        let count = count.count();
        assert!((800..1200).contains(&count), "{count} of 4000");
        assert!(told(&choice(1.0, 0), None, u128::MAX));
        assert!(!told(&choice(0.0, 10), None, 1));
    }

    #[test]
    fn a_client_s_wish_is_granted_up_to_its_allowance_and_no_further() {
        let none = choice(0.0, 5);
        let wish = parent(TraceFlags::SAMPLED, true).with_value(KNOWN);
        // an id that any ratio would take makes no difference
        let granted = (0..1000).filter(|_| told(&none, Some(&wish), 0)).count();
        assert!((5..=6).contains(&granted), "{granted}");
        let all = choice(1.0, 0);
        assert!((0..1000).all(|_| told(&all, Some(&wish), 0)));
    }

    #[test]
    fn who_is_not_let_in_uses_up_nobody_s_allowance() {
        let few = choice(0.0, 2);
        let stranger = FromClient { known: false };
        let theirs = parent(TraceFlags::SAMPLED, true).with_value(stranger);
        assert!((0..1000).all(|_| !told(&few, Some(&theirs), 0)));
        let ours = parent(TraceFlags::SAMPLED, true).with_value(KNOWN);
        assert!(told(&few, Some(&ours), 0));
        assert!(told(&choice(1.0, 0), Some(&theirs), 0), "all are told");
    }

    #[test]
    fn a_client_that_keeps_no_trace_gets_none() {
        let kept = parent(TraceFlags::default(), true).with_value(KNOWN);
        assert!(!told(&choice(1.0, 100), Some(&kept), 1));
    }

    #[test]
    fn what_another_node_or_the_span_above_decided_holds() {
        let none = choice(0.0, 0);
        for remote in [true, false] {
            assert!(told(&none, Some(&parent(TraceFlags::SAMPLED, remote)), 1));
        }
        let unmarked = parent(TraceFlags::default(), true);
        assert!(!told(&choice(1.0, 100), Some(&unmarked), 1));
        // the mark travels down with the context; what is below was decided at the door
        let below = parent(TraceFlags::SAMPLED, false).with_value(KNOWN);
        assert!(told(&none, Some(&below), 1));
    }

    #[test]
    fn the_allowance_comes_back_with_time_and_is_never_more_than_a_second_s() {
        let allowance = Allowance::new(2);
        let begin = Moment::now();
        let took = |at: Moment| (0..10).filter(|_| allowance.take(at)).count();
        assert_eq!(took(begin), 2);
        assert_eq!(took(begin + Duration::from_millis(500)), 1);
        assert_eq!(took(begin + Duration::from_secs(60)), 2);
    }
}
