//! The upstream on an address of its own, until it is told to end; its orders come over TCP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use llm_router::provider::demo::upstream::Upstream;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Connections that give orders at a time; one more is closed.
const MOST_CONNECTIONS: usize = 32;
/// Most bytes of orders over one connection.
const MOST_BYTES: u64 = 1 << 20;
/// How long an order may take.
const LIMIT: Duration = Duration::from_secs(5);

/// Where it listens, and how it begins.
#[derive(Clone, Debug, Args)]
pub struct Standing {
    /// Listen here until SIGTERM, instead of on a free port until stdin ends.
    #[arg(long, value_name = "ADDR", requires = "orders")]
    pub listen: Option<SocketAddr>,
    /// Take orders here.
    #[arg(long, value_name = "ADDR", requires = "listen")]
    pub orders: Option<SocketAddr>,
    /// Begin with this option of the demo models; repeat it for several.
    #[arg(long = "option", value_name = "NAME=VALUE", value_parser = option, requires = "listen")]
    pub options: Vec<(String, Value)>,
}

fn option(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE")?;
    // `status` is a number, `error_kind` a word
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    Ok((name.to_owned(), value))
}

/// Serves on `listen`, with orders on `orders`, until SIGTERM or SIGINT.
///
/// # Errors
/// An address cannot be bound, or an option is unknown.
pub(super) async fn stand(
    listen: SocketAddr,
    orders: SocketAddr,
    options: &[(String, Value)],
) -> anyhow::Result<()> {
    let upstream = Upstream::start(listen).await;
    let upstream = Arc::new(upstream.with_context(|| format!("listening on {listen}"))?);
    for (name, value) in options {
        upstream.set_option(name, value.clone())?;
    }
    let listener = TcpListener::bind(orders).await;
    let listener = listener.with_context(|| format!("listening on {orders}"))?;
    crate::say(&format!(
        "scripted upstream on {listen}, orders on {orders}"
    ));
    let mut tasks = JoinSet::new();
    tasks.spawn(accept(listener, upstream));
    // as a container's first process it would not be ended by a signal that it does not ask for
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tasks.shutdown().await;
    Ok(())
}

async fn accept(listener: TcpListener, upstream: Arc<Upstream>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < MOST_CONNECTIONS => {
                    let upstream = Arc::clone(&upstream);
                    connections.spawn(async move { converse(stream, &upstream).await });
                }
                Ok(_) => {}
                // out of descriptors, most likely: give connections time to end
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            },
        }
    }
}

async fn converse(mut stream: TcpStream, upstream: &Upstream) {
    let (read, write) = stream.split();
    let orders = BufReader::new(read.take(MOST_BYTES));
    // whoever gave the orders sees by the missing answer that the connection is gone
    let _ = super::take(upstream, orders, write).await;
}

/// Gives the upstream that takes orders at `address` one, and hands back its answer.
///
/// # Errors
/// It cannot be reached, or it refuses.
pub async fn give(address: SocketAddr, order: &str) -> anyhow::Result<Value> {
    let given = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(format!("{order}\n").as_bytes()).await?;
        let mut line = String::new();
        let mut answer = BufReader::new(stream.take(MOST_BYTES));
        answer.read_line(&mut line).await?;
        anyhow::Ok(line)
    };
    let line = timeout(LIMIT, given).await;
    let line = line.with_context(|| format!("{address} has not answered `{order}`"))??;
    let answer: Value = serde_json::from_str(&line).with_context(|| format!("{order}: {line}"))?;
    match answer["error"].as_str() {
        Some(error) => bail!("`{order}`: {error}"),
        None => Ok(answer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn orders_over_a_connection_are_obeyed_or_refused_in_words() {
        let address = "127.0.0.1:0".parse().unwrap();
        let upstream = Arc::new(Upstream::start(address).await.unwrap());
        let listener = TcpListener::bind(address).await.unwrap();
        let orders = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&upstream)));
        give(orders, "trouble status 503").await.unwrap();
        let ask = || {
            let client = crate::Client::new(&upstream.addr().to_string()).unwrap();
            async move { client.chat(&crate::chat("echo", "hi")).await.unwrap() }
        };
        assert_eq!(ask().await.status, 503);
        give(orders, "heal").await.unwrap();
        assert_eq!(ask().await.content(), "hi");
        let stats = give(orders, "stats").await.unwrap();
        assert_eq!(stats["requests"], 2);
        let headers = give(orders, "headers").await.unwrap();
        assert_eq!(headers, serde_json::json!({"traceparent": null}));
        let client = crate::Client::new(&upstream.addr().to_string()).unwrap();
        let traced = client
            .request(http::Method::POST, "/v1/chat/completions")
            .header("traceparent", "00-1-2-01")
            .json(&crate::chat("echo", "hi"));
        assert_eq!(traced.send().await.unwrap().status(), 200);
        let headers = give(orders, "headers").await.unwrap();
        assert_eq!(headers["traceparent"], "00-1-2-01");
        let refused = give(orders, "rain").await.unwrap_err().to_string();
        assert!(refused.contains("no such order"), "{refused}");
    }

    #[test]
    fn an_options_value_is_a_number_where_it_reads_as_one() {
        assert_eq!(
            option("fail_rate=0.2"),
            Ok(("fail_rate".into(), 0.2.into()))
        );
        assert_eq!(
            option("error_kind=cut"),
            Ok(("error_kind".into(), "cut".into()))
        );
        assert!(option("fail_rate").is_err());
    }
}
