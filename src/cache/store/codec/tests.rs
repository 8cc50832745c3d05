use proptest::prelude::*;

use super::*;
use crate::types::Usage;

fn put(text: &str, vector: Option<Vec<f32>>, witness: Option<&str>) -> Put {
    let meaning = vector.is_some().then(|| Meaning {
        partition: PartitionId([3; 16]),
        text: text.into(),
        features: Arc::new(Features::of(text)),
    });
    let entry = Entry {
        id: EntryId([1; 16]),
        serial: 5,
        tenant: "acme".into(),
        witness: witness.map(Into::into),
        tags: vec![("k".to_owned(), text.to_owned())],
        meaning,
        epoch: 7,
        created: 1,
        expires: 2,
        borrowed: false,
        answer: Arc::new(StoredAnswer {
            text: text.to_owned(),
            usage: Usage::new(1, 2),
            model: "m".into(),
            shown_model: "s".to_owned(),
            created: 9,
        }),
    };
    Put {
        entry: Arc::new(entry),
        space: "space".into(),
        vector: vector.map(|vector| Compact::of(&vector)),
    }
}

fn vault() -> Vault {
    let mut vault = Vault::new(&[7; 32]).unwrap();
    for owner in [
        Owner::Everyone,
        Owner::Tenant(&"acme".into()),
        Owner::Tenant(&"other".into()),
    ] {
        let id = vault.id(owner);
        vault.ensure(id).unwrap();
    }
    vault
}

/// Where the parts of a row with one key stand.
const KEY: usize = 2;
const ENTRY: usize = KEY + 16;
const PARTITION: usize = ENTRY + 16 + 1;

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        text in ".{0,40}",
        vector in prop::option::of(prop::collection::vec(-1.0f32..1.0, 1..9)),
        shared in any::<bool>(),
    ) {
        let vault = vault();
        let put = put(&text, vector, shared.then_some("other"));
        let record = decode(5, &encode(&put, &vault).unwrap(), &vault).unwrap();
        prop_assert_eq!(&record.entry.answer, &put.entry.answer);
        prop_assert_eq!((record.entry.id, record.entry.epoch), (put.entry.id, 7));
        prop_assert_eq!(&record.entry.tags, &put.entry.tags);
        prop_assert_eq!(&record.entry.witness, &put.entry.witness);
        prop_assert_eq!(record.entry.meaning.map(|m| m.text), put.entry.meaning.as_ref().map(|m| m.text.clone()));
        prop_assert_eq!(record.vector.map(|(_, v)| v), put.vector);
    }

    #[test]
    fn a_changed_or_cut_value_is_corrupt(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let vault = vault();
        let good = encode(&put("question", Some(vec![0.5; 4]), None), &vault).unwrap();
        let at = at.index(good.len());
        let mut changed = good.clone();
        changed[at] ^= 1 << bit;
        prop_assert!(decode(5, &changed, &vault).is_err());
        prop_assert!(decode(5, &good[..at], &vault).is_err());
    }
}

#[test]
fn a_row_opens_in_its_own_place_alone() {
    let vault = vault();
    let row = encode(&put("question", Some(vec![0.5; 4]), None), &vault).unwrap();
    assert!(decode(5, &row, &vault).is_ok());
    assert_eq!(decode(6, &row, &vault).unwrap_err(), Corrupt);
    let moved = |at: usize, to: [u8; 16]| {
        let mut row = row.clone();
        row[at..at + 16].copy_from_slice(&to);
        decode(5, &row, &vault)
    };
    let other = vault.id(Owner::Tenant(&"other".into()));
    assert!(moved(KEY, other.0).is_err());
    assert!(moved(ENTRY, [2; 16]).is_err());
    assert!(moved(PARTITION, [4; 16]).is_err());
    assert!(moved(PARTITION, [3; 16]).is_ok());
}

#[test]
fn a_row_shows_neither_text_nor_vector_nor_tenant() {
    let vault = vault();
    let row = encode(&put("a telling question", Some(vec![0.5; 8]), None), &vault).unwrap();
    for secret in [
        &b"telling"[..],
        b"acme",
        b"space",
        &0.5f32.to_le_bytes().repeat(4),
    ] {
        assert!(!row.windows(secret.len()).any(|part| part == secret));
    }
}

#[test]
fn without_its_key_a_row_cannot_be_written() {
    let vault = Vault::new(&[7; 32]).unwrap();
    assert!(encode(&put("question", None, None), &vault).is_err());
}
