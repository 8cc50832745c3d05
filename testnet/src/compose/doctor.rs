//! `doctor`: what is missing on this machine, and how to get it.

use tokio::process::Command;

use super::engine::{self, Engine};
use super::launch::PROMETHEUS;
use super::plan::Plan;
use crate::node::{binary, weights};
use crate::table::Table;

/// Room that images, nodes and logs want.
const ROOM_KIB: u64 = 2 * 1024 * 1024;
/// Memory of one node under load.
const NODE_KIB: u64 = 400 * 1024;

/// One thing that was looked at.
#[derive(Clone, Debug)]
struct Finding {
    what: &'static str,
    found: Result<String, String>,
    /// Nothing goes without it.
    needed: bool,
}

/// What was found, and whether a testnet can be started.
#[derive(Debug)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// Everything that is needed is there.
    pub fn holds(&self) -> bool {
        self.0
            .iter()
            .all(|finding| finding.found.is_ok() || !finding.needed)
    }
}

impl std::fmt::Display for Findings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for Finding {
            what,
            found,
            needed,
        } in &self.0
        {
            let (mark, text) = match (found, needed) {
                (Ok(text), _) => ("✓", text),
                (Err(text), true) => ("✗", text),
                (Err(text), false) => ("-", text),
            };
            writeln!(f, "{mark} {what:<12} {text}")?;
        }
        Ok(())
    }
}

/// Looks at everything a testnet of `nodes` nodes needs.
pub async fn examine(project: &str, nodes: usize) -> Findings {
    let daemon = engine::version().await;
    let compose = engine::compose().await;
    let engine = Engine::find().await.ok();
    let get = "testnet/scripts/engine.sh installs and starts it where it can. Debian, Ubuntu: sudo apt-get \
               install docker.io docker-compose; then, as root and without systemd: dockerd &";
    let mut findings = vec![
        needed(
            "Docker",
            daemon.map_err(|error| format!("{error:#}\n               {get}")),
        ),
        needed(
            "Compose",
            compose
                .map(|(form, version)| format!("{} {version}", form.join(" ")))
                .ok_or_else(|| get.to_owned()),
        ),
        needed(
            "node",
            binary()
                .map(|path| path.display().to_string())
                .map_err(|error| format!("{error:#}")),
        ),
        needed("memory", memory(nodes)),
        wanted(
            "weights",
            weights()
                .map(|path| path.display().to_string())
                .ok_or_else(|| {
                    "none: the nodes' semantic tier stays off. llm-router model pull".to_owned()
                }),
        ),
    ];
    if let Some(engine) = engine {
        findings.push(needed("disk", disk(&engine).await));
        findings.push(wanted("base", base(&engine).await));
        findings.push(wanted("prometheus", prometheus(&engine).await));
        findings.push(wanted("project", state(&engine, project).await));
    }
    Findings(findings)
}

fn needed(what: &'static str, found: Result<String, String>) -> Finding {
    Finding {
        what,
        found,
        needed: true,
    }
}

fn wanted(what: &'static str, found: Result<String, String>) -> Finding {
    Finding {
        what,
        found,
        needed: false,
    }
}

fn memory(nodes: usize) -> Result<String, String> {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let Some(free) = available(&text) else {
        return Ok("not told by this system".to_owned());
    };
    let wanted = NODE_KIB * u64::try_from(nodes).unwrap_or(u64::MAX);
    let told = format!("{} MiB available", free / 1024);
    match free >= wanted {
        true => Ok(told),
        false => Err(format!("{told}, {nodes} nodes want {} MiB", wanted / 1024)),
    }
}

/// `MemAvailable` of `/proc/meminfo`, in KiB.
fn available(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

async fn disk(engine: &Engine) -> Result<String, String> {
    let root = engine
        .docker(&["info", "--format", "{{.DockerRootDir}}"])
        .await;
    let root = root.map_err(|error| format!("{error:#}"))?;
    let output = Command::new("df").args(["-Pk", root.trim()]).output().await;
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let Some(free) = free(&text.unwrap_or_default()) else {
        return Ok(format!("{} is not on this machine", root.trim()));
    };
    let told = format!("{} MiB free below {}", free / 1024, root.trim());
    match free >= ROOM_KIB {
        true => Ok(told),
        false => Err(format!(
            "{told}, {} MiB are wanted: docker system prune",
            ROOM_KIB / 1024
        )),
    }
}

/// The fourth column of `df -Pk`.
fn free(text: &str) -> Option<u64> {
    text.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()
}

async fn base(engine: &Engine) -> Result<String, String> {
    for (image, what) in [
        ("debian:12-slim", "here"),
        ("llm-router-base:own", "made of this machine's libraries"),
    ] {
        if engine.has_image(image).await {
            return Ok(format!("{image}, {what}"));
        }
    }
    Err("debian:12-slim is pulled by `up`; where it cannot be, a base is made of this machine's libraries".to_owned())
}

async fn prometheus(engine: &Engine) -> Result<String, String> {
    match engine.has_image(PROMETHEUS).await {
        true => Ok(format!("{PROMETHEUS} is here; `up` starts it")),
        false => Err(format!(
            "not here, and not started: docker pull {PROMETHEUS}"
        )),
    }
}

async fn state(engine: &Engine, project: &str) -> Result<String, String> {
    let left = engine
        .left_of(project)
        .await
        .map_err(|error| format!("{error:#}"))?;
    match (left.is_empty(), Plan::read(project)) {
        (true, _) => Ok(format!("{project}: nothing is up")),
        (false, Ok(plan)) => Ok(format!("{project}: {} nodes are up", plan.nodes)),
        (false, Err(_)) => Err(format!(
            "{project}: left over: {left:?}; llm-router-testnet down"
        )),
    }
}

/// The images and their sizes, for `up` to tell.
pub(super) async fn sizes(engine: &Engine, plan: &Plan) -> Table {
    let mut table = Table::new(&["image", "MB"]);
    for image in [&plan.image, &plan.tools] {
        let size = engine
            .docker(&["image", "inspect", "--format", "{{.Size}}", image])
            .await;
        let bytes: Option<u64> = size.ok().and_then(|size| size.trim().parse().ok());
        let shown = bytes.map_or_else(|| "-".to_owned(), |bytes| (bytes / 1_000_000).to_string());
        table.row(vec![image.clone(), shown]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_only_wanted_does_not_stop_a_start() {
        let there = || Ok("here".to_owned());
        let gone = || Err("apt-get install it".to_owned());
        let some = Findings(vec![needed("a", there()), wanted("b", gone())]);
        assert!(some.holds());
        let none = Findings(vec![needed("a", gone()), wanted("b", there())]);
        assert!(!none.holds());
        assert!(
            none.to_string()
                .contains("✗ a            apt-get install it")
        );
    }

    #[test]
    fn what_the_system_prints_is_read() {
        assert_eq!(
            available("MemTotal: 9 kB\nMemAvailable:   2048 kB\n"),
            Some(2048)
        );
        assert_eq!(available("MemTotal: 9 kB\n"), None);
        let df =
            "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/a 100 40 60 40% /\n";
        assert_eq!(free(df), Some(60));
        assert_eq!(free(""), None);
    }
}
