//! `status` and `top`: what the nodes do, as a table, once or again and again.

use std::io::IsTerminal as _;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::engine::Engine;
use super::figures::{self, Figures};
use super::plan::{COLLECTOR, Plan, UPSTREAMS};
use crate::client::Client;
use crate::orders;
use crate::report::tell;
use crate::table::Table;

/// Clears the screen and goes to its beginning.
const CLEAR: &str = "\u{1b}[2J\u{1b}[H";

/// Every container once. Whether all nodes are ready.
pub(super) async fn status(engine: &Engine, plan: &Plan) -> anyhow::Result<bool> {
    let figures = figures::all(engine, plan).await;
    let mut table = Table::new(&[
        "node",
        "container",
        "ready",
        "role",
        "leader",
        "revision",
        "requests",
        "failures",
        "hits",
        "API",
    ]);
    for (id, figures) in plan.ids().zip(&figures) {
        let told = |name: &str| shown(&figures.cluster[name]);
        table.row(vec![
            format!("n{id}"),
            figures.container.clone(),
            if figures.ready { "yes" } else { "no" }.to_owned(),
            figures.role(id),
            told("leader"),
            told("in_service"),
            shown(&figures.stats["total_requests"]),
            shown(&figures.stats["failures"]),
            shown(&figures.stats["cache_hits"]),
            plan.http(id),
        ]);
    }
    tell(&table.to_string())?;
    tell(&upstreams(engine, plan).await.to_string())?;
    tell(&traces(engine, plan).await)?;
    Ok(figures.iter().all(|figures| figures.ready))
}

async fn upstreams(engine: &Engine, plan: &Plan) -> Table {
    let mut table = Table::new(&["upstream", "container", "requests", "aborted", "in flight"]);
    for name in UPSTREAMS {
        let state = engine.field(&plan.container(name), ".State.Status").await;
        let said = match plan.orders(name) {
            Some(address) => orders::give(address, "stats").await.unwrap_or_default(),
            None => Value::Null,
        };
        table.row(vec![
            name.to_owned(),
            state.unwrap_or_else(|| "none".to_owned()),
            shown(&said["requests"]),
            shown(&said["aborted"]),
            shown(&said["in_flight"]),
        ]);
    }
    table
}

/// What takes the nodes' spans.
async fn traces(engine: &Engine, plan: &Plan) -> String {
    let Some(at) = plan.collector() else {
        return match &plan.otlp {
            Some(url) => format!("traces are told to {url}"),
            None => "nothing is traced".to_owned(),
        };
    };
    let container = plan.container(COLLECTOR);
    let state = engine.field(&container, ".State.Status").await;
    let said = match Client::new(&at.to_string()) {
        Ok(client) => figures::get(&client, "/health").await.unwrap_or_default(),
        Err(_) => Value::Null,
    };
    let mut table = Table::new(&["traces", "container", "kept", "spans", "let go", "API"]);
    table.row(vec![
        COLLECTOR.to_owned(),
        state.unwrap_or_else(|| "none".to_owned()),
        shown(&said["traces"]),
        shown(&said["spans"]),
        shown(&said["evicted"]),
        format!("{at}/traces"),
    ]);
    table.to_string()
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// The nodes' figures every `pause`, until interrupted or `rounds` tables were shown.
pub(super) async fn top(
    engine: &Engine,
    plan: &Plan,
    (pause, rounds): (Duration, Option<u64>),
) -> anyhow::Result<()> {
    let clears = std::io::stdout().is_terminal();
    let mut clock = interval(pause.max(Duration::from_millis(200)));
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    clock.tick().await;
    let mut before = (Instant::now(), figures::all(engine, plan).await);
    let mut shown = 0;
    while rounds.is_none_or(|rounds| shown < rounds) {
        clock.tick().await;
        let now = (Instant::now(), figures::all(engine, plan).await);
        let table = compared(&before, &now);
        match clears {
            true => tell(&format!(
                "{CLEAR}{}, every {pause:?}\n\n{table}",
                plan.project
            ))?,
            false => tell(&table.to_string())?,
        }
        before = now;
        shown += 1;
    }
    Ok(())
}

type Seen = (Instant, Vec<Figures>);

/// What happened between two looks.
fn compared(before: &Seen, now: &Seen) -> Table {
    let mut table = Table::new(&[
        "node",
        "role",
        "req/s",
        "failed/s",
        "hits/s",
        "in flight",
        "p50 ms",
        "p99 ms",
        "CPU %",
        "up s",
    ]);
    let seconds = (now.0 - before.0).as_secs_f64().max(0.001);
    for (at, (old, new)) in before.1.iter().zip(&now.1).enumerate() {
        let answers = !new.stats.is_null();
        let per_second = |name: &str| {
            // a node that was started again counts from nothing
            let since = new.count(name).saturating_sub(old.count(name));
            #[expect(clippy::cast_precision_loss, reason = "requests of one look")]
            let rate = since as f64 / seconds;
            if answers && !old.stats.is_null() {
                format!("{rate:.0}")
            } else {
                "-".to_owned()
            }
        };
        let millis = |name: &str| match new.stats["latency_ms"][name].as_f64() {
            Some(millis) => format!("{millis:.1}"),
            None => "-".to_owned(),
        };
        let cpu = match (old.cpu_seconds, new.cpu_seconds) {
            (Some(old), Some(new)) if new >= old => format!("{:.0}", (new - old) / seconds * 100.0),
            _ => "-".to_owned(),
        };
        let role = if answers {
            new.role(at + 1)
        } else {
            new.container.clone()
        };
        table.row(vec![
            format!("n{}", at + 1),
            role,
            per_second("total_requests"),
            per_second("failures"),
            per_second("cache_hits"),
            shown(&new.stats["in_flight"]),
            millis("p50"),
            millis("p99"),
            cpu,
            shown(&new.stats["uptime_seconds"]),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seen(at: Instant, requests: Option<u64>, cpu: f64) -> Seen {
        let stats = requests.map(|requests| {
            json!({"total_requests": requests, "failures": 0, "latency_ms": {"p50": 1.0, "p99": 2.0}})
        });
        let figures = Figures {
            container: "paused".to_owned(),
            stats: stats.unwrap_or_default(),
            cpu_seconds: Some(cpu),
            ..Figures::default()
        };
        (at, vec![figures])
    }

    #[test]
    fn a_look_shows_what_happened_since_the_last() {
        let start = Instant::now();
        let later = start + Duration::from_secs(2);
        let table =
            compared(&seen(start, Some(100), 1.0), &seen(later, Some(300), 2.0)).to_string();
        let row: Vec<&str> = table.lines().nth(2).unwrap().split_whitespace().collect();
        assert_eq!(row[2], "100", "{table}");
        assert_eq!(row[8], "50", "{table}");
    }

    #[test]
    fn a_node_that_does_not_answer_shows_how_its_container_is() {
        let start = Instant::now();
        let later = start + Duration::from_secs(1);
        let table = compared(&seen(start, Some(100), 1.0), &seen(later, None, 1.0)).to_string();
        let row: Vec<&str> = table.lines().nth(2).unwrap().split_whitespace().collect();
        assert_eq!((row[1], row[2]), ("paused", "-"), "{table}");
    }
}
