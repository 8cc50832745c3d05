//! Answers in flight that must not come to somebody, or not to everybody.

use futures::StreamExt as _;

use super::*;
use crate::cache::peers::words::{FlyAsk, FlyWord};

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_leaves_readers_their_answer_and_gives_it_to_nobody_else() {
    let net = Net::of(NODES, |_| settings()).await;
    let text = owned_by(&net, 2);
    let mut ticket = lead(&net, 1, streaming(&text)).await;
    let lead = ticket.take_lead().unwrap();
    lead.begin(&"m".into());
    let reader = attached(ask(&net, 3, streaming(&text))).await;
    net.cache(2).purge(Purge::All).await.unwrap();
    let after = ask(&net, 3, asking(&text)).await.unwrap();
    let Lookup::Miss(after) = after else {
        panic!("those who come after the purge ask for themselves: {after:?}")
    };
    let sent = chunks();
    bring(&lead, &sent).await;
    let refused = net
        .cache(1)
        .insert(ticket.leading(lead), answer("called off"));
    assert!(matches!(refused, Insertion::Refused(_)));
    let (raw, end) = read(reader).await;
    assert_eq!(raw, texts(&sent));
    assert!(matches!(end, Event::Landed(_) | Event::Ended), "{end:?}");
    drop(after);
    for cache in net.caches() {
        assert!(found(&cache, &asking(&text)).await.is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_has_not_heard_of_a_purge_makes_no_answer_for_those_who_have() {
    let net = Net::of(NODES, |_| settings()).await;
    let text = owned_by(&net, 2);
    net.deaf(1, true);
    let purged = net.cache(2).purge(Purge::All).await.unwrap();
    assert_eq!(purged.unreached, ["n1"]);
    let behind = lead(&net, 1, asking(&text)).await;
    // on the owner and elsewhere nobody waits for it
    let ahead = lead(&net, 3, asking(&text)).await;
    let waits = ask(&net, 2, asking(&text));
    a_moment().await;
    assert_eq!(
        net.cache(1).insert(behind, answer("behind")),
        Insertion::Stored
    );
    a_moment().await;
    assert!(!waits.is_finished());
    net.cache(3).insert(ahead, answer("ahead"));
    assert!(matches!(waits.await.unwrap(), Lookup::Hit(hit) if hit.answer.text == "ahead"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_who_names_anothers_entry_reads_nothing_of_its_answer() {
    let net = Net::of(NODES, |_| settings()).await;
    let text = owned_by(&net, 2);
    let stranger = |entry| FlyAsk {
        tenant: "stranger".into(),
        entry,
        everyone: Some(entry),
        ttl_millis: u64::MAX,
        epoch: 0,
        priority: Priority::Low,
        refresh: false,
    };
    let owner = net.cache(2);
    let asks = async |entry| {
        let nothing = futures::stream::pending().boxed();
        let mut words = flight::fly(&owner.inner, stranger(entry), nothing);
        words.next().await
    };
    let ticket = lead(&net, 1, asking(&text)).await;
    let entry = ticket.entry();
    assert_eq!(asks(entry).await, Some(FlyWord::Alone), "while it is made");
    net.cache(1).insert(ticket, answer("secret"));
    net.idle().await;
    let stored = asks(entry).await;
    assert!(
        !matches!(stored, Some(FlyWord::Held(_) | FlyWord::Follow)),
        "{stored:?}"
    );
    assert_eq!(
        found(&net.cache(3), &asking(&text))
            .await
            .expect("its own")
            .answer
            .text,
        "secret"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_to_be_reused_sends_those_who_wait_on_their_way() {
    let net = Net::of(NODES, |_| settings()).await;
    let text = owned_by(&net, 2);
    let ticket = lead(&net, 1, asking(&text)).await;
    let waiting = [1, 2, 3].map(|number| ask(&net, number, asking(&text)));
    a_moment().await;
    let calls = Candidate {
        beyond_text: true,
        ..answer("")
    };
    assert!(matches!(
        net.cache(1).insert(ticket, calls),
        Insertion::Refused(_)
    ));
    for one in waiting {
        let Lookup::Miss(ticket) = one.await.unwrap() else {
            panic!("expected a miss")
        };
        assert!(ticket.lead.is_none(), "all at once, nobody waits again");
    }
}
