use super::*;

fn heard(text: &str) -> Heard {
    Heard {
        status: 200,
        text: text.to_owned(),
        ended: Some(Ended::Stop),
        ..Heard::default()
    }
}

fn question() -> Question {
    Question::new("auto", "hi")
}

#[test]
fn a_wrong_answer_is_excused_by_nothing() {
    let came = judge(&heard("ho"), &question(), (false, true));
    assert!(matches!(came, Came::Failed(_)), "{came:?}");
    let came = judge(&heard("hi"), &question(), (true, false));
    assert!(matches!(came, Came::Good { .. }), "{came:?}");
}

#[test]
fn an_error_of_a_whole_node_is_a_failure_unless_too_much_was_asked() {
    let refused = Heard {
        status: 503,
        error: Some("busy".to_owned()),
        ..Heard::default()
    };
    let came = |whole, crowded| judge(&refused, &question(), (whole, crowded));
    assert!(matches!(came(true, false), Came::Failed(_)));
    assert!(matches!(came(true, true), Came::Refused));
    assert!(matches!(came(false, false), Came::Excused));
}

#[test]
fn a_cut_off_answer_is_no_refusal_however_much_was_asked() {
    let cut = Heard {
        wrong: vec!["the answer broke off".to_owned()],
        ..heard("h")
    };
    let came = |whole| judge(&cut, &question(), (whole, true));
    assert!(matches!(came(true), Came::Failed(_)));
    assert!(matches!(came(false), Came::Excused));
}

#[test]
fn what_has_no_end_is_excused_by_nothing() {
    let hung = Heard {
        hung: true,
        ..Heard::default()
    };
    let came = judge(&hung, &question(), (false, true));
    assert!(matches!(came, Came::Hung(_)));
}

#[test]
fn every_request_is_counted_under_what_was_being_done() {
    let log = Log::new();
    log.now("kill-leader");
    let good = Came::Good { recovered: true };
    log.add(
        "kill-leader",
        good,
        (1, Door::Chat),
        Duration::from_millis(3),
    );
    log.add(
        "kill-leader",
        Came::Excused,
        (1, Door::Chat),
        Duration::ZERO,
    );
    let seen = log.take();
    let count = &seen.counts["kill-leader"];
    assert_eq!((count.good, count.recovered, count.excused), (1, 1, 1));
    assert_eq!(seen.doors["chat"].len(), 1);
}
