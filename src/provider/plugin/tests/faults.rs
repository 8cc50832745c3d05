//! Everything that can go wrong with an answer, and what it counts as.

use tokio::net::TcpListener;
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt};

use super::backend::Script;
use super::*;
use crate::provider::is_context_length;
use crate::provider::openai::stream::CUT_OFF;

async fn failure_of(script: Script, stream: bool) -> Failure {
    let backend = Backend::start(script).await;
    let plugin = backend.plugin();
    if stream {
        return read(&plugin, call("hi", true)).await.1.unwrap();
    }
    plugin.generate(call("hi", false)).await.unwrap_err()
}

fn script(told: Vec<Told>) -> Script {
    Script {
        told: told.into_iter().map(Some).collect(),
        ..Script::default()
    }
}

#[tokio::test]
async fn an_answer_without_an_end_was_cut_off() {
    for stream in [true, false] {
        let failure = failure_of(script(vec![text("half an ")]), stream).await;
        assert_eq!(
            (failure.class, failure.message.as_str()),
            (Class::Hard, CUT_OFF)
        );
    }
}

#[tokio::test]
async fn an_error_in_the_middle_is_a_failure_behind_what_was_said() {
    let broken = Script {
        ends: Some(Status::internal("out of memory")),
        ..script(vec![text("half an ")])
    };
    let backend = Backend::start(broken).await;
    let (chunks, failed) = read(&backend.plugin(), call("hi", true)).await;
    let failed = failed.unwrap();
    assert_eq!(said(&chunks), "half an ");
    assert_eq!(failed.message, "grpc INTERNAL: out of memory");
    assert_eq!(failed.class, Class::Hard);
}

#[tokio::test]
async fn an_error_behind_the_end_takes_nothing_back() {
    let broken = Script {
        ends: Some(Status::internal("late")),
        ..script(vec![text("all"), backend::stop(), backend::usage(1, 1)])
    };
    let backend = Backend::start(broken).await;
    let (chunks, failed) = read(&backend.plugin(), call("hi", true)).await;
    assert!(failed.is_none(), "{failed:?}");
    assert_eq!(chunks.last().unwrap().tap.usage, Some(Usage::new(1, 1)));
}

#[tokio::test]
async fn every_status_has_its_class() {
    let wait = Duration::from_secs(7);
    let patience =
        |code| Status::with_error_details(code, "", ErrorDetails::with_retry_info(Some(wait)));
    let gate = |retry_after| Class::Gate { retry_after };
    for (status, class, http) in [
        (Status::resource_exhausted("x"), gate(None), Some(429)),
        (
            patience(Code::ResourceExhausted),
            gate(Some(wait)),
            Some(429),
        ),
        (patience(Code::Unavailable), gate(Some(wait)), Some(503)),
        (
            Status::resource_exhausted("Received message larger than max (9 vs. 4)"),
            Class::Caller,
            Some(413),
        ),
        (Status::unauthenticated("x"), Class::Credential, Some(401)),
        (Status::permission_denied("x"), Class::Credential, Some(403)),
        (Status::invalid_argument("x"), Class::Caller, Some(400)),
        (Status::failed_precondition("x"), Class::Caller, Some(400)),
        (Status::out_of_range("x"), Class::Caller, Some(400)),
        (Status::not_found("x"), Class::Caller, Some(404)),
        (Status::unavailable("x"), Class::Hard, None),
        (Status::internal("x"), Class::Hard, None),
        (Status::unknown("x"), Class::Hard, None),
        (Status::unimplemented("x"), Class::Hard, None),
        (Status::aborted("x"), Class::Hard, None),
        (Status::data_loss("x"), Class::Hard, None),
    ] {
        let shown = format!("{status:?}");
        let refusing = Script {
            refuses: Some(status),
            ..Script::default()
        };
        let failure = failure_of(refusing, true).await;
        assert_eq!((failure.class, failure.status), (class, http), "{shown}");
    }
    let late = Script {
        refuses: Some(Status::deadline_exceeded("x")),
        ..Script::default()
    };
    assert!(failure_of(late, false).await.timed_out);
}

#[tokio::test]
async fn a_prompt_too_long_for_a_plugin_is_told_from_other_refusals() {
    for (status, long) in [
        (Status::out_of_range("at most 4 words"), true),
        (Status::invalid_argument("at most 4 words"), false),
    ] {
        let refusing = Script {
            refuses: Some(status),
            ..Script::default()
        };
        let failure = failure_of(refusing, true).await;
        assert_eq!(is_context_length(&failure), long, "{failure:?}");
    }
}

#[tokio::test]
async fn the_caller_reads_why_in_openais_words() {
    let details = ErrorDetails::with_bad_request_violation("temperature", "too hot");
    let status =
        Status::with_error_details(Code::InvalidArgument, "too hot for this model", details);
    let refusing = Script {
        refuses: Some(status),
        ..Script::default()
    };
    let failure = failure_of(refusing, true).await;
    let body: Value = serde_json::from_slice(&failure.body).unwrap();
    let expected = json!({"error": {"message": "too hot for this model",
        "type": "invalid_request_error", "param": "temperature", "code": null}});
    assert_eq!(body, expected);
    assert!(!failure.message.contains("hot"), "{}", failure.message);
}

#[tokio::test]
async fn a_message_over_the_limit_is_not_read() {
    let huge = text(&"x".repeat(17 << 20));
    let failure = failure_of(script(vec![huge, backend::stop()]), true).await;
    assert_eq!(failure.class, Class::Hard);
    assert!(failure.message.contains("too large"), "{}", failure.message);
}

#[tokio::test]
async fn an_answer_over_the_limit_is_not_read_to_its_end() {
    let mut told = vec![text(&"x".repeat(15 << 20)); 5];
    told.push(backend::stop());
    let failure = failure_of(script(told), true).await;
    assert_eq!(failure.message, "answer is over 64 MiB");
}

#[tokio::test]
async fn what_makes_no_sense_is_a_failure() {
    use llm_router_proto::llm_router::plugin::v1;
    let begins = |index| {
        Told::ToolCall(v1::ToolCall {
            index,
            name: "f".into(),
            ..Default::default()
        })
    };
    let nameless = Told::ToolCall(v1::ToolCall::default());
    let goes_on = Told::Arguments(v1::Arguments {
        index: 3,
        json: "{}".into(),
    });
    for (told, problem) in [
        (vec![Some(goes_on)], "never began"),
        (vec![Some(begins(0)), Some(begins(0))], "began twice"),
        (vec![Some(begins(128))], "more than 128"),
        (vec![Some(nameless)], "without `name`"),
        (vec![None], "not known here"),
    ] {
        let failure = failure_of(
            Script {
                told,
                ..Script::default()
            },
            true,
        )
        .await;
        assert_eq!(failure.class, Class::Hard);
        assert!(failure.message.contains(problem), "{}", failure.message);
    }
}

#[tokio::test]
async fn a_slow_plugin_is_given_up_at_the_limit_that_it_breaks() {
    let short = |first_token: u64, idle: u64| Timeouts {
        first_token: Duration::from_millis(first_token),
        idle: Duration::from_millis(idle),
        ..Timeouts::default()
    };
    for (told, timeouts, problem) in [
        (vec![], short(100, 5000), "no first token within 100ms"),
        (
            vec![text("a")],
            short(5000, 100),
            "nothing more of the answer within 100ms",
        ),
    ] {
        let silent = Script {
            hangs: true,
            ..script(told)
        };
        let backend = Backend::start(silent).await;
        let asked = Call {
            timeouts,
            ..call("hi", true)
        };
        let (_, failed) = read(&backend.plugin(), asked).await;
        let failed = failed.unwrap();
        assert!(failed.timed_out, "{failed:?}");
        assert_eq!(failed.message, problem);
    }
}

#[tokio::test]
async fn a_plugin_that_never_hangs_up_does_not_keep_a_finished_answer() {
    let silent = Script {
        hangs: true,
        ..script(vec![text("all"), backend::stop()])
    };
    let backend = Backend::start(silent).await;
    let plugin = backend.plugin();
    let read = read(&plugin, call("hi", true));
    let (chunks, failed) = tokio::time::timeout(Duration::from_secs(5), read)
        .await
        .unwrap();
    assert!(failed.is_none(), "{failed:?}");
    assert_eq!(said(&chunks), "all");
}

#[tokio::test]
async fn an_answer_that_nobody_listens_to_any_more_is_called_off() {
    let endless = Script {
        hangs: true,
        ..script(vec![text("a")])
    };
    let backend = Backend::start(endless).await;
    let mut chunks = stream_of(&backend.plugin(), call("hi", true))
        .await
        .unwrap();
    chunks.next().await.unwrap().unwrap();
    assert_eq!(backend.dropped(), 0);
    drop(chunks);
    let gone = async {
        while backend.dropped() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), gone)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_plugin_that_is_away_is_a_failure_and_is_asked_anew_when_it_is_back() {
    let told = || vec![text("here"), backend::stop()];
    let backend = Backend::telling(told()).await;
    let plugin = backend.plugin();
    assert!(read(&plugin, call("hi", true)).await.1.is_none());
    assert!(read(&plugin, call("hi", true)).await.1.is_none());
    assert_eq!(backend.descriptions(), 1, "it is asked once what is there");
    let address = backend.url().trim_start_matches("http://").to_owned();
    drop(backend);
    let lost = async {
        // a connection that is being shut may still answer for a moment
        loop {
            if let Some(failure) = read(&plugin, call("hi", true)).await.1
                && failure.message == "connection refused"
            {
                break failure;
            }
        }
    };
    let failure = tokio::time::timeout(Duration::from_secs(5), lost)
        .await
        .unwrap();
    assert_eq!(failure.class, Class::Hard);
    let listener = TcpListener::bind(&address).await.unwrap();
    let again = Backend::on(listener, script(told())).await;
    let (chunks, failed) = read(&plugin, call("hi", true)).await;
    assert!(failed.is_none(), "{failed:?}");
    assert_eq!(said(&chunks), "here");
    assert_eq!(again.descriptions(), 1, "it may be another one now");
}
