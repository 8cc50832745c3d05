//! Promises of the buffer, refusals first.

use super::*;

mod leaving;
mod order;
mod refusals;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const UNKNOWN: ServiceEstimate = ServiceEstimate { p50: None };

fn at(millis: u64) -> Moment {
    Moment::from_millis(millis)
}

fn item(id: u64, tenant: &str, priority: Priority) -> Item {
    Item {
        id: ItemId(id),
        tenant: tenant.into(),
        priority,
        deadline: at(3_600_000),
        arrival: at(0),
        cost: 100,
        bytes: 10,
    }
}

/// Short patience, so that its end comes within a story.
fn impatient() -> Limits {
    Limits {
        max_wait: [2, 10, 30, 300].map(Duration::from_secs),
        ..Limits::default()
    }
}

/// Deep, patient and roomy: whatever a test is not about.
fn patient(max_depth: u32) -> Limits {
    Limits {
        max_depth,
        max_wait: [60 * MINUTE; 4],
        ..Limits::default()
    }
}

fn pop_all(buffer: &mut Buffer, now: Moment) -> Vec<u64> {
    std::iter::from_fn(|| buffer.pop(now).item.map(|item| item.id.0)).collect()
}

/// A buffer that has seen 100 cost per second, with nobody waiting.
fn measured(limits: Limits) -> Buffer {
    let mut buffer = Buffer::new(limits);
    for second in 0..20 {
        let began = second * 1_000;
        buffer
            .push(
                item(900 + second, "a", Priority::Normal),
                at(began),
                UNKNOWN,
            )
            .unwrap();
        buffer.pop(at(began + 1_000)).item.unwrap();
    }
    buffer
}
