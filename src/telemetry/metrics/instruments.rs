//! Every counter and histogram, with its name, unit and description.
//!
//! Names follow the OpenTelemetry conventions where there are any (GenAI 1.41, HTTP, RPC); ours
//! begin with `llm_router.`. In Prometheus, dots become underscores, seconds end in `_seconds` and
//! counters in `_total`.

use opentelemetry::metrics::{Counter, Histogram, Meter, UpDownCounter};

/// Bounds of GenAI durations, in seconds.
const GEN_AI_SECONDS: &[f64] = &[
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
];
/// Bounds of token counts.
const TOKENS: &[f64] = &[
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1024.0,
    4096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];
/// Bounds of server durations, in seconds.
const SERVER_SECONDS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];
/// Bounds of waits in a queue, in seconds.
const WAIT_SECONDS: &[f64] = &[
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];
/// Bounds of our own time, in seconds: from fifty microseconds up.
const OVERHEAD_SECONDS: &[f64] = &[
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0,
    5.0,
];
/// Bounds of cosines, fine where thresholds live.
const COSINES: &[f64] = &[
    0.0, 0.5, 0.7, 0.8, 0.85, 0.88, 0.9, 0.92, 0.94, 0.96, 0.98, 0.99, 0.995, 1.0,
];

/// Instruments that are written to as things happen.
pub(super) struct Instruments {
    pub(super) operation: Histogram<f64>,
    pub(super) first_chunk: Histogram<f64>,
    pub(super) tokens: Histogram<u64>,
    pub(super) http_duration: Histogram<f64>,
    pub(super) http_active: UpDownCounter<i64>,
    pub(super) rpc_duration: Histogram<f64>,
    pub(super) connections: UpDownCounter<i64>,
    pub(super) requests: Counter<u64>,
    pub(super) overhead: Histogram<f64>,
    pub(super) cost: Counter<f64>,
    pub(super) queue_wait: Histogram<f64>,
    pub(super) queue_refusals: Counter<u64>,
    pub(super) limit_refusals: Counter<u64>,
    pub(super) attempts: Counter<u64>,
    pub(super) retries: Counter<u64>,
    pub(super) failovers: Counter<u64>,
    pub(super) streams_recovered: Counter<u64>,
    pub(super) hedges: Counter<u64>,
    pub(super) mirror_calls: Counter<u64>,
    pub(super) mirror_cost: Counter<f64>,
    pub(super) mirror_duration: Histogram<f64>,
    pub(super) breaker_transitions: Counter<u64>,
    pub(super) cache_lookups: Counter<u64>,
    pub(super) similarity: Histogram<f64>,
    pub(super) shadow_calls: Counter<u64>,
    pub(super) shadow_cost: Counter<f64>,
    pub(super) actor_restarts: Counter<u64>,
    pub(super) config_reloads: Counter<u64>,
    pub(super) proposals: Counter<u64>,
}

/// Builds instruments of one meter; three words each: name, unit, description.
struct Make<'a>(&'a Meter);

impl Make<'_> {
    fn count(&self, name: &'static str, unit: &'static str, text: &'static str) -> Counter<u64> {
        self.0
            .u64_counter(name)
            .with_unit(unit)
            .with_description(text)
            .build()
    }

    fn level(
        &self,
        name: &'static str,
        unit: &'static str,
        text: &'static str,
    ) -> UpDownCounter<i64> {
        self.0
            .i64_up_down_counter(name)
            .with_unit(unit)
            .with_description(text)
            .build()
    }

    fn seconds(&self, name: &'static str, bounds: &[f64], text: &'static str) -> Histogram<f64> {
        let builder = self
            .0
            .f64_histogram(name)
            .with_unit("s")
            .with_description(text);
        builder.with_boundaries(bounds.to_vec()).build()
    }
}

impl Instruments {
    pub(super) fn build(meter: &Meter) -> Self {
        let make = Make(meter);
        Instruments {
            operation: make.seconds("gen_ai.client.operation.duration", GEN_AI_SECONDS, "Duration of one call to a provider."),
            first_chunk: make.seconds("gen_ai.client.operation.time_to_first_chunk", GEN_AI_SECONDS, "Time from calling a provider to the first chunk of its stream."),
            tokens: meter.u64_histogram("gen_ai.client.token.usage").with_unit("{token}").with_description("Input and output tokens of one call, as the provider counted them.").with_boundaries(TOKENS.to_vec()).build(),
            http_duration: make.seconds("http.server.request.duration", SERVER_SECONDS, "Duration of HTTP requests, to the end of the response body."),
            http_active: make.level("http.server.active_requests", "{request}", "HTTP requests being served."),
            rpc_duration: make.seconds("rpc.server.call.duration", SERVER_SECONDS, "Duration of gRPC calls, to the end of the response stream."),
            connections: make.level("llm_router.connections", "{connection}", "Open client connections."),
            requests: make.count("llm_router.requests", "{request}", "Requests that ended, by route, model, outcome, priority and the cache's part."),
            overhead: make.seconds("llm_router.overhead.duration", OVERHEAD_SECONDS, "Time of a request that was not spent waiting for an upstream; waiting in queues is part of it."),
            cost: meter.f64_counter("llm_router.cost").with_unit("{USD}").with_description("Cost of answered requests in US dollars, where the model has a price.").build(),
            queue_wait: make.seconds("llm_router.queue.wait", WAIT_SECONDS, "Time requests waited for admission to a model."),
            queue_refusals: make.count("llm_router.queue.refusals", "{request}", "Requests a model's queue refused."),
            limit_refusals: make.count("llm_router.limit.refusals", "{request}", "Requests refused because a model's budget per minute was used up, by limit."),
            attempts: make.count("llm_router.attempts", "{attempt}", "Attempts at an upstream, by model and outcome."),
            retries: make.count("llm_router.retries", "{attempt}", "Attempts that repeated one on the same model."),
            failovers: make.count("llm_router.failovers", "{request}", "Requests that moved on to another model."),
            streams_recovered: make.count("llm_router.streams.recovered", "{stream}", "Streams that a model left unfinished and another attempt carried on, by model and way."),
            hedges: make.count("llm_router.hedges", "{attempt}", "Second attempts that were due beside one that dawdled, by model and outcome."),
            mirror_calls: make.count("llm_router.mirror.calls", "{call}", "Requests chosen to be asked of another model too, whose answer nobody gets, by route, model and outcome."),
            mirror_cost: meter.f64_counter("llm_router.mirror.cost").with_unit("{USD}").with_description("Cost of answers nobody gets in US dollars, where the model has a price; part of no request's cost.").build(),
            mirror_duration: make.seconds("llm_router.mirror.duration", GEN_AI_SECONDS, "Duration of answers nobody gets."),
            breaker_transitions: make.count("llm_router.breaker.transitions", "{transition}", "Changes of a model's breaker, by the state entered."),
            cache_lookups: make.count("llm_router.cache.lookups", "{lookup}", "Cache lookups, by tier and result."),
            similarity: meter.f64_histogram("llm_router.semantic.similarity").with_unit("{cosine}").with_description("Cosine of the best candidate a semantic lookup judged.").with_boundaries(COSINES.to_vec()).build(),
            shadow_calls: make.count("llm_router.cache.shadow_calls", "{call}", "Semantic hits chosen to be checked by asking upstream once more, by route and outcome."),
            shadow_cost: meter.f64_counter("llm_router.cache.shadow_cost").with_unit("{USD}").with_description("Cost of checking semantic hits in US dollars, where the model has a price; part of no request's cost.").build(),
            actor_restarts: make.count("llm_router.actor.restarts", "{restart}", "Actors restarted by their supervisor."),
            config_reloads: make.count("llm_router.config.reloads", "{reload}", "Changes of the routing configuration, by result."),
            proposals: make.count("llm_router.cluster.proposals", "{proposal}", "Changes this node asked the cluster to agree on, by kind and outcome."),
        }
    }
}

impl std::fmt::Debug for Instruments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Instruments(..)")
    }
}
