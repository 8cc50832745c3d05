//! Where members are reached now: the records win over what Raft's membership once was told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::Inside;
use crate::command::{Change, LEVEL};
use crate::handle::Author;
use crate::state::State;

/// How long telling the others may take before it is tried again.
const PATIENCE: Duration = Duration::from_secs(2);
/// Pause between tries.
const PAUSE: Duration = Duration::from_millis(500);

/// Keeps the address book as the state has it, and tells the others when this node has moved or
/// runs another version of the program. Until the node stops.
pub(crate) async fn keep_addresses(inside: Arc<Inside>) {
    let mut states = inside.store.states();
    loop {
        let state = Arc::clone(&states.borrow_and_update());
        inside.lines.addresses(book(&state));
        if state.is_retired(inside.me()) {
            return inside.dismissed();
        }
        if outdated(&inside, &state) {
            let change = Change::Update {
                member: inside.me(),
                address: inside.address.clone(),
                level: LEVEL,
            };
            let told = inside.agree(change, Author::new("start"), PATIENCE).await;
            if let Err(error) = told {
                tracing::debug!(%error, "the others do not know this node's address yet");
                sleep(PAUSE).await;
            }
            continue;
        }
        if states.changed().await.is_err() {
            return;
        }
    }
}

fn book(state: &State) -> BTreeMap<crate::NodeId, String> {
    let records = state.members().values();
    records
        .map(|record| (record.name.clone(), record.address.clone()))
        .collect()
}

fn outdated(inside: &Inside, state: &State) -> bool {
    let record = state.members().get(&inside.me());
    record.is_some_and(|record| record.address != inside.address || record.level != LEVEL)
}
