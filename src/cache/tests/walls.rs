//! No answer crosses from one tenant, prompt, tool set, format, conversation or model to another.

use proptest::prelude::*;

use super::super::key::{Keys, Scope};
use super::*;

/// Everything that separates two requests with the same last text.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Setting {
    tenant: u8,
    model: u8,
    system: Option<u8>,
    earlier: Vec<u8>,
    format: Option<u8>,
    tools: Option<u8>,
    user: Option<u8>,
    stop: Option<u8>,
}

fn setting() -> impl Strategy<Value = Setting> {
    let maybe = || prop::option::of(0u8..2);
    (
        0u8..2,
        0u8..2,
        maybe(),
        prop::collection::vec(0u8..2, 0..3),
        maybe(),
        maybe(),
        maybe(),
        maybe(),
    )
        .prop_map(
            |(tenant, model, system, earlier, format, tools, user, stop)| Setting {
                tenant,
                model,
                system,
                earlier,
                format,
                tools,
                user,
                stop,
            },
        )
}

fn request(setting: &Setting, text: &str) -> ChatRequest {
    let mut messages = Vec::new();
    if let Some(system) = setting.system {
        messages.push(serde_json::json!({"role": "system", "content": format!("be {system}")}));
    }
    for turn in &setting.earlier {
        messages.push(serde_json::json!({"role": "user", "content": format!("turn {turn}")}));
        messages.push(serde_json::json!({"role": "assistant", "content": "well"}));
    }
    messages.push(serde_json::json!({"role": "user", "content": text}));
    let mut body =
        serde_json::json!({"model": format!("m{}", setting.model), "messages": messages});
    if let Some(format) = setting.format {
        body["response_format"] = serde_json::json!({"type": "json_schema", "name": format});
    }
    if let Some(tool) = setting.tools {
        body["tools"] =
            serde_json::json!([{"type": "function", "function": {"name": format!("f{tool}")}}]);
    }
    if let Some(user) = setting.user {
        body["user"] = serde_json::json!(format!("u{user}"));
    }
    if let Some(stop) = setting.stop {
        body["stop"] = serde_json::json!([format!("s{stop}")]);
    }
    let mut request = raw_request(&body.to_string());
    request.tenant = TenantId::from(format!("t{}", setting.tenant));
    request
}

proptest! {
    #[test]
    fn settings_share_neither_key_nor_partition(a in setting(), b in setting()) {
        let keys = Keys::new([1; 32]);
        let (x, y) = (request(&a, QUESTION), request(&b, QUESTION));
        prop_assert_eq!(keys.entry(&x, Scope::Tenant) == keys.entry(&y, Scope::Tenant), a == b);
        prop_assert_eq!(keys.partition(&x, Scope::Tenant) == keys.partition(&y, Scope::Tenant), a == b);
        let reworded = request(&a, REWORDED);
        prop_assert_eq!(keys.partition(&x, Scope::Tenant), keys.partition(&reworded, Scope::Tenant));
        prop_assert_ne!(keys.entry(&x, Scope::Tenant), keys.entry(&reworded, Scope::Tenant));
    }

    #[test]
    fn ids_of_two_nodes_are_unrelated(a in setting(), secret in any::<[u8; 32]>()) {
        prop_assume!(secret != [1; 32]);
        let x = request(&a, QUESTION);
        prop_assert_ne!(Keys::new([1; 32]).entry(&x, Scope::Tenant), Keys::new(secret).entry(&x, Scope::Tenant));
    }

    #[test]
    fn an_id_reads_back_as_it_is_shown(bytes in any::<[u8; 16]>()) {
        prop_assert_eq!(EntryId(bytes).to_string().parse::<EntryId>(), Ok(EntryId(bytes)));
    }
}

#[tokio::test]
async fn a_stored_answer_stays_within_its_walls() {
    let plain = Setting {
        tenant: 0,
        model: 0,
        system: None,
        earlier: Vec::new(),
        format: None,
        tools: None,
        user: None,
        stop: None,
    };
    let cache = cache();
    store(&cache, &request(&plain, QUESTION), "mine").await;
    for other in [
        Setting {
            tenant: 1,
            ..plain.clone()
        },
        Setting {
            model: 1,
            ..plain.clone()
        },
        Setting {
            system: Some(0),
            ..plain.clone()
        },
        Setting {
            earlier: vec![0],
            ..plain.clone()
        },
        Setting {
            format: Some(0),
            ..plain.clone()
        },
        Setting {
            tools: Some(0),
            ..plain.clone()
        },
        Setting {
            user: Some(0),
            ..plain.clone()
        },
    ] {
        for text in [QUESTION, REWORDED] {
            drop(miss(&cache, &request(&other, text)).await);
        }
    }
    assert_eq!(
        hit(&cache, &request(&plain, REWORDED)).await.answer.text,
        "mine"
    );
}

#[tokio::test]
async fn the_temperature_keeps_exact_requests_apart_but_not_meanings() {
    let cache = cache();
    store(&cache, &asking(QUESTION), "a").await;
    let cool = raw_request(&format!(
        r#"{{"model":"auto","temperature":0.1,"messages":[{{"role":"user","content":"{REWORDED}"}}]}}"#
    ));
    assert_eq!(hit(&cache, &cool).await.tier, Tier::Semantic);
}

fn pictured(picture: &str, text: &str) -> ChatRequest {
    raw_request(&format!(
        r#"{{"model":"auto","messages":[{{"role":"user","content":[
            {{"type":"text","text":"{text}"}},{{"type":"image_url","image_url":{{"url":"{picture}"}}}}]}}]}}"#
    ))
}

#[tokio::test]
async fn questions_about_one_picture_share_by_meaning_and_about_two_never() {
    let (cat, dog) = ("data:image/png;base64,AAAA", "data:image/png;base64,AAAB");
    let (asked, reworded) = (
        "How do I count the animals in this picture?",
        "How can I count the animals in this picture?",
    );
    let cache = cache();
    store(&cache, &pictured(cat, asked), "two").await;
    let found = hit(&cache, &pictured(cat, reworded)).await;
    assert_eq!(
        (found.tier, found.answer.text.as_str()),
        (Tier::Semantic, "two")
    );
    for text in [asked, reworded] {
        drop(miss(&cache, &pictured(dog, text)).await);
        drop(miss(&cache, &asking(text)).await);
    }
}

#[test]
fn the_place_of_a_picture_among_the_text_matters_and_parts_of_text_alone_do_not() {
    let keys = Keys::new([1; 32]);
    let partition = |content: &str| {
        let body = format!(r#"{{"messages":[{{"role":"user","content":{content}}}]}}"#);
        keys.partition(&raw_request(&body), Scope::Tenant)
    };
    let image = r#"{"type":"image_url","image_url":{"url":"u"}}"#;
    let (one, two) = (
        r#"{"type":"text","text":"a"}"#,
        r#"{"type":"text","text":"b"}"#,
    );
    assert_eq!(partition(r#""a""#), partition(&format!("[{one}]")));
    assert_eq!(partition(r#""a""#), partition(&format!("[{two},{one}]")));
    assert_eq!(
        partition(&format!("[{one},{image}]")),
        partition(&format!("[{two},{image}]"))
    );
    let different = [
        partition(r#""a""#),
        partition(&format!("[{one},{image}]")),
        partition(&format!("[{image},{one}]")),
        partition(&format!("[{one},{image},{two}]")),
        partition(&format!("[{image},{image},{one}]")),
        partition(&format!("[{one},{}]", image.replace("\"u\"", "\"v\""))),
    ];
    let distinct: std::collections::BTreeSet<_> = different.iter().collect();
    assert_eq!(distinct.len(), different.len());
}

#[tokio::test]
async fn a_caller_can_ask_for_closer_answers_and_never_for_looser_ones() {
    let cache = cache();
    store(&cache, &asking(QUESTION), "a").await;
    let asked = |least: f32| {
        let mut request = asking(REWORDED);
        request.min_similarity = Some(least);
        request
    };
    let similarity = hit(&cache, &asked(0.01)).await.similarity.unwrap();
    drop(miss(&cache, &asked(similarity + 1e-4)).await);
    assert_eq!(hit(&cache, &asked(similarity)).await.tier, Tier::Semantic);
    // lower than the route's changes nothing
    let strict = CacheConfig {
        similarity_threshold: f64::from(similarity) + 1e-4,
        ..config()
    };
    let lookup = cache.lookup(&asked(0.01), &strict).await;
    assert!(matches!(lookup, Lookup::Miss(_)));
    // nor can a body
    let body = format!(
        r#"{{"model":"auto","similarity_threshold":0.01,"x-llm-router-cache-threshold":0.01,
            "messages":[{{"role":"user","content":"{REWORDED}"}}]}}"#
    );
    assert!(matches!(
        cache.lookup(&raw_request(&body), &strict).await,
        Lookup::Miss(_)
    ));
}

#[tokio::test]
async fn what_is_bound_to_its_time_is_served_briefly_and_to_identical_requests_alone() {
    let cache = cache();
    let (asked, reworded) = (
        "How will the weather be in Berlin?",
        "How would the weather be in Berlin?",
    );
    let brief = CacheConfig {
        time_bound_ttl: Span::from_millis(100),
        ..config()
    };
    let Lookup::Miss(ticket) = cache.lookup(&asking(asked), &brief).await else {
        panic!("a miss")
    };
    cache.insert(ticket, answer("rain"));
    settled(&cache).await;
    let again = cache.lookup(&asking(asked), &brief).await;
    assert!(matches!(again, Lookup::Hit(_)));
    let other = cache.lookup(&asking(reworded), &brief).await;
    assert!(matches!(other, Lookup::Miss(_)));
    tokio::time::sleep(Duration::from_millis(110)).await;
    let late = cache.lookup(&asking(asked), &brief).await;
    assert!(matches!(late, Lookup::Miss(_)));
}

#[test]
fn what_only_one_dialect_can_say_keeps_two_requests_apart() {
    let keys = Keys::new([7; 32]);
    let asked = |rest: &str| {
        let body = format!(r#"{{"model":"auto","input":"hi"{rest}}}"#);
        let body = crate::dialect::responses::read(body.as_bytes())
            .unwrap()
            .chat;
        ChatRequest {
            body: Arc::new(body),
            ..asking("hi")
        }
    };
    let ids = |request: &ChatRequest| {
        let partition = keys.partition(request, Scope::Tenant);
        (keys.entry(request, Scope::Tenant), partition)
    };
    let plain = ids(&asked(""));
    for rest in [
        r#","include":["message.output_text.logprobs"],"top_logprobs":5"#,
        r#","reasoning":{"summary":"auto"}"#,
        r#","metadata":{"who":"me"}"#,
        r#","novelty":1"#,
    ] {
        let other = ids(&asked(rest));
        assert!(other.0 != plain.0 && other.1 != plain.1, "{rest}");
        assert_eq!(ids(&asked(rest)), other);
    }
    assert_eq!(ids(&asked(r#","store":false"#)), plain);
}
