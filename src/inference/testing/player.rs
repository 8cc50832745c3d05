//! An upstream whose models each play what they are told to, for tests.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};
use parking_lot::Mutex;
use serde_json::Value;

use crate::dialect::openai::build::Head;
use crate::dialect::whole::Whole;
use crate::provider::{Answer, Call, Class, Failure, Provider};
use crate::types::{Event, Finish, Usage};

/// One step of an answer.
#[derive(Clone, Debug)]
pub(in crate::inference) enum Step {
    /// Nothing for so long.
    Wait(Duration),
    /// Says it.
    Say(Event),
    /// Dies, or refuses before it has begun.
    Fail(Class, Option<u16>, &'static str),
    /// Says it for ever, so long apart.
    Repeat(Event, Duration),
}

pub(in crate::inference) fn says(text: &str) -> Step {
    Step::Say(Event::Text(text.to_owned()))
}

pub(in crate::inference) fn dies() -> Step {
    Step::Fail(Class::Hard, None, "connection reset")
}

/// The words, an end, and ten tokens each way.
pub(in crate::inference) fn whole(words: &[&str]) -> Vec<Step> {
    let mut steps: Vec<Step> = words.iter().map(|word| says(word)).collect();
    steps.push(Step::Say(Event::Finish(Finish::Stop)));
    steps.push(Step::Say(Event::Usage(Usage::new(10, 10))));
    steps
}

/// The words, and death.
pub(in crate::inference) fn cut(words: &[&str]) -> Vec<Step> {
    let mut steps: Vec<Step> = words.iter().map(|word| says(word)).collect();
    steps.push(dies());
    steps
}

/// The upstream.
#[derive(Clone, Debug, Default)]
pub(in crate::inference) struct Player(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    scripts: Mutex<HashMap<String, VecDeque<Vec<Step>>>>,
    asked: Mutex<Vec<(String, Value)>>,
    running: AtomicUsize,
}

struct Running(Arc<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Player {
    /// The model plays these one after the other, the last one again and again.
    pub(in crate::inference) fn plays(&self, model: &str, scripts: &[Vec<Step>]) {
        let scripts = scripts.iter().cloned().collect();
        self.0.scripts.lock().insert(model.to_owned(), scripts);
    }

    /// The bodies the model was asked.
    pub(in crate::inference) fn asked(&self, model: &str) -> Vec<Value> {
        let asked = self.0.asked.lock();
        let of = asked.iter().filter(|(known, _)| known == model);
        of.map(|(_, body)| body.clone()).collect()
    }

    /// Answers under way.
    pub(in crate::inference) fn running(&self) -> usize {
        self.0.running.load(Ordering::SeqCst)
    }

    fn next(&self, model: &str) -> Vec<Step> {
        let mut scripts = self.0.scripts.lock();
        let own = scripts.get_mut(model).expect("a model with a script");
        match own.len() {
            1 => own[0].clone(),
            _ => own.pop_front().unwrap(),
        }
    }
}

#[async_trait]
impl Provider for Player {
    fn kind(&self) -> &'static str {
        "scripted"
    }

    async fn generate(&self, call: Call) -> Result<Answer, Failure> {
        self.0.running.fetch_add(1, Ordering::SeqCst);
        let running = Running(Arc::clone(&self.0));
        let body = serde_json::from_slice(&call.body.object().to_bytes()).unwrap();
        self.0.asked.lock().push((call.model.to_string(), body));
        let mut steps: VecDeque<Step> = self.next(&call.model).into();
        while let Some(Step::Wait(_) | Step::Fail(..)) = steps.front() {
            match steps.pop_front() {
                Some(Step::Fail(class, status, why)) => return Err(failure(class, status, why)),
                Some(Step::Wait(time)) => tokio::time::sleep(time).await,
                _ => {}
            }
        }
        let head = Head::new(&*call.model);
        let pieces = stream::unfold((steps, head, running), |(mut steps, head, running)| async {
            loop {
                match steps.pop_front()? {
                    Step::Wait(time) => tokio::time::sleep(time).await,
                    Step::Say(event) => {
                        return Some(((Ok((head.said(&event), event))), (steps, head, running)));
                    }
                    Step::Fail(class, status, why) => {
                        let why = failure(class, status, why);
                        return Some((Err(why), (VecDeque::new(), head, running)));
                    }
                    Step::Repeat(event, pause) => {
                        tokio::time::sleep(pause).await;
                        steps.push_front(Step::Repeat(event.clone(), pause));
                        return Some((Ok((head.said(&event), event)), (steps, head, running)));
                    }
                }
            }
        });
        if call.stream {
            let chunks = pieces.map(|piece| piece.map(|(chunk, _)| chunk));
            return Ok(Answer::Stream(chunks.boxed()));
        }
        let said: Vec<_> = pieces.collect().await;
        let said: Result<Vec<_>, _> = said.into_iter().collect();
        let events: Vec<Event> = said?.into_iter().map(|(_, event)| event).collect();
        Ok(Answer::Whole(
            Head::new(&*call.model).whole(&Whole::of(events)),
        ))
    }

    async fn health(&self) -> Result<(), Failure> {
        Ok(())
    }
}

fn failure(class: Class, status: Option<u16>, why: &'static str) -> Failure {
    Failure {
        status,
        body: match class {
            Class::Caller => Bytes::from_static(why.as_bytes()),
            Class::Hard | Class::Gate { .. } | Class::Credential => Bytes::new(),
        },
        ..Failure::new(class, why)
    }
}
