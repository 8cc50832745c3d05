//! Collectors that are away, hang or come back, and what they cost a node.

use super::*;

#[test]
fn a_collector_that_is_away_slows_nothing_and_shutdown_is_bounded() {
    let refused = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = refused.local_addr().expect("bound");
    drop(refused);
    let telemetry = telemetry(&format!("http://{address}"));
    let began = Moment::now();
    with_subscriber(&telemetry, &Captured::default(), || {
        // More than the queue holds: the rest is dropped, nobody waits.
        for _ in 0..3 * MAX_QUEUED_SPANS {
            spans::cache_ended(&spans::cache_lookup(), CacheStatus::Miss, None);
        }
    });
    let told = Moment::now().since(began);
    assert!(told < Duration::from_secs(2), "spans took {told:?}");
    let began = Moment::now();
    assert!(!telemetry.shutdown(), "nothing could be sent");
    let waited = Moment::now().since(began);
    assert!(waited < Duration::from_secs(6), "shutdown took {waited:?}");
}

#[test]
fn a_collector_that_hangs_makes_nobody_wait_and_what_does_not_fit_is_dropped() {
    let collector = Collector::start();
    let held = collector.received.hold();
    let telemetry = telemetry(&collector.endpoint());
    let mut sent = 0;
    with_subscriber(&telemetry, &Captured::default(), || {
        // three rounds, each with more than the queue holds, while the first export hangs
        for _ in 0..3 {
            let began = Moment::now();
            for _ in 0..2 * MAX_QUEUED_SPANS {
                spans::cache_ended(&spans::cache_lookup(), CacheStatus::Miss, None);
                sent += 1;
            }
            let told = Moment::now().since(began);
            assert!(told < Duration::from_secs(2), "spans took {told:?}");
            rest(300);
        }
    });
    drop(held);
    telemetry.shutdown();
    // what waited and what was under way, no more; and not nothing
    let received = collector.received.spans().len();
    assert!(received > 0 && received < sent, "{received} of {sent}");
    assert!(received <= MAX_QUEUED_SPANS + MAX_BATCH, "{received}");
}

#[test]
fn spans_with_what_was_said_go_out_in_small_parcels() {
    let collector = Collector::start();
    let held = collector.received.hold();
    let settings = Settings {
        otlp_endpoint: Some(collector.endpoint()),
        content: CaptureContent::On,
        ..Settings::default()
    };
    let telemetry = Telemetry::prepare(settings).expect("settings are fine");
    let sent = 4 * MAX_BATCH_WITH_CONTENT;
    with_subscriber(&telemetry, &Captured::default(), || {
        for _ in 0..sent {
            spans::cache_ended(&spans::cache_lookup(), CacheStatus::Miss, None);
        }
    });
    drop(held);
    assert!(telemetry.shutdown());
    assert_eq!(collector.received.spans().len(), sent);
    assert_eq!(collector.received.largest(), MAX_BATCH_WITH_CONTENT);
}

#[test]
fn a_collector_that_comes_back_is_told_what_happens_from_then_on() {
    let first = Collector::start();
    let (endpoint, address) = (first.endpoint(), first.address.to_string());
    let telemetry = telemetry(&endpoint);
    let tell = |name: &str| {
        let wait = spans::queue_wait(&ModelName::from(name), Priority::Normal);
        spans::queue_ended(&wait, None);
    };
    let within = |what: &str, came: &dyn Fn() -> bool| {
        let limit = Moment::now() + Duration::from_secs(20);
        while !came() {
            assert!(Moment::now() < limit, "{what}");
            rest(100);
        }
    };
    // it stays until everything was told
    let second = std::cell::RefCell::new(None);
    with_subscriber(&telemetry, &Captured::default(), || {
        tell("before");
        within("the first span comes", &|| {
            !first.received.spans().is_empty()
        });
        drop(first);
        tell("meanwhile");
        let export = telemetry.export_failures();
        within("an export fails", &|| telemetry.export_failures() > export);
        within("the port is free again", &|| {
            *second.borrow_mut() = Collector::at(&address).ok();
            second.borrow().is_some()
        });
        within("a later span comes", &|| {
            tell("after");
            let listening = second.borrow();
            let spans = listening.as_ref().map(|second| second.received.spans());
            let mut spans = spans.into_iter().flatten();
            spans.any(|span| span.name == "queue_wait after")
        });
    });
    assert!(telemetry.shutdown());
}

#[test]
fn a_collector_that_never_answers_holds_shutdown_for_five_seconds_at_most() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("bound");
    let telemetry = telemetry(&format!("http://{address}"));
    with_subscriber(&telemetry, &Captured::default(), || {
        spans::cache_ended(&spans::cache_lookup(), CacheStatus::Miss, None);
    });
    let began = Moment::now();
    assert!(!telemetry.shutdown());
    assert!(Moment::now().since(began) < Duration::from_secs(6));
    assert!(telemetry.shutdown(), "a second call has nothing to do");
}

#[expect(clippy::disallowed_methods, reason = "no runtime is here to wait in")]
fn rest(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis));
}
