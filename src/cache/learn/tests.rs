use super::*;
use crate::cache::key::{EntryId, PairId, PartitionId};

const HOUR: u64 = 3_600_000;
const BUDGET: f64 = 0.01;

const ABOUT: About<'static> = About {
    route: "r",
    partition: PartitionId([1; 16]),
    entry: EntryId([2; 16]),
};

fn pair(number: u32) -> PairId {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&number.to_le_bytes());
    PairId(id)
}

#[test]
fn a_tier_that_switched_itself_off_is_checked_more_often_once_it_is_back() {
    let learner = Learner::default();
    let mut now = HOUR;
    while learner.tier("r", now) != TierState::ExactOnly {
        now += 1000;
        learner.judged(&ABOUT, (pair(1), Verdict::Disagree), (now, BUDGET));
    }
    let share = |now| learner.share("r", (0.01, now));
    assert!((share(now) - 0.01).abs() < 1e-12);
    now += HOUR;
    assert_eq!(learner.tier("r", now), TierState::Probation);
    assert!((share(now) - PROBATION_SHARE).abs() < 1e-12);
    // where learning is off it stays off
    assert!(learner.share("r", (0.0, now)).abs() < 1e-12);
    for _ in 0..100 {
        now += 1000;
        learner.judged(&ABOUT, (pair(1), Verdict::Agree), (now, BUDGET));
    }
    assert_eq!(learner.tier("r", now), TierState::Normal);
}

#[test]
fn vetoes_are_bounded_and_the_one_not_asked_for_the_longest_goes() {
    let learner = Learner::default();
    let most = u32::try_from(book::MOST_VETOES).unwrap();
    for number in 0..most {
        learner.veto(pair(number));
    }
    assert!(learner.is_vetoed(pair(0)), "asked for, so it stays");
    learner.veto(pair(most));
    assert!(learner.is_vetoed(pair(0)) && learner.is_vetoed(pair(most)));
    assert!(!learner.is_vetoed(pair(1)));
    assert_eq!(learner.shown(HOUR).vetoes, u64::from(most));
}

#[test]
fn what_was_learnt_reads_back_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("learnt");
    let learner = Learner::open(path.clone());
    for number in 0..50 {
        let verdict = if number % 10 == 0 {
            Verdict::Disagree
        } else {
            Verdict::Agree
        };
        learner.judged(&ABOUT, (pair(number), verdict), (HOUR, BUDGET));
    }
    learner.veto(pair(1000));
    learner.write_now().unwrap();
    let again = Learner::open(path.clone());
    assert_eq!(again.evidence(&ABOUT, HOUR), learner.evidence(&ABOUT, HOUR));
    assert_eq!(again.shown(HOUR).routes, learner.shown(HOUR).routes);
    assert!(again.is_vetoed(pair(0)) && again.is_vetoed(pair(1000)));
    // nothing of it is a name or a text but the route's
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.starts_with("llm-router cache learning 1 "));
}

#[test]
fn damaged_truncated_and_foreign_files_are_not_trusted_in_parts() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("learnt");
    let learner = Learner::open(path.clone());
    learner.judged(&ABOUT, (pair(1), Verdict::Disagree), (HOUR, BUDGET));
    learner.veto(pair(2));
    learner.write_now().unwrap();
    let whole = std::fs::read(&path).unwrap();
    for at in (0..whole.len()).step_by(7) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        std::fs::write(&path, &damaged).unwrap();
        let again = Learner::open(path.clone()).shown(HOUR);
        assert_eq!((again.damaged, again.vetoes), (1, 0), "byte {at}");
        std::fs::write(&path, &whole[..at]).unwrap();
        assert_eq!(Learner::open(path.clone()).shown(HOUR).damaged, 1);
    }
}

#[test]
fn a_disk_that_refuses_is_counted_and_written_to_again_later() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("missing").join("learnt");
    let learner = Learner::open(path.clone());
    learner.veto(pair(1));
    assert!(learner.write_now().is_err());
    assert_eq!(learner.shown(HOUR).not_written, 1);
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    learner.write_now().unwrap();
    assert!(Learner::open(path).is_vetoed(pair(1)));
}

#[tokio::test]
async fn a_burst_of_verdicts_is_written_at_most_once_a_second_and_the_last_is_not_lost() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("learnt");
    let learner = Arc::new(Learner::open(path.clone()));
    let tasks = TaskTracker::new();
    for number in 0..100 {
        learner.veto(pair(number));
        learner.write_soon(&tasks);
        assert!(tasks.len() <= 1);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tasks.close();
    tasks.wait().await;
    assert_eq!(Learner::open(path).shown(HOUR).vetoes, 100);
}
