use std::sync::Arc;

use super::*;
use crate::dialect::openai::ChatBody;
use crate::types::{Features, Moment, Priority, RequestId, TenantId, Usage};

fn request(body: &str) -> ChatRequest {
    let body = ChatBody::parse(body.as_bytes()).unwrap();
    ChatRequest {
        id: RequestId::from("r"),
        tenant: TenantId::default(),
        priority: Priority::Normal,
        model: "auto".into(),
        tags: Vec::new(),
        cache: CacheMode::On,
        min_similarity: None,
        deadline: Moment::ZERO,
        stream: false,
        include_usage: false,
        features: Features::default(),
        body: Arc::new(body),
    }
}

fn asking(text: &str) -> ChatRequest {
    let messages = [("user".to_owned(), text.to_owned())];
    let body = ChatBody::from_messages("auto", &messages).unwrap();
    ChatRequest {
        body: Arc::new(body),
        ..request(r#"{"messages":[{"role":"user","content":"x"}]}"#)
    }
}

fn with(fields: &str) -> Admission {
    let body = format!(
        r#"{{"messages":[{{"role":"user","content":"What is a monad in Haskell?"}}]{fields}}}"#
    );
    admit(&request(&body), &CacheConfig::default())
}

fn bypassed(admission: &Admission) -> bool {
    matches!(admission, Admission::Bypass(_))
}

#[test]
fn what_samples_wildly_or_asks_for_more_than_one_text_is_bypassed() {
    for fields in [
        r#","temperature":0.31"#,
        r#","temperature":1"#,
        r#","n":2"#,
        r#","logprobs":true"#,
        r#","top_logprobs":3"#,
        r#","modalities":["text","audio"]"#,
        r#","audio":{"voice":"x"}"#,
        r#","web_search_options":{}"#,
    ] {
        assert!(bypassed(&with(fields)), "{fields}");
    }
}

#[test]
fn a_request_without_temperature_counts_as_configured() {
    let hot = CacheConfig {
        absent_temperature: 1.0,
        ..CacheConfig::default()
    };
    assert!(bypassed(&admit(
        &asking("What is a monad in Haskell?"),
        &hot
    )));
    assert!(matches!(with(""), Admission::Both(_)));
    assert!(matches!(
        with(r#","temperature":0.3,"n":1,"logprobs":false"#),
        Admission::Both(_)
    ));
}

#[test]
fn off_means_off() {
    let mut off = asking("What is a monad in Haskell?");
    off.cache = CacheMode::Off;
    assert!(bypassed(&admit(&off, &CacheConfig::default())));
    let disabled = CacheConfig {
        enabled: false,
        ..CacheConfig::default()
    };
    assert!(bypassed(&admit(
        &asking("What is a monad in Haskell?"),
        &disabled
    )));
}

#[test]
fn a_credential_in_any_message_bypasses_the_cache() {
    let body = r#"{"messages":[{"role":"system","content":"key sk-abcdefghijklmnopqrstuv"},
                   {"role":"user","content":"What is a monad in Haskell?"}]}"#;
    assert!(bypassed(&admit(&request(body), &CacheConfig::default())));
    let body = r#"{"messages":[{"role":"assistant","tool_calls":[{"id":"1","type":"function","function":
                   {"name":"f","arguments":"{\"k\":\"sk-abcdefghijklmnopqrstuv\"}"}}]},
                   {"role":"user","content":"What is a monad in Haskell?"}]}"#;
    assert!(bypassed(&admit(&request(body), &CacheConfig::default())));
}

#[test]
fn what_means_something_only_in_its_place_keeps_to_the_exact_tier() {
    for text in [
        "continue",
        "yes",
        "fix it",
        "yes please do it",
        "please explain it again",
        "Summarize this email",
        "What does that mean?",
        "",
        "如何用Python写一个HTTP服务器?",
        "Как приготовить борщ?",
    ] {
        let admission = admit(&asking(text), &CacheConfig::default());
        assert!(
            matches!(admission, Admission::Exact(_)),
            "{text}: {admission:?}"
        );
    }
}

#[test]
fn tools_images_and_foreign_last_turns_keep_to_the_exact_tier() {
    let exact = |body: &str| {
        let admission = admit(&request(body), &CacheConfig::default());
        assert!(
            matches!(admission, Admission::Exact(_)),
            "{body}: {admission:?}"
        );
    };
    exact(
        r#"{"messages":[{"role":"user","content":"What is a monad in Haskell?"}],"tools":[{"type":"function"}]}"#,
    );
    exact(
        r#"{"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"What is a monad?"}]}"#,
    );
    exact(
        r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:x"}}]}]}"#,
    );
}

#[test]
fn a_route_may_match_requests_with_tools_by_meaning() {
    let config = CacheConfig {
        semantic_with_tools: true,
        ..CacheConfig::default()
    };
    let body = r#"{"messages":[{"role":"user","content":"What is a monad in Haskell?"}],"tools":[{"type":"function"}]}"#;
    assert!(matches!(admit(&request(body), &config), Admission::Both(_)));
}

#[test]
fn the_text_beside_an_image_is_matched_by_meaning() {
    let body = r#"{"messages":[{"role":"user","content":[{"type":"text","text":"What does this picture show?"},
          {"type":"image_url","image_url":{"url":"data:x"}}]}]}"#;
    let text = "What does this picture show?".to_owned();
    assert_eq!(
        admit(&request(body), &CacheConfig::default()),
        Admission::Both(text)
    );
}

#[test]
fn what_asks_about_the_present_is_kept_briefly_or_not_at_all() {
    for text in [
        "What is the weather in Berlin?",
        "Who is the current president of France?",
        "What are the latest Rust features?",
        "Which movies are out this week?",
        "What happened today in Rome?",
        "So what should I do now about my knee?",
        "How high is the price of gold?",
        "weather?",
    ] {
        let config = CacheConfig::default();
        let admission = admit(&asking(text), &config);
        assert!(
            matches!(admission, Admission::Brief(_)),
            "{text}: {admission:?}"
        );
        let never = CacheConfig {
            time_bound_ttl: crate::config::duration::Span::from_secs(0),
            ..config
        };
        assert!(bypassed(&admit(&asking(text), &never)), "{text}");
    }
    let long = format!("{} What is the weather in Berlin?", "word ".repeat(2000));
    let admission = admit(&asking(&long), &CacheConfig::default());
    assert!(matches!(admission, Admission::Brief(_)));
    let after = r#"{"messages":[{"role":"user","content":"What is the weather in Rome?"},
        {"role":"assistant","content":"fine"},{"role":"user","content":"and in Paris then, how is it"}]}"#;
    let admission = admit(&request(after), &CacheConfig::default());
    assert!(matches!(admission, Admission::Brief(_)));
}

#[test]
fn an_operators_own_prompt_may_name_his_firm_and_his_pages() {
    let body = r#"{"messages":[{"role":"system","content":"You help customers of Blue Heron Ltd. Confidential. See https://help.example.com"},
        {"role":"user","content":"What is a monad in Haskell?"}]}"#;
    let admission = admit(&request(body), &CacheConfig::default());
    assert!(matches!(admission, Admission::Both(_)), "{admission:?}");
    let body = r#"{"messages":[{"role":"user","content":"I was diagnosed with lupus."},{"role":"assistant","content":"ok"},
        {"role":"user","content":"What is a monad in Haskell?"}]}"#;
    assert!(bypassed(&admit(&request(body), &CacheConfig::default())));
}

#[test]
fn questions_that_stand_alone_enter_both_tiers() {
    for text in [
        "What is Python?",
        "What is the capital of France?",
        "How do I reset my password?",
        "How does electric current flow through a wire?",
        "Write a haiku about the sea",
    ] {
        assert_eq!(
            admit(&asking(text), &CacheConfig::default()),
            Admission::Both(text.to_owned())
        );
    }
}

#[test]
fn only_whole_plain_answers_that_ended_by_themselves_are_kept() {
    let good = Candidate {
        text: "Paris".to_owned(),
        finish: Some(Finish::Stop),
        usage: Usage::new(1, 1),
        model: "m".into(),
        shown_model: "m".to_owned(),
        beyond_text: false,
        complete: true,
    };
    let config = CacheConfig::default();
    assert_eq!(refuse_answer(&good, &config), None);
    let refused = [
        Candidate {
            complete: false,
            ..good.clone()
        },
        Candidate {
            finish: Some(Finish::Length),
            ..good.clone()
        },
        Candidate {
            finish: Some(Finish::ContentFilter),
            ..good.clone()
        },
        Candidate {
            finish: Some(Finish::ToolCalls),
            ..good.clone()
        },
        Candidate {
            finish: None,
            ..good.clone()
        },
        Candidate {
            beyond_text: true,
            ..good.clone()
        },
        Candidate {
            text: " \n".to_owned(),
            ..good.clone()
        },
        Candidate {
            text: "x".repeat((1 << 20) + 1),
            ..good
        },
    ];
    for answer in refused {
        assert!(
            refuse_answer(&answer, &config).is_some(),
            "{:?}",
            answer.finish
        );
    }
}
