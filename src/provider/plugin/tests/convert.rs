//! Events there and back.

use llm_router_proto::llm_router::plugin::v1;
use proptest::prelude::*;

use super::backend::Told;
use crate::types::{Event, Finish, Usage};

/// As a plugin would tell it.
fn told(event: Event) -> v1::GenerateEvent {
    let event = match event {
        Event::Start { id, model } => Told::Start(v1::Start { id, model }),
        Event::Text(text) => Told::Text(text),
        Event::Refusal(text) => Told::Refusal(text),
        Event::Thinking(text) => Told::Thinking(text),
        Event::Signature(seal) => Told::Signature(seal),
        Event::Redacted(data) => Told::Redacted(data),
        Event::ToolCall {
            index,
            id,
            name,
            signature,
        } => Told::ToolCall(v1::ToolCall {
            index,
            id,
            name,
            signature,
        }),
        Event::Arguments { index, json } => Told::Arguments(v1::Arguments { index, json }),
        Event::Usage(usage) => Told::Usage(v1::Usage {
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            cached_tokens: usage.cached_tokens,
            cache_write_tokens: usage.cache_write_tokens,
            reasoning_tokens: usage.reasoning_tokens,
        }),
        Event::Finish(finish) => {
            let reason = match finish {
                Finish::Stop => v1::FinishReason::Stop,
                Finish::Length => v1::FinishReason::Length,
                Finish::ToolCalls => v1::FinishReason::ToolCalls,
                Finish::ContentFilter => v1::FinishReason::ContentFilter,
                Finish::Other => v1::FinishReason::Other,
            };
            super::backend::finish(reason)
        }
    };
    v1::GenerateEvent { event: Some(event) }
}

fn events() -> impl Strategy<Value = Event> {
    let finish = prop_oneof![
        Just(Finish::Stop),
        Just(Finish::Length),
        Just(Finish::ToolCalls),
        Just(Finish::ContentFilter),
        Just(Finish::Other),
    ];
    let usage = prop::array::uniform5(0u64..1 << 40).prop_map(|n| Usage {
        cached_tokens: n[2],
        cache_write_tokens: n[3],
        reasoning_tokens: n[4],
        ..Usage::new(n[0], n[1])
    });
    prop_oneof![
        (".*", ".*").prop_map(|(id, model)| Event::Start { id, model }),
        ".*".prop_map(Event::Text),
        ".*".prop_map(Event::Refusal),
        ".*".prop_map(Event::Thinking),
        ".*".prop_map(Event::Signature),
        ".*".prop_map(Event::Redacted),
        (any::<u32>(), ".*", ".+", prop::option::of(".*")).prop_map(
            |(index, id, name, signature)| Event::ToolCall {
                index,
                id,
                name,
                signature
            }
        ),
        (any::<u32>(), ".*").prop_map(|(index, json)| Event::Arguments { index, json }),
        usage.prop_map(Event::Usage),
        finish.prop_map(Event::Finish),
    ]
}

proptest! {
    #[test]
    fn every_event_arrives_as_it_was_told(event in events()) {
        prop_assert_eq!(Event::try_from(told(event.clone())), Ok(event));
    }

    #[test]
    fn an_unknown_reason_is_some_other_reason(reason in 6i32..) {
        let finish = Told::Finish(v1::Finish { reason });
        let event = Event::try_from(v1::GenerateEvent { event: Some(finish) });
        prop_assert!(matches!(event, Ok(Event::Finish(Finish::Other))), "{event:?}");
    }
}
