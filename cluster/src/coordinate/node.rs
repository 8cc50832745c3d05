//! The node part: keeps one exchange with whoever leads, this node included.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;

use super::board::Board;
use super::{Leadership, Link, Propose};
use crate::error::Error;
use crate::pulse::{Directive, Report};
use crate::raft::Peer;

/// Between two tries to reach the same leader.
const BACK_OFF: Duration = Duration::from_millis(100);
/// An exchange is opened within this, and brings a directive at least as often: five that did not
/// come mean that nothing comes this way any more.
const SILENCE: Duration = Duration::from_secs(1);
/// Reports that wait to be written. The next one says everything again, so there is no use in more.
const MAX_UNSENT: usize = 2;

/// Runs for as long as the coordinator.
pub(super) async fn run(
    board: Arc<Board>,
    mut leading: watch::Receiver<Leadership>,
    (home, link): (Arc<dyn Propose>, Arc<dyn Link>),
) {
    loop {
        let leadership = leading.borrow_and_update().clone();
        let follow = async {
            match &leadership.leader {
                _ if leadership.leading => tell_myself(&board, &*home).await,
                Some((member, peer)) if *member != board.me => {
                    follow(&board, peer, (&*home, &*link)).await;
                }
                Some(_) | None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = leading.wait_for(|now| *now != leadership) => if changed.is_err() {
                return;
            },
            () = follow => {}
        }
    }
}

/// This node leads: its reports go to its own leader part.
async fn tell_myself(board: &Board, home: &dyn Propose) {
    board.begin_stream();
    loop {
        wait_for_report(board).await;
        let report = board.next_report(home.full());
        if board.inbox.send((board.me, report)).await.is_err() {
            return;
        }
    }
}

/// Another node leads: one exchange after the other.
async fn follow(board: &Board, peer: &Peer, ways: (&dyn Propose, &dyn Link)) {
    loop {
        if let Err(error) = exchange(board, peer, ways).await {
            tracing::debug!(leader = %peer, error = %error, "no exchange with the leader");
            ways.0.heed(&error);
        }
        sleep(BACK_OFF).await;
    }
}

/// One exchange, until it ends.
async fn exchange(
    board: &Board,
    peer: &Peer,
    (home, link): (&dyn Propose, &dyn Link),
) -> Result<(), Error> {
    let (reports, waiting) = mpsc::channel(MAX_UNSENT);
    let waiting = ReceiverStream::new(waiting).boxed();
    // the first report goes with the call: some transports answer only once there is one
    board.begin_stream();
    let _ = reports.try_send(board.next_report(home.full()));
    let opened = timeout(SILENCE, link.exchange(peer, waiting)).await;
    let mut directives = opened.map_err(|_| Error::Timeout)??;
    tokio::select! {
        end = listen(board, home, &mut directives) => end,
        () = send(board, home, &reports) => Ok(()),
    }
}

async fn listen(
    board: &Board,
    home: &dyn Propose,
    directives: &mut BoxStream<'static, Result<Directive, Error>>,
) -> Result<(), Error> {
    loop {
        let next = timeout(SILENCE, directives.next()).await;
        match next.map_err(|_| Error::Timeout)? {
            Some(directive) => board.hear(directive?, home.progress().applied),
            None => return Ok(()),
        }
    }
}

/// Sends what is due until nobody takes it any more.
async fn send(board: &Board, home: &dyn Propose, reports: &mpsc::Sender<Report>) {
    loop {
        wait_for_report(board).await;
        let Ok(place) = reports.reserve().await else {
            return;
        };
        place.send(board.next_report(home.full()));
    }
}

/// Until a report is due; news may bring it forward.
async fn wait_for_report(board: &Board) {
    loop {
        let due = sleep_until(board.due()).fuse();
        tokio::select! {
            () = due => return,
            () = board.wake.notified() => {}
        }
    }
}
