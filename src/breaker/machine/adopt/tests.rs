//! Promises of a breaker that is one of several, refusals first.

use std::time::Duration;

use llm_router_cluster::state::{BreakerRecord, Mode as AgreedMode, Phase as AgreedPhase};

use crate::breaker::{
    Admission, Cause, Machine, Mode, Outcome, Reason, Settings, State, Ticket, Transition,
};
use crate::bridge::Agreed;
use crate::types::Moment;

const RECOVERY: Duration = Duration::from_secs(5);

fn at(millis: u64) -> Moment {
    Moment::from_millis(millis)
}

fn record(epoch: u64, phase: AgreedPhase) -> BreakerRecord {
    BreakerRecord {
        epoch,
        phase,
        cooldown_ms: 5_000,
        lease_ms: 12_000,
        need_ok: 2,
        ..BreakerRecord::default()
    }
}

fn agreed(record: BreakerRecord, mine: bool, applied: u64) -> Agreed {
    Agreed {
        record,
        applied: at(applied),
        mine,
        declined: false,
    }
}

/// A node in reach of a leader, nothing agreed yet.
fn node() -> Machine {
    let mut settings = Settings::new(3, RECOVERY, 2);
    settings.first_token = Duration::from_secs(2);
    let mut machine = Machine::new(settings);
    machine.contact(true);
    adopt(&mut machine, record(0, AgreedPhase::Closed), 0);
    machine
}

fn adopt(machine: &mut Machine, record: BreakerRecord, now: u64) -> Option<Transition> {
    machine.adopt(&agreed(record, false, now), at(now), 0.5)
}

fn lease(machine: &mut Machine, epoch: u64, now: u64) -> Option<Transition> {
    let record = record(epoch, AgreedPhase::HalfOpen);
    machine.adopt(&agreed(record, true, now), at(now), 0.5)
}

fn ticket(machine: &mut Machine, now: u64) -> Ticket {
    match machine.admit(at(now)).0 {
        Admission::Pass(ticket) | Admission::Probe(ticket) => ticket,
        Admission::Refuse(refused) => panic!("{refused:?}"),
    }
}

fn refusal(machine: &mut Machine, now: u64) -> (Reason, Duration) {
    match machine.admit(at(now)).0 {
        Admission::Refuse(refused) => (refused.cause, refused.retry_after),
        admitted @ (Admission::Pass(_) | Admission::Probe(_)) => panic!("{admitted:?}"),
    }
}

fn attempt(machine: &mut Machine, outcome: Outcome, now: u64) -> Option<Transition> {
    let ticket = ticket(machine, now);
    machine.record(outcome, ticket, at(now), 0.5)
}

#[test]
fn an_agreed_opening_refuses_at_once_and_for_as_long_as_a_leader_is_heard_of() {
    let mut machine = node();
    let opened = adopt(&mut machine, record(1, AgreedPhase::Open), 100).unwrap();
    assert_eq!((opened.from, opened.to), (State::Closed, State::Open));
    assert_eq!(
        refusal(&mut machine, 1_100),
        (Reason::Open, Duration::from_secs(4))
    );
    // its cool-down is over, but only the agreed holder probes
    for millis in [5_100, 20_000, 3_600_000] {
        let (cause, wait) = refusal(&mut machine, millis);
        assert_eq!((cause, wait), (Reason::Open, Duration::from_secs(1)));
        assert_eq!(machine.tick(at(millis)), None);
        assert_eq!(machine.state(at(millis)), State::Open);
    }
}

#[test]
fn only_the_holder_probes_one_at_a_time_and_only_on_its_lease() {
    let mut other = node();
    adopt(&mut other, record(1, AgreedPhase::Open), 0);
    adopt(&mut other, record(2, AgreedPhase::HalfOpen), 5_000);
    assert_eq!(refusal(&mut other, 5_000).0, Reason::Unlent);

    let mut holder = node();
    adopt(&mut holder, record(1, AgreedPhase::Open), 0);
    let moved = lease(&mut holder, 2, 5_000).unwrap();
    assert_eq!((moved.from, moved.to), (State::Open, State::HalfOpen));
    let probe = ticket(&mut holder, 5_000);
    assert_eq!(probe.lease_until, Some(at(17_000)));
    assert_eq!(refusal(&mut holder, 5_001).0, Reason::Probing);
    holder.record(Outcome::Ok, probe, at(6_000), 0.5);
    let probe = ticket(&mut holder, 14_999);
    holder.record(Outcome::Ok, probe, at(14_999), 0.5);
    // too near its end, and beyond it
    assert_eq!(refusal(&mut holder, 15_000).0, Reason::Unlent);
    assert_eq!(refusal(&mut holder, 17_001).0, Reason::Unlent);
    let probes = evidence(&holder, 17_001).probe.unwrap();
    assert_eq!((probes.good, probes.failed), (2, false));
}

#[test]
fn after_a_failed_probe_the_holder_waits_for_the_leader() {
    let mut machine = node();
    adopt(&mut machine, record(1, AgreedPhase::Open), 0);
    lease(&mut machine, 2, 5_000);
    assert_eq!(attempt(&mut machine, Outcome::Ok, 5_000), None);
    assert_eq!(attempt(&mut machine, Outcome::Hard, 5_100), None);
    assert_eq!(refusal(&mut machine, 5_200).0, Reason::Unlent);
    let probes = evidence(&machine, 5_200).probe.unwrap();
    assert_eq!((probes.good, probes.failed), (0, true));
    adopt(&mut machine, record(3, AgreedPhase::Open), 5_300).unwrap();
    let seen = evidence(&machine, 5_300);
    assert!(
        seen.probe.is_none() && seen.failure_ages_ms.is_empty(),
        "of an epoch that is over: {seen:?}"
    );
}

#[test]
fn an_isolated_node_waits_the_cool_down_and_up_to_as_much_again_then_probes_by_itself() {
    let mut machine = node();
    adopt(&mut machine, record(1, AgreedPhase::Open), 1_000);
    machine.contact(false);
    // 1 s + 5 s + 0.5 × 5 s
    assert_eq!(
        refusal(&mut machine, 8_499),
        (Reason::Open, Duration::from_millis(1))
    );
    assert_eq!(
        machine.health(true, at(2_000)),
        None,
        "health shortens nothing"
    );
    let probe = ticket(&mut machine, 8_500);
    assert!(probe.probe.is_some() && probe.lease_until.is_none());
    assert_eq!(refusal(&mut machine, 8_501).0, Reason::Probing);
    machine.record(Outcome::Ok, probe, at(8_600), 0.5);
    let closed = attempt(&mut machine, Outcome::Ok, 8_700).unwrap();
    assert_eq!(closed.to, State::Closed);
    assert!(matches!(machine.admit(at(8_800)).0, Admission::Pass(_)));
    // the leader is back, and what is agreed holds again
    machine.contact(true);
    assert_eq!(refusal(&mut machine, 9_000).0, Reason::Open);
}

#[test]
fn isolated_the_holder_keeps_its_lease_and_the_others_wait_for_it_to_end() {
    let (mut holder, mut other) = (node(), node());
    lease(&mut holder, 2, 0);
    adopt(&mut other, record(2, AgreedPhase::HalfOpen), 0);
    holder.contact(false);
    other.contact(false);
    attempt(&mut holder, Outcome::Ok, 1_000);
    assert_eq!(refusal(&mut other, 1_000).0, Reason::Open);
    // 12 s + 5 s + 0.5 × 5 s, for the holder of a lease that is over too
    for machine in [&mut holder, &mut other] {
        assert_eq!(refusal(machine, 19_499).0, Reason::Open);
        assert!(ticket(machine, 19_500).probe.is_some());
    }
}

#[test]
fn an_agreed_close_ends_what_the_agreed_opening_began() {
    let mut machine = node();
    for _ in 0..3 {
        attempt(&mut machine, Outcome::Hard, 0);
    }
    assert_eq!(
        machine.state(at(0)),
        State::Open,
        "suspected at once, alone"
    );
    adopt(&mut machine, record(1, AgreedPhase::Open), 50);
    adopt(&mut machine, record(2, AgreedPhase::HalfOpen), 60);
    let closed = adopt(&mut machine, record(3, AgreedPhase::Closed), 70).unwrap();
    assert_eq!(
        (closed.to, closed.cause),
        (State::Closed, Cause::ProbesGood)
    );
    assert!(matches!(machine.admit(at(70)).0, Admission::Pass(_)));
}

#[test]
fn suspicion_of_an_isolated_node_outlives_healing_until_its_own_time_is_over() {
    let mut machine = node();
    machine.contact(false);
    for _ in 0..3 {
        attempt(&mut machine, Outcome::Hard, 0);
    }
    machine.contact(true);
    // the others opened and closed it meanwhile; this node sees only the end
    assert_eq!(
        adopt(&mut machine, record(4, AgreedPhase::Closed), 1_000),
        None
    );
    assert_eq!(refusal(&mut machine, 4_999).0, Reason::Open);
    assert!(
        ticket(&mut machine, 5_000).probe.is_some(),
        "5 s, no jitter in the middle"
    );
}

#[test]
fn suspicion_doubles_up_to_a_minute_and_begins_again_after_recovery() {
    let mut machine = node();
    let mut now = 0;
    let mut lengths = Vec::new();
    for _ in 0..3 {
        attempt(&mut machine, Outcome::Hard, now);
    }
    for _ in 0..6 {
        let until = machine.snapshot(at(now)).open_until.unwrap();
        let length = at(now).until(until);
        lengths.push(length.as_secs());
        now += u64::try_from(length.as_millis()).unwrap();
        attempt(&mut machine, Outcome::Hard, now);
    }
    assert_eq!(lengths, [5, 10, 20, 40, 60, 60]);
    now += 60_000;
    attempt(&mut machine, Outcome::Ok, now);
    attempt(&mut machine, Outcome::Ok, now).unwrap();
    for _ in 0..3 {
        attempt(&mut machine, Outcome::Hard, now);
    }
    let until = machine.snapshot(at(now)).open_until.unwrap();
    assert_eq!(at(now).until(until), RECOVERY);
}

#[test]
fn mostly_slow_answers_make_a_node_of_a_cluster_suspicious_and_an_embedded_engine_not() {
    let mut machine = node();
    let causes: Vec<_> = (0..10)
        .filter_map(|call| {
            attempt(
                &mut machine,
                if call < 2 { Outcome::Ok } else { Outcome::Slow },
                0,
            )
        })
        .map(|transition| transition.cause)
        .collect();
    assert_eq!(causes, [Cause::Slow]);
    let mut alone = Machine::new(Settings::new(3, RECOVERY, 2));
    for _ in 0..50 {
        assert_eq!(attempt(&mut alone, Outcome::Slow, 0), None);
    }
}

#[test]
fn an_operators_word_stands_above_everything_agreed_and_survives_the_actor() {
    let word = |epoch, mode| BreakerRecord {
        mode,
        ..record(epoch, AgreedPhase::Open)
    };
    let mut machine = node();
    let forced = adopt(&mut machine, word(1, AgreedMode::ForceClosed), 0);
    assert_eq!(
        forced.map(|it| it.cause),
        Some(Cause::Forced(Mode::ForceClosed))
    );
    assert!(matches!(machine.admit(at(0)).0, Admission::Pass(_)));
    adopt(&mut machine, word(2, AgreedMode::ForceOpen), 0).unwrap();
    machine.contact(false);
    assert_eq!(refusal(&mut machine, 1 << 40).0, Reason::ForcedOpen);

    let mut restarted = Machine::new(Settings::new(3, RECOVERY, 2));
    adopt(&mut restarted, word(2, AgreedMode::ForceOpen), 0);
    assert_eq!(refusal(&mut restarted, 1 << 40).0, Reason::ForcedOpen);
}

#[test]
fn a_forgotten_opening_keeps_the_evidence_and_any_other_epoch_drops_it() {
    let mut machine = node();
    let running = ticket(&mut machine, 0);
    attempt(&mut machine, Outcome::Hard, 0);
    adopt(&mut machine, record(1, AgreedPhase::Closed), 100);
    machine.record(Outcome::Hard, running, at(200), 0.5);
    let seen = evidence(&machine, 200);
    assert_eq!((seen.epoch, seen.failure_ages_ms), (1, vec![0, 200]));
    let late = ticket(&mut machine, 200);
    adopt(&mut machine, record(4, AgreedPhase::Closed), 300);
    machine.record(Outcome::Hard, late, at(400), 0.5);
    assert_eq!(evidence_of(&machine, 400), None);
}

#[test]
fn the_same_record_read_again_changes_nothing() {
    let mut machine = node();
    lease(&mut machine, 2, 0);
    attempt(&mut machine, Outcome::Hard, 100);
    let before = machine.snapshot(at(200));
    assert_eq!(lease(&mut machine, 2, 0), None);
    assert_eq!(machine.snapshot(at(200)), before);
}

#[test]
fn an_answer_that_has_begun_is_one_good_probe_and_keeps_its_place() {
    let mut machine = node();
    lease(&mut machine, 2, 0);
    let good = |machine: &Machine, now| evidence(machine, now).probe.unwrap().good;
    let running = ticket(&mut machine, 0);
    machine.answers(running, at(100));
    machine.answers(running, at(200));
    assert_eq!(good(&machine, 200), 1);
    assert_eq!(refusal(&mut machine, 200).0, Reason::Probing);
    machine.record(Outcome::Ok, running, at(9_000), 0.5);
    assert_eq!(good(&machine, 9_000), 1, "it is counted once");
    let cut_off = ticket(&mut machine, 9_000);
    machine.answers(cut_off, at(9_100));
    machine.record(Outcome::Hard, cut_off, at(9_500), 0.5);
    assert!(evidence(&machine, 9_500).probe.unwrap().failed);
}

fn evidence_of(machine: &Machine, now: u64) -> Option<llm_router_cluster::pulse::Evidence> {
    let goods = crate::breaker::goods::Goods::default();
    machine.ledger(at(now)).evidence(&goods, 0, at(now))
}

fn evidence(machine: &Machine, now: u64) -> llm_router_cluster::pulse::Evidence {
    evidence_of(machine, now).unwrap()
}

#[test]
fn a_failure_in_the_first_second_of_the_clock_is_told() {
    let mut machine = node();
    attempt(&mut machine, Outcome::Hard, 0);
    assert_eq!(evidence(&machine, 0).buckets[0].hard, 1);
    assert_eq!(evidence(&machine, 9_999).buckets[9].hard, 1);
}

#[test]
fn evidence_tells_calls_by_age_and_what_the_upstream_asked_for() {
    let mut machine = node();
    attempt(&mut machine, Outcome::Ok, 1_500);
    attempt(&mut machine, Outcome::Slow, 3_200);
    attempt(&mut machine, Outcome::Hard, 3_400);
    let asked = Outcome::Gate {
        retry_after: Some(Duration::from_secs(9)),
    };
    attempt(&mut machine, asked, 3_500);
    let seen = evidence(&machine, 4_500);
    let calls = |index: usize| {
        let calls = seen.buckets[index];
        (calls.ok, calls.hard, calls.slow)
    };
    assert_eq!(
        [calls(0), calls(1), calls(3)],
        [(0, 0, 0), (1, 1, 1), (1, 0, 0)]
    );
    assert_eq!(seen.failure_ages_ms, [1_100]);
    assert_eq!(seen.last_ok_age_ms, Some(1_300));
    assert_eq!(seen.retry_after_ms, Some(8_500), "half of the spread");
    assert!(!seen.suspect && seen.probe.is_none());
}

mod properties {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// What the log says next, or what a node does.
    #[derive(Clone, Debug)]
    enum Step {
        Agree(AgreedPhase),
        Contact(usize, bool),
        Admit(usize),
        End(usize, bool),
        Wait(u64),
    }

    const NODES: usize = 3;

    fn step() -> impl Strategy<Value = Step> {
        let phase = prop::sample::select(vec![
            AgreedPhase::Closed,
            AgreedPhase::Open,
            AgreedPhase::HalfOpen,
        ]);
        prop_oneof![
            2 => phase.prop_map(Step::Agree),
            1 => (0..NODES, prop::bool::weighted(0.7)).prop_map(|(node, up)| Step::Contact(node, up)),
            12 => (0..NODES).prop_map(Step::Admit),
            6 => (any::<usize>(), any::<bool>()).prop_map(|(which, good)| Step::End(which, good)),
            4 => (0..9_000_u64).prop_map(Step::Wait),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        /// Every record is applied everywhere at once, as the log is; a leader hands over only when
        /// the lease is over by half a second.
        #[test]
        fn connected_nodes_never_pass_an_agreed_opening_and_probe_one_at_a_time(
            steps in vec(step(), 0..200),
        ) {
            let mut nodes: Vec<_> = (0..NODES).map(|_| node()).collect();
            let mut connected = [true; NODES];
            let (mut now, mut epoch, mut phase, mut holder) = (0, 0, AgreedPhase::Closed, 0);
            let mut leased_until = 0;
            let mut running: Vec<(usize, Ticket)> = Vec::new();
            for step in steps {
                match step {
                    Step::Agree(next) => {
                        if phase == AgreedPhase::HalfOpen && now < leased_until + 500 {
                            continue;
                        }
                        epoch += 1;
                        phase = next;
                        holder = usize::try_from(epoch).unwrap() % NODES;
                        leased_until = now + 12_000;
                        for (index, node) in nodes.iter_mut().enumerate() {
                            let mine = next == AgreedPhase::HalfOpen && index == holder;
                            let agreed = agreed(record(epoch, next), mine, now);
                            node.adopt(&agreed, at(now), 0.5);
                        }
                        // the answer of a probe that is cut when its lease ends comes by then
                        running.retain(|(_, ticket)| ticket.lease_until.is_none());
                    }
                    Step::Contact(index, up) => {
                        nodes[index].contact(up);
                        connected[index] = up;
                    }
                    Step::Wait(millis) => now += millis,
                    Step::End(which, good) if !running.is_empty() => {
                        let (index, ticket) = running.swap_remove(which % running.len());
                        let outcome = if good { Outcome::Ok } else { Outcome::Hard };
                        nodes[index].record(outcome, ticket, at(now), 0.5);
                    }
                    Step::End(..) => {}
                    Step::Admit(index) => {
                        let promised = nodes[index].snapshot(at(now)).verdict(at(now));
                        let admission = nodes[index].admit(at(now)).0;
                        let (Admission::Pass(ticket) | Admission::Probe(ticket)) = admission else {
                            continue;
                        };
                        prop_assert!(
                            !matches!(promised, crate::breaker::Verdict::Refuse(_)),
                            "the snapshot refuses what the machine admits"
                        );
                        if connected[index] && phase != AgreedPhase::Closed {
                            prop_assert!(phase == AgreedPhase::HalfOpen && index == holder);
                            prop_assert!(now < leased_until, "a probe after its lease");
                            let others = running
                                .iter()
                                .filter(|(_, other)| other.lease_until.is_some())
                                .count();
                            prop_assert_eq!(others, 0, "two probes at once");
                        }
                        running.push((index, ticket));
                    }
                }
            }
        }
    }
}
