//! A scripted plugin behind a real listener.
#![expect(
    clippy::disallowed_methods,
    reason = "a test's server ends with the test's runtime"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use llm_router_proto::llm_router::plugin::v1;
use llm_router_proto::llm_router::plugin::v1::backend_service_server::{
    BackendService, BackendServiceServer,
};
use parking_lot::Mutex;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::oneshot;
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::metadata::MetadataMap;
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::provider::Plugin;

pub(super) use v1::generate_event::Event as Told;

pub(super) fn text(text: &str) -> Told {
    Told::Text(text.to_owned())
}

pub(super) fn finish(reason: v1::FinishReason) -> Told {
    Told::Finish(v1::Finish {
        reason: reason.into(),
    })
}

pub(super) fn stop() -> Told {
    finish(v1::FinishReason::Stop)
}

pub(super) fn usage(prompt: u64, completion: u64) -> Told {
    Told::Usage(v1::Usage {
        prompt_tokens: prompt,
        completion_tokens: completion,
        ..Default::default()
    })
}

/// What the plugin does when it is asked.
#[derive(Clone, Default)]
pub(super) struct Script {
    /// Events of an answer.
    pub(super) told: Vec<Option<Told>>,
    /// Waited before each event.
    pub(super) pause: Duration,
    /// How the answer ends once its events are told; well, when not said.
    pub(super) ends: Option<Status>,
    /// Refuses the call outright.
    pub(super) refuses: Option<Status>,
    /// Stays silent after its events.
    pub(super) hangs: bool,
    /// It has `Generate`, and nothing else.
    pub(super) bare: bool,
}

#[derive(Default)]
struct Seen {
    asked: Option<v1::GenerateRequest>,
    metadata: MetadataMap,
    describes: v1::DescribeResponse,
    descriptions: u32,
    dropped: u32,
}

#[derive(Clone)]
struct Service {
    script: Script,
    seen: Arc<Mutex<Seen>>,
}

/// A running plugin. Dropping it shuts its door.
pub(super) struct Backend {
    url: String,
    seen: Arc<Mutex<Seen>>,
    health: Option<HealthReporter>,
    /// Its end shuts the door, and the connections behind it.
    _door: oneshot::Sender<()>,
}

impl Backend {
    pub(super) async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, script).await
    }

    pub(super) async fn on(listener: TcpListener, script: Script) -> Self {
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::<Mutex<Seen>>::default();
        let service = BackendServiceServer::new(Service {
            script: script.clone(),
            seen: Arc::clone(&seen),
        });
        let mut server = Server::builder().add_service(service);
        let mut reporter = None;
        if !script.bare {
            let (health, standard) = tonic_health::server::health_reporter();
            health.set_service_status("", ServingStatus::Serving).await;
            server = server.add_service(standard);
            reporter = Some(health);
        }
        let incoming = TcpListenerStream::new(listener);
        let (door, shut) = oneshot::channel();
        tokio::spawn(async move {
            let shut = async { drop(shut.await) };
            server.serve_with_incoming_shutdown(incoming, shut).await
        });
        Backend {
            url,
            seen,
            health: reporter,
            _door: door,
        }
    }

    pub(super) async fn telling(told: Vec<Told>) -> Self {
        let told = told.into_iter().map(Some).collect();
        Self::start(Script {
            told,
            ..Script::default()
        })
        .await
    }

    pub(super) async fn bare(told: Vec<Told>) -> Self {
        let told = told.into_iter().map(Some).collect();
        Self::start(Script {
            told,
            bare: true,
            ..Script::default()
        })
        .await
    }

    pub(super) async fn failing(status: Status) -> Self {
        Self::start(Script {
            refuses: Some(status),
            ..Script::default()
        })
        .await
    }

    pub(super) fn at_socket(path: &Path, told: Vec<Told>) -> Self {
        let incoming = UnixListenerStream::new(UnixListener::bind(path).unwrap());
        let seen = Arc::<Mutex<Seen>>::default();
        let script = Script {
            told: told.into_iter().map(Some).collect(),
            ..Script::default()
        };
        let service = BackendServiceServer::new(Service {
            script,
            seen: Arc::clone(&seen),
        });
        let server = Server::builder().add_service(service);
        let (door, shut) = oneshot::channel();
        tokio::spawn(async move {
            let shut = async { drop(shut.await) };
            server.serve_with_incoming_shutdown(incoming, shut).await
        });
        Backend {
            url: String::new(),
            seen,
            health: None,
            _door: door,
        }
    }

    pub(super) fn plugin(&self) -> Plugin {
        Plugin::new("own").base_url(&self.url)
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn describes(&self, described: v1::DescribeResponse) {
        self.seen.lock().describes = described;
    }

    pub(super) async fn serving(&self, serving: bool) {
        let status = if serving {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        let health = self.health.as_ref().unwrap();
        health.set_service_status("", status).await;
    }

    /// The last question.
    pub(super) fn asked(&self) -> Option<v1::GenerateRequest> {
        self.seen.lock().asked.clone()
    }

    pub(super) fn metadata(&self) -> MetadataMap {
        self.seen.lock().metadata.clone()
    }

    /// How often it was asked what is there.
    pub(super) fn descriptions(&self) -> u32 {
        self.seen.lock().descriptions
    }

    /// Answers that nobody listened to until their end.
    pub(super) fn dropped(&self) -> u32 {
        self.seen.lock().dropped
    }
}

/// Notes that its answer was dropped before it ended.
struct Guard {
    seen: Arc<Mutex<Seen>>,
    ended: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.ended {
            self.seen.lock().dropped += 1;
        }
    }
}

#[tonic::async_trait]
impl BackendService for Service {
    type GenerateStream = BoxStream<'static, Result<v1::GenerateEvent, Status>>;

    async fn describe(
        &self,
        _: Request<v1::DescribeRequest>,
    ) -> Result<Response<v1::DescribeResponse>, Status> {
        if self.script.bare {
            return Err(Status::new(Code::Unimplemented, ""));
        }
        let mut seen = self.seen.lock();
        seen.descriptions += 1;
        Ok(Response::new(seen.describes.clone()))
    }

    async fn generate(
        &self,
        request: Request<v1::GenerateRequest>,
    ) -> Result<Response<Self::GenerateStream>, Status> {
        let (metadata, _, asked) = request.into_parts();
        {
            let mut seen = self.seen.lock();
            (seen.asked, seen.metadata) = (Some(asked), metadata);
        }
        if let Some(status) = &self.script.refuses {
            return Err(status.clone());
        }
        let guard = Guard {
            seen: Arc::clone(&self.seen),
            ended: false,
        };
        let script = self.script.clone();
        let told =
            futures::stream::unfold((script, 0, guard), |(script, at, mut guard)| async move {
                tokio::time::sleep(script.pause).await;
                if let Some(event) = script.told.get(at).cloned() {
                    return Some((Ok(v1::GenerateEvent { event }), (script, at + 1, guard)));
                }
                if script.hangs {
                    std::future::pending::<()>().await;
                }
                guard.ended = true;
                let status = script.ends.clone().filter(|_| at < usize::MAX)?;
                Some((Err(status), (script, usize::MAX, guard)))
            });
        Ok(Response::new(told.boxed()))
    }

    async fn embed(
        &self,
        request: Request<v1::EmbedRequest>,
    ) -> Result<Response<v1::EmbedResponse>, Status> {
        if self.script.bare {
            return Err(Status::new(Code::Unimplemented, ""));
        }
        let asked = request.into_inner();
        let length = f32::from(u16::try_from(asked.dimensions.unwrap_or(0)).unwrap());
        let vector = |text: &String| v1::Vector {
            values: vec![f32::from(u16::try_from(text.len()).unwrap()), length],
        };
        let usage = v1::Usage {
            prompt_tokens: asked.texts.iter().map(|text| text.len() as u64).sum(),
            ..Default::default()
        };
        Ok(Response::new(v1::EmbedResponse {
            model: String::new(),
            vectors: asked.texts.iter().map(vector).collect(),
            usage: Some(usage),
        }))
    }
}
