//! Coordinators that talk over a link without a network.

mod stories;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::{Coordinator, Leadership, Link, Propose, Surroundings};
use crate::command::{BreakerChange, Change, Command, Outcome, RequestId};
use crate::error::Error;
use crate::handle::Heard;
use crate::identity::{BootId, MemberId, NodeId};
use crate::policy::Policy;
use crate::pulse::{Directive, Report};
use crate::raft::Peer;
use crate::start::Timing;
use crate::state::State;

/// Longer than anything here takes on a busy machine.
const LONG: Duration = Duration::from_secs(10);

/// What all nodes agree on, and what was proposed.
struct Agreed {
    state: Mutex<(State, u64)>,
    states: watch::Sender<Arc<State>>,
    proposed: mpsc::UnboundedSender<Vec<BreakerChange>>,
}

impl Agreed {
    fn apply(&self, change: Change) -> Outcome {
        let mut state = self.state.lock();
        state.1 += 1;
        let index = state.1;
        let command = Command {
            request: RequestId(index.into()),
            at_ms: 0,
            by: "leader".to_owned(),
            change,
        };
        let outcome = state.0.apply(index, &command);
        self.states.send_replace(Arc::new(state.0.clone()));
        outcome
    }
}

#[tonic::async_trait]
impl Propose for Agreed {
    async fn propose(&self, change: Change, _by: &str) -> Result<Outcome, Error> {
        if let Change::Breakers(changes) = &change {
            let _ = self.proposed.send(changes.clone());
        }
        Ok(self.apply(change))
    }
}

/// Reaches the nodes of the net by name, unless it is cut.
struct Wires {
    from: MemberId,
    doors: Mutex<BTreeMap<NodeId, Coordinator>>,
    cut: watch::Sender<bool>,
}

#[tonic::async_trait]
impl Link for Wires {
    async fn exchange(
        &self,
        peer: &Peer,
        reports: BoxStream<'static, Report>,
    ) -> Result<BoxStream<'static, Result<Directive, Error>>, Error> {
        let mut cut = self.cut.subscribe();
        if *cut.borrow_and_update() {
            return Err(Error::Unreachable {
                peer: peer.name.to_string(),
                reason: "cut".to_owned(),
            });
        }
        let door = self.doors.lock().get(&peer.name).cloned();
        let door = door.ok_or(Error::Stopped)?;
        let said = door.accept(self.from, reports)?;
        let cut = async move {
            let _ = cut.changed().await;
        };
        Ok(said.map(Ok).take_until(Box::pin(cut)).boxed())
    }
}

struct Node {
    coordinator: Coordinator,
    leading: watch::Sender<Leadership>,
    wires: Arc<Wires>,
}

/// Some nodes, of which nobody leads yet.
struct Net {
    nodes: Vec<Node>,
    agreed: Arc<Agreed>,
    proposals: mpsc::UnboundedReceiver<Vec<BreakerChange>>,
    policy: watch::Sender<Arc<Policy>>,
}

fn name(number: u64) -> NodeId {
    NodeId::parse(&format!("n{number}")).expect("a name")
}

impl Net {
    fn new(count: u64) -> Self {
        let (proposed, proposals) = mpsc::unbounded_channel();
        let agreed = Arc::new(Agreed {
            state: Mutex::default(),
            states: watch::Sender::default(),
            proposed,
        });
        agreed.apply(Change::Begin {
            cluster: "test".to_owned(),
            name: name(1),
            address: "n1:1".to_owned(),
            level: 1,
        });
        for number in 2..=count {
            agreed.apply(Change::Admit {
                name: name(number),
                address: format!("n{number}:1"),
                level: 1,
            });
        }
        let policy = watch::Sender::default();
        let nodes = (1..=count).map(|number| Node::start(number, &agreed, &policy));
        let nodes: Vec<_> = nodes.collect();
        for node in &nodes {
            let mut doors = node.wires.doors.lock();
            for other in &nodes {
                let number = other.coordinator.board.me.0;
                doors.insert(name(number), other.coordinator.clone());
            }
        }
        Net {
            nodes,
            agreed,
            proposals,
            policy,
        }
    }

    fn node(&self, number: usize) -> &Node {
        &self.nodes[number - 1]
    }

    /// One node leads, and those that are not cut off know it.
    fn lead(&self, leader: u64, term: u64) {
        for (number, node) in (1..).zip(&self.nodes) {
            if !*node.wires.cut.borrow() {
                node.leading.send_replace(leadership(leader, term, number));
            }
        }
    }

    async fn proposal(&mut self) -> Vec<BreakerChange> {
        let proposal = timeout(LONG, self.proposals.recv()).await;
        proposal.expect("a proposal in time").expect("a proposal")
    }
}

fn leadership(leader: u64, term: u64, of: u64) -> Leadership {
    let peer = Peer {
        name: name(leader),
        address: format!("n{leader}:1"),
    };
    Leadership {
        term,
        leader: Some((MemberId(leader), peer)),
        leading: leader == of,
    }
}

impl Node {
    fn start(number: u64, agreed: &Arc<Agreed>, policy: &watch::Sender<Arc<Policy>>) -> Self {
        let wires = Arc::new(Wires {
            from: MemberId(number),
            doors: Mutex::default(),
            cut: watch::Sender::new(false),
        });
        let leading = watch::Sender::default();
        let coordinator = Coordinator::start(Surroundings {
            me: MemberId(number),
            node: name(number),
            boot: BootId(number),
            states: agreed.states.subscribe(),
            leading: leading.subscribe(),
            policy: policy.subscribe(),
            timing: Timing::default(),
            propose: Arc::clone(agreed) as Arc<dyn Propose>,
            link: Arc::clone(&wires) as Arc<dyn Link>,
        });
        Node {
            coordinator,
            leading,
            wires,
        }
    }

    /// What the leader says, once it is this.
    async fn hears(&self, so: impl Fn(&Directive) -> bool) -> Arc<Heard> {
        let mut heard = self.coordinator.heard();
        let so = |heard: &Arc<Heard>| heard.at.is_some() && so(&heard.directive);
        let heard = timeout(LONG, heard.wait_for(so)).await;
        heard
            .expect("such a directive in time")
            .expect("a directive")
            .clone()
    }

    /// How often the leader is heard in this time.
    async fn hears_in(&self, time: Duration) -> usize {
        let mut heard = self.coordinator.heard();
        heard.mark_unchanged();
        let mut count = 0;
        let _ = timeout(time, async {
            while heard.changed().await.is_ok() {
                count += 1;
            }
        })
        .await;
        count
    }
}
