//! Requests and tokens in any sixty seconds.

use super::*;
use crate::pulse::LATELY;

/// A node that spends whatever it may.
#[derive(Clone, Copy, Default)]
struct Spender {
    used: u64,
}

fn run(bank: &mut Bank, spenders: &mut [Spender], greedy: &[bool], rounds: usize) -> Vec<u64> {
    let mut spent = Vec::new();
    for _ in 0..rounds {
        let mut now = 0;
        for (index, spender) in spenders.iter_mut().enumerate() {
            let member = index as u64 + 1;
            let may = bank.share(member).map_or(0, |(_, amount)| amount);
            if greedy[index] && may > spender.used {
                now += may - spender.used;
                spender.used = may;
            }
            bank.hear(member, spender.used, if greedy[index] { 10 } else { 0 });
        }
        spent.push(now);
        bank.round();
        bank.now += Duration::from_millis(200);
    }
    spent
}

#[test]
fn no_minute_sees_more_than_the_rate_and_none_is_wasted_for_long() {
    let mut bank = Bank::new(LimitKind::Requests, 120, 3);
    let mut spenders = [Spender::default(); 3];
    // 200 seconds
    let spent = run(&mut bank, &mut spenders, &[true, true, false], 1_000);
    for minute in spent.windows(300) {
        assert!(minute.iter().sum::<u64>() <= 120);
    }
    let total: u64 = spent.iter().sum();
    assert!(total >= 3 * 115, "only {total} in more than three minutes");
}

#[test]
fn what_an_idle_node_was_lent_goes_to_one_that_wants_it() {
    let mut bank = Bank::new(LimitKind::Requests, 2, 3);
    let mut spenders = [Spender::default(); 3];
    run(&mut bank, &mut spenders, &[false, false, false], 20);
    let spent = run(&mut bank, &mut spenders, &[false, false, true], 40);
    assert_eq!(spent.iter().sum::<u64>(), 2);
}

#[test]
fn what_a_node_was_lent_when_it_died_counts_as_spent() {
    let mut bank = Bank::new(LimitKind::Tokens, 100, 2);
    for _ in 0..3 {
        bank.hear(1, 0, 40);
        bank.hear(2, 0, 60);
        bank.round();
    }
    assert_eq!(bank.amounts(), [40, 60]);
    for _ in 0..20 {
        bank.now += Duration::from_millis(200);
        bank.hear(1, 40, 100);
        bank.round();
    }
    assert_eq!(bank.amounts(), [40, 0]);
    bank.now += Duration::from_secs(61);
    bank.hear(1, 40, 100);
    bank.round();
    assert_eq!(bank.amounts(), [140, 0]);
}

#[test]
fn a_new_leader_counts_what_was_spent_under_the_last_one() {
    let mut bank = Bank::new(LimitKind::Tokens, 100, 2);
    let known = BTreeMap::from([(bank.id.clone(), 90)]);
    bank.lender.begin(4, known, bank.now);
    let mut lately = [0; LATELY];
    lately[1] = 50;
    let told = Report {
        demand: BTreeMap::from([(
            bank.id.clone(),
            Demand {
                used: 700,
                wanted: 100,
                taken: 0,
            },
        )]),
        held: BTreeMap::from([(
            bank.id.clone(),
            Held {
                amount: Some(710),
                lately,
            },
        )]),
        ..Report::default()
    };
    bank.hear_report(1, told);
    bank.round();
    // 50 it spent, 10 it holds, 30 more that somebody spent
    assert_eq!(bank.amounts()[0], 720);
}
