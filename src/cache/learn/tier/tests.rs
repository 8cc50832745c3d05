use proptest::prelude::*;

use super::*;

const BUDGET: f64 = 0.01;
const HOUR: u64 = 3_600_000;

/// Judges `share` wrong per hundred until the state changes; returns the change.
fn until_change(tier: &mut Tier, now: &mut u64, wrong_per_hundred: u32) -> Change {
    for index in 0..100_000_u32 {
        *now += 1000;
        if let Some(change) = tier.judge(*now, index % 100 < wrong_per_hundred, BUDGET) {
            return change;
        }
    }
    panic!("nothing changed")
}

#[test]
fn a_poisoned_tier_raises_its_bar_then_switches_itself_off_and_comes_back_on_probation() {
    let (mut tier, mut now) = (Tier::default(), HOUR);
    assert_eq!(until_change(&mut tier, &mut now, 20), Change::Raised);
    assert_eq!(tier.at(now).0.risk(BUDGET), Some(BUDGET / 2.0));

    let off = until_change(&mut tier, &mut now, 20);
    assert_eq!(off, Change::SwitchedOff { pause_millis: HOUR });
    assert_eq!(tier.at(now + HOUR - 1).0.risk(BUDGET), None);

    now += HOUR;
    assert_eq!(tier.at(now), (TierState::Probation, Some(Change::Reopened)));
    assert_eq!(tier.at(now), (TierState::Probation, None));
    assert_eq!(until_change(&mut tier, &mut now, 0), Change::Trusted);
    assert_eq!(tier.at(now).0, TierState::Normal);
}

#[test]
fn a_tier_that_stays_broken_is_off_for_twice_as_long_each_time_up_to_a_day() {
    let (mut tier, mut now) = (Tier::default(), HOUR);
    until_change(&mut tier, &mut now, 50);
    let mut pauses = Vec::new();
    for _ in 0..7 {
        if let Change::SwitchedOff { pause_millis } = until_change(&mut tier, &mut now, 50) {
            pauses.push(pause_millis / HOUR);
            now += pause_millis;
        }
        tier.at(now);
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 24, 24]);
}

#[test]
fn one_wrong_answer_alone_condemns_nothing() {
    let mut tier = Tier::default();
    assert_eq!(tier.judge(1, true, BUDGET), None);
    assert_eq!(tier.judge(2, false, BUDGET), None);
}

#[test]
fn a_tier_within_its_budget_is_left_alone() {
    let (mut tier, mut now) = (Tier::default(), HOUR);
    for index in 1..5000_u32 {
        now += 60_000;
        // one in two hundred, evenly
        assert_eq!(tier.judge(now, index % 200 == 0, BUDGET), None);
    }
    let (wrong, judged) = tier.counted(now);
    let rate = Rate::of(wrong, judged);
    assert!(rate.lower <= BUDGET && rate.estimate < BUDGET && rate.upper > rate.estimate);
}

#[test]
fn a_good_past_does_not_hide_that_the_tier_broke_today() {
    let (mut tier, mut now) = (Tier::default(), HOUR);
    for _ in 0..WINDOW {
        now += 1000;
        tier.judge(now, false, BUDGET);
    }
    let mut verdicts = 0;
    while tier.at(now).0 == TierState::Normal {
        now += 1000;
        verdicts += 1;
        tier.judge(now, verdicts % 4 == 0, BUDGET);
    }
    assert!(verdicts <= 16, "{verdicts} verdicts at one wrong in four");
}

#[test]
fn verdicts_about_what_was_served_before_the_pause_do_not_prolong_it() {
    let (mut tier, mut now) = (Tier::default(), HOUR);
    until_change(&mut tier, &mut now, 50);
    until_change(&mut tier, &mut now, 50);
    let left = tier.pause_left(now);
    for _ in 0..10 {
        assert_eq!(tier.judge(now, true, BUDGET), None);
    }
    assert_eq!(tier.pause_left(now), left);
}

#[test]
fn a_clock_that_was_set_back_does_not_keep_a_tier_off() {
    let (mut tier, mut now) = (Tier::default(), 365 * 24 * HOUR);
    until_change(&mut tier, &mut now, 50);
    until_change(&mut tier, &mut now, 50);
    assert_eq!(tier.at(HOUR).0, TierState::Probation);
}

#[test]
fn old_verdicts_are_forgotten() {
    let mut tier = Tier::default();
    tier.judge(0, true, BUDGET);
    assert_eq!(tier.counted(WINDOW_MILLIS), (1, 1));
    assert_eq!(tier.counted(WINDOW_MILLIS + 1), (0, 0));
    assert!((Rate::of(0, 0).upper - 1.0).abs() < 1e-9);
}

#[test]
fn what_is_written_down_reads_back() {
    let (mut tier, mut now) = (Tier::default(), HOUR);
    until_change(&mut tier, &mut now, 50);
    until_change(&mut tier, &mut now, 50);
    let written = serde_json::to_string(&tier).unwrap();
    let mut read: Tier = serde_json::from_str(&written).unwrap();
    assert_eq!(read.at(now), tier.at(now));
    assert_eq!(read.pause_left(now), tier.pause_left(now));
    assert_eq!(read.counted(now), tier.counted(now));
}

proptest! {
    #[test]
    fn a_tier_is_bounded_and_is_never_off_for_longer_than_a_day(
        verdicts in prop::collection::vec((0_u64..10 * HOUR, any::<bool>()), 0..800),
        budget in 0.0_f64..0.2,
    ) {
        let (mut tier, mut now) = (Tier::default(), 0);
        for (later, wrong) in verdicts {
            now += later;
            let (before, _) = tier.at(now);
            let change = tier.judge(now, wrong, budget);
            let (after, _) = tier.at(now);
            prop_assert!(tier.window.len() <= WINDOW && tier.of_this_state <= tier.window.len());
            prop_assert!(tier.pause_left(now).is_none_or(|left| left <= LONGEST_PAUSE));
            prop_assert_eq!(change.is_some(), before != after);
            // it never goes from good standing to off without being strict first
            prop_assert!(!(before == TierState::Normal && after == TierState::ExactOnly));
        }
    }
}
