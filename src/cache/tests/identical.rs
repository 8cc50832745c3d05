//! Identical requests in flight.

use super::*;
use crate::cache::Event;
use crate::dialect::openai::build::Head;

#[tokio::test]
async fn identical_requests_in_flight_share_one_answer() {
    let cache = cache();
    let lead = miss(&cache, &asking(QUESTION)).await;
    let waiting: Vec<_> = (0..10)
        .map(|_| {
            let cache = cache.clone();
            cache
                .clone()
                .inner
                .tasks
                .spawn(async move { hit(&cache, &asking(QUESTION)).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(20)).await;
    cache.insert(lead, answer("one"));
    for follower in waiting {
        assert_eq!(follower.await.unwrap().answer.text, "one");
    }
    assert_eq!(cache.stats().inserts, 1);
    assert!(cache.stats().single_flight_shared > 0);
}

#[tokio::test]
async fn when_a_leader_fails_one_of_its_followers_leads_the_others() {
    let cache = cache();
    let lead = miss(&cache, &asking(QUESTION)).await;
    let tasks = &cache.inner.tasks;
    let followers = [(); 5].map(|()| {
        let cache = cache.clone();
        tasks.spawn(async move { cache.lookup(&asking(QUESTION), &config()).await })
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    drop(lead);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let (led, waiting): (Vec<_>, Vec<_>) = followers.into_iter().partition(|one| one.is_finished());
    let [next] = <[_; 1]>::try_from(led).expect("one leads");
    let Lookup::Miss(ticket) = next.await.unwrap() else {
        panic!("expected a miss")
    };
    cache.insert(ticket, answer("one"));
    for follower in waiting {
        assert!(matches!(follower.await.unwrap(), Lookup::Hit(hit) if hit.shared));
    }
}

#[tokio::test]
async fn a_follower_gives_up_at_its_own_deadline() {
    let cache = cache();
    let _lead = miss(&cache, &asking(QUESTION)).await;
    let mut hurried = asking(QUESTION);
    hurried.deadline = Moment::now() + Duration::from_millis(30);
    drop(miss(&cache, &hurried).await);
}

fn streaming(text: &str) -> ChatRequest {
    ChatRequest {
        stream: true,
        ..asking(text)
    }
}

#[tokio::test]
async fn a_stream_attaches_once_the_answer_has_begun_and_a_purge_leaves_it_attached() {
    let cache = cache();
    let mut ticket = miss(&cache, &streaming(QUESTION)).await;
    let lead = ticket.take_lead().unwrap();
    lead.begin(&"m".into());
    let Lookup::Attached(mut running) = cache.lookup(&streaming(QUESTION), &config()).await else {
        panic!("expected to attach")
    };
    assert_eq!(
        (running.model().as_str(), running.entry()),
        ("m", ticket.entry())
    );
    cache.purge(Purge::All).await.unwrap();
    // those who come after the purge ask for themselves
    let after = miss(&cache, &streaming(QUESTION)).await;
    lead.piece(Head::new("m").text("one")).await;
    assert!(matches!(
        cache.insert(ticket.leading(lead), answer("one")),
        Insertion::Refused(_)
    ));
    let mut read = String::new();
    loop {
        match running.follower.next().await {
            Event::Piece(piece) => read.push_str(&piece.tap.text),
            Event::Begun(_) | Event::Recovered(_) => {}
            Event::Landed(_) => break,
            other @ (Event::Ended | Event::Broken(_) | Event::Abandoned) => panic!("{other:?}"),
        }
    }
    assert_eq!(read, "one");
    assert!(after.lead.is_some());
    assert_eq!(cache.stats().single_flight_shared, 1);
}

#[tokio::test]
async fn an_answer_that_may_not_be_reused_sends_those_who_want_the_whole_on_alone() {
    let cache = cache();
    let lead = miss(&cache, &asking(QUESTION)).await;
    let worker = cache.clone();
    let waiting = cache
        .inner
        .tasks
        .spawn(async move { miss(&worker, &asking(QUESTION)).await });
    tokio::time::sleep(Duration::from_millis(20)).await;
    let calls = Candidate {
        beyond_text: true,
        ..answer("")
    };
    assert!(matches!(cache.insert(lead, calls), Insertion::Refused(_)));
    // one after the other would take as many answers' time as there are requests
    assert!(waiting.await.unwrap().lead.is_none());
}
