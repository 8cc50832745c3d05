//! What every sequence of commands has in common, and the means to make such sequences.

mod bounds;
mod breaker;
mod config;
mod key;
mod member;
mod properties;

use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;

use super::{Cause, Centroids, KeyRecord, Mode, State};
use crate::command::{
    BreakerChange, BreakerStep, Change, Command, Done, Outcome, Rejected, RequestId,
};
use crate::identity::{MemberId, NodeId, Revision};

/// A command under a request id of its own, at time 0.
pub(crate) fn command(change: Change) -> Command {
    static NEXT: AtomicU64 = AtomicU64::new(1 << 40);
    Command {
        request: RequestId(u128::from(NEXT.fetch_add(1, Ordering::Relaxed))),
        at_ms: 0,
        by: "operator".to_owned(),
        change,
    }
}

/// A state one applies changes to, one log index after the other.
#[derive(Default)]
struct Log {
    state: State,
    index: u64,
}

impl Log {
    fn apply(&mut self, change: Change) -> Result<Done, Rejected> {
        self.apply_at(0, change)
    }

    fn apply_at(&mut self, at_ms: u64, change: Change) -> Result<Done, Rejected> {
        self.index += 1;
        let command = Command {
            at_ms,
            ..command(change)
        };
        match self.state.apply(self.index, &command) {
            Outcome::Done(done) => Ok(done),
            Outcome::Rejected(rejected) => Err(rejected),
        }
    }
}

fn config(expected: Option<u64>, text: &str) -> Change {
    Change::Config {
        expected: expected.map(Revision),
        text: text.to_owned(),
        note: "a test".to_owned(),
    }
}

fn node(name: &str) -> NodeId {
    NodeId::parse(name).unwrap()
}

fn key(id: &str) -> KeyRecord {
    KeyRecord {
        id: id.to_owned(),
        tenant: "acme".to_owned(),
        digest: "00ff".to_owned(),
        ..KeyRecord::default()
    }
}

/// Any command, out of so few names and numbers that they often meet.
pub(crate) fn any_command() -> impl Strategy<Value = Command> {
    (0..60u128, 0..5_000u64, any_change()).prop_map(|(request, at_ms, change)| Command {
        request: RequestId(request),
        at_ms,
        by: "operator".to_owned(),
        change,
    })
}

fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        2 => any_membership(),
        3 => any_config(),
        3 => any_key(),
        6 => any_step().prop_map(Change::Breaker),
        2 => prop::collection::vec(any_step(), 0..4).prop_map(Change::Breakers),
        1 => "(all|tag/[ab])".prop_map(|scope| Change::CacheEpoch { scope }),
        1 => any_centroids(),
    ]
}

fn any_centroids() -> impl Strategy<Value = Change> {
    let shares = prop::collection::vec(-0.1..1.0_f32, 0..3);
    let parts = (prop::option::of(0..3u64), "[st]", "[A-Z]{16}", shares);
    parts.prop_map(|(expected, space, data, shares)| Change::Centroids {
        expected,
        centroids: Centroids {
            space,
            dimensions: 3,
            data,
            shares,
        },
    })
}

fn any_membership() -> impl Strategy<Value = Change> {
    let name = || "n[1-4]".prop_map(|name| node(&name));
    prop_oneof![
        name().prop_map(|name| Change::Begin {
            cluster: "c".to_owned(),
            name,
            address: "a:1".to_owned(),
            level: 1,
        }),
        (name(), 1..3u16).prop_map(|(name, level)| Change::Admit {
            name,
            address: "a:2".to_owned(),
            level,
        }),
        (0..40u64, 1..3u16).prop_map(|(member, level)| Change::Update {
            member: MemberId(member),
            address: "a:3".to_owned(),
            level,
        }),
        (0..40u64).prop_map(|member| Change::Dismiss {
            member: MemberId(member)
        }),
    ]
}

fn any_config() -> impl Strategy<Value = Change> {
    let expected = || prop::option::of((0..8u64).prop_map(Revision));
    prop_oneof![
        (expected(), "[ab]{1,3}").prop_map(|(expected, text)| Change::Config {
            expected,
            text,
            note: "a file".to_owned(),
        }),
        (0..8u64, expected()).prop_map(|(to, expected)| Change::Rollback {
            to: Revision(to),
            expected,
        }),
    ]
}

fn any_key() -> impl Strategy<Value = Change> {
    let id = || "k[1-3]";
    prop_oneof![
        id().prop_map(|id| Change::CreateKey(key(&id))),
        id().prop_map(|id| Change::RevokeKey { id }),
        (id(), "[0-9a-f]{2}", 0..9u64).prop_map(|(id, digest, grace_until_ms)| {
            Change::RotateKey {
                id,
                digest,
                grace_until_ms,
            }
        }),
    ]
}

fn any_step() -> impl Strategy<Value = BreakerChange> {
    let step = prop_oneof![
        Just(BreakerStep::Open {
            cause: Cause::Streak,
            cooldown_ms: 5_000
        }),
        (1..4u64).prop_map(|holder| BreakerStep::HalfOpen {
            holder: MemberId(holder),
            lease_ms: 1_000,
            need_ok: 3,
        }),
        Just(BreakerStep::Close),
        Just(BreakerStep::Reopen {
            cause: Cause::ProbeFailed,
            cooldown_ms: 10_000
        }),
        Just(BreakerStep::Decay),
        prop_oneof![
            Just(Mode::Auto),
            Just(Mode::ForceOpen),
            Just(Mode::ForceClosed)
        ]
        .prop_map(|mode| BreakerStep::Override { mode }),
        Just(BreakerStep::Forget),
    ];
    ("t[12]", 0..6u64, step).prop_map(|(target, expect, to)| BreakerChange { target, expect, to })
}
