//! What `up` prints: addresses, and lines that work as they stand.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::engine::Engine;
use super::plan::{Plan, UPSTREAMS};

/// The whole text.
pub(super) fn text(engine: &Engine, plan: &Plan) -> String {
    let python = python();
    let mut text = addresses(plan);
    let _ = write!(
        text,
        "\nWith curl:\n\n{}\n\nWith OpenAI's client (pip install openai):\n\n{}\n\n\
         Over gRPC, by reflection (pip install grpcio grpcio-reflection):\n\n{}\n\n",
        curl(&plan.http(1)),
        openai(&python, &plan.http(2)),
        grpc(&python, &plan.grpc(3)),
    );
    let project = match plan.project.as_str() {
        super::verbs::PROJECT => String::new(),
        other => format!(" --project {other}"),
    };
    for (verb, what) in [
        ("status", "who leads, what was asked"),
        ("top", "the same again and again"),
        ("load --rate 100", "open-loop load through every door"),
        ("logs n1", "what a node says"),
        ("down", "remove all of it"),
    ] {
        let command = format!("llm-router-testnet {verb}{project}");
        let _ = writeln!(text, "{command:<48} {what}");
    }
    let _ = writeln!(text, "\nCompose: {}", engine.words(plan, &["…"]).join(" "));
    text
}

fn addresses(plan: &Plan) -> String {
    let mut text = String::new();
    for id in plan.ids() {
        let (http, grpc) = (plan.http(id), plan.grpc(id));
        let _ = writeln!(
            text,
            "n{id:<9} http://{http}/v1   gRPC {grpc}   metrics http://{http}/metrics"
        );
    }
    for (name, what) in
        UPSTREAMS
            .into_iter()
            .zip(["fast and dear", "slow and cheap", "one in five fails"])
    {
        let orders = plan
            .orders(name)
            .map(|at| at.to_string())
            .unwrap_or_default();
        let _ = writeln!(
            text,
            "{name:<10} {what}; orders on {orders}, as: echo heal | nc {}",
            orders.replace(':', " ")
        );
    }
    match plan.prometheus {
        Some(port) => writeln!(text, "prometheus http://127.0.0.1:{port}"),
        None => writeln!(
            text,
            "prometheus no image here; `docker pull prom/prometheus`, then up again"
        ),
    }
    .unwrap_or_default();
    if plan.weights.is_none() {
        text.push_str(
            "weights    none on this machine: the semantic tier is off (llm-router model pull)\n",
        );
    }
    text
}

/// The Python that the tests have installed the clients for, where there is one.
fn python() -> String {
    let home = llm_router::config::env::Environment::read().cache_home;
    let found: Option<PathBuf> = home.map(|home| home.join("python/bin/python"));
    match found.filter(|path| path.is_file()) {
        Some(path) => path.display().to_string(),
        None => "python3".to_owned(),
    }
}

fn curl(http: &str) -> String {
    format!(
        "curl -s http://{http}/v1/chat/completions -H 'content-type: application/json' \\\n  \
         -d '{{\"model\":\"auto\",\"messages\":[{{\"role\":\"user\",\"content\":\"Hello, cluster!\"}}]}}'"
    )
}

fn openai(python: &str, http: &str) -> String {
    format!(
        "{python} - <<'END'\n\
         from openai import OpenAI\n\
         client = OpenAI(base_url=\"http://{http}/v1\", api_key=\"unused\")\n\
         answer = client.chat.completions.create(model=\"auto\", messages=[{{\"role\": \"user\", \"content\": \"Hello, SDK!\"}}])\n\
         print(answer.choices[0].message.content)\n\
         END"
    )
}

fn grpc(python: &str, grpc: &str) -> String {
    format!(
        "{python} - <<'END'\n\
         import grpc\n\
         from google.protobuf.descriptor_pool import DescriptorPool\n\
         from google.protobuf.message_factory import GetMessageClass\n\
         from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase\n\
         channel = grpc.insecure_channel(\"{grpc}\")\n\
         pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))\n\
         method = pool.FindServiceByName(\"llm_router.v1.RouterService\").FindMethodByName(\"Generate\")\n\
         request, response = GetMessageClass(method.input_type), GetMessageClass(method.output_type)\n\
         generate = channel.unary_unary(\"/llm_router.v1.RouterService/Generate\",\n    \
             request_serializer=request.SerializeToString, response_deserializer=response.FromString)\n\
         print(generate(request(prompt=\"Hello, gRPC!\", model=\"auto\"), timeout=20).content)\n\
         END"
    )
}
