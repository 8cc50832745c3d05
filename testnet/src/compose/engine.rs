//! Docker and Compose as they are on this machine, asked through their own programs.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::process::Command;
use tokio::time::timeout;

use super::plan::Plan;

/// How long a question may take.
const QUESTION: Duration = Duration::from_secs(30);
/// How long containers may take to be made or removed.
const ORDER: Duration = Duration::from_secs(240);

/// Docker, with the form of Compose that is there.
#[derive(Clone, Debug)]
pub struct Engine {
    compose: &'static [&'static str],
}

impl Engine {
    /// Finds it.
    ///
    /// # Errors
    /// In words for the user: what is missing, and how to get it.
    pub async fn find() -> anyhow::Result<Self> {
        let problem = match (version().await, compose().await) {
            (Ok(_), Some((compose, _))) => return Ok(Engine { compose }),
            (Ok(_), None) => "Compose is missing".to_owned(),
            (Err(problem), _) => format!("{problem:#}"),
        };
        bail!(
            "{problem}\ntestnet/scripts/engine.sh installs and starts what it can, and says the rest"
        )
    }

    /// As most users have it, without a look at this machine.
    #[cfg(test)]
    pub(super) fn plugin() -> Self {
        Engine {
            compose: &["docker", "compose"],
        }
    }

    /// Runs `docker` and gives what it prints.
    ///
    /// # Errors
    /// It fails, or takes too long.
    pub async fn docker(&self, arguments: &[&str]) -> anyhow::Result<String> {
        said("docker", arguments, ORDER).await
    }

    /// Runs `compose` over a plan's files and gives what it prints.
    ///
    /// # Errors
    /// It fails, or takes too long.
    pub async fn compose(&self, plan: &Plan, arguments: &[&str]) -> anyhow::Result<String> {
        let words = self.words(plan, arguments);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        said(words[0], &words[1..], ORDER).await
    }

    /// The same with the user's own terminal, for as long as it lasts.
    ///
    /// # Errors
    /// It cannot be started.
    pub async fn show(&self, plan: &Plan, arguments: &[&str]) -> anyhow::Result<ExitStatus> {
        let words = self.words(plan, arguments);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command.status().await.context("compose does not start")
    }

    /// The command line by which the user does the same.
    pub fn words(&self, plan: &Plan, arguments: &[&str]) -> Vec<String> {
        let mut words: Vec<String> = self.compose.iter().map(|&word| word.to_owned()).collect();
        words.extend(["-p".to_owned(), plan.project.clone()]);
        for file in std::iter::once(&plan.compose_file()).chain(&plan.over) {
            words.extend(["-f".to_owned(), file.display().to_string()]);
        }
        words.extend(arguments.iter().map(|&word| word.to_owned()));
        words
    }

    /// One field of a container, as `docker inspect` names it; `None` where there is no container.
    pub async fn field(&self, container: &str, field: &str) -> Option<String> {
        let format = format!("{{{{{field}}}}}");
        let arguments = [
            "inspect",
            "--type",
            "container",
            "--format",
            &format,
            container,
        ];
        let text = said("docker", &arguments, QUESTION).await.ok()?;
        Some(text.trim().to_owned())
    }

    /// Processor time a container's first process has used, in seconds; `None` where it does not run,
    /// or the engine is on another machine.
    pub async fn cpu_seconds(&self, container: &str) -> Option<f64> {
        let pid = self.field(container, ".State.Pid").await?;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        ticks(&stat)
    }

    /// An image is on this machine.
    pub async fn has_image(&self, image: &str) -> bool {
        let arguments = ["image", "inspect", "--format", "{{.Id}}", image];
        said("docker", &arguments, QUESTION).await.is_ok()
    }

    /// Kinds and names of everything that carries a project's label: containers, then networks and
    /// volumes, which can go once those have.
    ///
    /// # Errors
    /// The engine does not answer.
    pub async fn left_of(&self, project: &str) -> anyhow::Result<Vec<(&'static str, String)>> {
        let label = format!("label=com.docker.compose.project={project}");
        let mut left = Vec::new();
        for (kind, words) in [
            (
                "container",
                ["ps", "--all", "--format", "{{.Names}}"].as_slice(),
            ),
            (
                "network",
                ["network", "ls", "--format", "{{.Name}}"].as_slice(),
            ),
            (
                "volume",
                ["volume", "ls", "--format", "{{.Name}}"].as_slice(),
            ),
        ] {
            let mut words = words.to_vec();
            words.extend(["--filter", &label]);
            let text = said("docker", &words, QUESTION).await?;
            let names = text.lines().filter(|name| !name.is_empty());
            left.extend(names.map(|name| (kind, name.to_owned())));
        }
        Ok(left)
    }

    /// The daemon runs as the user, who is root inside of containers.
    pub async fn is_rootless(&self) -> bool {
        let arguments = ["info", "--format", "{{.SecurityOptions}}"];
        let text = said("docker", &arguments, QUESTION).await;
        text.is_ok_and(|text| text.contains("rootless"))
    }
}

/// The daemon's version.
///
/// # Errors
/// There is no Docker, or nobody answers it.
pub async fn version() -> anyhow::Result<String> {
    let arguments = ["version", "--format", "{{.Server.Version}}"];
    Ok(said("docker", &arguments, QUESTION)
        .await?
        .trim()
        .to_owned())
}

/// How Compose is called, and its version; the plugin where both are there.
pub async fn compose() -> Option<(&'static [&'static str], String)> {
    const FORMS: [&[&str]; 2] = [&["docker", "compose"], &["docker-compose"]];
    for form in FORMS {
        let mut words = form.to_vec();
        words.extend(["version", "--short"]);
        if let Ok(text) = said(words[0], &words[1..], QUESTION).await {
            return Some((form, text.trim().to_owned()));
        }
    }
    None
}

/// User and system time out of `/proc/PID/stat`. The name in parentheses may hold anything.
fn ticks(stat: &str) -> Option<f64> {
    const TICKS_PER_SECOND: f64 = 100.0;
    let (_, rest) = stat.rsplit_once(')')?;
    // the state is field 3 of the whole; `utime` is 14 and `stime` 15
    let mut fields = rest.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<f64>().ok();
    Some((next()? + next()?) / TICKS_PER_SECOND)
}

/// Runs a program of this machine and gives what it prints.
///
/// # Errors
/// It fails, is not there, or takes too long.
pub(super) async fn run(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    said(program, arguments, QUESTION).await
}

async fn said(program: &str, arguments: &[&str], limit: Duration) -> anyhow::Result<String> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let first = arguments.first().copied().unwrap_or("");
    let output = timeout(limit, command.output())
        .await
        .with_context(|| format!("`{program} {first} …` has not ended within {limit:?}"))?;
    let output = output.with_context(|| format!("`{program}` does not start"))?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = told.trim().lines().collect();
        let from = lines.len().saturating_sub(8);
        bail!("`{program} {first} …`: {}", lines[from..].join("\n"));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::plan::example;

    #[test]
    fn a_process_may_be_called_anything() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 9 0 1 2 3";
        assert!((ticks(stat).unwrap() - 2.0).abs() < 1e-9);
        assert_eq!(ticks("42 (cut"), None);
        let own = std::fs::read_to_string("/proc/self/stat").unwrap();
        assert!(ticks(&own).is_some());
    }

    #[test]
    fn further_files_are_laid_over_ours() {
        let engine = Engine::plugin();
        let plan = Plan {
            folder: "/f".into(),
            over: vec!["/o.yaml".into()],
            ..example(3)
        };
        let words = engine.words(&plan, &["ps"]).join(" ");
        assert_eq!(
            words,
            "docker compose -p example -f /f/compose.yaml -f /o.yaml ps"
        );
    }

    #[tokio::test]
    async fn a_program_that_fails_is_quoted() {
        let failed = said("sh", &["-c", "echo why >&2; exit 3"], QUESTION).await;
        let failed = failed.unwrap_err().to_string();
        assert!(failed.contains("why"), "{failed}");
        let missing = said("there-is-no-such-program", &[], QUESTION).await;
        assert!(missing.unwrap_err().to_string().contains("does not start"));
    }
}
