use proptest::prelude::*;

use super::*;

const HOUR_MS: u64 = 3_600_000;

fn record(text: &KeyText) -> KeyRecord {
    KeyRecord {
        id: text.id().to_owned(),
        tenant: "acme".to_owned(),
        digest: text.digest().to_hex().to_string(),
        scopes: vec!["use".to_owned(), "from_the_future".to_owned()],
        valid_without_quorum_s: 600,
        ..KeyRecord::default()
    }
}

fn table(records: impl IntoIterator<Item = KeyRecord>) -> BTreeMap<String, KeyRecord> {
    let named = |record: KeyRecord| (record.id.clone(), record);
    records.into_iter().map(named).collect()
}

fn at(wall_ms: u64) -> Now {
    Now {
        wall_ms,
        silence: Duration::ZERO,
    }
}

#[test]
fn a_key_nobody_made_is_not_known() {
    let (known, other) = (KeyText::generate(), KeyText::generate());
    let keys = table([record(&known)]);
    assert_eq!(judge(&keys, &other, &at(0)), Err(Refused::Unknown));
    let forged = KeyText::generate_for(known.id());
    assert_eq!(judge(&keys, &forged, &at(0)), Err(Refused::Unknown));
}

#[test]
fn a_record_whose_digest_cannot_be_read_takes_no_key() {
    let text = KeyText::generate();
    for digest in ["", "zz", &"0".repeat(64)] {
        let broken = KeyRecord {
            digest: digest.to_owned(),
            ..record(&text)
        };
        let judged = judge(&table([broken]), &text, &at(0));
        assert_eq!(judged, Err(Refused::Unknown), "{digest}");
    }
}

#[test]
fn a_revoked_key_is_refused_and_only_its_holder_learns_so() {
    let text = KeyText::generate();
    let revoked = KeyRecord {
        revoked_ms: Some(1),
        ..record(&text)
    };
    let keys = table([revoked]);
    assert_eq!(judge(&keys, &text, &at(2)), Err(Refused::Revoked));
    let forged = KeyText::generate_for(text.id());
    assert_eq!(judge(&keys, &forged, &at(2)), Err(Refused::Unknown));
}

#[test]
fn a_key_is_refused_from_the_millisecond_it_expires() {
    let text = KeyText::generate();
    let passing = KeyRecord {
        expires_ms: Some(HOUR_MS),
        ..record(&text)
    };
    let keys = table([passing]);
    assert!(judge(&keys, &text, &at(HOUR_MS - 1)).is_ok());
    assert_eq!(judge(&keys, &text, &at(HOUR_MS)), Err(Refused::Expired));
}

#[test]
fn the_secret_before_a_rotation_is_taken_until_its_grace_is_over() {
    let old = KeyText::generate();
    let new = KeyText::generate_for(old.id());
    let rotated = KeyRecord {
        previous: Some((old.digest().to_hex().to_string(), HOUR_MS)),
        ..record(&new)
    };
    let keys = table([rotated]);
    assert!(judge(&keys, &new, &at(0)).is_ok());
    assert!(judge(&keys, &old, &at(HOUR_MS - 1)).is_ok());
    assert_eq!(judge(&keys, &old, &at(HOUR_MS)), Err(Refused::Unknown));
    assert!(judge(&keys, &new, &at(HOUR_MS)).is_ok());
}

#[test]
fn a_node_that_hears_of_no_leader_takes_a_key_for_so_long_and_says_why_not() {
    let text = KeyText::generate();
    let keys = table([record(&text)]);
    let silent = |seconds| Now {
        wall_ms: 0,
        silence: Duration::from_secs(seconds),
    };
    assert!(judge(&keys, &text, &silent(600)).is_ok());
    let refused = judge(&keys, &text, &silent(601)).unwrap_err();
    let words = refused.to_string();
    assert!(
        words.contains("601 s") && words.contains("600 s"),
        "{words}"
    );
    assert_eq!(Error::from(refused).kind, Kind::Unauthenticated);
}

#[test]
fn a_caller_has_its_keys_tenant_and_the_scopes_this_program_knows() {
    let text = KeyText::generate();
    let caller = judge(&table([record(&text)]), &text, &at(0)).unwrap();
    assert_eq!(caller.tenant().as_str(), "acme");
    assert!(caller.need(Scope::Use).is_ok());
    let refused = Error::from(caller.need(Scope::Admin).unwrap_err());
    assert_eq!(refused.kind, Kind::Forbidden);
    assert!(refused.message.contains("admin"));
}

proptest! {
    /// Even where the check is made to fit, no other secret opens the door.
    #[test]
    fn any_one_changed_character_is_refused(at_char in 0_usize..68, to in "[0-9A-Za-z]") {
        let text = KeyText::generate();
        let keys = table([record(&text)]);
        let mut other = text.expose().to_owned();
        prop_assume!(at_char < other.len() && other[at_char..=at_char] != to);
        other.replace_range(at_char..=at_char, &to);
        prop_assert!(KeyText::parse(&other).is_err());
        let (body, _) = other.rsplit_once('_').unwrap_or_default();
        let mended = format!("{body}_{:08x}", crc32fast::hash(body.as_bytes()));
        match KeyText::parse(&mended) {
            Ok(mended) if mended != text => prop_assert!(judge(&keys, &mended, &at(0)).is_err()),
            Ok(_) | Err(_) => {}
        }
    }
}
