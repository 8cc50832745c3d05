//! Every message comes back as it was sent, and what makes no sense is refused.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;

fn entry() -> impl Strategy<Value = EntryId> {
    any::<[u8; 16]>().prop_map(EntryId)
}

fn partition() -> impl Strategy<Value = PartitionId> {
    any::<[u8; 16]>().prop_map(PartitionId)
}

fn sealed() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn vector(most: usize) -> impl Strategy<Value = Compact> {
    vec(-1.0f32..1.0, 1..most).prop_map(|vector| Compact::of(&vector))
}

fn priority() -> impl Strategy<Value = Priority> {
    prop_oneof![
        Just(Priority::Critical),
        Just(Priority::High),
        Just(Priority::Normal),
        Just(Priority::Low),
    ]
}

prop_compose! {
    fn parcel()(
        entry in entry(),
        partition in option::of(partition()),
        shared in any::<bool>(),
        tenant in ".{0,20}",
        sealed in sealed(),
    ) -> Parcel {
        Parcel { entry, partition, shared, tenant: tenant.into(), sealed }
    }
}

prop_compose! {
    fn ask()(
        (tenant, space) in (".{0,20}", ".{0,20}"),
        (partition, everyone) in (partition(), option::of(partition())),
        vector in vector(50),
        least in -1.0f32..1.0,
        (ttl_millis, epoch) in any::<(u64, u64)>(),
    ) -> Ask {
        let tenant = tenant.into();
        Ask { tenant, partition, everyone, vector, space, least, ttl_millis, epoch }
    }
}

prop_compose! {
    fn fly_ask()(
        tenant in ".{0,20}",
        (entry, everyone) in (entry(), option::of(entry())),
        (ttl_millis, epoch, refresh) in any::<(u64, u64, bool)>(),
        priority in priority(),
    ) -> FlyAsk {
        FlyAsk { tenant: tenant.into(), entry, everyone, ttl_millis, epoch, priority, refresh }
    }
}

fn near() -> impl Strategy<Value = Vec<(f32, Parcel)>> {
    vec((-1.0f32..1.0, parcel()), 0..4)
}

fn told() -> impl Strategy<Value = Told> {
    prop_oneof![
        sealed().prop_map(Told::Begun),
        sealed().prop_map(Told::Piece),
        parcel().prop_map(Told::Landed),
        Just(Told::Ended),
        sealed().prop_map(Told::Broken),
        Just(Told::Abandoned),
    ]
}

fn word() -> impl Strategy<Value = FlyWord> {
    prop_oneof![
        parcel().prop_map(FlyWord::Held),
        Just(FlyWord::Lead),
        Just(FlyWord::Follow),
        Just(FlyWord::Alone),
        told().prop_map(FlyWord::Told),
        any::<u32>().prop_map(FlyWord::Readers),
    ]
}

prop_compose! {
    fn group()((cell, hour, count, digest) in any::<(u16, u32, u32, u64)>()) -> Group {
        Group { cell, hour, count, digest }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn look_ups_come_back_as_they_were(ask in ask(), own in near(), everyone in near(), behind in any::<bool>()) {
        prop_assert_eq!(Ask::try_from(ask_out(&ask)).unwrap(), ask);
        let seen = Seen { own, everyone, behind };
        prop_assert_eq!(Seen::try_from(v1::LookReply::from(seen.clone())).unwrap(), seen);
    }

    #[test]
    fn flights_come_back_as_they_were(ask in fly_ask(), told in told(), word in word()) {
        prop_assert_eq!(fly_ask_in(fly_ask_out(ask.clone())).unwrap(), ask.clone());
        prop_assert_eq!(told_in(told.clone().into()).unwrap(), told.clone());
        prop_assert_eq!(FlyWord::try_from(v1::FlyReply::from(word.clone())).unwrap(), word);
        // a stream begins with a question and has no second one
        prop_assert!(fly_ask_in(told.into()).is_err());
        prop_assert!(told_in(fly_ask_out(ask)).is_err());
    }

    #[test]
    fn entries_on_their_way_come_back_as_they_were(
        parcels in vec(parcel(), 0..4),
        used in vec(entry(), 0..4),
        repair in any::<bool>(),
        refused in vec(any::<u32>(), 0..9),
        full in any::<bool>(),
    ) {
        let out = put_out(parcels.clone(), &used, repair);
        prop_assert_eq!(out.repair, repair);
        prop_assert_eq!(parcels_in(out.parcels).unwrap(), parcels);
        prop_assert_eq!(used_in(&out.used).unwrap(), used);
        let wanted = Wanted { places: refused.clone(), full };
        prop_assert_eq!(Wanted::from(v1::OfferReply::from(wanted.clone())), wanted);
        let kept = Kept { refused };
        prop_assert_eq!(Kept::from(v1::PutReply::from(kept.clone())), kept);
    }

    #[test]
    fn what_keepers_compare_comes_back_as_it_was(
        offered in vec((entry(), any::<u64>()), 0..6),
        groups in vec(group(), 0..6),
        other in option::of(vec(any::<u32>(), 0..6)),
        (epoch, placement, settled, forgotten) in any::<(u64, u64, u64, u64)>(),
    ) {
        let offered: Vec<Offered> = offered
            .into_iter()
            .map(|(entry, created)| Offered { entry, created })
            .collect();
        prop_assert_eq!(offer_in(offer_out(&offered)).unwrap(), offered);
        let out = groups_out(placement, &groups);
        prop_assert_eq!(out.placement, placement);
        prop_assert_eq!(groups_in(out.groups).unwrap(), groups);
        let compared = other.map_or(Compared::Elsewhere, Compared::Other);
        prop_assert_eq!(Compared::from(v1::CompareReply::from(compared.clone())), compared);
        let stand = Stand { epoch, placement, settled, forgotten };
        prop_assert_eq!(Stand::from(v1::StandReply::from(stand)), stand);
    }

    #[test]
    fn samples_come_back_as_they_were(
        numbers in vec(vec(-1.0f32..1.0, 7), 0..6),
    ) {
        let vectors = numbers.iter().map(|vector| Compact::of(vector)).collect();
        let sampled = Sampled { vectors };
        prop_assert_eq!(Sampled::try_from(v1::SampleReply::from(sampled.clone())).unwrap(), sampled);
    }
}

fn some_parcel() -> v1::Parcel {
    let parcel = Parcel {
        entry: EntryId([1; 16]),
        partition: Some(PartitionId([2; 16])),
        shared: false,
        tenant: "acme".into(),
        sealed: Bytes::from_static(b"sealed"),
    };
    parcel.into()
}

#[test]
fn a_parcel_that_makes_no_sense_is_refused_by_the_name_of_its_field() {
    type Damage = fn(&mut v1::Parcel);
    let cases: [(Damage, &str); 4] = [
        (
            |p| p.entry = p.entry.slice(1..),
            "parcel.entry is not 16 bytes",
        ),
        (|p| p.entry = Bytes::new(), "parcel.entry is not 16 bytes"),
        (
            |p| p.partition = p.partition.slice(9..),
            "parcel.partition is not 16 bytes",
        ),
        (|p| p.tenant = "a".repeat(257), "parcel.tenant is too long"),
    ];
    for (change, expected) in cases {
        let mut parcel = some_parcel();
        change(&mut parcel);
        let bad = Parcel::try_from(parcel.clone()).unwrap_err();
        assert_eq!(bad.to_string(), expected);
        // wherever it comes
        assert!(parcels_in(vec![some_parcel(), parcel.clone()]).is_err());
        let word = |word| v1::FlyReply { word: Some(word) };
        assert!(FlyWord::try_from(word(ReplyWord::Held(parcel.clone()))).is_err());
        assert!(FlyWord::try_from(word(ReplyWord::Landed(parcel.clone()))).is_err());
        let landed = RequestWord::Landed(parcel.clone());
        assert!(told_in(v1::FlyRequest { word: Some(landed) }).is_err());
        let near = v1::Near {
            similarity: 1.0,
            parcel: Some(parcel),
        };
        let reply = v1::LookReply {
            shared: vec![near],
            ..v1::LookReply::default()
        };
        assert!(Seen::try_from(reply).is_err());
    }
}

#[test]
fn a_question_that_makes_no_sense_is_refused() {
    let good = Ask {
        tenant: "acme".into(),
        partition: PartitionId([1; 16]),
        everyone: None,
        vector: Compact::of(&[0.5, 0.5]),
        space: "words".to_owned(),
        least: 0.8,
        ttl_millis: 1,
        epoch: 0,
    };
    let cases: [fn(&mut v1::LookRequest); 7] = [
        |ask| ask.partition = Bytes::new(),
        |ask| ask.shared_partition = Bytes::from_static(b"short"),
        |ask| ask.vector = Bytes::new(),
        |ask| ask.vector = Bytes::from_static(b"odd"),
        |ask| ask.vector = vec![0; 2 * MAX_DIMENSIONS + 2].into(),
        |ask| ask.space = "s".repeat(300),
        |ask| ask.tenant = "t".repeat(300),
    ];
    for change in cases {
        let mut ask = ask_out(&good);
        change(&mut ask);
        assert!(Ask::try_from(ask).is_err());
    }
    let fly = v1::FlyAsk {
        entry: Bytes::from_static(&[1; 16]),
        priority: 4,
        ..v1::FlyAsk::default()
    };
    assert!(FlyAsk::try_from(fly).is_err());
}

#[test]
fn what_is_missing_or_too_much_is_refused() {
    assert!(FlyWord::try_from(v1::FlyReply { word: None }).is_err());
    assert!(told_in(v1::FlyRequest { word: None }).is_err());
    let nothing = v1::Near {
        similarity: 1.0,
        parcel: None,
    };
    let reply = v1::LookReply {
        own: vec![nothing],
        ..v1::LookReply::default()
    };
    assert!(Seen::try_from(reply).is_err());
    assert!(parcels_in(vec![some_parcel(); MAX_ENTRIES + 1]).is_err());
    assert!(used_in(&vec![Bytes::from_static(&[1; 16]); MAX_ENTRIES + 1]).is_err());
    assert!(used_in(&[Bytes::from_static(b"short")]).is_err());
    let offered = vec![v1::Offered::default(); MAX_ENTRIES + 1];
    assert!(offer_in(v1::OfferRequest { entries: offered }).is_err());
    assert!(groups_in(vec![v1::Group::default(); MAX_GROUPS + 1]).is_err());
    let group = v1::Group {
        cell: 1 << 16,
        ..v1::Group::default()
    };
    assert!(groups_in(vec![group]).is_err());
    let sample = v1::SampleReply {
        dimensions: 3,
        vectors: Bytes::from_static(&[0; 8]),
    };
    assert!(Sampled::try_from(sample).is_err());
}
