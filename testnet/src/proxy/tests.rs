use super::*;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

const SOON: Duration = Duration::from_secs(5);
const MOMENT: Duration = Duration::from_millis(150);

/// A server that says everything back, and a link to it.
async fn echo() -> anyhow::Result<(JoinSet<()>, Proxy)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let link = Proxy::open(listener.local_addr()?).await?;
    let mut server = JoinSet::new();
    server.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            connections.spawn(async move {
                let (mut reads, mut writes) = stream.split();
                let _ = tokio::io::copy(&mut reads, &mut writes).await;
            });
        }
    });
    Ok((server, link))
}

async fn ask(stream: &mut TcpStream, word: &[u8]) -> std::io::Result<Vec<u8>> {
    stream.write_all(word).await?;
    let mut heard = vec![0; word.len()];
    stream.read_exact(&mut heard).await?;
    Ok(heard)
}

#[tokio::test]
async fn a_cut_link_resets_what_is_open_and_what_is_new() -> anyhow::Result<()> {
    let (_server, link) = echo().await?;
    let mut stream = TcpStream::connect(link.address()).await?;
    assert_eq!(ask(&mut stream, b"one").await?, b"one");
    link.conduct(|conduct| conduct.cut = true);
    let mut word = [0; 1];
    let seen = timeout(SOON, stream.read(&mut word)).await?;
    assert_eq!(
        seen.err().map(|e| e.kind()),
        Some(std::io::ErrorKind::ConnectionReset)
    );
    let mut another = TcpStream::connect(link.address()).await?;
    assert!(timeout(SOON, ask(&mut another, b"two")).await?.is_err());
    Ok(())
}

#[tokio::test]
async fn a_stalled_lane_delivers_late_and_whole() -> anyhow::Result<()> {
    let (_server, link) = echo().await?;
    let mut stream = TcpStream::connect(link.address()).await?;
    assert_eq!(ask(&mut stream, b"one").await?, b"one");
    link.conduct(|conduct| conduct.back.stall());
    assert!(timeout(MOMENT, ask(&mut stream, b"two")).await.is_err());
    link.conduct(|conduct| *conduct = Conduct::default());
    let mut heard = [0; 3];
    timeout(SOON, stream.read_exact(&mut heard)).await??;
    assert_eq!(&heard, b"two");
    Ok(())
}

#[tokio::test]
async fn lost_bytes_are_never_delivered_and_the_stream_ends_with_a_reset() -> anyhow::Result<()> {
    let (_server, link) = echo().await?;
    let mut stream = TcpStream::connect(link.address()).await?;
    assert_eq!(ask(&mut stream, b"one").await?, b"one");
    link.conduct(|conduct| conduct.there.flow = Flow::Lost);
    assert!(timeout(MOMENT, ask(&mut stream, b"two")).await.is_err());
    link.conduct(|conduct| *conduct = Conduct::default());
    let mut word = [0; 1];
    let seen = timeout(SOON, stream.read(&mut word)).await?;
    assert!(!matches!(seen, Ok(1..)), "{seen:?}");
    Ok(())
}

#[tokio::test]
async fn a_delay_is_paid_once_however_many_pieces_are_under_way() -> anyhow::Result<()> {
    let (_server, link) = echo().await?;
    let mut stream = TcpStream::connect(link.address()).await?;
    link.conduct(|conduct| conduct.there.delay = MOMENT);
    let started = Instant::now();
    for _ in 0..10 {
        stream.write_all(b"x").await?;
        tokio::task::yield_now().await;
    }
    let mut heard = [0; 10];
    timeout(SOON, stream.read_exact(&mut heard)).await??;
    assert!(started.elapsed() >= MOMENT, "{:?}", started.elapsed());
    assert!(started.elapsed() < MOMENT * 5, "{:?}", started.elapsed());
    Ok(())
}
