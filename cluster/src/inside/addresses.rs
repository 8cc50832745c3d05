//! Where members are reached now: the records win over what Raft's membership once was told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::Inside;
use crate::clock::unix_ms;
use crate::command::{Change, Command, LEVEL, RequestId};
use crate::error::Error;
use crate::handle::Author;
use crate::raft::Peer;
use crate::state::State;

/// How long telling the others may take before it is tried again.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long one member that does not lead may take to answer or send us on.
const ASK: Duration = Duration::from_millis(500);
/// Pause between tries, and how long a node waits for a leader to call before it calls itself.
const PAUSE: Duration = Duration::from_millis(500);

/// Keeps the address book as the state has it, and tells the others when this node has moved or
/// runs another version of the program. Until the node stops.
pub(crate) async fn keep_addresses(inside: Arc<Inside>) {
    let mut states = inside.store.states();
    // one request however often it is said, so that the log takes it once
    let said = RequestId(rand::random());
    loop {
        let state = Arc::clone(&states.borrow_and_update());
        inside.lines.addresses(book(&state));
        if state.is_retired(inside.me()) {
            return inside.dismissed();
        }
        if outdated(&inside, &state) {
            if let Err(error) = tell(&inside, &state, said).await {
                tracing::debug!(%error, "the others do not know this node's address yet");
            }
            sleep(PAUSE).await;
            continue;
        }
        if states.changed().await.is_err() {
            return;
        }
    }
}

/// Says where this node is. A leader that dials where it once was cannot make itself known, so a
/// node that hears of none asks every member there is; those that do not lead send it on.
async fn tell(inside: &Inside, state: &State, said: RequestId) -> Result<(), Error> {
    let change = Change::Update {
        member: inside.me(),
        address: inside.address.clone(),
        level: LEVEL,
    };
    if inside.leadership().leader.is_some() {
        let mut author = Author::new("start");
        author.request = said;
        let told = inside.agree(change, author, PATIENCE).await;
        return told.map(drop);
    }
    let command = Command {
        request: said,
        at_ms: unix_ms(),
        by: "start".to_owned(),
        change,
    };
    let mut last = Error::Timeout;
    for peer in others(inside, state) {
        match inside.peers.propose(&peer, &command, ASK).await {
            // its entry comes back through the log, once the leader dials the right address
            Ok(_) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Asks around while no leader is heard of: a node that was taken out while it was away is told so
/// by any member, and would otherwise wait for ever. Until the node stops.
pub(crate) async fn look_for_others(inside: Arc<Inside>) {
    loop {
        sleep(PAUSE).await;
        if inside.leadership().leader.is_some() {
            continue;
        }
        for peer in others(&inside, &inside.state()) {
            if let Err(error) = inside.peers.read_index(&peer, ASK).await {
                inside.heed(&error);
            }
        }
    }
}

fn others(inside: &Inside, state: &State) -> Vec<Peer> {
    let records = state.members().values();
    let others = records.filter(|record| record.member != inside.me());
    others
        .map(|record| Peer {
            name: record.name.clone(),
            address: record.address.clone(),
        })
        .collect()
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
