use std::time::Duration;

use super::*;
use crate::cache::StoredAnswer;
use crate::dialect::openai::build::Head;
use crate::error::Kind;
use crate::types::{Chunk, Usage};

const ID: EntryId = EntryId([7; 16]);

fn answer() -> Arc<StoredAnswer> {
    Arc::new(StoredAnswer {
        text: "a".to_owned(),
        usage: Usage::default(),
        model: "m".into(),
        shown_model: "m".to_owned(),
        created: 0,
    })
}

fn leader(flights: &Arc<Flights>) -> Lead {
    let Part::Leader(lead) = flights.join(
        (&TenantId::default(), ID, 0),
        Priority::Normal,
        Wants::Pieces,
    ) else {
        panic!("expected to lead")
    };
    lead
}

fn follower(flights: &Arc<Flights>, wants: Wants) -> Follower {
    let Part::Follower(follower) =
        flights.join((&TenantId::default(), ID, 0), Priority::Normal, wants)
    else {
        panic!("expected to follow")
    };
    follower
}

fn piece(text: &str) -> Chunk {
    Head::new("m").text(text)
}

/// A piece so large that four of them are all a flight keeps.
fn quarter() -> Chunk {
    Chunk {
        raw: vec![b'x'; (1 << 20) - 4096].into(),
        ..piece("")
    }
}

/// What has come so far, at once.
async fn next(follower: &mut Follower) -> Event {
    let soon = Moment::now() + Duration::from_secs(5);
    follower.next_until(soon).await.expect("something to read")
}

async fn text(follower: &mut Follower) -> (String, Event) {
    let mut text = String::new();
    loop {
        match next(follower).await {
            Event::Begun(model) => assert_eq!(model.as_str(), "m"),
            Event::Piece(piece) => text.push_str(&piece.tap.text),
            Event::Recovered(model) => text.push_str(&format!("[{model}]")),
            end @ (Event::Landed(_) | Event::Ended | Event::Broken(_) | Event::Abandoned) => {
                return (text, end);
            }
        }
    }
}

#[tokio::test]
async fn a_leader_that_gives_up_before_anything_came_says_so_and_the_next_one_leads() {
    let flights = Arc::new(Flights::default());
    let lead = leader(&flights);
    let mut waiting = follower(&flights, Wants::Pieces);
    drop(lead);
    assert!(matches!(next(&mut waiting).await, Event::Abandoned));
    drop(leader(&flights));
}

#[tokio::test]
async fn an_old_leader_does_not_end_a_flight_started_after_a_purge() {
    let flights = Arc::new(Flights::default());
    let old = leader(&flights);
    let mut attached = follower(&flights, Wants::Whole);
    flights.detach_all();
    let _new = leader(&flights);
    old.land(answer());
    let _still_flying = follower(&flights, Wants::Whole);
    assert!(matches!(next(&mut attached).await, Event::Landed(_)));
}

#[tokio::test]
async fn who_comes_late_reads_from_the_beginning_and_who_wants_the_whole_gets_it() {
    let flights = Arc::new(Flights::default());
    let lead = leader(&flights);
    let mut early = follower(&flights, Wants::Pieces);
    let mut whole = follower(&flights, Wants::Whole);
    lead.begin(&"m".into());
    lead.piece(piece("one ")).await;
    assert!(matches!(next(&mut early).await, Event::Begun(_)));
    assert!(matches!(next(&mut early).await, Event::Piece(_)));
    let mut late = follower(&flights, Wants::Pieces);
    lead.piece(piece("two")).await;
    lead.land(answer());
    assert_eq!(text(&mut early).await.0, "two");
    let (all, end) = text(&mut late).await;
    assert!(all == "one two" && matches!(end, Event::Landed(_)));
    let (none, end) = text(&mut whole).await;
    assert!(none.is_empty() && matches!(end, Event::Landed(_)));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_never_whole() {
    let flights = Arc::new(Flights::default());
    let why = Break {
        kind: Kind::UpstreamFailed,
        message: "cut".to_owned(),
    };
    for drops in [false, true] {
        let lead = leader(&flights);
        let mut reading = follower(&flights, Wants::Pieces);
        lead.begin(&"m".into());
        lead.piece(piece("half")).await;
        match drops {
            true => drop(lead),
            false => lead.broke(why.clone()),
        }
        let (half, end) = text(&mut reading).await;
        let Event::Broken(told) = end else {
            panic!("{end:?}")
        };
        assert!(half == "half" && (drops || *told == why));
        // and nobody joins it any more
        drop(leader(&flights));
    }
}

#[tokio::test]
async fn a_flight_that_its_last_reader_leaves_is_deserted_and_replaced() {
    let flights = Arc::new(Flights::default());
    let lead = leader(&flights);
    let own = lead.own_reader(Wants::Pieces);
    let other = follower(&flights, Wants::Whole);
    drop(own);
    let soon = Duration::from_millis(20);
    let left = tokio::time::timeout(soon, lead.deserted()).await;
    assert!(left.is_err(), "somebody reads");
    drop(other);
    lead.deserted().await;
    let second = leader(&flights);
    drop(lead);
    let _joined = follower(&flights, Wants::Whole);
    drop(second);
}

#[tokio::test]
async fn beyond_the_limit_the_leaders_client_sets_the_pace_and_a_laggard_is_cut_off() {
    let flights = Arc::new(Flights::default());
    let lead = leader(&flights);
    let mut slow = follower(&flights, Wants::Pieces);
    let mut own = lead.own_reader(Wants::Pieces);
    let mut quick = follower(&flights, Wants::Pieces);
    lead.begin(&"m".into());
    for reader in [&mut own, &mut quick] {
        assert!(matches!(next(reader).await, Event::Begun(_)));
    }
    for _ in 0..4 {
        lead.piece(quarter()).await;
    }
    let short = Duration::from_millis(20);
    let fifth = tokio::time::timeout(short, lead.piece(quarter())).await;
    assert!(fifth.is_err(), "the leader's client has read nothing");
    for reader in [&mut own, &mut quick] {
        assert!(matches!(next(reader).await, Event::Piece(_)));
    }
    lead.piece(quarter()).await;
    let (_, end) = text(&mut slow).await;
    let Event::Broken(why) = end else {
        panic!("{end:?}")
    };
    assert_eq!(why.kind, Kind::Overloaded);
    // it cannot be read from the beginning any more
    let next_flight = leader(&flights);
    assert!(flights.kept.load(Ordering::Relaxed) <= 4 << 20);
    // the leader's client leaves, and the other reads on at its own pace
    drop(own);
    let feeding = async {
        for _ in 0..8 {
            lead.piece(quarter()).await;
        }
        lead.end();
    };
    let (_, (_, end)) = tokio::join!(feeding, text(&mut quick));
    assert!(matches!(end, Event::Ended), "{end:?}");
    drop((quick, slow, next_flight));
    assert_eq!(flights.kept.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn when_all_flights_together_keep_too_much_each_still_keeps_a_little() {
    let flights = Arc::new(Flights::default());
    flights
        .kept
        .store(pieces::MAX_KEPT_TOGETHER, Ordering::Relaxed);
    let lead = leader(&flights);
    let mut own = lead.own_reader(Wants::Pieces);
    lead.begin(&"m".into());
    lead.piece(piece("a")).await;
    lead.piece(piece("b")).await;
    let mut attached = follower(&flights, Wants::Pieces);
    let short = Duration::from_millis(20);
    let large = tokio::time::timeout(short, lead.piece(quarter())).await;
    assert!(large.is_err(), "nobody has read the little");
    let reading = async { (text(&mut own).await, text(&mut attached).await) };
    let feeding = async {
        lead.piece(quarter()).await;
        lead.land(answer());
    };
    let (((one, _), (_, end)), ()) = tokio::join!(reading, feeding);
    // the leader's client has everything; who lags behind it by more than the little has not
    assert_eq!(one, "ab");
    assert!(matches!(end, Event::Broken(_)), "{end:?}");
}

#[tokio::test]
async fn a_more_urgent_request_does_not_wait_in_a_less_urgent_ones_flight() {
    let flights = Arc::new(Flights::default());
    let _lead = leader(&flights);
    let urgent = flights.join(
        (&TenantId::default(), ID, 0),
        Priority::Critical,
        Wants::Pieces,
    );
    assert!(matches!(urgent, Part::Alone));
    let patient = flights.join((&TenantId::default(), ID, 0), Priority::Low, Wants::Pieces);
    assert!(matches!(patient, Part::Follower(_)));
}

mod pure {
    use std::task::Waker;

    use proptest::prelude::*;

    use super::super::pieces::{MAX_KEPT, Pieces, size_of};
    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Attach,
        Leave(usize),
        Read(usize),
        Push(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            1 => Just(Step::Attach),
            1 => (0usize..8).prop_map(Step::Leave),
            8 => (0usize..8).prop_map(Step::Read),
            4 => (1usize..(MAX_KEPT / 3)).prop_map(Step::Push),
        ];
        proptest::collection::vec(step, 1..200)
    }

    proptest! {
        /// Whoever reads gets every piece in order until it is cut off, whatever the others do, and
        /// no more is kept than the limit and one piece.
        #[test]
        fn every_reader_reads_every_piece_in_order(steps in steps()) {
            let bytes = bytes::Bytes::from(vec![0; MAX_KEPT]);
            let mut pieces = Pieces::default();
            let mut readers = vec![(pieces.attach_leader(Wants::Pieces), 0u64)];
            let mut pushed = 0u64;
            let _ = pieces.begin("m".into());
            for step in steps {
                match step {
                    Step::Attach => readers.extend(pieces.attach(Wants::Pieces).map(|id| (id, 0))),
                    Step::Leave(at) if at < readers.len() => {
                        let _ = pieces.leave(readers.swap_remove(at).0);
                    }
                    Step::Read(at) if at < readers.len() => {
                        let (id, read) = &mut readers[at];
                        if let (Some(Event::Piece(piece)), _) = pieces.read(*id, Waker::noop()) {
                            prop_assert_eq!(piece.tap.usage.unwrap().prompt_tokens, *read);
                            *read += 1;
                        }
                    }
                    Step::Push(size) => {
                        let mut piece = Chunk { raw: bytes.slice(..size), ..piece("") };
                        piece.tap.usage = Some(Usage::new(pushed, 0));
                        if pieces.make_room(size_of(&piece), 0).0 {
                            let _ = pieces.push(piece);
                            pushed += 1;
                        }
                    }
                    Step::Leave(_) | Step::Read(_) => {}
                }
                prop_assert!(pieces.bytes() <= MAX_KEPT);
                prop_assert_eq!(pieces.is_deserted(), readers.is_empty());
            }
        }
    }
}
