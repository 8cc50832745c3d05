//! Direct, through nginx, through the node: the same requests against the same upstream, in turns.

use std::time::Duration;

use llm_router_testnet::Node;

use crate::client::{Question, drive};
use crate::nginx::Nginx;
use crate::series::Series;
use crate::upstream::Upstream;
use llm_router_testnet::table::Table;

struct Side {
    name: &'static str,
    address: String,
}

/// Measures every scenario and prints one table each.
///
/// # Errors
/// When a process does not start.
pub(crate) async fn run(seconds: Duration, turns: u32) -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    let node = Node::start(&node_config(&upstream.address)).await?;
    let nginx = Nginx::start(&upstream.address).await?;
    let mut sides = vec![Side {
        name: "direct",
        address: upstream.address.clone(),
    }];
    match &nginx {
        Some(nginx) => sides.push(Side {
            name: "nginx",
            address: nginx.address.clone(),
        }),
        None => println!("nginx is not installed: its rows are left out"),
    }
    sides.push(Side {
        name: "llm-router",
        address: node.http_address().to_owned(),
    });

    for stream in [false, true] {
        for clients in [1, 16] {
            let kind = if stream {
                "streamed, 16 pieces"
            } else {
                "whole answers"
            };
            println!("\n{kind}, {clients} at once, cache off");
            let question = Question::chat(stream);
            let series = in_turns(&sides, clients, seconds / turns, turns, &question).await?;
            println!("{}", report(&sides, &series, stream));
        }
    }
    Ok(())
}

/// Configuration of a node in front of `upstream`, with room for every client of this bench.
pub(crate) fn node_config(upstream: &str) -> String {
    format!(
        "models:\n  bench: {{ provider: openai, model: bench, base_url: \"http://{upstream}/v1\", \
         max_concurrency: 1000, max_queue_depth: 1000 }}\n"
    )
}

/// Lets the sides take turns, forwards and backwards, so that drift hits all alike.
async fn in_turns(
    sides: &[Side],
    clients: usize,
    turn: Duration,
    turns: u32,
    question: &Question,
) -> anyhow::Result<Vec<Series>> {
    let mut all = Vec::new();
    for side in sides {
        drive(&side.address, clients, turn / 4, question).await?;
        all.push(Series::new()?);
    }
    for number in 0..turns {
        let mut order: Vec<usize> = (0..sides.len()).collect();
        if number % 2 == 1 {
            order.reverse();
        }
        for index in order {
            let seen = drive(&sides[index].address, clients, turn, question).await?;
            all[index].absorb(&seen)?;
            all[index].spent += turn;
        }
    }
    Ok(all)
}

fn report(sides: &[Side], series: &[Series], stream: bool) -> Table {
    let mut head = vec![
        "",
        "p50 us",
        "p99 us",
        "added p50",
        "added p99",
        "req/s",
        "of direct",
        "errors",
    ];
    if stream {
        head.extend(["first byte p50", "p99"]);
    }
    let mut table = Table::new(&head);
    let direct = &series[0];
    for (side, seen) in sides.iter().zip(series) {
        let added = |percentile| {
            if side.name == "direct" {
                String::new()
            } else {
                format!(
                    "{:.0}",
                    seen.total_us(percentile) - direct.total_us(percentile)
                )
            }
        };
        let mut row = vec![
            side.name.to_owned(),
            format!("{:.0}", seen.total_us(50.0)),
            format!("{:.0}", seen.total_us(99.0)),
            added(50.0),
            added(99.0),
            format!("{:.0}", seen.rate()),
            format!("{:.2}", seen.rate() / direct.rate()),
            seen.errors.to_string(),
        ];
        if stream {
            row.push(format!("{:.0}", seen.first_byte_us(50.0)));
            row.push(format!("{:.0}", seen.first_byte_us(99.0)));
        }
        table.row(row);
    }
    table
}
