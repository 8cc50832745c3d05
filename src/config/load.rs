//! Flags over environment over file over defaults.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::check;
use super::detect::Found;
use super::env::{Environment, lookup};
use super::file::{self, MAX_FILE_BYTES, Parsed};
use super::node::{LogFormat, NodeConfig, TlsConfig};
use super::problem::{Problems, Warning};
use super::routing::RoutingConfig;

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `-c FILE`.
    pub config: Option<PathBuf>,
    /// `--data DIR`.
    pub data: Option<PathBuf>,
    /// `--node NAME`.
    pub node: Option<String>,
    /// `--certs DIR`.
    pub certs: Option<PathBuf>,
    /// `--http ADDR`.
    pub http: Option<String>,
    /// `--grpc ADDR`.
    pub grpc: Option<String>,
    /// `--cluster ADDR`.
    pub cluster: Option<String>,
    /// `--join ADDR,…`.
    pub join: Vec<String>,
    /// `--advertise ADDR`.
    pub advertise: Option<String>,
    /// `--log text|json`.
    pub log: Option<LogFormat>,
}

/// A configuration, checked and complete.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The node part; `data_dir` and `embedder.dir` (the directory of the weights' files) are set.
    pub node: NodeConfig,
    /// The node part as the file alone says it, to tell later what a change would need a restart for.
    pub file_node: NodeConfig,
    /// The routing part. Without `models` until [`Loaded::fill`] adds what was found.
    pub routing: RoutingConfig,
    /// Digest of the file's text as it was read; the text itself may hold a secret.
    pub digest: blake3::Hash,
    /// The file it came from.
    pub source: Option<PathBuf>,
    /// What works and is probably not meant.
    pub warnings: Vec<Warning>,
}

impl Loaded {
    /// Adds models nobody declared: those found on this machine when the file declares none, and
    /// demo models that a route names.
    pub fn fill(&mut self, found: &Found) {
        found.fill(&mut self.routing);
    }
}

/// Reads the file, if one is named, and lays environment and flags over it.
///
/// # Errors
/// [`Problems`] of the file, or of what environment and flags made of it.
pub fn load(flags: &Flags, env: &Environment) -> Result<Loaded, Problems> {
    let source = flags.config.clone().or_else(|| env.config.clone());
    let parsed = match &source {
        Some(path) => read(path)?,
        None => file::parse("", "built-in defaults")?,
    };
    let mut node = parsed.node.clone();
    overlay(&mut node, flags, env)?;
    let mut findings = check::node(&node);
    findings.extend(check::reach(&node));
    if !findings.is_empty() {
        return Err(Problems::without_text("flags and environment", findings));
    }
    let warnings = warnings(&parsed);
    let digest = parsed.digest();
    Ok(Loaded {
        node,
        file_node: parsed.node,
        routing: parsed.routing,
        digest,
        source,
        warnings,
    })
}

/// Reads and checks one file of at most 1 MiB.
///
/// # Errors
/// [`Problems`], one of them when the file cannot be read.
pub fn read(path: &Path) -> Result<Parsed, Problems> {
    file::parse(&read_text(path)?, &path.display().to_string())
}

/// What works and is probably not meant, in a file.
pub fn warnings(parsed: &Parsed) -> Vec<Warning> {
    parsed.warnings(check::warnings(&parsed.routing, |name| {
        lookup(name).is_some()
    }))
}

pub(super) fn read_text(path: &Path) -> Result<String, Problems> {
    let name = path.display().to_string();
    let failed =
        |error: &std::io::Error| Problems::single(&name, format!("cannot be read: {error}"));
    let file = fs::File::open(path).map_err(|error| failed(&error))?;
    let limit = u64::try_from(MAX_FILE_BYTES).unwrap_or(u64::MAX);
    let mut text = String::new();
    file.take(limit + 1)
        .read_to_string(&mut text)
        .map_err(|error| failed(&error))?;
    Ok(text)
}

fn overlay(node: &mut NodeConfig, flags: &Flags, env: &Environment) -> Result<(), Problems> {
    identify(node, flags, env)?;
    if let Some(http) = flags.http.as_ref().or(env.http.as_ref()) {
        node.listen.http.clone_from(http);
    }
    if let Some(grpc) = flags.grpc.as_ref().or(env.grpc.as_ref()) {
        node.listen.grpc.clone_from(grpc);
    }
    if let Some(cluster) = flags.cluster.as_ref().or(env.cluster.as_ref()) {
        node.listen.cluster.clone_from(cluster);
    }
    if let Some(advertise) = flags.advertise.as_ref().or(env.advertise.as_ref()) {
        node.cluster.advertise = Some(advertise.clone());
    }
    let named = env.join.iter().flat_map(|join| join.split(','));
    let named: Vec<String> = match flags.join.is_empty() {
        true => named.map(|peer| peer.trim().to_owned()).collect(),
        false => flags.join.clone(),
    };
    if !named.is_empty() {
        node.cluster.join = named;
    }
    if let Some(endpoint) = &env.otlp_endpoint {
        node.telemetry.otlp_endpoint = Some(endpoint.clone());
    }
    node.telemetry.log = match (flags.log, env.log.as_deref()) {
        (Some(log), _) => log,
        (None, None) => node.telemetry.log,
        (None, Some("text")) => LogFormat::Text,
        (None, Some("json")) => LogFormat::Json,
        (None, Some(_)) => {
            return Err(Problems::single(
                "LLM_ROUTER_LOG",
                "expected one of text, json",
            ));
        }
    };
    let said = flags
        .data
        .clone()
        .or_else(|| env.data.clone())
        .or_else(|| node.data_dir.take());
    let data = said
        .or_else(|| env.data_home.clone())
        .unwrap_or_else(|| "llm-router-data".into());
    node.data_dir = Some(data);
    let said = node.embedder.dir.take().filter(|_| env.models.is_none());
    node.embedder.dir = Some(said.unwrap_or_else(|| env.weights_dir(&node.embedder.model)));
    Ok(())
}

/// Who the node is, and by which certificate: what differs between nodes that share a file.
fn identify(node: &mut NodeConfig, flags: &Flags, env: &Environment) -> Result<(), Problems> {
    if let Some(name) = flags.node.as_ref().or(env.node.as_ref()) {
        node.node.id = Some(name.clone());
    }
    let Some(dir) = flags.certs.as_ref().or(env.certs.as_ref()) else {
        return Ok(());
    };
    let Some(name) = &node.node.id else {
        let message = "a directory of certificates says nothing without the node's name: --node \
                       NAME, or `node: { id }`";
        return Err(Problems::single("--certs", message));
    };
    node.cluster.tls = Some(TlsConfig {
        ca: dir.join("ca.pem"),
        cert: dir.join(format!("{name}.pem")),
        key: dir.join(format!("{name}.key")),
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("llm-router.yaml");
        fs::write(&path, text).unwrap();
        (dir, path)
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let flags = Flags {
            config: Some("/no/such/file.yaml".into()),
            ..Flags::default()
        };
        let problems = load(&flags, &Environment::default()).unwrap_err();
        let text = problems.to_string();
        assert!(
            text.contains("/no/such/file.yaml") && text.contains("cannot be read"),
            "{text}"
        );
    }

    #[test]
    fn a_bad_flag_is_refused_like_a_bad_file() {
        let flags = Flags {
            http: Some("nonsense".to_owned()),
            ..Flags::default()
        };
        assert!(
            load(&flags, &Environment::default())
                .unwrap_err()
                .to_string()
                .contains("listen.http")
        );
        let env = Environment {
            log: Some("xml".to_owned()),
            ..Environment::default()
        };
        assert!(
            load(&Flags::default(), &env)
                .unwrap_err()
                .to_string()
                .contains("LLM_ROUTER_LOG")
        );
    }

    #[test]
    fn flags_win_over_environment_and_environment_over_file() {
        let (_dir, path) = file("listen: { http: 'h:1', grpc: 'h:2' }\ndata_dir: from-file\n");
        let env = Environment {
            config: Some(path.clone()),
            http: Some("h:11".to_owned()),
            grpc: Some("h:12".to_owned()),
            ..Environment::default()
        };
        let flags = Flags {
            grpc: Some("h:22".to_owned()),
            ..Flags::default()
        };
        let loaded = load(&flags, &env).unwrap();
        assert_eq!(loaded.node.listen.http, "h:11");
        assert_eq!(loaded.node.listen.grpc, "h:22");
        assert_eq!(
            loaded.node.data_dir.as_deref(),
            Some(Path::new("from-file"))
        );
        assert_eq!(loaded.file_node.listen.http, "h:1");
        assert_eq!(loaded.source, Some(path));
    }

    #[test]
    fn nodes_to_join_are_those_of_the_flag_then_of_the_environment() {
        let env = Environment {
            cluster: Some("127.0.0.1:7411".to_owned()),
            join: Some("127.0.0.1:1, 127.0.0.1:2".to_owned()),
            ..Environment::default()
        };
        let flags = |join: &[&str]| Flags {
            join: join.iter().map(ToString::to_string).collect(),
            ..Flags::default()
        };
        let loaded = load(&flags(&[]), &env).unwrap();
        assert_eq!(loaded.node.cluster.join, ["127.0.0.1:1", "127.0.0.1:2"]);
        assert_eq!(loaded.node.listen.cluster, "127.0.0.1:7411");
        let loaded = load(&flags(&["127.0.0.1:3"]), &env).unwrap();
        assert_eq!(loaded.node.cluster.join, ["127.0.0.1:3"]);
    }

    #[test]
    fn a_wildcard_may_be_advertised_by_a_flag() {
        let (_dir, path) = file(
            "listen: { cluster: '0.0.0.0:7400' }\ncluster: { tls: { ca: a, cert: b, key: c } }\n",
        );
        let mut flags = Flags {
            config: Some(path),
            ..Flags::default()
        };
        let refused = load(&flags, &Environment::default()).unwrap_err();
        assert!(refused.to_string().contains("--advertise"), "{refused}");
        flags.advertise = Some("10.0.0.1:7400".to_owned());
        assert!(load(&flags, &Environment::default()).is_ok());
    }

    #[test]
    fn nodes_that_share_a_file_differ_by_name_and_certificate() {
        let (_dir, path) =
            file("node: { id: shared }\nlisten: { cluster: '0.0.0.0:7400' }\ndata_dir: d\n");
        let flags = |node: Option<&str>| Flags {
            config: Some(path.clone()),
            node: node.map(str::to_owned),
            certs: Some("/certs".into()),
            advertise: Some("n2.peers:7400".to_owned()),
            ..Flags::default()
        };
        let env = Environment {
            node: Some("n1".to_owned()),
            certs: Some("/elsewhere".into()),
            ..Environment::default()
        };
        let node = load(&flags(None), &env).unwrap().node;
        assert_eq!(node.node.id.as_deref(), Some("n1"));
        let node = load(&flags(Some("n2")), &env).unwrap().node;
        assert_eq!(node.node.id.as_deref(), Some("n2"));
        let tls = node.cluster.tls.unwrap();
        assert_eq!(tls.ca, Path::new("/certs/ca.pem"));
        assert_eq!(tls.cert, Path::new("/certs/n2.pem"));
        assert_eq!(tls.key, Path::new("/certs/n2.key"));
        let outside = load(&flags(Some("../n2")), &env).unwrap_err().to_string();
        assert!(outside.contains("node.id"), "{outside}");
    }

    #[test]
    fn certificates_without_a_name_are_refused_by_the_flag_that_misses_it() {
        let flags = Flags {
            certs: Some("/certs".into()),
            ..Flags::default()
        };
        let refused = load(&flags, &Environment::default()).unwrap_err();
        assert!(refused.to_string().contains("--node"), "{refused}");
    }

    #[test]
    fn without_anything_said_there_are_defaults() {
        let env = Environment {
            data_home: Some("/d/llm-router".into()),
            ..Environment::default()
        };
        let loaded = load(&Flags::default(), &env).unwrap();
        assert_eq!(loaded.node.listen.http, "127.0.0.1:8080");
        assert_eq!(
            loaded.node.data_dir.as_deref(),
            Some(Path::new("/d/llm-router"))
        );
        assert!(loaded.node.embedder.dir.is_some() && loaded.source.is_none());
    }

    #[test]
    fn weights_are_where_the_environment_says_then_where_the_file_says() {
        let (_dir, path) = file("embedder: { dir: /from/file }\n");
        let flags = Flags {
            config: Some(path),
            ..Flags::default()
        };
        let dir = |env: &Environment| load(&flags, env).unwrap().node.embedder.dir.unwrap();
        assert_eq!(dir(&Environment::default()), Path::new("/from/file"));
        let env = Environment {
            models: Some("/m".into()),
            ..Environment::default()
        };
        assert_eq!(dir(&env), Path::new("/m/all-MiniLM-L6-v2"));
    }

    #[test]
    fn an_unset_variable_is_a_warning_with_its_place() {
        let text = "models:\n  a: { provider: openai, model: x, api_key: { env: LLM_ROUTER_NOT_SET_9 } }\n";
        let (_dir, path) = file(text);
        let flags = Flags {
            config: Some(path),
            ..Flags::default()
        };
        let loaded = load(&flags, &Environment::default()).unwrap();
        let shown = loaded.warnings[0].to_string();
        assert!(
            shown.contains("line 2") && shown.contains("LLM_ROUTER_NOT_SET_9"),
            "{shown}"
        );
    }
}
