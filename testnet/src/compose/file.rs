//! The compose file: no `version`, which 1.27 and later take as the common specification.

use std::fmt::Write as _;
use std::path::Path;

use super::disk;
use super::plan::{COLLECTOR, Plan, UPSTREAMS};
use super::settings::{HOME, UPSTREAM, link, on_link, quoted};

/// Where a container keeps a node's state.
const DATA: &str = "/var/lib/llm-router/data";
/// Where it finds weights.
const MODELS: &str = "/usr/share/llm-router/models";
/// Where it finds the library that sets its clock.
const FAKETIME: &str = "/usr/local/lib/libfaketime.so.1";
/// Where an upstream takes orders.
const ORDERS: u16 = 9001;
/// Where the collector takes spans, and where it shows them.
const SPANS: u16 = 4317;
const TRACES: u16 = 4320;
/// A node's log is bounded: it lives on the user's disk.
const LOGGING: &str =
    "    logging: { driver: json-file, options: { max-size: \"20m\", max-file: \"3\" } }\n";

/// All of it.
pub(super) fn text(plan: &Plan) -> String {
    let mut text = "# Made by llm-router-testnet; `up` writes it anew.\nservices:\n".to_owned();
    if plan.collector().is_some() {
        collector(&mut text, plan);
    }
    for id in plan.ids() {
        node(&mut text, plan, id);
    }
    for (name, port) in UPSTREAMS.into_iter().zip(&plan.orders) {
        upstream(&mut text, plan, (name, *port));
    }
    if let Some(port) = plan.prometheus {
        prometheus(&mut text, plan, port);
    }
    text.push_str("networks:\n  outside: {}\n");
    for (a, b) in plan.links() {
        let _ = writeln!(text, "  {}: {{ internal: true }}", link(a, b));
    }
    text.push_str("volumes:\n");
    for id in plan.ids() {
        let _ = writeln!(text, "  data{id}: {{}}");
    }
    text
}

fn node(text: &mut String, plan: &Plan, id: usize) {
    let name = format!("n{id}");
    begin(text, plan, &name, &plan.image);
    let _ = writeln!(
        text,
        "    command: [serve, -c, {HOME}/node.yaml, --insecure-no-auth, --faults, {HOME}/faults]"
    );
    let clock = match plan.faketime {
        Some(_) => format!(
            ", LD_PRELOAD: {FAKETIME}, FAKETIME_TIMESTAMP_FILE: {HOME}/clock, \
             FAKETIME_CACHE_DURATION: \"1\", FAKETIME_DONT_FAKE_MONOTONIC: \"1\", DONT_FAKE_MONOTONIC: \"1\""
        ),
        None => String::new(),
    };
    // the upstreams take any key, and nothing outside this network does
    let _ = writeln!(
        text,
        "    environment: {{ TESTNET_KEY: of-the-testnet, LLM_ROUTER_MODELS: {MODELS}{clock} }}"
    );
    if plan.collector().is_some() {
        // there before the first span, and until the last one
        let _ = writeln!(text, "    depends_on: [{COLLECTOR}]");
    }
    // a node has 30 seconds to finish its streams
    text.push_str("    stop_grace_period: 40s\n    restart: on-failure\n");
    let ports = [(plan.http[id - 1], 8080), (plan.grpc[id - 1], 50051)];
    let ports = ports.map(|(outside, inside)| format!("\"127.0.0.1:{outside}:{inside}\""));
    let _ = writeln!(text, "    ports: [{}]", ports.join(", "));
    text.push_str("    volumes:\n");
    let _ = match plan.small_disks {
        true => {
            let source = escaped(&disk::data(plan, id));
            writeln!(
                text,
                "      - {{ type: bind, source: {source}, target: {DATA} }}"
            )
        }
        false => writeln!(
            text,
            "      - {{ type: volume, source: data{id}, target: {DATA} }}"
        ),
    };
    bind(text, &plan.node_folder(id), HOME);
    if let Some(library) = &plan.faketime {
        bind(text, library, FAKETIME);
    }
    if let Some(weights) = &plan.weights {
        bind(text, weights, &format!("{MODELS}/all-MiniLM-L6-v2"));
    }
    text.push_str("    networks:\n      outside: {}\n");
    for other in plan.ids().filter(|&other| other != id) {
        let (link, alias) = (link(id, other), on_link(id, other));
        let _ = writeln!(text, "      {link}: {{ aliases: [{alias}] }}");
    }
}

fn begin(text: &mut String, plan: &Plan, name: &str, image: &str) {
    let _ = writeln!(
        text,
        "  {name}:\n    image: {image}\n    container_name: {}\n    hostname: {name}",
        plan.container(name)
    );
    let _ = writeln!(text, "    user: \"{}\"", plan.user);
    text.push_str("    read_only: true\n    cap_drop: [ALL]\n");
    text.push_str("    security_opt: [\"no-new-privileges:true\"]\n    tmpfs: [/tmp]\n");
    text.push_str(LOGGING);
}

/// A path of this machine. `$` is compose's own mark.
fn escaped(path: &Path) -> String {
    quoted(&path.display().to_string().replace('$', "$$"))
}

fn bind(text: &mut String, source: &Path, target: &str) {
    let source = escaped(source);
    let _ = writeln!(
        text,
        "      - {{ type: bind, source: {source}, target: {target}, read_only: true }}"
    );
}

/// How an upstream behaves.
fn manner(name: &str) -> &'static [&'static str] {
    match name {
        "fast" => &[
            "latency_ms=10",
            "first_token_ms=10",
            "tokens_per_second=400",
        ],
        "slow" => &[
            "latency_ms=120",
            "latency_jitter_ms=60",
            "tokens_per_second=60",
        ],
        _ => &["latency_ms=40", "fail_rate=0.2", "status=503", "seed=7"],
    }
}

fn upstream(text: &mut String, plan: &Plan, (name, port): (&str, u16)) {
    begin(text, plan, name, &plan.tools);
    let mut words: Vec<String> = ["upstream", "--listen"].map(str::to_owned).into();
    words.push(format!("\"0.0.0.0:{UPSTREAM}\""));
    words.extend(["--orders".to_owned(), format!("\"0.0.0.0:{ORDERS}\"")]);
    for option in manner(name) {
        words.extend(["--option".to_owned(), format!("\"{option}\"")]);
    }
    let _ = writeln!(text, "    command: [{}]", words.join(", "));
    text.push_str("    restart: on-failure\n");
    let _ = writeln!(text, "    ports: [\"127.0.0.1:{port}:{ORDERS}\"]");
    text.push_str("    networks: { outside: {} }\n");
}

fn collector(text: &mut String, plan: &Plan) {
    begin(text, plan, COLLECTOR, &plan.tools);
    let _ = writeln!(
        text,
        "    command: [collect, --otlp, \"0.0.0.0:{SPANS}\", --http, \"0.0.0.0:{TRACES}\"]"
    );
    text.push_str("    restart: on-failure\n");
    let _ = writeln!(text, "    ports: [\"127.0.0.1:{}:{TRACES}\"]", plan.traces);
    text.push_str("    networks: { outside: {} }\n");
}

fn prometheus(text: &mut String, plan: &Plan, port: u16) {
    let _ = writeln!(
        text,
        "  prometheus:\n    image: prom/prometheus\n    container_name: {}\n    ports: [\"127.0.0.1:{port}:9090\"]",
        plan.container("prometheus")
    );
    text.push_str(LOGGING);
    text.push_str("    networks: { outside: {} }\n    volumes:\n");
    bind(
        text,
        &plan.folder.join("prometheus.yml"),
        "/etc/prometheus/prometheus.yml",
    );
}

/// What Prometheus scrapes.
pub(super) fn scraped(plan: &Plan) -> String {
    let nodes: Vec<String> = plan.ids().map(|id| format!("\"n{id}:8080\"")).collect();
    format!(
        "global: {{ scrape_interval: 5s }}\nscrape_configs:\n  - job_name: llm-router\n    static_configs: [{{ targets: [{}] }}]\n",
        nodes.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;
    use crate::compose::plan::example;

    #[derive(Deserialize)]
    struct File {
        services: BTreeMap<String, Service>,
    }

    #[derive(Deserialize)]
    struct Service {
        image: String,
        #[serde(default)]
        command: Vec<String>,
        #[serde(default)]
        depends_on: Vec<String>,
        #[serde(default)]
        environment: BTreeMap<String, String>,
        ports: Vec<String>,
        networks: BTreeMap<String, serde_json::Value>,
    }

    fn read(text: &str) -> File {
        serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    fn ports(text: &str) -> Vec<&str> {
        let lines = text.lines().filter(|line| line.contains("ports:"));
        lines
            .flat_map(|line| line.split('"').skip(1).step_by(2))
            .collect()
    }

    #[test]
    fn every_port_is_published_on_loopback_alone_and_once() {
        for nodes in [3, 5] {
            let text = text(&example(nodes));
            let mut found = ports(&text);
            assert_eq!(found.len(), nodes * 2 + 4);
            assert!(found.iter().all(|port| port.starts_with("127.0.0.1:")));
            found.sort_unstable();
            found.dedup();
            assert_eq!(found.len(), nodes * 2 + 4);
        }
    }

    #[test]
    fn what_a_user_mounts_is_read_only_and_quoted() {
        let text = text(&example(3));
        let binds: Vec<&str> = text
            .lines()
            .filter(|line| line.contains("type: bind"))
            .collect();
        assert_eq!(binds.len(), 6);
        for bind in binds {
            assert!(bind.contains("read_only: true"), "{bind}");
        }
        assert!(
            text.contains(r#"source: "/tmp/with \"quotes\" and $$dollars/n1""#),
            "{text}"
        );
    }

    #[test]
    fn a_link_is_shared_by_two_nodes_and_nobody_else() {
        let text = text(&example(5));
        for (a, b) in example(5).links() {
            let network = format!("      {}: {{ aliases", link(a, b));
            assert_eq!(text.matches(&network).count(), 2, "{network}");
        }
    }

    #[test]
    fn the_collector_is_there_before_the_nodes_that_tell_it() {
        let file = read(&text(&example(3)));
        let collector = &file.services[COLLECTOR];
        assert_eq!(collector.image, example(3).tools);
        assert_eq!(collector.command[0], "collect");
        assert_eq!(collector.ports, ["127.0.0.1:6001:4320"]);
        for node in ["n1", "n2", "n3"] {
            assert_eq!(file.services[node].depends_on, [COLLECTOR]);
        }
        assert_eq!(file.services.len(), example(3).services().len());
    }

    #[test]
    fn a_testnet_that_tells_another_collector_has_none_of_its_own() {
        let plan = Plan {
            otlp: Some("http://jaeger:4317".to_owned()),
            ..example(3)
        };
        let file = read(&text(&plan));
        assert!(!file.services.contains_key(COLLECTOR));
        assert!(file.services["n1"].depends_on.is_empty());
    }

    #[test]
    fn the_files_that_are_shipped_to_be_laid_over_ours_can_be() {
        let shipped = [
            (
                include_str!("../../docker/otel-collector.yaml"),
                "otel-collector",
            ),
            (include_str!("../../docker/jaeger.yaml"), "jaeger"),
        ];
        for (text, name) in shipped {
            let file = read(text);
            let names: Vec<&str> = file.services.keys().map(String::as_str).collect();
            assert_eq!(names, [name], "and nothing of ours is changed");
            let service = &file.services[name];
            let (_, version) = service.image.rsplit_once(':').unwrap();
            assert!(
                version.starts_with(|first: char| first.is_ascii_digit()),
                "{version}"
            );
            assert!(!service.ports.is_empty());
            for port in &service.ports {
                assert!(port.starts_with("127.0.0.1:"), "{port}");
            }
            let networks: Vec<&String> = service.networks.keys().collect();
            assert_eq!(networks, ["outside"]);
            // a relative path would be looked for beside our file, in the cache directory
            assert!(!text.contains("volumes:"), "{text}");
        }
    }

    #[test]
    fn the_shipped_collector_listens_where_nodes_send_to() {
        let file = read(include_str!("../../docker/otel-collector.yaml"));
        let settings = &file.services["otel-collector"].environment["COLLECTOR_CONFIG"];
        let settings: serde_json::Value = serde_saphyr::from_str(settings).unwrap();
        let grpc = &settings["receivers"]["otlp"]["protocols"]["grpc"];
        assert_eq!(grpc["endpoint"], "0.0.0.0:4317");
        let pipeline = &settings["service"]["pipelines"]["traces"];
        assert_eq!(pipeline["receivers"][0], "otlp");
        for exporter in pipeline["exporters"].as_array().unwrap() {
            let name = exporter.as_str().unwrap();
            assert!(settings["exporters"].get(name).is_some(), "{name}");
        }
    }

    #[test]
    fn without_weights_nothing_is_mounted_for_them() {
        let plan = Plan {
            weights: None,
            ..example(3)
        };
        assert_eq!(text(&plan).matches("type: bind").count(), 3);
    }
}
