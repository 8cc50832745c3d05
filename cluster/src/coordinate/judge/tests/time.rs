//! What time alone does, and how much of it.

use super::*;

#[test]
fn a_minute_closed_forgets_one_opening() {
    let mut court = court(&["gpu"]);
    let record = BreakerRecord {
        epoch: 9,
        opens: 2,
        ..BreakerRecord::default()
    };
    court.records.insert(gpu(), record);
    court.judge();
    court.wait(59_999);
    assert_eq!(court.round(), []);
    court.wait(1);
    assert_eq!(court.round(), [BreakerStep::Decay]);
    court.wait(59_999);
    assert_eq!(court.round(), []);
    court.wait(1);
    assert_eq!(court.round(), [BreakerStep::Decay]);
    court.wait(600_000);
    assert_eq!(court.round(), []);
}

#[test]
fn a_record_no_config_knows_goes_after_ten_minutes_of_silence() {
    let mut court = court(&[]);
    let record = BreakerRecord {
        epoch: 9,
        phase: Phase::Open,
        ..BreakerRecord::default()
    };
    court.records.insert(gpu(), record);
    assert_eq!(court.round(), []);
    court.wait(599_000);
    court.hear(1, &[("gpu", Evidence::default())]);
    assert_eq!(court.round(), []);
    court.wait(10_000);
    assert_eq!(court.round(), []);
    court.wait(600_000);
    assert_eq!(court.round(), [BreakerStep::Forget]);
    assert!(court.records.is_empty());
}

#[test]
fn the_cool_down_is_what_the_upstream_asked_for_less_what_has_passed() {
    let mut court = court(&["gpu"]);
    let asked = Evidence {
        retry_after_ms: Some(40_000),
        ..streak(3)
    };
    court.hear(1, &[("gpu", asked)]);
    court.judge();
    court.wait(1_000);
    court.hear(2, &[("gpu", streak(2))]);
    let steps = court.round();
    let [BreakerStep::Open { cooldown_ms, .. }] = steps[..] else {
        panic!("{steps:?}");
    };
    assert_eq!(cooldown_ms, 39_000);
}

#[test]
fn the_fifth_opening_in_ten_minutes_lasts_a_minute() {
    let mut court = court(&["gpu"]);
    let mut cooldowns = Vec::new();
    for _ in 0..6 {
        court.open_gpu();
        let record = court.records.get_mut(&gpu()).expect("a record");
        cooldowns.push(record.cooldown_ms);
        // back to work, with nothing held against it
        record.epoch += 2;
        record.phase = Phase::Closed;
        record.opens = 0;
        court.wait(2_000);
        court.judge();
        court.wait(2_000);
    }
    assert!(
        cooldowns[..4].iter().all(|ms| *ms <= 6_000),
        "{cooldowns:?}"
    );
    assert_eq!(cooldowns[4..], [60_000, 60_000]);
}
