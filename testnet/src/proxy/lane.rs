//! One direction of one connection.

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Duration, Instant, sleep, sleep_until};

use super::{Conduct, Flow, Lane};

/// Bytes read at a time.
const PIECE: usize = 16 << 10;
/// Pieces on their way at a time: a mebibyte, far more than a link of 500 ms needs here.
const MOST_PIECES: usize = 64;

/// The connection must be reset.
#[derive(Debug)]
pub(super) struct Broken;

/// Bytes and when they arrive.
type Piece = (Instant, Bytes);

/// Carries bytes until the end of the stream, which it passes on.
///
/// # Errors
/// [`Broken`] when either side is gone, or bytes were lost and the lane is open again.
pub(super) async fn pump(
    reads: ReadHalf<'_>,
    writes: WriteHalf<'_>,
    orders: watch::Receiver<Conduct>,
    pick: fn(&Conduct) -> Lane,
) -> Result<(), Broken> {
    let (sender, receiver) = mpsc::channel(MOST_PIECES);
    let taking = take(reads, sender, orders.clone(), pick);
    let giving = give(writes, receiver, orders, pick);
    tokio::try_join!(taking, giving).map(|_| ())
}

async fn take(
    mut reads: ReadHalf<'_>,
    sender: mpsc::Sender<Piece>,
    mut orders: watch::Receiver<Conduct>,
    pick: fn(&Conduct) -> Lane,
) -> Result<(), Broken> {
    loop {
        let mut piece = BytesMut::with_capacity(PIECE);
        let read = reads.read_buf(&mut piece).await;
        let lane = pick(&orders.borrow());
        match read {
            Ok(0) => return Ok(()),
            Ok(_) if lane.flow == Flow::Lost => return lose(reads, orders, pick).await,
            Ok(_) => {
                let due = Instant::now() + lane.delay;
                sender
                    .send((due, piece.freeze()))
                    .await
                    .map_err(|_| Broken)?;
            }
            Err(_) => {
                // Nobody hears of a reset through a lane that holds everything.
                settled(&mut orders, pick).await?;
                return Err(Broken);
            }
        }
    }
}

/// Reads on into nothing until the lane opens.
async fn lose(
    mut reads: ReadHalf<'_>,
    mut orders: watch::Receiver<Conduct>,
    pick: fn(&Conduct) -> Lane,
) -> Result<(), Broken> {
    let drain = async {
        let mut sink = vec![0; PIECE];
        while reads.read(&mut sink).await.is_ok_and(|read| read > 0) {}
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = drain => {}
        _ = orders.wait_for(|conduct| pick(conduct).flow == Flow::Open) => {}
    }
    Err(Broken)
}

async fn give(
    mut writes: WriteHalf<'_>,
    mut receiver: mpsc::Receiver<Piece>,
    mut orders: watch::Receiver<Conduct>,
    pick: fn(&Conduct) -> Lane,
) -> Result<(), Broken> {
    while let Some((due, piece)) = receiver.recv().await {
        sleep_until(due).await;
        let lane = settled(&mut orders, pick).await?;
        if lane.flow == Flow::Lost {
            orders
                .wait_for(|conduct| pick(conduct).flow == Flow::Open)
                .await
                .map_err(|_| Broken)?;
            return Err(Broken);
        }
        if let Some(rate) = lane.bytes_per_second {
            sleep(time_for(piece.len(), rate)).await;
        }
        writes.write_all(&piece).await.map_err(|_| Broken)?;
    }
    settled(&mut orders, pick).await?;
    writes.shutdown().await.map_err(|_| Broken)
}

/// Waits while the lane holds everything.
async fn settled(
    orders: &mut watch::Receiver<Conduct>,
    pick: fn(&Conduct) -> Lane,
) -> Result<Lane, Broken> {
    orders
        .wait_for(|conduct| pick(conduct).flow != Flow::Stalled)
        .await
        .map(|conduct| pick(&conduct))
        .map_err(|_| Broken)
}

fn time_for(bytes: usize, rate: u32) -> Duration {
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    Duration::from_secs(1) * bytes / rate.max(1)
}
