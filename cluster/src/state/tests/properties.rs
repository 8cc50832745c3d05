//! Promises kept by every sequence of commands.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::{MAX_HISTORY, Row, State};
use super::any_command;
use crate::command::{Change, Command, Outcome, RequestId};

fn commands() -> impl Strategy<Value = Vec<Command>> {
    prop::collection::vec(any_command(), 0..120)
}

/// Rows without those every command touches: the clock's and the remembered requests'.
fn tables(state: &State) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows = state.rows();
    rows.retain(|(key, _)| !key.starts_with(b"meta/") && !key.starts_with(b"request/"));
    rows
}

fn store(stored: &mut BTreeMap<Vec<u8>, Vec<u8>>, changes: Vec<Row>) {
    for Row { key, value } in changes {
        match value {
            Some(value) => drop(stored.insert(key, value)),
            None => drop(stored.remove(&key)),
        }
    }
}

proptest! {
    #[test]
    fn two_nodes_that_apply_the_same_commands_agree(commands in commands()) {
        let (mut one, mut other) = (State::default(), State::default());
        for (index, command) in (1..).zip(&commands) {
            prop_assert_eq!(one.apply(index, command), other.apply(index, command));
            // one of them also hands out copies, as a store that publishes its states does
            let _published = other.clone();
        }
        prop_assert_eq!(one.digest(), other.digest());
        prop_assert_eq!(one.changes(), other.changes());
    }

    #[test]
    fn rows_and_changes_tell_the_same_state_after_every_step(commands in commands()) {
        let mut state = State::default();
        let mut stored = BTreeMap::new();
        for (index, command) in (1..).zip(&commands) {
            state.apply(index, command);
            store(&mut stored, state.changes());
            let rows: Vec<_> = stored.clone().into_iter().collect();
            prop_assert_eq!(&rows, &state.rows());
            let back = State::from_rows(rows).unwrap();
            prop_assert_eq!(back.rows(), state.rows());
            prop_assert_eq!(back.digest(), state.digest());
        }
        prop_assert_eq!(state.changes(), vec![]);
    }

    #[test]
    fn a_state_read_back_goes_on_as_the_one_that_was_written(
        before in commands(), after in commands(),
    ) {
        let mut state = State::default();
        for (index, command) in (1..).zip(&before) {
            state.apply(index, command);
        }
        let mut back = State::from_rows(state.rows().into_iter().rev()).unwrap();
        for (index, command) in (1 + before.len() as u64..).zip(&after) {
            prop_assert_eq!(state.apply(index, command), back.apply(index, command));
        }
        prop_assert_eq!(state.digest(), back.digest());
    }

    #[test]
    fn a_command_that_comes_again_changes_nothing(
        commands in commands(), again in any::<prop::sample::Index>(),
    ) {
        prop_assume!(!commands.is_empty());
        let mut state = State::default();
        let mut outcomes = BTreeMap::new();
        for (index, command) in (1..).zip(&commands) {
            let outcome = state.apply(index, command);
            let first = outcomes.entry(command.request).or_insert_with(|| outcome.clone());
            prop_assert_eq!(&*first, &outcome);
        }
        state.changes();
        let before = state.digest();
        let command = again.get(&commands);
        let late = Command { at_ms: u64::MAX, ..command.clone() };
        prop_assert_eq!(&state.apply(9_999, &late), &outcomes[&command.request]);
        prop_assert_eq!(state.digest(), before);
        prop_assert_eq!(state.changes(), vec![]);
    }

    #[test]
    fn a_rejected_command_changes_no_table(commands in commands()) {
        let mut state = State::default();
        for (index, command) in (1..).zip(&commands) {
            let before = tables(&state);
            if matches!(state.apply(index, command), Outcome::Rejected(_)) {
                prop_assert_eq!(tables(&state), before);
            }
        }
    }

    #[test]
    fn epochs_revisions_and_the_clock_only_grow(commands in commands()) {
        let mut state = State::default();
        let mut highest = BTreeMap::new();
        for (index, command) in (1..).zip(&commands) {
            let before = state.clone();
            state.apply(index, command);
            prop_assert!(state.clock_ms() >= before.clock_ms());
            prop_assert!(state.revision() >= before.revision());
            prop_assert!(state.revision().0 <= before.revision().0 + 1);
            prop_assert!(state.cache_epoch() >= before.cache_epoch());
            for (target, record) in state.breakers() {
                let seen = highest.entry(target.clone()).or_insert(0);
                let moved = before.breakers().get(target) != Some(record);
                prop_assert!(record.epoch > *seen || (!moved && record.epoch == *seen));
                *seen = record.epoch;
            }
        }
    }

    #[test]
    fn history_keeps_the_newest_and_no_more_than_it_may(
        texts in prop::collection::vec("[a-z]{1,6}", 1..250),
    ) {
        let mut state = State::default();
        for (index, text) in (1u64..).zip(texts) {
            let change = Change::Config { expected: None, text, note: String::new() };
            let command = Command {
                request: RequestId(u128::from(index)), at_ms: 0, by: String::new(), change,
            };
            state.apply(index, &command);
        }
        let kept: Vec<u64> = state.config().history().map(|kept| kept.revision.0).collect();
        prop_assert!(kept.len() <= MAX_HISTORY);
        prop_assert_eq!(kept[0], state.revision().0);
        prop_assert!(kept.windows(2).all(|pair| pair[0] == pair[1] + 1));
    }

    #[test]
    fn garbage_rows_are_refused_without_harm(
        table in "(breaker|centroids|config|epoch|key|member|meta|request|other|)",
        name in prop::collection::vec(any::<u8>(), 0..12),
        value in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let key = [table.as_bytes(), b"/", &name].concat();
        // a number is the one short value that makes sense: an epoch's
        if let Ok(state) = State::from_rows([(key, value)]) {
            prop_assert_eq!(table, "epoch");
            prop_assert_eq!(state.rows().len(), 1);
        }
    }

    #[test]
    fn a_damaged_row_is_refused_or_another_one(
        commands in commands(), row in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut state = State::default();
        for (index, command) in (1..).zip(&commands) {
            state.apply(index, command);
        }
        let mut rows = state.rows();
        prop_assume!(!rows.is_empty());
        let row = row.index(rows.len());
        let at = at.index(rows[row].1.len());
        rows[row].1[at] = byte;
        if let Ok(state) = State::from_rows(rows) {
            State::from_rows(state.rows()).unwrap();
        }
    }
}
