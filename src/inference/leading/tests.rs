//! One upstream call for many readers, whoever of them leaves, fails or dawdles.

mod scripted;

use std::time::Duration;

use futures::StreamExt;

use super::*;
use crate::cache::Purge;
use crate::inference::{CacheStatus, Engine};
use scripted::{Script, Upstream, asking, engine, engine_that, engine_trying, eventually};

const ALL: &str = "one two three";

/// What a client got: text, and the error its stream ended in.
async fn read(reply: Reply) -> (String, Option<Error>) {
    let mut chunks = match reply.body {
        ReplyBody::Complete(whole) => return (whole.tap.text, None),
        ReplyBody::Stream(chunks) => chunks,
    };
    let mut text = String::new();
    while let Some(chunk) = chunks.next().await {
        match chunk {
            Ok(chunk) => text.push_str(&chunk.tap.text),
            Err(error) => return (text, Some(error)),
        }
    }
    (text, None)
}

type Asking = tokio::task::JoinHandle<Result<Reply, Error>>;

/// Asks in a task of its own; aborting it is a client that leaves.
fn ask(engine: &Engine, stream: bool) -> Asking {
    let engine = engine.clone();
    tokio::runtime::Handle::current().spawn(async move { engine.chat(asking(stream)).await })
}

async fn begun(asking: Asking) -> Reply {
    let reply = tokio::time::timeout(Duration::from_secs(10), asking).await;
    reply.unwrap().unwrap().unwrap()
}

/// Waits until so many requests are attached or wait to be.
async fn joined(engine: &Engine, upstream: &Upstream, count: u64) {
    eventually(|| upstream.asked() >= 1 && engine.stats().in_flight == count).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
}

/// Dollars in the books of all callers: a whole answer costs 0.02.
fn cost(engine: &Engine) -> f64 {
    let text = engine.metrics().render().unwrap();
    let lines = text
        .lines()
        .filter(|line| line.starts_with("llm_router_cost_total{"));
    lines
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

fn costs_one_answer(engine: &Engine) {
    let cost = cost(engine);
    assert!((cost - 0.02).abs() < 1e-9, "{cost}");
}

#[tokio::test]
async fn fifty_at_once_stream_and_whole_mixed_make_one_call_and_one_bill() {
    for leads_stream in [true, false] {
        let upstream = Upstream::new(Script::Text);
        let engine = engine(&upstream).await;
        let first = ask(&engine, leads_stream);
        eventually(|| upstream.asked() == 1).await;
        let others: Vec<_> = (0..49).map(|at| ask(&engine, at % 2 == 0)).collect();
        joined(&engine, &upstream, 50).await;
        upstream.go_on(100);
        let first = begun(first).await;
        assert_eq!(first.meta.cache, CacheStatus::Miss);
        assert_eq!(read(first).await.0, ALL);
        for other in others {
            let reply = begun(other).await;
            let meta = &reply.meta;
            assert_eq!((meta.cache, meta.attempts), (CacheStatus::Exact, 0));
            assert_eq!((meta.model.as_str(), meta.cost_usd), ("a", Some(0.0)));
            let (text, error) = read(reply).await;
            assert!(text == ALL && error.is_none());
        }
        assert_eq!(upstream.asked(), 1);
        let stats = engine.stats();
        assert_eq!(
            (stats.total_requests, stats.successes, stats.cache_hits),
            (50, 50, 49)
        );
        assert_eq!(engine.cache().stats().single_flight_shared, 49);
        costs_one_answer(&engine);
        engine.stop().await;
    }
}

#[tokio::test]
async fn who_attaches_reads_along_live_from_the_beginning() {
    let upstream = Upstream::new(Script::Text);
    let engine = engine(&upstream).await;
    let leader = ask(&engine, true);
    eventually(|| upstream.asked() == 1).await;
    upstream.go_on(2); // the role and the first word
    let _leader = begun(leader).await;
    let attached = begun(ask(&engine, true)).await;
    let ReplyBody::Stream(mut chunks) = attached.body else {
        panic!("a stream")
    };
    let mut text = String::new();
    while text.is_empty() {
        text.push_str(&chunks.next().await.unwrap().unwrap().tap.text);
    }
    assert_eq!((text.as_str(), upstream.running()), ("one ", 1));
    engine.stop().await;
}

/// Where the leader's client leaves.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    BeforeAnything,
    MidStream,
    Whole,
}

#[tokio::test]
async fn the_others_get_everything_when_the_leaders_client_leaves_and_it_is_paid_once() {
    for phase in [Phase::BeforeAnything, Phase::MidStream, Phase::Whole] {
        let upstream = Upstream::new(Script::Text);
        let engine = engine(&upstream).await;
        let leader = ask(&engine, phase != Phase::Whole);
        eventually(|| upstream.asked() == 1).await;
        let others = [ask(&engine, true), ask(&engine, false)];
        joined(&engine, &upstream, 3).await;
        if phase == Phase::MidStream {
            upstream.go_on(2);
            drop(begun(leader).await);
        } else {
            leader.abort();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(upstream.running(), 1, "{phase:?}");
        upstream.go_on(100);
        for other in others {
            let (text, error) = read(begun(other).await).await;
            assert!(
                text == ALL && error.is_none(),
                "{phase:?}: {text} {error:?}"
            );
        }
        eventually(|| engine.stats().total_requests == 3).await;
        let stats = engine.stats();
        assert_eq!(
            (upstream.asked(), stats.cache_hits, stats.successes),
            (1, 2, 2)
        );
        assert_eq!((upstream.running(), stats.in_flight), (0, 0));
        costs_one_answer(&engine);
        engine.stop().await;
    }
}

#[tokio::test]
async fn the_last_reader_takes_the_upstream_with_it() {
    let upstream = Upstream::new(Script::Text);
    let engine = engine(&upstream).await;
    let leader = ask(&engine, true);
    eventually(|| upstream.asked() == 1).await;
    let others = [ask(&engine, true), ask(&engine, false)];
    joined(&engine, &upstream, 3).await;
    upstream.go_on(2);
    drop(begun(leader).await);
    let [streaming, whole] = others;
    drop(begun(streaming).await);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(upstream.running(), 1);
    whole.abort();
    eventually(|| upstream.running() == 0 && engine.stats().total_requests == 3).await;
    assert_eq!((engine.stats().successes, upstream.asked()), (0, 1));
    // and whoever comes now starts anew
    let next = ask(&engine, false);
    upstream.go_on(100);
    assert_eq!(begun(next).await.meta.cache, CacheStatus::Miss);
    engine.stop().await;
}

#[tokio::test]
async fn a_leader_that_fails_before_anything_came_is_followed_by_one_other_and_no_stampede() {
    let upstream = Upstream::new(Script::Text);
    upstream.fail_first(2);
    let engine = engine(&upstream).await;
    let asking: Vec<_> = (0..20).map(|at| ask(&engine, at % 2 == 0)).collect();
    joined(&engine, &upstream, 20).await;
    upstream.go_on(100);
    let mut failed = 0;
    for one in asking {
        match one.await.unwrap() {
            Ok(reply) => assert_eq!(read(reply).await.0, ALL),
            Err(error) => {
                assert_eq!(error.kind, Kind::UpstreamFailed);
                failed += 1;
            }
        }
    }
    assert_eq!((failed, upstream.asked(), upstream.most()), (2, 3, 1));
    costs_one_answer(&engine);
    engine.stop().await;
}

#[tokio::test]
async fn an_answer_that_is_carried_on_reaches_everybody_whole_and_is_not_kept() {
    let upstream = Upstream::new(Script::Cut);
    let engine = engine_trying(&upstream, "auto", 2).await;
    let leader = ask(&engine, true);
    eventually(|| upstream.asked() == 1).await;
    let streaming = ask(&engine, true);
    joined(&engine, &upstream, 2).await;
    upstream.script(Script::Text);
    upstream.go_on(100);
    let (led, attached) = (begun(leader).await, begun(streaming).await);
    let ((one, why), (other, same)) = tokio::join!(read(led), read(attached));
    assert_eq!((one.as_str(), other.as_str()), (ALL, ALL));
    assert!(why.is_none() && same.is_none());
    assert_eq!((upstream.asked(), engine.cache().stats().inserts), (2, 0));
    eventually(|| engine.stats().in_flight == 0).await;
    assert_eq!(
        begun(ask(&engine, true)).await.meta.cache,
        CacheStatus::Miss
    );
    engine.stop().await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_ends_every_stream_in_the_same_error_and_is_never_whole() {
    let upstream = Upstream::new(Script::Cut);
    let engine = engine_that(&upstream, "off").await;
    let leader = ask(&engine, true);
    eventually(|| upstream.asked() == 1).await;
    let (streaming, whole) = (ask(&engine, true), ask(&engine, false));
    joined(&engine, &upstream, 3).await;
    upstream.script(Script::Text);
    upstream.go_on(100);
    let (led, attached) = (begun(leader).await, begun(streaming).await);
    let ((one, why), (other, same)) = tokio::join!(read(led), read(attached));
    assert_eq!((one.as_str(), other.as_str()), ("one ", "one "));
    let (why, same) = (why.unwrap(), same.unwrap());
    assert_eq!((why.kind, &why.message), (same.kind, &same.message));
    let whole = begun(whole).await;
    assert_eq!(whole.meta.cache, CacheStatus::Miss);
    assert_eq!((read(whole).await.0.as_str(), upstream.asked()), (ALL, 2));
    let stats = engine.stats();
    assert_eq!(
        (stats.total_requests, stats.failures, stats.cache_hits),
        (3, 2, 0)
    );
    engine.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_up_nobody() {
    let upstream = Upstream::new(Script::Text);
    let engine = engine(&upstream).await;
    let leader = ask(&engine, true);
    eventually(|| upstream.asked() == 1).await;
    let (idle, quick) = (ask(&engine, true), ask(&engine, false));
    joined(&engine, &upstream, 3).await;
    upstream.go_on(100);
    let (leader, idle) = (begun(leader).await, begun(idle).await);
    assert_eq!(read(begun(quick).await).await.0, ALL);
    assert_eq!(upstream.running(), 0);
    // the answer is in the cache, and both read on at their own pace
    assert_eq!(
        begun(ask(&engine, false)).await.meta.cache,
        CacheStatus::Exact
    );
    assert_eq!(
        (read(leader).await.0, read(idle).await.0),
        (ALL.to_owned(), ALL.to_owned())
    );
    engine.stop().await;
}

#[tokio::test]
async fn tool_calls_reach_streams_as_they_came_and_those_who_want_the_whole_ask_for_themselves() {
    let upstream = Upstream::new(Script::Tools);
    let engine = engine(&upstream).await;
    let leader = ask(&engine, true);
    eventually(|| upstream.asked() == 1).await;
    let mut with_usage = asking(true);
    with_usage.include_usage = true;
    let counting = engine.clone();
    let counting =
        tokio::runtime::Handle::current().spawn(async move { counting.chat(with_usage).await });
    let (streaming, whole) = (ask(&engine, true), ask(&engine, false));
    joined(&engine, &upstream, 4).await;
    upstream.go_on(100);
    let mut raw = Vec::new();
    for reply in [leader, streaming, counting] {
        let ReplyBody::Stream(chunks) = begun(reply).await.body else {
            panic!("a stream")
        };
        let chunks: Vec<_> = chunks.map(|chunk| chunk.unwrap().raw).collect().await;
        raw.push(chunks);
    }
    assert_eq!(raw[0], raw[1]);
    assert_eq!(
        (raw[2].len(), &raw[2][..raw[0].len()]),
        (raw[0].len() + 1, &raw[0][..])
    );
    assert!(
        raw[0]
            .iter()
            .any(|chunk| chunk.windows(10).any(|w| w == b"tool_calls"))
    );
    let whole = begun(whole).await;
    assert_eq!((whole.meta.cache, upstream.asked()), (CacheStatus::Miss, 2));
    engine.stop().await;
}

#[tokio::test]
async fn who_attached_waits_no_longer_than_its_own_deadline() {
    let upstream = Upstream::new(Script::Text);
    let engine = engine(&upstream).await;
    let leader = ask(&engine, true);
    eventually(|| upstream.asked() == 1).await;
    upstream.go_on(2);
    let leader = begun(leader).await;
    let mut hurried = asking(true);
    hurried.deadline = Moment::now() + Duration::from_millis(100);
    let hurried = engine.chat(hurried).await.unwrap();
    let (text, error) = read(hurried).await;
    assert_eq!(
        (text.as_str(), error.unwrap().kind),
        ("one ", Kind::DeadlineExceeded)
    );
    upstream.go_on(100);
    assert_eq!(read(leader).await.0, ALL);
    engine.stop().await;
}

#[tokio::test]
async fn a_purge_leaves_those_attached_their_answer_and_keeps_it_from_everyone_else() {
    let upstream = Upstream::new(Script::Text);
    let engine = engine(&upstream).await;
    let leader = ask(&engine, true);
    eventually(|| upstream.asked() == 1).await;
    let attached = ask(&engine, true);
    joined(&engine, &upstream, 2).await;
    upstream.go_on(2);
    let (leader, attached) = (begun(leader).await, begun(attached).await);
    engine.cache().purge(Purge::All).await.unwrap();
    upstream.go_on(100);
    assert_eq!(
        (read(leader).await.0, read(attached).await.0),
        (ALL.to_owned(), ALL.to_owned())
    );
    assert_eq!(
        begun(ask(&engine, false)).await.meta.cache,
        CacheStatus::Miss
    );
    assert_eq!(upstream.asked(), 2);
    engine.stop().await;
}

#[tokio::test]
async fn an_engine_that_stops_ends_what_it_reads() {
    let upstream = Upstream::new(Script::Text);
    let engine = engine(&upstream).await;
    let leader = ask(&engine, true);
    eventually(|| upstream.asked() == 1).await;
    let other = ask(&engine, false);
    joined(&engine, &upstream, 2).await;
    let stopped = tokio::time::timeout(Duration::from_secs(5), engine.stop()).await;
    assert!(stopped.is_ok() && upstream.running() == 0);
    assert_eq!(leader.await.unwrap().unwrap_err().kind, Kind::Unavailable);
    other.abort();
}
