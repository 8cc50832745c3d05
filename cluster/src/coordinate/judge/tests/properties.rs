//! What holds whatever the nodes tell, in whichever order.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// What happens next.
#[derive(Clone, Debug)]
enum Event {
    Report {
        member: u64,
        ok: u32,
        hard: u32,
        probe: Option<(u32, bool)>,
        healthy: bool,
        lag: u64,
        draining: bool,
        in_flight: u32,
        declines: bool,
    },
    Judge,
    /// Judges, but the proposals are lost.
    Lose,
    Wait(u64),
    Lead,
}

fn event() -> impl Strategy<Value = Event> {
    let probe = proptest::option::of((0_u32..4, any::<bool>()));
    let flags = (
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.1),
        0_u32..2,
        prop::bool::weighted(0.2),
    );
    let report = (1_u64..5, 0_u32..12, 0_u32..12, probe, 0_u64..2, flags);
    let report = report.prop_map(
        |(member, ok, hard, probe, lag, (healthy, draining, in_flight, declines))| Event::Report {
            member,
            ok,
            hard,
            probe,
            healthy,
            lag,
            draining,
            in_flight,
            declines,
        },
    );
    prop_oneof![
        6 => report,
        4 => Just(Event::Judge),
        1 => Just(Event::Lose),
        3 => (1_u64..8_000).prop_map(Event::Wait),
        1 => Just(Event::Lead),
    ]
}

fn seen(ok: u32, hard: u32) -> Evidence {
    Evidence {
        last_ok_age_ms: (ok > 0).then_some(500),
        failure_ages_ms: (0..hard.min(16)).map(|n| n * 7).collect(),
        ..calls(ok, hard)
    }
}

impl Court {
    fn step(&mut self, event: &Event) -> Vec<BreakerChange> {
        match event {
            Event::Report {
                member,
                ok,
                hard,
                probe,
                healthy,
                lag,
                draining,
                in_flight,
                declines,
            } => {
                let evidence = Evidence {
                    epoch: self.epoch().saturating_sub(*lag),
                    probe: probe.map(|(good, failed)| Probe { good, failed }),
                    healthy: *healthy,
                    in_flight: *in_flight,
                    declines: *declines,
                    ..seen(*ok, *hard)
                };
                let report = Report {
                    boot: BootId(*member),
                    draining: *draining,
                    ..Report::default()
                };
                self.hear_report(*member, report, &[("gpu", evidence)]);
                vec![]
            }
            Event::Judge => self.judge(),
            Event::Lose => {
                self.judge();
                self.judge.settle([&gpu()]);
                vec![]
            }
            Event::Wait(millis) => {
                self.wait(*millis);
                vec![]
            }
            Event::Lead => {
                self.judge.begin(self.now);
                vec![]
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// [`Court::apply`] refuses what is stale or illegal.
    #[test]
    fn whatever_happens_steps_are_legal_and_an_epoch_has_one_holder(
        events in vec(event(), 1..120),
    ) {
        let mut court = court(&["gpu"]);
        let mut led = BTreeSet::new();
        for event in &events {
            for change in court.step(event) {
                court.apply(&change);
                if let BreakerStep::HalfOpen { holder, .. } = change.to {
                    let epoch = court.epoch();
                    prop_assert!(led.insert(epoch), "epoch {} has a second holder", epoch);
                    prop_assert_eq!(court.records[&gpu()].holder, Some(holder));
                }
            }
        }
    }

    /// A holder that does not decline keeps its lease to the end, and for one more while an attempt
    /// of it runs: so nobody else probes meanwhile.
    #[test]
    fn no_lease_goes_on_while_its_holder_may_probe(events in vec(event(), 1..200)) {
        let mut court = court(&["gpu"]);
        // since when, whose, and what it told last of it: attempts running, and that it declines
        let mut lease: Option<(Duration, u64, Duration, (u32, bool))> = None;
        for event in &events {
            if let (Event::Report { member, lag: 0, in_flight, declines, .. }, Some(lease)) =
                (event, &mut lease)
                && lease.1 == *member
            {
                lease.3 = (*in_flight, *declines);
            }
            for change in court.step(event) {
                if let (BreakerStep::HalfOpen { .. }, Some((since, _, time, told))) =
                    (&change.to, lease)
                {
                    let age = court.now - since;
                    let slack = Duration::from_millis(500);
                    // after ten seconds of silence what it told last says nothing
                    let over = age >= time + slack;
                    prop_assert!(over || told == (0, true), "{:?} of {:?}, {:?}", age, time, told);
                }
                court.apply(&change);
                lease = None;
                if let BreakerStep::HalfOpen { holder, lease_ms, .. } = change.to {
                    let time = Duration::from_millis(lease_ms);
                    lease = Some((court.now, holder.0, time, (0, false)));
                }
            }
        }
    }

    #[test]
    fn two_judges_fed_the_same_judge_the_same(events in vec(event(), 1..120)) {
        let (mut one, mut other) = (court(&["gpu"]), court(&["gpu"]));
        for event in &events {
            let (first, second) = (one.step(event), other.step(event));
            prop_assert_eq!(&first, &second);
            for change in &first {
                one.apply(change);
                other.apply(change);
            }
        }
    }

    #[test]
    fn repeats_and_another_order_of_reports_change_nothing(
        reports in vec((1_u64..5, 0_u32..12, 0_u32..12), 1..12),
        order in vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let told: Vec<_> = (1_u64..).zip(reports).map(|(sequence, (member, ok, hard))| {
            let report = Report {
                sequence,
                evidence: BTreeMap::from([(gpu(), seen(ok, hard))]),
                ..Report::default()
            };
            (MemberId(member), Arc::new(report))
        }).collect();
        let mut straight = court(&["gpu"]);
        for (member, report) in &told {
            straight.judge.hear(*member, report, straight.now);
        }
        let mut mixed = court(&["gpu"]);
        let shuffled = order.iter().map(|index| index.get(&told));
        for (member, report) in shuffled.chain(told.iter().rev()).chain(&told) {
            mixed.judge.hear(*member, report, mixed.now);
        }
        prop_assert_eq!(straight.judge(), mixed.judge());
    }

    #[test]
    fn one_nodes_path_opens_nothing_while_another_gets_through(
        rounds in vec((0_u32..40, 5_u32..40, 0_u64..2_000), 1..20),
    ) {
        let mut court = court(&["gpu"]);
        for (hard, ok, pause) in rounds {
            court.hear(2, &[("gpu", seen(ok, 0))]);
            prop_assert_eq!(court.judge(), []);
            court.hear(1, &[("gpu", seen(0, hard))]);
            prop_assert_eq!(court.judge(), []);
            court.wait(pause);
        }
    }
}
