//! A TCP proxy that misbehaves on order. The testnet puts one on each directed link between nodes.
//!
//! It works below the protocol: bytes are delayed, held, dropped or throttled in either direction,
//! or connections are reset. Nothing is ever reordered or altered, for TCP would not let that
//! through either.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use llm_router_testnet::proxy::{Conduct, Proxy};
//! let link = Proxy::open("127.0.0.1:7400".parse()?).await?;
//! link.conduct(|conduct| conduct.there.stall()); // the dialled side hears nothing any more
//! link.conduct(|conduct| *conduct = Conduct::default()); // and now it hears all of it, late
//! # Ok(())
//! # }
//! ```

mod lane;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Most connections through one link; a node opens a handful to each peer.
const MOST_CONNECTIONS: usize = 256;

/// How one link behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conduct {
    /// Connections are reset, those that exist and those to come.
    pub cut: bool,
    /// From the side that dialled.
    pub there: Lane,
    /// To the side that dialled.
    pub back: Lane,
}

impl Conduct {
    /// Both directions hold everything: a network that drops packets, to TCP.
    pub fn stall(&mut self) {
        self.there.stall();
        self.back.stall();
    }
}

/// One direction of one link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lane {
    /// What becomes of the bytes.
    pub flow: Flow,
    /// How long each byte takes.
    pub delay: Duration,
    /// How many pass in a second; all of them when `None`.
    pub bytes_per_second: Option<u32>,
}

impl Lane {
    /// Holds everything from now on.
    pub fn stall(&mut self) {
        self.flow = Flow::Stalled;
    }
}

/// What becomes of the bytes of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flow {
    /// They pass.
    #[default]
    Open,
    /// They wait, and pass once the lane opens again, as retransmitted packets do.
    Stalled,
    /// They vanish although their sender sees them taken: the peer behind a middlebox is gone. The
    /// connection is reset once the lane opens, for a hole in a stream cannot be mended.
    Lost,
}

/// One proxy. Dropping it closes its port and its connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    conduct: watch::Sender<Conduct>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Listens on a free loopback port and passes on to `target`, which need not listen yet.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn open(target: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("proxy")?;
        let address = listener.local_addr()?;
        let (conduct, orders) = watch::channel(Conduct::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, target, orders));
        Ok(Proxy {
            address,
            conduct,
            _tasks: tasks,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes how it behaves, at once, connections that exist included.
    pub fn conduct(&self, change: impl FnOnce(&mut Conduct)) {
        self.conduct.send_modify(change);
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, orders: watch::Receiver<Conduct>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < MOST_CONNECTIONS => {
                    connections.spawn(carry(stream, target, orders.clone()));
                }
                // One too many, or one that is gone already: both are closed by being dropped.
                Ok(_) | Err(_) => {}
            }
        }
    }
}

/// One connection, from its beginning to its end.
async fn carry(mut near: TcpStream, target: SocketAddr, mut orders: watch::Receiver<Conduct>) {
    let reachable = |conduct: &Conduct| {
        let open = |lane: Lane| lane.flow == Flow::Open;
        conduct.cut || (open(conduct.there) && open(conduct.back))
    };
    let cut = match orders.wait_for(reachable).await {
        Ok(conduct) => conduct.cut,
        Err(_) => return,
    };
    let far = match TcpStream::connect(target).await {
        Ok(far) if !cut => Some(far),
        Ok(_) | Err(_) => None,
    };
    let Some(mut far) = far else {
        reset(&near);
        return;
    };
    // A proxy that waits to fill packets would add delays of its own.
    let (_, _) = (near.set_nodelay(true), far.set_nodelay(true));
    let mut watched = orders.clone();
    let clean = {
        let (near_reads, near_writes) = near.split();
        let (far_reads, far_writes) = far.split();
        let there = lane::pump(near_reads, far_writes, orders.clone(), |all| all.there);
        let back = lane::pump(far_reads, near_writes, orders, |all| all.back);
        tokio::select! {
            ended = async { tokio::try_join!(there, back) } => ended.is_ok(),
            _ = watched.wait_for(|conduct| conduct.cut) => false,
        }
    };
    if !clean {
        reset(&near);
        reset(&far);
    }
}

/// Makes the close that follows a reset instead of an orderly end.
fn reset(stream: &TcpStream) {
    // A socket that is gone already cannot be told, and need not be.
    let _ = stream.set_zero_linger();
}

#[cfg(test)]
mod tests;
