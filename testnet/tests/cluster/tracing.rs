//! One request, one tree, however many nodes took part in it.

use std::time::Duration;

use anyhow::ensure;
use http::Method;
use llm_router_proto::llm_router::v1 as pb;
use llm_router_testnet::cluster::{Cluster, Setup};
use llm_router_testnet::collector::{Collector, Kind, Span, Tree};
use llm_router_testnet::{Upstream, eventually, node, say};
use pb::router_service_client::RouterServiceClient;
use tokio::task::JoinSet;
use tonic::Request;

const CALLER: &str = "b7ad6b7169203331";
const FLY: &str = "llm_router.cluster.v1.CacheService/Fly";
const LOOK: &str = "llm_router.cluster.v1.CacheService/Look";
const STAND: &str = "llm_router.cluster.v1.CacheService/Stand";
const PROPOSE: &str = "llm_router.cluster.v1.RaftService/Propose";
/// Spans leave a node each second, those of a flight once it has landed.
const COME: Duration = Duration::from_secs(60);
/// All have come when none has for so long.
const QUIET: Duration = Duration::from_secs(4);
/// How long an answer is held back for everybody to be waiting for it, on a busy machine too.
const HELD: Duration = Duration::from_secs(5);
/// Answers that others wait for.
const AWAITED: u64 = 3;
/// Enough that some keys are the asking node's and some another's.
const QUESTIONS: u64 = 12;

/// A trace of a story of its own.
fn trace(story: u64, number: u64) -> String {
    format!("0af7651916cd43dd{story:08x}{number:08x}")
}

fn traceparent(trace: &str) -> String {
    format!("00-{trace}-{CALLER}-01")
}

/// Three nodes that tell this collector, their entries settled.
async fn three(collector: &Collector, routing: String, weights: bool) -> anyhow::Result<Cluster> {
    let endpoint = collector.endpoint();
    let setup = Setup {
        routing,
        weights,
        node: format!("telemetry: {{ otlp_endpoint: \"{endpoint}\" }}\n"),
        ..Setup::default()
    };
    let cluster = Cluster::start(3, setup).await?;
    cluster.settled(3).await?;
    Ok(cluster)
}

/// A cache that checks none of its hits and has time to ask the other nodes.
fn routing(upstream: &Upstream) -> String {
    upstream.config(
        "gpt",
        "cache: { shadow_rate: 0, embed_budget: 10s, lookup_budget: 5s, attach_budget: 10s }\n",
    )
}

/// Asks over gRPC inside a trace of the client's; says whether it came from the cache.
async fn generate(address: String, trace: String, prompt: String) -> anyhow::Result<bool> {
    let mut client = RouterServiceClient::connect(format!("http://{address}")).await?;
    let mut request = Request::new(pb::GenerateRequest {
        prompt,
        model: "gpt".to_owned(),
        ..pb::GenerateRequest::default()
    });
    let parent = traceparent(&trace).parse()?;
    request.metadata_mut().insert("traceparent", parent);
    Ok(client.generate(request).await?.into_inner().cached)
}

async fn through(cluster: &Cluster, id: usize, trace: &str, prompt: &str) -> anyhow::Result<bool> {
    generate(
        cluster.grpc_address(id).to_owned(),
        trace.to_owned(),
        prompt.to_owned(),
    )
    .await
}

/// A trace once all has come that will: its door, and both ends of every call.
fn whole(collector: &Collector, trace: &str) -> anyhow::Result<Tree> {
    let tree = collector.trace(trace).unwrap_or_default();
    let roots: Vec<Option<&str>> = tree.roots().map(|root| root.parent.as_deref()).collect();
    ensure!(
        roots == [Some(CALLER)],
        "one tree below the client's span:\n{tree}"
    );
    let calls = tree.spans().iter().filter(|span| is_call(span));
    for call in calls.filter(|span| span.kind == Kind::Client) {
        let answered = tree.below(call).any(|span| span.name == call.name);
        ensure!(answered, "{} has one end:\n{tree}", call.name);
    }
    Ok(tree)
}

fn is_call(span: &Span) -> bool {
    span.name.starts_with("llm_router.cluster.v1.")
}

fn other(tree: &Tree, id: usize) -> String {
    let me = format!("n{id}");
    let nodes = tree.nodes();
    nodes
        .into_iter()
        .find(|node| *node != me)
        .unwrap_or("")
        .to_owned()
}

#[tokio::test]
async fn a_grpc_request_is_one_tree_through_two_nodes_to_the_upstream_and_back()
-> anyhow::Result<()> {
    let collector = Collector::start().await?;
    let upstream = Upstream::start().await?;
    let cluster = three(&collector, routing(&upstream), false).await?;
    let prompt = |number: u64| format!("what is written on page {number}?");

    // asked first: another node owns the key, lets this one make the answer and hears it
    let mut parents = Vec::new();
    for number in 0..QUESTIONS {
        assert!(!through(&cluster, 1, &trace(1, number), &prompt(number)).await?);
        let headers = upstream.last_headers().expect("the upstream was asked");
        parents.push(headers["traceparent"].to_str()?.to_owned());
    }
    collector.quiet(QUIET, COME).await?;
    let mut led = 0;
    for (number, parent) in (0..).zip(&parents) {
        let trace = trace(1, number);
        let tree = whole(&collector, &trace)?;
        let attempt = tree.named("chat scripted").next().expect("the attempt");
        assert_eq!(*parent, format!("00-{trace}-{}-01", attempt.id));
        if tree.nodes().len() == 1 {
            continue;
        }
        led += 1;
        let owner = other(&tree, 1);
        let expected = format!(
            "n1 server llm_router.v1.RouterService/Generate\n  \
               n1 internal chat gpt\n    \
                 n1 internal cache_lookup\n      \
                   n1 client {FLY}\n        \
                     {owner} server {FLY}\n    \
                 n1 internal queue_wait gpt\n    \
                 n1 client chat scripted\n"
        );
        assert_eq!(tree.outline(), expected, "{tree}");
        for call in tree.named(FLY) {
            assert_eq!(call.attribute("llm_router.answer"), "lead", "{tree}");
        }
    }
    assert!(led > 0, "no key of {QUESTIONS} was another node's");

    // asked again through another node: the owner has it, and nobody asks upstream
    let asked = upstream.requests();
    for number in 0..QUESTIONS {
        assert!(through(&cluster, 2, &trace(2, number), &prompt(number)).await?);
    }
    collector.quiet(QUIET, COME).await?;
    let mut held = 0;
    for number in 0..QUESTIONS {
        let tree = whole(&collector, &trace(2, number))?;
        if tree.nodes().len() == 1 {
            continue;
        }
        held += 1;
        let owner = other(&tree, 2);
        let expected = format!(
            "n2 server llm_router.v1.RouterService/Generate\n  \
               n2 internal chat gpt\n    \
                 n2 internal cache_lookup\n      \
                   n2 client {FLY}\n        \
                     {owner} server {FLY}\n"
        );
        assert_eq!(tree.outline(), expected, "{tree}");
        let lookup = tree.named("cache_lookup").next().expect("the look-up");
        assert_eq!(lookup.attribute("llm_router.cache"), "exact");
        for call in tree.named(FLY) {
            assert_eq!(call.attribute("llm_router.answer"), "held", "{tree}");
        }
    }
    assert!(held > 0, "no key of {QUESTIONS} was another node's");
    assert_eq!(upstream.requests(), asked);
    cluster.end().await
}

#[tokio::test]
async fn a_request_that_waits_for_another_s_answer_points_at_the_trace_that_makes_it()
-> anyhow::Result<()> {
    let collector = Collector::start().await?;
    let upstream = Upstream::start().await?;
    upstream.wait_before_the_first_token(HELD)?;
    let cluster = three(&collector, routing(&upstream), false).await?;
    let address = |id: usize| cluster.grpc_address(id).to_owned();
    let prompt = |number: u64| format!("one answer for all, number {number}");
    // side by side: each is long in coming
    let mut asking = JoinSet::new();
    for number in 0..AWAITED {
        asking.spawn(generate(address(1), trace(3, number), prompt(number)));
    }
    eventually("the upstream is asked for each", COME, async || {
        (upstream.in_flight() == AWAITED).then_some(())
    })
    .await?;
    for number in 0..AWAITED {
        for id in [2, 3] {
            let follows = trace(3 + id as u64, number);
            asking.spawn(generate(address(id), follows, prompt(number)));
        }
    }
    while let Some(told) = asking.join_next().await {
        told??;
    }
    assert_eq!(upstream.requests(), AWAITED);
    collector.quiet(QUIET, COME).await?;
    for number in 0..AWAITED {
        let leads = trace(3, number);
        let tree = whole(&collector, &leads)?;
        assert_eq!(tree.named("chat scripted").count(), 1, "{tree}");
        for id in [2, 3] {
            let tree = whole(&collector, &trace(3 + id, number))?;
            assert_eq!(tree.named("chat scripted").count(), 0, "{tree}");
            let points = |span: &Span| span.links.iter().any(|(trace, _)| *trace == leads);
            assert!(tree.spans().iter().any(points), "{tree}");
            for call in tree.named(FLY) {
                assert_eq!(call.attribute("llm_router.answer"), "follow", "{tree}");
            }
        }
    }
    cluster.end().await
}

#[tokio::test]
async fn a_hit_by_meaning_shows_which_nodes_were_asked_and_what_they_had() -> anyhow::Result<()> {
    if node::weights().is_none() {
        say("skipped: no embedder weights; run: llm-router model pull");
        return Ok(());
    }
    let collector = Collector::start().await?;
    let upstream = Upstream::start().await?;
    let cluster = three(&collector, routing(&upstream), true).await?;
    let stored = "How do I reset my account password?";
    assert!(!through(&cluster, 1, &trace(6, 0), stored).await?);
    eventually("the answer has spread", COME, async || {
        (cluster.cache_sum("sent").await? >= 1).then_some(())
    })
    .await?;
    for id in cluster.ids() {
        let reworded = "How can I reset my account password?";
        let cached = through(&cluster, id, &trace(7, id as u64), reworded).await?;
        assert!(cached, "through n{id}");
    }
    collector.quiet(QUIET, COME).await?;
    let mut looked = 0;
    for id in cluster.ids() {
        let tree = whole(&collector, &trace(7, id as u64))?;
        let lookup = tree.named("cache_lookup").next().expect("the look-up");
        assert_eq!(lookup.attribute("llm_router.cache"), "semantic", "{tree}");
        for call in tree.below(lookup).filter(|span| span.name == LOOK) {
            let answer = tree.below(call).next().expect("the other end");
            assert_eq!(answer.kind.as_str(), "server");
            assert_ne!(answer.node, format!("n{id}"));
            assert_eq!(answer.attribute("llm_router.peer"), format!("n{id}"));
            looked += usize::from(call.attribute("llm_router.answer") == "candidates");
        }
    }
    assert!(looked > 0, "a node that holds no copy asks those that do");
    cluster.end().await
}

#[tokio::test]
async fn a_change_that_a_follower_takes_is_traced_to_the_leader() -> anyhow::Result<()> {
    let collector = Collector::start().await?;
    let upstream = Upstream::start().await?;
    let cluster = three(&collector, routing(&upstream), false).await?;
    let (leader, followers) = cluster.roles().await?;
    let follower = followers[0];
    let trace = trace(8, 0);
    let config = upstream.config("gpt", "retry: { max_attempts: 2 }\n");
    let request = cluster
        .http(follower)
        .request(Method::PUT, "/admin/v1/config");
    let reply = request
        .header("traceparent", traceparent(&trace))
        .header("content-type", "application/yaml")
        .body(config)
        .send()
        .await?;
    assert_eq!(reply.status(), 200);
    collector.quiet(QUIET, COME).await?;
    let tree = whole(&collector, &trace)?;
    let door = tree.roots().next().expect("the door");
    assert_eq!(door.name, "PUT /admin/v1/config");
    let agree = tree.named("agree").next().expect("the agreement");
    assert_eq!(agree.parent.as_deref(), Some(door.id.as_str()), "{tree}");
    let calls: Vec<&Span> = tree.named(PROPOSE).collect();
    let [asks, answers] = calls.as_slice() else {
        anyhow::bail!("two ends of one call:\n{tree}")
    };
    assert_eq!(asks.parent.as_deref(), Some(agree.id.as_str()), "{tree}");
    assert_eq!(answers.parent.as_deref(), Some(asks.id.as_str()), "{tree}");
    assert_eq!(asks.node, format!("n{follower}"));
    assert_eq!(answers.node, format!("n{leader}"));
    cluster.end().await
}

#[tokio::test]
async fn a_purge_shows_which_nodes_it_waited_for() -> anyhow::Result<()> {
    let collector = Collector::start().await?;
    let upstream = Upstream::start().await?;
    let cluster = three(&collector, routing(&upstream), false).await?;
    let trace = trace(9, 0);
    let request = cluster
        .http(1)
        .request(Method::POST, "/admin/v1/cache/purge");
    let reply = request
        .header("traceparent", traceparent(&trace))
        .json(&serde_json::json!({ "all": true }))
        .send()
        .await?;
    assert_eq!(reply.status(), 200);
    reply.bytes().await?;
    collector.quiet(QUIET, COME).await?;
    let tree = whole(&collector, &trace)?;
    let door = tree.roots().next().expect("the door");
    let asks = |id: usize| {
        let peer = format!("n{id}");
        let mut calls = tree.named(STAND).filter(|call| call.kind == Kind::Client);
        calls.find(|call| call.attribute("llm_router.peer") == peer)
    };
    for id in [2, 3] {
        let asks = asks(id).expect("it is waited for");
        assert_eq!(asks.parent.as_deref(), Some(door.id.as_str()), "{tree}");
        assert!(!asks.failed, "{tree}");
        let answer = tree.below(asks).next().expect("its side of the call");
        assert_eq!((answer.name.as_str(), answer.kind), (STAND, Kind::Server));
        assert_eq!(answer.node, format!("n{id}"));
    }
    assert!(
        asks(1).is_none(),
        "nobody waits for itself by a call: {tree}"
    );
    cluster.end().await
}
