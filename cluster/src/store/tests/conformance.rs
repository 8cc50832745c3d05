//! openraft's own suite, on this store.

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};

use super::Node;
use crate::identity::NodeId;
use crate::raft::{Peer, TypeConfig};
use crate::store::{Log, Machine};

/// The suite makes up members of its own.
impl Default for Peer {
    fn default() -> Self {
        Peer {
            name: NodeId::parse("suite").unwrap(),
            address: "127.0.0.1:1".to_owned(),
        }
    }
}

struct Stores;

impl StoreBuilder<TypeConfig, Log, Machine, Node> for Stores {
    async fn build(&self) -> Result<(Node, Log, Machine), StorageError<TypeConfig>> {
        let node = Node::new();
        let store = node.open();
        Ok((node, store.log(), store.machine()))
    }
}

#[tokio::test]
async fn openraft_takes_it_for_a_store() {
    Suite::test_all(Stores).await.unwrap();
}
