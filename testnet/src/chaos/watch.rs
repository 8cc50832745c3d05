//! Looks at what each node holds of an agreed breaker.

use crate::check::breaker::Look;
use crate::client::Client;
use crate::cluster::breakers::agreed;
use crate::nemesis::Board;

/// One look, where the node was whole all the while. Two answers have to be the same: the figures of
/// one may be of two moments.
pub(super) async fn look(client: &Client, board: &Board, node: usize, model: &str) -> Option<Look> {
    let mark = board.mark(node);
    let first = agreed(client, model).await?;
    let (epoch, state) = agreed(client, model).await?;
    let sound = first == (epoch, state) && board.was_whole(mark);
    sound.then(|| Look {
        node,
        boot: board.boot(node),
        model: model.to_owned(),
        epoch,
        state: state.to_owned(),
    })
}
