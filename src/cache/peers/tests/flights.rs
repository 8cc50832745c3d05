//! One answer for identical requests, whichever nodes they come to.

mod walls;

use bytes::Bytes;
use serde_json::json;
use tokio::task::JoinHandle;

use super::*;
use crate::cache::answer::{Attached, Candidate, Ticket};
use crate::cache::{Event, Lead, Wants};
use crate::dialect::openai::build::Head;
use crate::types::{Chunk, Priority};

/// Nodes of every net here.
const NODES: u64 = 3;

fn streaming(text: &str) -> ChatRequest {
    ChatRequest {
        stream: true,
        ..asking(text)
    }
}

fn refreshing(text: &str) -> ChatRequest {
    ChatRequest {
        cache: CacheMode::Refresh,
        ..asking(text)
    }
}

/// A question whose key is this node's.
fn owned_by(net: &Net, owner: u64) -> String {
    let cache = net.cache(1);
    let views = cache.inner.peers().unwrap().views();
    let its = |text: &String| {
        let id = cache
            .inner
            .keys
            .entry(&asking(text), crate::cache::key::Scope::Tenant);
        views.reading.key_owner(id) == Some(MemberId(owner))
    };
    questions(200)
        .into_iter()
        .find(its)
        .expect("a question of its")
}

/// A request on its way; what it comes to is the task's.
fn ask(net: &Net, number: u64, request: ChatRequest) -> JoinHandle<Lookup> {
    let cache = net.cache(number);
    let tasks = cache.inner.tasks.clone();
    tasks.spawn(async move { cache.lookup(&request, &config()).await })
}

async fn lead(net: &Net, number: u64, request: ChatRequest) -> Ticket {
    let Lookup::Miss(ticket) = ask(net, number, request).await.unwrap() else {
        panic!("expected a miss")
    };
    assert!(ticket.lead.is_some(), "it leads");
    ticket
}

async fn attached(asked: JoinHandle<Lookup>) -> Attached {
    let within = tokio::time::timeout(Duration::from_secs(5), asked).await;
    match within.expect("it attaches in time").unwrap() {
        Lookup::Attached(attached) => attached,
        other @ (Lookup::Hit(_) | Lookup::Miss(_) | Lookup::Bypass(_)) => panic!("{other:?}"),
    }
}

/// Long enough for a question to be on the owner and for its words to be back.
async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(60)).await;
}

/// What a reader got: all bytes, and how it ended.
async fn read(mut running: Attached) -> (Vec<Bytes>, Event) {
    let mut raw = Vec::new();
    loop {
        let until = Moment::now() + Duration::from_secs(5);
        let event = running.follower.next_until(until).await;
        match event.expect("something comes") {
            Event::Begun(_) | Event::Recovered(_) => {}
            Event::Piece(piece) => raw.push(piece.raw),
            end @ (Event::Landed(_) | Event::Ended | Event::Broken(_) | Event::Abandoned) => {
                return (raw, end);
            }
        }
    }
}

fn texts(chunks: &[Chunk]) -> Vec<Bytes> {
    chunks.iter().map(|chunk| chunk.raw.clone()).collect()
}

async fn bring(lead: &Lead, chunks: &[Chunk]) {
    for chunk in chunks {
        lead.piece(chunk.clone()).await;
    }
}

fn chunks() -> Vec<Chunk> {
    let head = Head::new("shown");
    vec![head.role(), head.text("on"), head.text("e")]
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_identical_requests_on_three_nodes_one_asks_upstream() {
    let net = Net::of(NODES, |_| settings()).await;
    for owner in 1..=NODES {
        let text = owned_by(&net, owner);
        let asked: Vec<_> = (0..50u64)
            .map(|at| {
                let stream = at % 4 == 0;
                let request = ChatRequest {
                    stream,
                    ..asking(&text)
                };
                ask(&net, 1 + at % NODES, request)
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(300)).await;
        let (done, waiting): (Vec<_>, Vec<_>) =
            asked.into_iter().partition(|one| one.is_finished());
        let [one] = <[_; 1]>::try_from(done).expect("one leads");
        let Lookup::Miss(ticket) = one.await.unwrap() else {
            panic!("expected a miss")
        };
        assert_eq!(
            net.cache(1).insert(ticket, answer("one")),
            Insertion::Stored
        );
        assert_eq!(waiting.len(), 49);
        for follower in waiting {
            let Lookup::Hit(hit) = follower.await.unwrap() else {
                panic!("owner {owner}: expected a hit")
            };
            assert_eq!((hit.tier, hit.answer.text.as_str()), (Tier::Exact, "one"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pieces_pass_nodes_byte_by_byte_whatever_they_carry() {
    let net = Net::of(NODES, |_| settings()).await;
    let text = owned_by(&net, 2);
    let mut ticket = lead(&net, 1, streaming(&text)).await;
    let lead = ticket.take_lead().unwrap();
    lead.begin(&"m".into());
    let readers = [1, 2, 3, 3].map(|number| ask(&net, number, streaming(&text)));
    let head = Head::new("shown");
    let calls = json!([{"index": 0, "id": "call_1", "function": {"name": "f", "arguments": "{\"a\":1e400}"}}]);
    let mut odd = head.text("é\u{0}\u{2028}");
    odd.raw = Bytes::from_static(
        b"{\"choices\" :[ ],\"n\":12345678901234567890123, \"x\":\"\\u00e9\xff\"}",
    );
    let sent = [
        head.role(),
        head.tool_calls(&calls),
        odd,
        head.reasoning("hm"),
        head.finish(crate::types::Finish::ToolCalls),
    ];
    let mut reading = Vec::new();
    for reader in readers {
        let reader = attached(reader).await;
        assert_eq!(reader.model().as_str(), "m");
        reading.push(net.cache(1).inner.tasks.spawn(read(reader)));
    }
    let late = ask(&net, 3, streaming(&text));
    bring(&lead, &sent).await;
    let late = attached(late).await;
    let calls = Candidate {
        beyond_text: true,
        ..answer("")
    };
    let refused = net.cache(1).insert(ticket.leading(lead), calls);
    assert!(matches!(refused, Insertion::Refused(_)));
    reading.push(net.cache(1).inner.tasks.spawn(read(late)));
    for one in reading {
        let (raw, end) = one.await.unwrap();
        assert_eq!(raw, texts(&sent));
        assert!(matches!(end, Event::Ended), "{end:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_answer_lands_where_only_the_whole_is_wanted() {
    let net = Net::of(NODES, |_| settings()).await;
    for round in 0..20 {
        let text = owned_by(&net, 2);
        let again = format!("{text} {round}");
        let ticket = lead(&net, 1, asking(&again)).await;
        let waiting = [2, 3].map(|number| ask(&net, number, asking(&again)));
        a_moment().await;
        net.cache(1).insert(ticket, answer("whole"));
        for one in waiting {
            let found = one.await.unwrap();
            assert!(
                matches!(&found, Lookup::Hit(hit) if hit.answer.text == "whole"),
                "{found:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_goes_on_for_readers_elsewhere_when_its_own_client_leaves() {
    let net = Net::of(NODES, |_| settings()).await;
    for owner in 1..=NODES {
        let text = owned_by(&net, owner);
        let mut ticket = lead(&net, 1, streaming(&text)).await;
        let lead = ticket.take_lead().unwrap();
        let client = lead.own_reader(Wants::Pieces);
        lead.begin(&"m".into());
        let reader = attached(ask(&net, 3, streaming(&text))).await;
        drop(client);
        tokio::time::sleep(Duration::from_millis(400)).await;
        let deserted = tokio::time::timeout(Duration::from_millis(50), lead.deserted()).await;
        assert!(deserted.is_err(), "owner {owner}: somebody reads");
        let sent = chunks();
        bring(&lead, &sent).await;
        net.cache(1).insert(ticket.leading(lead), answer("one"));
        let (raw, end) = read(reader).await;
        assert_eq!(raw, texts(&sent));
        assert!(matches!(end, Event::Landed(_)), "owner {owner}: {end:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_nobody_reads_anywhere_is_deserted() {
    let net = Net::of(NODES, |_| settings()).await;
    for owner in 1..=NODES {
        let text = owned_by(&net, owner);
        let mut ticket = lead(&net, 1, streaming(&text)).await;
        let lead = ticket.take_lead().unwrap();
        let client = lead.own_reader(Wants::Pieces);
        lead.begin(&"m".into());
        let reader = attached(ask(&net, 3, streaming(&text))).await;
        let head = Head::new("shown");
        lead.piece(head.text("somebody reads this")).await;
        a_moment().await;
        drop((client, reader));
        // however fast pieces come
        let upstream = async {
            loop {
                lead.piece(head.text("nobody")).await;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let over = tokio::time::sleep(Duration::from_secs(2));
        tokio::select! {
            () = lead.deserted() => {}
            () = upstream => {}
            () = over => panic!("owner {owner}: it goes on for nobody"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_node_that_makes_an_answer_dies_one_of_those_who_wait_makes_it() {
    let net = Net::of(NODES, |_| settings()).await;
    let text = owned_by(&net, 2);
    let _lost = lead(&net, 1, asking(&text)).await;
    let waiting = [2, 2, 3, 3, 3].map(|number| ask(&net, number, asking(&text)));
    a_moment().await;
    assert!(waiting.iter().all(|one| !one.is_finished()));
    net.kill(1);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (led, followers): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|one| one.is_finished());
    let [next] = <[_; 1]>::try_from(led).expect("one leads");
    let Lookup::Miss(ticket) = next.await.unwrap() else {
        panic!("expected a miss")
    };
    net.cache(2).insert(ticket, answer("two"));
    for follower in followers {
        assert!(matches!(follower.await.unwrap(), Lookup::Hit(hit) if hit.answer.text == "two"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_maker_dies_after_it_has_begun_is_told_that_it_broke_off() {
    let net = Net::of(NODES, |_| settings()).await;
    let text = owned_by(&net, 2);
    let mut ticket = lead(&net, 1, streaming(&text)).await;
    let lead = ticket.take_lead().unwrap();
    lead.begin(&"m".into());
    let sent = chunks();
    bring(&lead, &sent).await;
    let readers = [2, 3].map(|number| ask(&net, number, streaming(&text)));
    let mut reading = Vec::new();
    for reader in readers {
        reading.push(attached(reader).await);
    }
    a_moment().await;
    net.kill(1);
    for reader in reading {
        let (raw, end) = read(reader).await;
        assert_eq!(raw, texts(&sent), "what came, came");
        assert!(matches!(end, Event::Broken(_)), "{end:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_owner_dies_its_followers_elsewhere_go_on_and_the_maker_finishes() {
    let net = Net::of(NODES, |_| settings()).await;
    let text = owned_by(&net, 2);
    let ticket = lead(&net, 1, asking(&text)).await;
    let waiting = [ask(&net, 3, asking(&text)), ask(&net, 3, asking(&text))];
    let beside = ask(&net, 1, asking(&text));
    a_moment().await;
    net.kill(2);
    tokio::time::sleep(Duration::from_millis(300)).await;
    // one on the other node makes it as well, and is not waited for by more than its own node
    let (led, followers): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|one| one.is_finished());
    assert_eq!((led.len(), followers.len()), (1, 1));
    for one in led {
        let Lookup::Miss(ticket) = one.await.unwrap() else {
            panic!("expected a miss")
        };
        net.cache(3).insert(ticket, answer("three"));
    }
    net.cache(1).insert(ticket, answer("one"));
    assert!(matches!(beside.await.unwrap(), Lookup::Hit(hit) if hit.answer.text == "one"));
    for follower in followers {
        assert!(matches!(follower.await.unwrap(), Lookup::Hit(hit) if hit.answer.text == "three"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_does_not_answer_costs_the_attach_budget_and_no_more() {
    let net = Net::of(NODES, |_| settings()).await;
    let text = owned_by(&net, 2);
    net.slow(2, Duration::from_secs(20));
    let began = Moment::now();
    // whichever comes first asks the owner, and the others follow it
    let asked = [(); 3].map(|()| ask(&net, 1, asking(&text)));
    let (first, _, others) = futures::future::select_all(asked).await;
    let Lookup::Miss(ticket) = first.unwrap() else {
        panic!("expected a miss")
    };
    let took = Moment::now().since(began);
    let budget = config().attach_budget.get() + config().lookup_budget.get();
    assert!(took < budget + Duration::from_millis(250), "{took:?}");
    net.cache(1).insert(ticket, answer("one"));
    for other in others {
        assert!(
            matches!(other.await.unwrap(), Lookup::Hit(_)),
            "one node shares still"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_an_owner_cannot_be_reached_the_one_with_the_other_copy_is_asked() {
    let net = Net::of(NODES, |_| settings()).await;
    let exactly = |text: &str| ChatRequest {
        cache: CacheMode::Exact,
        ..asking(text)
    };
    let cache = net.cache(1);
    let views = cache.inner.peers().unwrap().views();
    let scope = crate::cache::key::Scope::Tenant;
    let mut text = None;
    for asked in questions(200) {
        let id = cache.inner.keys.entry(&asking(&asked), scope);
        if views.reading.key_owners(id, 2) != [MemberId(2), MemberId(3)] {
            continue;
        }
        store(&net, 3, &exactly(&asked), "one").await;
        let holds = |number| net.cache(number).inner.shelf.lock().held(id).is_some();
        if !holds(1) && holds(3) {
            text = Some(asked);
            break;
        }
    }
    let text = text.expect("a question of theirs alone");
    net.shut(2, true);
    // whoever asks first finds out
    let Lookup::Miss(first) = cache.lookup(&exactly(&text), &config()).await else {
        panic!("its owner does not answer")
    };
    drop(first);
    let again = found(&cache, &exactly(&text)).await;
    assert_eq!(again.expect("the other copy").answer.text, "one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_reads_no_stored_answer_and_nobody_elses_but_replaces_both() {
    let net = Net::of(NODES, |_| settings()).await;
    let text = owned_by(&net, 2);
    store(&net, 1, &asking(&text), "old").await;
    let ticket = lead(&net, 3, refreshing(&text)).await;
    // another refresh asks for itself
    let other = ask(&net, 1, refreshing(&text)).await.unwrap();
    let Lookup::Miss(other) = other else {
        panic!("expected a miss")
    };
    drop(other);
    tokio::time::sleep(Duration::from_millis(5)).await;
    net.cache(3).insert(ticket, answer("new"));
    net.idle().await;
    for cache in net.caches() {
        let hit = found(&cache, &asking(&text)).await.expect("stored");
        assert_eq!(hit.answer.text, "new");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_more_urgent_request_does_not_wait_for_a_less_urgent_one_on_another_node() {
    let net = Net::of(NODES, |_| settings()).await;
    let text = owned_by(&net, 2);
    let _slow = lead(&net, 1, asking(&text)).await;
    let urgent = ChatRequest {
        priority: Priority::Critical,
        ..asking(&text)
    };
    let found = tokio::time::timeout(Duration::from_secs(2), ask(&net, 3, urgent)).await;
    assert!(matches!(found.expect("at once").unwrap(), Lookup::Miss(_)));
    let patient = ChatRequest {
        priority: Priority::Low,
        ..asking(&text)
    };
    let waits = ask(&net, 2, patient);
    a_moment().await;
    assert!(!waits.is_finished());
}
