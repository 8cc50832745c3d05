//! Breakers: legal steps, one per epoch, and an operator's word.

use super::super::{BreakerRecord, Cause, Mode, Phase, TargetId};
use super::Log;
use crate::command::{BreakerChange, BreakerStep, Change, Done, Outcome, Rejected};
use crate::identity::MemberId;

const OPEN: BreakerStep = BreakerStep::Open {
    cause: Cause::Rate,
    cooldown_ms: 5_000,
};
const HALF: BreakerStep = BreakerStep::HalfOpen {
    holder: MemberId(2),
    lease_ms: 10_500,
    need_ok: 3,
};
const REOPEN: BreakerStep = BreakerStep::Reopen {
    cause: Cause::ProbeFailed,
    cooldown_ms: 10_000,
};

fn change(expect: u64, to: BreakerStep) -> BreakerChange {
    BreakerChange {
        target: "t".to_owned(),
        expect,
        to,
    }
}

impl Log {
    fn step(&mut self, expect: u64, to: BreakerStep) -> Result<BreakerRecord, Rejected> {
        let done = self.apply_at(self.index * 10, Change::Breaker(change(expect, to)))?;
        let Done::Breaker { record } = done else {
            panic!("{done:?} is no breaker's");
        };
        Ok(record.unwrap_or_default())
    }

    fn force(&mut self, mode: Mode) -> BreakerRecord {
        self.step(777, BreakerStep::Override { mode }).unwrap()
    }
}

#[test]
fn a_step_decided_under_another_epoch_changes_nothing() {
    let mut log = Log::default();
    log.step(0, OPEN).unwrap();
    for (expect, step) in [(0, OPEN), (0, HALF), (2, HALF)] {
        let stale = Rejected::Stale {
            expected: expect,
            current: 1,
        };
        assert_eq!(log.step(expect, step), Err(stale));
    }
    assert_eq!(log.state.breakers()[&TargetId("t".to_owned())].epoch, 1);
}

#[test]
fn only_the_steps_of_the_drawing_are_legal() {
    let legal: [(Phase, &[BreakerStep]); 3] = [
        (Phase::Closed, &[OPEN]),
        (Phase::Open, &[HALF]),
        (Phase::HalfOpen, &[HALF, BreakerStep::Close, REOPEN]),
    ];
    for (phase, legal) in legal {
        for step in [OPEN, HALF, BreakerStep::Close, REOPEN, BreakerStep::Decay] {
            let mut log = Log::default();
            let way: &[BreakerStep] = match phase {
                Phase::Closed => &[],
                Phase::Open => &[OPEN],
                Phase::HalfOpen => &[OPEN, HALF],
            };
            for (epoch, step) in (0..).zip(way) {
                log.step(epoch, step.clone()).unwrap();
            }
            let from = phase.as_str().to_owned();
            match log.step(way.len() as u64, step.clone()) {
                Ok(_) => assert!(legal.contains(&step), "{step:?} from {from}"),
                Err(why) => {
                    assert!(!legal.contains(&step), "{step:?} from {from}");
                    assert_eq!(why, Rejected::Illegal { from });
                }
            }
        }
    }
}

#[test]
fn a_breaker_opens_is_probed_reopens_closes_and_forgets_its_openings() {
    let mut log = Log::default();
    let open = log.step(0, OPEN).unwrap();
    assert_eq!(
        (open.phase, open.opens, open.cooldown_ms),
        (Phase::Open, 1, 5_000)
    );
    let half = log.step(1, HALF).unwrap();
    assert_eq!(
        (half.phase, half.holder),
        (Phase::HalfOpen, Some(MemberId(2)))
    );
    assert_eq!(
        (half.lease_ms, half.need_ok, half.cooldown_ms),
        (10_500, 3, 0)
    );
    let reopened = log.step(2, REOPEN).unwrap();
    assert_eq!((reopened.opens, reopened.cause), (2, Cause::ProbeFailed));
    assert_eq!(reopened.holder, None);
    log.step(3, HALF).unwrap();
    log.step(4, HALF).unwrap(); // the lease went to another holder
    let closed = log.step(5, BreakerStep::Close).unwrap();
    assert_eq!(
        (closed.phase, closed.opens, closed.epoch),
        (Phase::Closed, 2, 6)
    );
    assert_eq!((closed.changed_at, closed.changed_at_ms), (6, 50));
    assert_eq!(log.step(6, BreakerStep::Decay).unwrap().opens, 1);
    assert_eq!(log.step(7, BreakerStep::Decay).unwrap().opens, 0);
    assert!(matches!(
        log.step(8, BreakerStep::Decay),
        Err(Rejected::Illegal { .. })
    ));
}

#[test]
fn an_operators_word_is_always_legal_and_stops_every_other_step() {
    let mut log = Log::default();
    let forced = log.force(Mode::ForceOpen);
    assert_eq!(
        (forced.mode, forced.phase, forced.epoch),
        (Mode::ForceOpen, Phase::Open, 1)
    );
    let from = "forced open".to_owned();
    assert_eq!(log.step(1, HALF), Err(Rejected::Illegal { from }));
    let forced = log.force(Mode::ForceClosed);
    assert_eq!((forced.phase, forced.epoch), (Phase::Closed, 2));
    let from = "forced closed".to_owned();
    assert_eq!(log.step(2, OPEN), Err(Rejected::Illegal { from }));
    assert_eq!(log.force(Mode::ForceClosed).epoch, 3);
}

#[test]
fn a_breaker_out_of_an_operators_hand_is_probed_before_it_closes() {
    let mut log = Log::default();
    log.step(0, OPEN).unwrap();
    log.force(Mode::ForceOpen);
    let freed = log.force(Mode::Auto);
    assert_eq!((freed.phase, freed.cooldown_ms), (Phase::Open, 0));
    assert_eq!((freed.mode, freed.opens), (Mode::Auto, 1));
    log.step(3, HALF).unwrap();
    assert_eq!(log.force(Mode::Auto).phase, Phase::HalfOpen);
    log.force(Mode::ForceClosed);
    let freed = log.force(Mode::Auto);
    assert_eq!((freed.phase, freed.holder), (Phase::Closed, None));
}

#[test]
fn each_of_several_moves_by_itself() {
    let mut log = Log::default();
    let mut other = change(0, OPEN);
    other.target = "u".to_owned();
    let several = vec![change(4, OPEN), other, change(0, OPEN), change(0, OPEN)];
    let Ok(Done::Several { outcomes }) = log.apply(Change::Breakers(several)) else {
        panic!("several have several outcomes");
    };
    let done: Vec<bool> = outcomes
        .iter()
        .map(|outcome| matches!(outcome, Outcome::Done(_)))
        .collect();
    assert_eq!(done, [false, true, true, false]);
}

#[test]
fn a_forgotten_breaker_begins_again_above_every_epoch_it_had() {
    let mut log = Log::default();
    log.step(0, OPEN).unwrap();
    log.step(1, HALF).unwrap();
    assert!(matches!(
        log.step(1, BreakerStep::Forget),
        Err(Rejected::Stale { .. })
    ));
    log.step(2, BreakerStep::Forget).unwrap();
    assert!(log.state.breakers().is_empty());
    assert!(matches!(
        log.step(0, BreakerStep::Forget),
        Err(Rejected::NotFound { .. })
    ));
    assert_eq!(log.step(0, OPEN).unwrap().epoch, 3);
}
