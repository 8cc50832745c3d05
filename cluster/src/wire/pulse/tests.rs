//! What comes back is what was sent, and what cannot be is refused by its field's name.

use llm_router_proto::llm_router::cluster::v1;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::{BadPulse, bad};
use crate::identity::{BootId, MemberId};
use crate::policy::{LimitId, LimitKind};
use crate::pulse::{
    BUCKETS, Calls, Demand, Directive, Evidence, Figures, Held, LATELY, MAX_FAILURE_AGES, Probe,
    Report, Share,
};
use crate::state::TargetId;

#[test]
fn a_limit_of_an_unknown_kind_is_refused_by_name() {
    let demand = v1::Demand {
        limit: Some(v1::Limit {
            target: "gpu".to_owned(),
            kind: 77,
        }),
        ..v1::Demand::default()
    };
    assert_eq!(
        report_of(vec![], vec![demand]),
        Err(bad("limit.kind", "is missing or unknown"))
    );
}

#[test]
fn a_missing_part_is_refused_by_name() {
    let nobody = v1::Evidence::default();
    assert_eq!(
        report_of(vec![nobody], vec![]),
        Err(bad("evidence.target", "is missing"))
    );
    assert_eq!(
        report_of(vec![], vec![v1::Demand::default()]),
        Err(bad("demand.limit", "is missing"))
    );
    assert_eq!(
        Directive::try_from(v1::Directive::default()),
        Err(bad("figures", "are missing"))
    );
}

#[test]
fn what_is_said_twice_or_too_much_is_refused() {
    let evidence = |buckets: usize, ages: usize| v1::Evidence {
        target: "gpu".to_owned(),
        buckets: vec![v1::Calls::default(); buckets],
        failure_ages_ms: vec![0; ages],
        ..v1::Evidence::default()
    };
    assert_eq!(
        report_of(vec![evidence(0, 0), evidence(0, 0)], vec![]),
        Err(bad("evidence", "has an entry twice"))
    );
    assert_eq!(
        report_of(vec![evidence(BUCKETS + 1, 0)], vec![]),
        Err(bad("evidence.buckets", "are too many"))
    );
    assert_eq!(
        report_of(vec![evidence(0, MAX_FAILURE_AGES + 1)], vec![]),
        Err(bad("evidence.failure_ages_ms", "are too many"))
    );
    let long = v1::Evidence {
        target: "x".repeat(257),
        ..v1::Evidence::default()
    };
    assert_eq!(
        report_of(vec![long], vec![]),
        Err(bad("evidence.target", "is too long"))
    );
}

fn report_of(evidence: Vec<v1::Evidence>, demand: Vec<v1::Demand>) -> Result<Report, BadPulse> {
    Report::try_from(v1::Report {
        evidence,
        demand,
        ..v1::Report::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_report_comes_back_as_it_was_sent(report in report()) {
        prop_assert_eq!(Report::try_from(v1::Report::from(report.clone())), Ok(report));
    }

    #[test]
    fn a_directive_comes_back_as_it_was_sent(directive in directive()) {
        let wire = v1::Directive::from(directive.clone());
        prop_assert_eq!(Directive::try_from(wire), Ok(directive));
    }
}

fn target() -> impl Strategy<Value = TargetId> {
    "[a-z0-9@-]{1,20}".prop_map(TargetId)
}

fn limit() -> impl Strategy<Value = LimitId> {
    let kind = prop_oneof![
        Just(LimitKind::Concurrency),
        Just(LimitKind::Requests),
        Just(LimitKind::Tokens),
    ];
    (target(), kind).prop_map(|(target, kind)| LimitId { target, kind })
}

fn calls() -> impl Strategy<Value = Calls> {
    prop_oneof![
        Just(Calls::default()),
        any::<(u32, u32, u32)>().prop_map(|(ok, hard, slow)| Calls { ok, hard, slow }),
    ]
}

fn evidence() -> impl Strategy<Value = Evidence> {
    let counts = (
        any::<u64>(),
        vec(calls(), BUCKETS),
        vec(any::<u32>(), 0..=MAX_FAILURE_AGES),
        any::<Option<u32>>(),
        any::<u32>(),
    );
    let signs = (
        any::<(bool, bool)>(),
        option::of(any::<(u32, bool)>()),
        any::<bool>(),
        any::<Option<u64>>(),
    );
    (counts, signs).prop_map(
        |(counts, ((suspect, declines), probe, healthy, retry_after_ms))| {
            let (epoch, calls, failure_ages_ms, last_ok_age_ms, in_flight) = counts;
            let mut buckets = [Calls::default(); BUCKETS];
            buckets.copy_from_slice(&calls);
            Evidence {
                epoch,
                buckets,
                failure_ages_ms,
                last_ok_age_ms,
                in_flight,
                suspect,
                probe: probe.map(|(good, failed)| Probe { good, failed }),
                declines,
                healthy,
                retry_after_ms,
            }
        },
    )
}

fn report() -> impl Strategy<Value = Report> {
    let demand = any::<(u64, u64, u64)>().prop_map(|(used, wanted, taken)| Demand {
        used,
        wanted,
        taken,
    });
    let held = any::<(Option<u64>, [u64; LATELY])>();
    let held = held.prop_map(|(amount, lately)| Held { amount, lately });
    let parts = (
        btree_map(target(), evidence(), 0..5),
        btree_map(limit(), demand, 0..5),
        btree_map("[a-z/]{1,12}", any::<u64>(), 0..5),
        btree_map(limit(), held, 0..5),
    );
    let told = any::<(u64, u64, bool, Option<u64>)>();
    (told, parts).prop_map(|((boot, sequence, draining, full), parts)| {
        let (evidence, demand, usage, held) = parts;
        Report {
            boot: BootId(boot),
            sequence,
            evidence,
            demand,
            usage,
            draining,
            full,
            held,
        }
    })
}

fn directive() -> impl Strategy<Value = Directive> {
    let share = any::<(u64, u64, u64)>().prop_map(|(number, amount, valid_ms)| Share {
        number,
        amount,
        valid_ms,
    });
    let suspect = (any::<u64>().prop_map(MemberId), target());
    let figures = (
        any::<u32>(),
        btree_map("[a-z/]{1,12}", any::<u64>(), 0..5),
        vec(suspect, 0..4),
        btree_map(limit(), any::<u64>(), 0..4),
        vec(any::<u64>().prop_map(MemberId), 0..4),
    );
    let figures = figures.prop_map(|(nodes, usage, path_suspects, spent, alive)| Figures {
        nodes,
        alive,
        usage,
        path_suspects,
        spent,
    });
    (
        any::<(u64, u64, u64, u64)>(),
        btree_map(limit(), share, 0..5),
        figures,
    )
        .prop_map(
            |((term, leader, sequence, committed), shares, figures)| Directive {
                term,
                leader: MemberId(leader),
                sequence,
                committed,
                shares,
                figures,
            },
        )
}
