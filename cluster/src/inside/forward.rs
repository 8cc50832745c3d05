//! Orders about members, carried to whoever leads.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::Inside;
use super::propose::no_quorum;
use super::tries::Tries;
use crate::error::Error;
use crate::handle::Order;

impl Inside {
    /// See [`crate::Handle::order`].
    pub(crate) async fn forward(&self, order: Order, patience: Duration) -> Result<(), Error> {
        let deadline = Instant::now() + patience;
        let mut tries = Tries::new(self, deadline);
        loop {
            let leader = self.leadership().leader;
            let asked = async {
                match &leader {
                    Some((member, _)) if *member == self.me() => {
                        self.carry_out(order.clone()).await
                    }
                    Some((_, peer)) => {
                        let left = deadline.saturating_duration_since(Instant::now());
                        self.peers.order(peer, &order, left).await
                    }
                    None => Err(no_quorum(false)),
                }
            };
            let answer = tokio::select! {
                answer = timeout_at(deadline, asked) => answer.unwrap_or(Err(Error::Timeout)),
                () = self.silence() => Err(no_quorum(true)),
            };
            let retry = matches!(
                answer,
                Err(Error::NoQuorum { .. } | Error::Unreachable { .. })
            );
            // removing the leader moves leadership first, so hope is counted from the last sight of it
            if self.is_connected() && leader.is_some() {
                tries.hope_anew();
            }
            if !retry || !tries.again().await {
                return answer;
            }
        }
    }
}
