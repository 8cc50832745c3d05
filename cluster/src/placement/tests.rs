//! What placement promises whatever the members, the weights and the shares.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::identity::MemberId;
use crate::state::Centroids;

const DIMENSIONS: usize = 16;

fn members(ids: impl IntoIterator<Item = u64>) -> BTreeMap<MemberId, u32> {
    ids.into_iter().map(|id| (MemberId(id), 1)).collect()
}

/// The starting cells of a made-up space, with these shares.
fn cells(shares: &[f32]) -> Cells {
    let mut agreed = Cells::starting("made up", DIMENSIONS).to_agreed();
    agreed.shares = shares.to_vec();
    Cells::from_agreed(1, &agreed).unwrap()
}

/// Shares that differ as much as those of real questions, and more.
fn any_cells() -> impl Strategy<Value = Cells> {
    prop::collection::vec(0.2..2.0_f32, STARTING_CELLS).prop_map(|shares| cells(&shares))
}

fn any_members() -> impl Strategy<Value = BTreeMap<MemberId, u32>> {
    prop::collection::btree_map((0..1000_u64).prop_map(MemberId), 1..4_u32, 1..20)
}

fn vector(seed: u64) -> Vec<f32> {
    let other = Cells::starting(&format!("vectors {seed}"), DIMENSIONS);
    other.centroids()[..DIMENSIONS].to_vec()
}

/// Each member's part of the copies in a bucket over its part of the weight.
fn filled(cells: &Cells, ownership: &Ownership, bucket: Bucket) -> BTreeMap<MemberId, f64> {
    let total: u32 = ownership.members().iter().map(|(_, weight)| weight).sum();
    let mut load = BTreeMap::new();
    for (cell, share) in (0_u16..).zip(cells.shares()) {
        let owner = ownership.owner(cell, bucket).unwrap();
        *load.entry(owner).or_insert(0.0) += f64::from(*share);
    }
    for (member, weight) in ownership.members() {
        let part = f64::from(*weight) / f64::from(total);
        *load.entry(*member).or_insert(0.0) /= part;
    }
    load
}

/// The part of all copies that changes its owner, over the part of the member that came.
fn moved(cells: &Cells, before: &Ownership, after: &Ownership) -> f64 {
    let mut moved = 0.0;
    for bucket in Bucket::all() {
        for (cell, share) in (0_u16..).zip(cells.shares()) {
            if before.owner(cell, bucket) != after.owner(cell, bucket) {
                moved += f64::from(*share) / f64::from(BUCKETS);
            }
        }
    }
    moved
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn owners_do_not_hang_on_the_order_in_which_members_came(cells in any_cells(), members in any_members()) {
        let table = Ownership::new(&cells, &members);
        let backwards: BTreeMap<_, _> = members.iter().rev().map(|(m, w)| (*m, *w)).collect();
        prop_assert_eq!(&table, &Ownership::new(&cells, &backwards));
        let agreed = Cells::from_agreed(cells.epoch(), &cells.to_agreed()).unwrap();
        prop_assert_eq!(&table, &Ownership::new(&agreed, &members));
    }

    #[test]
    fn nobody_is_given_more_than_the_slack_says(cells in any_cells(), count in 1..9_u64) {
        let table = Ownership::new(&cells, &members(1..=count));
        for bucket in Bucket::all() {
            let most = filled(&cells, &table, bucket).into_values().fold(0.0, f64::max);
            prop_assert!(most <= 1.22, "{most} of its part");
        }
    }

    #[test]
    fn a_walk_meets_each_member_once_the_nearest_owner_first(
        cells in any_cells(),
        members in any_members(),
        seed in any::<u64>(),
        most in 0..30_usize,
    ) {
        let table = Ownership::new(&cells, &members);
        let near = cells.nearest(&vector(seed));
        let bucket = Bucket::of(&[3; 16]);
        let walk = table.walk(&near, bucket, most);
        let distinct: BTreeSet<_> = walk.iter().collect();
        prop_assert_eq!(distinct.len(), walk.len());
        prop_assert!(walk.len() <= most);
        // With weights alike everybody owns something, so as many are met as there are.
        prop_assert!(walk.len() >= most.min(members.len()).min(2));
        prop_assert_eq!(walk.first().copied(), table.owner(near[0].cell, bucket).filter(|_| most > 0));
        let probe = table.probe(&near, bucket, most);
        prop_assert!(walk.starts_with(&probe));
        prop_assert_eq!(probe.is_empty(), most == 0);
    }

    #[test]
    fn a_key_names_every_member_once_and_others_do_not_matter(members in any_members(), key in any::<[u8; 16]>()) {
        let cells = Cells::starting("made up", DIMENSIONS);
        let order: Vec<_> = Ownership::new(&cells, &members).of_key(&key).collect();
        prop_assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), members.len());
        prop_assert_eq!(order.len(), members.len());
        let mut fewer = members.clone();
        fewer.remove(&order[0]);
        let then: Vec<_> = Ownership::new(&cells, &fewer).of_key(&key).collect();
        prop_assert_eq!(&then[..], &order[1..]);
    }
}

/// Measured on shares spread evenly from 0.2 to 2: 1.01 to 1.15 times what must move, on average
/// over the buckets.
#[test]
fn a_member_that_comes_or_goes_moves_little_else() {
    let shares: Vec<f32> = (0_u16..256)
        .map(|n| 0.2 + f32::from(n * 97 % 256) / 142.0)
        .collect();
    let cells = cells(&shares);
    for count in [3_u64, 5, 8, 16] {
        let (mut came, mut went) = (0.0, 0.0);
        for from in [1, 101, 201, 301] {
            let fewer = Ownership::new(&cells, &members(from..from + count));
            let more = Ownership::new(&cells, &members(from..=from + count));
            let later = Ownership::new(&cells, &members(from + 1..=from + count));
            came += moved(&cells, &fewer, &more) * (count + 1) as f64 / 4.0;
            went += moved(&cells, &more, &later) * (count + 1) as f64 / 4.0;
        }
        assert!(
            (0.8..=1.3).contains(&came),
            "{count} and one: {came} times ideal"
        );
        assert!(
            (0.8..=1.3).contains(&went),
            "{count} without one: {went} times ideal"
        );
    }
}

#[test]
fn members_own_in_proportion_to_their_weights_and_none_without() {
    let cells = Cells::starting("made up", DIMENSIONS);
    let weights = BTreeMap::from([(MemberId(1), 1), (MemberId(2), 3), (MemberId(3), 0)]);
    let table = Ownership::new(&cells, &weights);
    assert_eq!(table.members(), [(MemberId(1), 1), (MemberId(2), 3)]);
    for bucket in Bucket::all() {
        let filled = filled(&cells, &table, bucket);
        assert!(
            filled.values().all(|part| (0.3..1.22).contains(part)),
            "{filled:?}"
        );
    }
    assert!(table.of_key(&[1; 16]).all(|member| member != MemberId(3)));
}

#[test]
fn without_members_nobody_owns_anything() {
    let cells = Cells::starting("made up", DIMENSIONS);
    let table = Ownership::new(&cells, &BTreeMap::new());
    let near = cells.nearest(&vector(1));
    let bucket = Bucket::of(&[0; 16]);
    assert_eq!(table.owner(0, bucket), None);
    assert!(table.walk(&near, bucket, 2).is_empty());
    assert!(table.probe(&near, bucket, 2).is_empty());
    assert_eq!(table.of_key(&[0; 16]).count(), 0);
    let one = Ownership::new(&cells, &members([1]));
    assert_eq!(one.owner(9999, bucket), None);
}

#[test]
fn more_members_than_cells_each_own_one_at_most() {
    let cells = Cells::starting("made up", DIMENSIONS);
    let table = Ownership::new(&cells, &members(0..500));
    let owners: BTreeSet<_> = (0..256)
        .map(|cell| table.owner(cell, Bucket::of(&[0; 16])))
        .collect();
    assert_eq!(owners.len(), 256);
}

#[test]
fn a_question_between_two_cells_asks_both_owners_and_one_inside_asks_one() {
    let mut centroids = vec![0.0; 4 * 4];
    (0..4).for_each(|at| centroids[at * 5] = 1.0);
    let cells = Cells::new("four", 1, 4, centroids, Vec::new()).unwrap();
    let table = Ownership::new(&cells, &members(1..=4));
    let apart = |bucket: &Bucket| table.owner(0, *bucket) != table.owner(1, *bucket);
    let bucket = Bucket::all().find(apart).unwrap();
    let (inside, between) = ([0.9, 0.3, 0.3, 0.0], [0.6, 0.58, 0.3, 0.1]);
    assert_eq!(table.probe(&cells.nearest(&inside), bucket, 2).len(), 1);
    assert_eq!(table.probe(&cells.nearest(&between), bucket, 2).len(), 2);
    assert_eq!(table.probe(&cells.nearest(&between), bucket, 1).len(), 1);
}

#[test]
fn a_fingerprint_tells_members_weights_epochs_and_spaces_apart() {
    let base = Cells::starting("made up", DIMENSIONS);
    let agreed = Cells::from_agreed(1, &base.to_agreed()).unwrap();
    let other = Cells::starting("another", DIMENSIONS);
    let two = members([1, 2]);
    let heavier = BTreeMap::from([(MemberId(1), 1), (MemberId(2), 2)]);
    let prints = BTreeSet::from([
        Ownership::new(&base, &two).fingerprint(),
        Ownership::new(&agreed, &two).fingerprint(),
        Ownership::new(&other, &two).fingerprint(),
        Ownership::new(&base, &members([1])).fingerprint(),
        Ownership::new(&base, &heavier).fingerprint(),
    ]);
    assert_eq!(prints.len(), 5);
}

#[test]
fn what_is_not_a_set_of_cells_is_refused_with_its_reason() {
    let good = Cells::starting("made up", DIMENSIONS).to_agreed();
    let with = |change: fn(&mut Centroids)| {
        let mut bad = good.clone();
        change(&mut bad);
        Cells::from_agreed(1, &bad).unwrap_err()
    };
    assert_eq!(with(|bad| bad.data.push('?')), BadCells::NotBase64);
    assert_eq!(with(|bad| bad.shares = vec![0.1; 3]), BadCells::BadShares);
    assert_eq!(with(|bad| bad.shares[7] = -1.0), BadCells::BadShares);
    assert_eq!(with(|bad| bad.shares[7] = f32::NAN), BadCells::BadShares);
    for dimensions in [0, 7, 100_000] {
        let mut bad = good.clone();
        bad.dimensions = dimensions;
        assert!(matches!(
            Cells::from_agreed(1, &bad),
            Err(BadCells::NotRows { .. })
        ));
    }
    let long = Cells::new("s", 1, 2, vec![1.0, 0.0, 1.0, 1.0], Vec::new());
    assert_eq!(long, Err(BadCells::NotUnit { cell: 1 }));
    let nowhere = Cells::new("s", 1, 2, vec![f32::NAN, 0.0], Vec::new());
    assert_eq!(nowhere, Err(BadCells::NotUnit { cell: 0 }));
}

#[test]
fn cells_are_the_same_after_they_were_agreed() {
    let shares: Vec<f32> = (1_u8..=255).chain([9]).map(f32::from).collect();
    let cells = cells(&shares);
    assert_eq!(Cells::from_agreed(1, &cells.to_agreed()).unwrap(), cells);
    let sum: f32 = cells.shares().iter().sum();
    assert!((sum - 1.0).abs() < 1e-4);
}

#[test]
fn every_space_begins_with_unit_vectors_of_its_own() {
    for (space, dimensions) in [("a", 384), ("b", 384), ("c", 1), ("all-MiniLM-L6-v2", 384)] {
        let cells = Cells::starting(space, dimensions);
        assert_eq!(
            Cells::from_agreed(0, &cells.to_agreed()).as_ref(),
            Ok(&cells),
            "{space}"
        );
        assert_eq!(cells, Cells::starting(space, dimensions));
        assert_eq!(cells.count(), STARTING_CELLS);
    }
    assert_ne!(
        Cells::starting("a", 384).centroids(),
        Cells::starting("b", 384).centroids()
    );
}
