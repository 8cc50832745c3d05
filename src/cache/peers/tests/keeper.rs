//! Entries come to where they belong and stay there.

use super::*;
use crate::cache::Settings;
use crate::cache::key::EntryId;
use crate::cache::peers::serve;
use crate::cache::peers::words::{Offered, Parcel};
use crate::config::duration::Span;

/// Every keeper compares what it holds now.
fn hurry(net: &Net) {
    for cache in net.caches() {
        cache.inner.peers().unwrap().keeper.hurry();
    }
}

async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let within = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let within = tokio::time::timeout(Duration::from_secs(20), within).await;
    within.unwrap_or_else(|_| panic!("not in time: {what}"));
}

fn ids(cache: &AnswerCache) -> Vec<EntryId> {
    let held = cache.inner.held();
    let mut ids: Vec<EntryId> = held.iter().map(|(entry, _)| entry.id).collect();
    ids.sort_unstable();
    ids
}

fn sweeps(cache: &AnswerCache) -> u64 {
    cache.inner.peers().unwrap().shown().moved_bytes
}

/// Tells all nodes what they weigh, and waits until `members` have everything.
async fn weigh(net: &Net, weights: &[(&str, u32)], members: &[u64]) {
    for cache in net.caches() {
        let weights = weights.iter();
        cache.weigh_nodes(
            weights
                .map(|(name, weight)| ((*name).to_owned(), *weight))
                .collect(),
        );
    }
    eventually("everybody moved", || {
        net.caches().iter().all(|cache| {
            let views = cache.inner.peers().unwrap().views();
            let all = members.iter().map(|number| MemberId(*number)).collect();
            !views.is_moving() && views.target.members() == all
        })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_lost_behind_a_nodes_back_comes_back_at_the_next_sweep() {
    let net = Net::of(3, |_| settings()).await;
    for text in questions(12) {
        store(&net, 1, &asking(&text), &text).await;
    }
    let lossy = net.cache(2);
    let before = ids(&lossy);
    assert!(!before.is_empty());
    let held = lossy.inner.held();
    for serial in held.iter().map(|(entry, _)| entry.serial) {
        let removed = lossy.inner.shelf.lock().drop_serial(serial);
        lossy.inner.take_out(removed.into_iter().collect());
    }
    assert!(ids(&lossy).is_empty());
    // lists are good for a second
    tokio::time::sleep(Duration::from_millis(1100)).await;
    hurry(&net);
    eventually("what was lost is back", || ids(&lossy) == before).await;
    let found = lossy.inner.held();
    assert!(
        found.iter().all(|(_, vector)| vector.is_some()),
        "with their vectors"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_node_refuses_what_it_is_brought_and_nothing_goes_to_and_fro() {
    let small = |node: u64| Settings {
        config: CacheConfig {
            max_entries: if node == 2 { 5 } else { 100 },
            ..config()
        },
        ..settings()
    };
    let net = Net::of(2, small).await;
    for text in questions(15) {
        store(&net, 1, &asking(&text), &text).await;
    }
    let (roomy, full) = (net.cache(1), net.cache(2));
    let before = (
        ids(&roomy),
        ids(&full),
        sweeps(&roomy),
        full.stats().evictions,
    );
    assert_eq!((before.0.len(), before.1.len()), (15, 5));
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(1100)).await;
        hurry(&net);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let after = (
        ids(&roomy),
        ids(&full),
        sweeps(&roomy),
        full.stats().evictions,
    );
    assert_eq!(after, before, "nothing was brought, pushed out or let go");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_for_another_node_lives_no_longer_than_the_entry() {
    let net = Net::of(4, |_| settings()).await;
    let mut elsewhere = None;
    for text in questions(20) {
        store(&net, 1, &asking(&text), &text).await;
        if net.cache(1).stats().entries == 0 {
            elsewhere = Some(text);
            break;
        }
        net.cache(1).purge(Purge::All).await.unwrap();
    }
    let text = elsewhere.expect("a question that other nodes keep");
    net.cache(1).purge(Purge::All).await.unwrap();
    for number in 2..=4 {
        net.shut(number, true);
    }
    let brief = CacheConfig {
        ttl: Span::from_millis(2500),
        ..config()
    };
    let cache = net.cache(1);
    let Lookup::Miss(ticket) = cache.lookup(&asking(&text), &brief).await else {
        panic!("expected a miss")
    };
    assert_eq!(cache.insert(ticket, answer("hint")), Insertion::Stored);
    eventually("it is kept here", || cache.stats().entries == 1).await;
    assert!(cache.stats().peers.unwrap().hinted > 0);
    assert_eq!(
        found(&cache, &asking(&text))
            .await
            .expect("kept")
            .answer
            .text,
        "hint"
    );
    tokio::time::sleep(Duration::from_millis(2500)).await;
    for number in 2..=4 {
        net.shut(number, false);
    }
    hurry(&net);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    for cache in net.caches() {
        assert!(found(&cache, &asking(&text)).await.is_none());
    }
    assert!(
        net.caches()
            .iter()
            .skip(1)
            .all(|cache| cache.stats().entries == 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_version_never_takes_a_newer_ones_place() {
    let net = Net::of(2, |_| settings()).await;
    let inner = Arc::clone(&net.cache(1).inner);
    let peers = inner.peers().unwrap();
    let version = |created: u64| -> Parcel {
        let entry = Entry {
            created,
            ..Entry::plain(7, "acme")
        };
        peers.pack(&inner, &entry, None).unwrap()
    };
    let held = || {
        let shelf = inner.shelf.lock();
        shelf.held(EntryId([7; 16])).map(|(entry, _)| entry.created)
    };
    for (sent, repair, expected) in [
        (20, false, 20),
        (10, false, 20),
        (10, true, 20),
        (30, true, 30),
        (30, false, 30),
        (29, false, 30),
    ] {
        assert!(serve::keep(&inner, &version(sent), repair));
        assert_eq!(held(), Some(expected), "after {sent}");
    }
    let offered = |created| Offered {
        entry: EntryId([7; 16]),
        created,
    };
    let wanted = serve::offer(&inner, &[offered(29), offered(30), offered(31)]);
    assert_eq!((wanted.places, wanted.full), (vec![2], false));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_called_off_is_not_brought_back_by_a_parcel_of_before() {
    let net = Net::of(2, |_| settings()).await;
    let inner = Arc::clone(&net.cache(1).inner);
    let peers = inner.peers().unwrap();
    let parcel = peers.pack(&inner, &Entry::plain(7, "acme"), None).unwrap();
    assert!(serve::keep(&inner, &parcel, true));
    net.cache(2)
        .purge(Purge::Tenant("acme".into()))
        .await
        .unwrap();
    assert!(!serve::keep(&inner, &parcel, true));
    assert!(!serve::keep(&inner, &parcel, false));
    assert_eq!(net.cache(1).stats().entries, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_move_entries_and_no_answer_is_missed() {
    let net = Net::of(3, |_| settings()).await;
    let texts = questions(40);
    for (at, text) in texts.iter().enumerate() {
        store(&net, 1 + at as u64 % 3, &asking(text), text).await;
    }
    let everywhere = async |when: &str| {
        for text in &texts {
            for cache in net.caches() {
                assert!(
                    found(&cache, &asking(text)).await.is_some(),
                    "{when}: {text}"
                );
            }
        }
    };
    weigh(&net, &[("n3", 0)], &[1, 2]).await;
    eventually("the third has let go", || net.cache(3).stats().entries == 0).await;
    everywhere("without the third").await;
    weigh(&net, &[("n3", 1)], &[1, 2, 3]).await;
    assert!(net.cache(3).stats().entries > 10);
    everywhere("with it again").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cells_that_are_drawn_anew_lose_no_answer() {
    let net = Net::of(3, |_| settings()).await;
    assert!(
        !net.cache(1).draw_cells().await,
        "there is nothing to go by"
    );
    let texts = questions(160);
    for (at, text) in texts.iter().enumerate() {
        let cache = net.cache(1 + at as u64 % 3);
        let Lookup::Miss(ticket) = cache.lookup(&asking(text), &config()).await else {
            panic!("expected a miss for {text}")
        };
        assert_eq!(cache.insert(ticket, answer(text)), Insertion::Stored);
    }
    net.idle().await;
    assert!(net.cache(1).draw_cells().await);
    for text in &texts {
        assert!(
            found(&net.cache(2), &asking(text)).await.is_some(),
            "{text}"
        );
    }
    eventually("everybody has the new cells", || {
        net.caches().iter().all(|cache| {
            let views = cache.inner.peers().unwrap().views();
            !views.is_moving() && views.target.cells().epoch() == 1
        })
    })
    .await;
    for text in &texts {
        for cache in net.caches() {
            assert!(found(&cache, &asking(text)).await.is_some(), "{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_of_another_cluster_lets_no_purge_pass_by() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("cache.forgotten"), "50").unwrap();
    let with_disk = |node: u64| Settings {
        dir: (node == 1).then(|| dir.path().to_owned()),
        ..settings()
    };
    let net = Net::of(2, with_disk).await;
    store(&net, 1, &asking(QUESTION), "Paris").await;
    let purged = net.cache(2).purge(Purge::All).await.unwrap();
    assert!(
        purged.removed >= 2 && purged.unreached.is_empty(),
        "{purged:?}"
    );
    for cache in net.caches() {
        assert!(found(&cache, &asking(QUESTION)).await.is_none());
    }
    net.cache(1).close().await;
}
