//! What of a request has no place in a dialect: each part once, fit for a header, and bounded.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::carry::Uncarried;
use super::json::Object;
use super::openai::ChatBody;

/// Most parts of either kind that are named; further ones are counted.
const MAX_NAMED: usize = 32;
/// Longest name told.
const MAX_NAME: usize = 64;
/// Longest value that might say what an upstream does anyway.
const MAX_HARMLESS: usize = 64;

/// Fields that every dialect has under some name, and those that change nothing in an answer.
const NEVER_LOST: [&str; 10] = [
    "messages",
    "metadata",
    "model",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "stream",
    "stream_options",
    "user",
];

/// Collects what cannot be told.
#[derive(Clone, Debug, Default)]
pub struct Lost {
    parts: Vec<Uncarried>,
    further: usize,
}

impl Lost {
    /// A part without which the question would be another one. As many as are named bar a model,
    /// so that more of them change nothing.
    pub fn essential(&mut self, param: impl Into<Cow<'static, str>>) {
        self.add(Uncarried::essential(param));
    }

    /// A part that may be left out where the route's policy allows it.
    pub fn droppable(&mut self, param: impl Into<Cow<'static, str>>) {
        self.add(Uncarried::droppable(param));
    }

    fn add(&mut self, part: Uncarried) {
        if self.parts.contains(&part) {
            return;
        }
        let alike = self.parts.iter();
        let alike = alike.filter(|one| one.essential == part.essential).count();
        if alike < MAX_NAMED {
            self.parts.push(part);
        } else if !part.essential {
            self.further = self.further.saturating_add(1);
        }
    }

    /// What is named so far.
    pub fn parts(&self) -> &[Uncarried] {
        &self.parts
    }

    /// What is named, and how many parts more.
    pub fn told(self) -> Vec<Uncarried> {
        let mut parts = self.parts;
        if self.further > 0 {
            parts.push(Uncarried::droppable(format!("and {} more", self.further)));
        }
        parts
    }

    /// Every top-level field that is not among `told`, unless its value asks for what the upstream
    /// does anyway. `as_it_does` decides about values of the dialect's own; white space is taken out
    /// of what it is asked about.
    pub fn fields(
        &mut self,
        body: &ChatBody,
        told: &[&str],
        as_it_does: impl Fn(&str, &str) -> Option<bool>,
    ) {
        for (name, value) in body.object().iter() {
            if NEVER_LOST.contains(&name) || told.contains(&name) {
                continue;
            }
            let harmless = short(value).is_some_and(|value| {
                as_it_does(name, &value).unwrap_or_else(|| says_nothing(name, &value))
            });
            if !harmless {
                self.droppable(shown(name));
            }
        }
    }

    /// What OpenAI's messages alone have a place for.
    pub fn messages(&mut self, given: &Object) {
        let text = given.get("messages").map_or("[]", RawValue::get);
        let messages: Vec<Message<'_>> = serde_json::from_str(text).unwrap_or_default();
        let said = |field: Option<&RawValue>| field.is_some_and(|value| value.get() != "null");
        for message in messages {
            // a tool's name is known by its call
            if said(message.name) && !matches!(&*message.role, "tool" | "function") {
                self.droppable("messages[].name");
            }
            if said(message.audio) {
                self.essential("messages[].audio");
            }
            if said(message.function_call) {
                self.essential("messages[].function_call");
            }
            self.details(message.content);
        }
    }

    /// How closely an image is to be looked at.
    fn details(&mut self, content: Option<&RawValue>) {
        #[derive(Deserialize)]
        struct Part {
            #[serde(default)]
            image_url: Option<Image>,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Image {
            Linked {
                #[serde(default)]
                detail: Option<String>,
            },
            Other(serde::de::IgnoredAny),
        }
        // most contents are one string
        let Some(content) = content.filter(|content| content.get().starts_with('[')) else {
            return;
        };
        let parts: Vec<Part> = serde_json::from_str(content.get()).unwrap_or_default();
        let asks = parts.into_iter().any(|part| match part.image_url {
            Some(Image::Linked { detail }) => detail.is_some_and(|detail| detail != "auto"),
            Some(Image::Other(_)) | None => false,
        });
        if asks {
            self.droppable("messages[].content[].image_url.detail");
        }
    }
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(default, borrow)]
    role: Cow<'a, str>,
    #[serde(default, borrow)]
    content: Option<&'a RawValue>,
    #[serde(default, borrow)]
    name: Option<&'a RawValue>,
    #[serde(default, borrow)]
    audio: Option<&'a RawValue>,
    #[serde(default, borrow)]
    function_call: Option<&'a RawValue>,
}

/// A value without its white space; `None` for one too long to say nothing.
fn short(value: &RawValue) -> Option<String> {
    let value = value.get();
    (value.len() <= MAX_HARMLESS).then(|| value.split_ascii_whitespace().collect())
}

/// A value that says what every upstream does anyway.
fn says_nothing(name: &str, value: &str) -> bool {
    let number = || value.parse::<f64>().ok();
    match (name, value) {
        (_, "null") => true,
        // this is how a search of the web is asked for
        ("web_search_options", _) => false,
        ("parallel_tool_calls", _) => value == "true",
        ("function_call", "\"auto\"" | "\"none\"") | ("verbosity", "\"medium\"") => true,
        ("modalities", "[\"text\"]") => true,
        ("top_logprobs", _) => number() == Some(0.0),
        ("repetition_penalty", _) => number() == Some(1.0),
        (_, "false" | "{}" | "[]") => true,
        _ => false,
    }
}

/// A client's own name for something, fit for a header: what is not, is a question mark.
pub fn shown(name: &str) -> String {
    let fit = |c: char| c.is_ascii_alphanumeric() || "_-.:/[]=".contains(c);
    let letters = name.chars().take(MAX_NAME);
    letters.map(|c| if fit(c) { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn body(rest: &Value) -> ChatBody {
        let mut body = json!({"messages": [{"role": "user", "content": "hi"}]});
        let fields = rest.as_object().unwrap().clone();
        body.as_object_mut().unwrap().extend(fields);
        ChatBody::parse(body.to_string().as_bytes()).unwrap()
    }

    fn lost(rest: &Value, told: &[&str]) -> Vec<String> {
        let mut lost = Lost::default();
        lost.fields(&body(rest), told, |_, _| None);
        let parts = lost.told().into_iter();
        parts.map(|part| part.param.into_owned()).collect()
    }

    #[test]
    fn every_field_that_is_not_told_is_named_unless_it_says_nothing() {
        let given = json!({"guided_json": {"a": 1}, "top_k": 3, "seed": null, "store": false});
        assert_eq!(lost(&given, &["top_k"]), ["guided_json"]);
        let search = json!({"web_search_options": {}});
        assert_eq!(lost(&search, &[]), ["web_search_options"]);
        assert_eq!(lost(&json!({"parallel_tool_calls": false}), &[]).len(), 1);
    }

    #[test]
    fn what_is_named_fits_a_header_however_much_there_is() {
        let mut given = json!({"größe": 1, "a\r\nb: c": 1});
        for n in 0..5000 {
            given[format!("f{n}")] = json!(1);
        }
        let named = lost(&given, &[]);
        assert_eq!(named.len(), MAX_NAMED + 1);
        let more = 5002 - MAX_NAMED;
        assert_eq!(named[MAX_NAMED], format!("and {more} more"));
        assert_eq!(shown("größe"), "gr??e");
        let header = http::HeaderValue::from_str(&named.join(", ")).unwrap();
        assert!(header.to_str().is_ok());
        assert_eq!(shown(&"x".repeat(999)).len(), MAX_NAME);
    }

    #[test]
    fn an_essential_part_is_named_whatever_was_named_before_it() {
        let mut lost = Lost::default();
        for n in 0..99 {
            lost.droppable(format!("f{n}"));
        }
        lost.essential("n");
        assert!(lost.told().contains(&Uncarried::essential("n")));
    }

    #[test]
    fn what_messages_alone_can_say_is_named_once() {
        let image = |detail: &str| json!({"type": "image_url", "image_url": {"url": "x", "detail": detail}});
        let given = json!({"messages": [
            {"role": "user", "name": "ann", "content": [image("auto"), image("low"), image("high")]},
            {"role": "assistant", "content": null, "audio": {"id": "a"}},
            {"role": "assistant", "content": null, "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "tool", "name": "f", "tool_call_id": "c", "content": "r"}]});
        let mut lost = Lost::default();
        lost.messages(body(&given).object());
        let expected = [
            Uncarried::droppable("messages[].name"),
            Uncarried::droppable("messages[].content[].image_url.detail"),
            Uncarried::essential("messages[].audio"),
            Uncarried::essential("messages[].function_call"),
        ];
        assert_eq!(lost.told(), expected);
    }
}
