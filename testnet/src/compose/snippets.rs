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
        openai(&python, &plan.http(plan.nodes.min(2))),
        grpc(&python, &plan.grpc(plan.nodes)),
    );
    let project = match plan.project.as_str() {
        super::verbs::PROJECT => String::new(),
        other => format!(" --project {other}"),
    };
    let program = program();
    if plan.collector().is_some() {
        let follow = traced(&plan.http(plan.nodes), &format!("{program} trace{project}"));
        let _ = write!(text, "One request, traced:\n\n{follow}\n\n");
    }
    text.push_str("And then:\n\n");
    for (verb, what) in [
        ("status", "who leads, what was asked"),
        ("top", "the same again and again"),
        ("load --rate 100", "open-loop load through every door"),
        ("trace", "the latest traces"),
        ("logs n1", "what a node says"),
        ("down", "remove all of it"),
    ] {
        let command = format!("{program} {verb}{project}");
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
    match (plan.collector(), &plan.otlp) {
        (Some(at), _) => writeln!(text, "collector  http://{at}/traces"),
        (None, Some(url)) => writeln!(text, "collector  {url}, from inside"),
        (None, None) => writeln!(text, "collector  none; nothing is traced"),
    }
    .unwrap_or_default();
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

/// This program, as the user's shell finds it.
fn program() -> String {
    const NAME: &str = "llm-router-testnet";
    let path = std::env::var_os("PATH").unwrap_or_default();
    let known = std::env::split_paths(&path).any(|folder| folder.join(NAME).is_file());
    match std::env::current_exe() {
        Ok(own) if !known => quoted(&own.display().to_string()),
        Ok(_) | Err(_) => NAME.to_owned(),
    }
}

/// A word of a shell; in quotes where it needs them.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    match word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
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

/// A request inside a trace of the caller's, then that trace: another one each time.
fn traced(http: &str, trace: &str) -> String {
    format!(
        "trace=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \\n')\n\
         curl -s http://{http}/v1/chat/completions -H 'content-type: application/json' \\\n  \
         -H \"traceparent: 00-$trace-00f067aa0ba902b7-01\" \\\n  \
         -d '{{\"model\":\"auto\",\"messages\":[{{\"role\":\"user\",\"content\":\"Which way did this go?\"}}]}}'\n\
         echo; {trace} --wait 10 $trace"
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::plan::example;

    #[test]
    fn every_size_has_an_address_for_every_line() {
        for nodes in [1, 3, 5] {
            let plan = example(nodes);
            assert!(addresses(&plan).contains("collector  http://127.0.0.1:6001/traces"));
            let text = text(&Engine::plugin(), &plan);
            for heading in [
                "With curl:",
                "With OpenAI's client (pip install openai):",
                "Over gRPC, by reflection (pip install grpcio grpcio-reflection):",
                "One request, traced:",
                "And then:",
            ] {
                assert!(
                    text.lines().any(|line| line == heading),
                    "{heading}\n{text}"
                );
            }
        }
    }

    #[test]
    fn a_trace_is_shown_only_where_the_testnet_keeps_it() {
        let plan = Plan {
            otlp: Some("http://jaeger:4317".to_owned()),
            ..example(3)
        };
        let text = text(&Engine::plugin(), &plan);
        assert!(!text.contains("One request, traced:"), "{text}");
        assert!(text.contains("http://jaeger:4317"), "{text}");
    }

    #[test]
    fn what_is_printed_of_a_trace_is_what_a_shell_takes() {
        let text = traced("127.0.0.1:8001", "llm-router-testnet trace");
        let mut shell = std::process::Command::new("bash");
        let checked = shell.args(["-n", "-c", &text]).status();
        assert!(checked.unwrap().success(), "{text}");
        assert!(text.ends_with("llm-router-testnet trace --wait 10 $trace"));
        assert!(text.contains("tr -d ' \\n')"), "{text}");
    }

    #[test]
    fn a_path_with_spaces_is_one_word() {
        assert_eq!(quoted("/usr/bin/x-1"), "/usr/bin/x-1");
        assert_eq!(quoted("/my it's/x"), r"'/my it'\''s/x'");
    }
}
