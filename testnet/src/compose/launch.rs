//! Up and down.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

use super::engine::Engine;
use super::plan::{Plan, UPSTREAMS};
use super::{disk, figures, file, image, settings};
use crate::client::{Client, whole};
use crate::node::{binary, without_foreign};
use crate::signal;

/// The user of the images, for a caller who is root.
const NOBODY: u32 = 10_001;
/// How long nodes may take until they answer and agree.
const READY: Duration = Duration::from_secs(90);
/// Pause between two looks.
const STEP: Duration = Duration::from_millis(100);
/// The image that scrapes, where it is on this machine.
pub(super) const PROMETHEUS: &str = "prom/prometheus";

/// Makes images, files and certificates, starts everything, and waits until the nodes agree.
///
/// # Errors
/// It does not come up; what is there stays for a look, and `down` removes it.
pub(super) async fn up(engine: &Engine, mut plan: Plan, build: bool) -> anyhow::Result<Plan> {
    is_free(engine, &plan.project).await?;
    if build {
        image::build().await?;
    }
    if engine.has_image(PROMETHEUS).await {
        plan.prometheus = Some(crate::cluster::ports::free()?);
    }
    prepare(engine, &mut plan).await?;
    // the first node begins alone, so that the others have somebody to join
    let mut first = vec!["up", "-d", "n1"];
    first.extend(UPSTREAMS);
    engine.compose(&plan, &first).await?;
    ready(engine, &plan, 1).await?;
    engine.compose(&plan, &["up", "-d"]).await?;
    for id in plan.ids() {
        ready(engine, &plan, id).await?;
    }
    agree(&plan).await?;
    Ok(plan)
}

/// Runs `work` on a testnet that is there for it alone: none of that name may be up before, and nothing of
/// it is left afterwards, whether `work` ends, fails, or is told to end. With `keep` the containers stay.
///
/// # Errors
/// Those of `work`, before those of taking it down.
pub(super) async fn only_for<T>(
    engine: &Engine,
    plan: &Plan,
    keep: bool,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    // one that somebody else has there is not taken down from under them
    is_free(engine, &plan.project).await?;
    let told = tokio::select! {
        told = work => told,
        asked = signal::asked_to_end() => asked.and_then(|()| Err(anyhow!("told to end"))),
    };
    if keep {
        return told;
    }
    let gone = down(engine, plan, false).await;
    let told = told?;
    gone?;
    Ok(told)
}

/// Refuses a name under which something is up.
///
/// # Errors
/// Something is.
pub(super) async fn is_free(engine: &Engine, project: &str) -> anyhow::Result<()> {
    let left = engine.left_of(project).await?;
    ensure!(
        left.is_empty(),
        "`{project}` is up already, or not all down: llm-router-testnet down --project {project}"
    );
    Ok(())
}

/// Removes everything of a project; nothing of it is left when this gives `Ok`.
///
/// # Errors
/// Something does not go away; it is named.
pub(super) async fn down(engine: &Engine, plan: &Plan, images: bool) -> anyhow::Result<()> {
    if plan.compose_file().is_file() {
        let words = ["down", "--volumes", "--remove-orphans", "--timeout", "10"];
        engine.compose(plan, &words).await?;
    }
    // what an `up` that was broken off has left without a file
    for (kind, name) in engine.left_of(&plan.project).await? {
        match kind {
            "container" => {
                engine
                    .docker(&[kind, "rm", "--force", "--volumes", &name])
                    .await?
            }
            _ => engine.docker(&[kind, "rm", &name]).await?,
        };
    }
    let left = engine.left_of(&plan.project).await?;
    if !left.is_empty() {
        bail!("still there: {left:?}");
    }
    if images {
        for image in [&plan.image, &plan.tools] {
            if engine.has_image(image).await {
                engine.docker(&["image", "rm", image]).await?;
            }
        }
    }
    disk::unmount_all(plan).await?;
    match std::fs::remove_dir_all(&plan.folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| plan.folder.display().to_string())
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes every file; certificates are made anew.
async fn prepare(engine: &Engine, plan: &mut Plan) -> anyhow::Result<()> {
    if plan.folder.exists() {
        disk::unmount_all(plan).await?;
        std::fs::remove_dir_all(&plan.folder)?;
    }
    std::fs::create_dir_all(&plan.folder).with_context(|| plan.folder.display().to_string())?;
    let (uid, gid) = whose(&plan.folder)?;
    plan.user = match engine.is_rootless().await {
        true => "0:0".to_owned(),
        false => format!("{uid}:{gid}"),
    };
    certificates(plan, false).await?;
    for id in plan.ids() {
        let folder = plan.node_folder(id);
        std::fs::create_dir_all(&folder)?;
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755))?;
        shown(&folder.join("node.yaml"), &settings::node_file(plan, id))?;
        shown(&folder.join("faults"), "")?;
        shown(&folder.join("clock"), "+0")?;
        if plan.small_disks {
            disk::make(plan, id).await?;
        }
        lay(plan, id)?;
    }
    std::fs::write(plan.compose_file(), file::text(plan))?;
    shown(&plan.folder.join("prometheus.yml"), &file::scraped(plan))?;
    plan.write()
}

/// Writes a file that a container's user reads, whatever the caller lets others read by default.
///
/// # Errors
/// The file cannot be written.
pub(super) fn shown(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| path.display().to_string())?;
    Ok(std::fs::set_permissions(
        path,
        std::fs::Permissions::from_mode(0o644),
    )?)
}

/// The caller, unless that is root.
pub(super) fn whose(folder: &Path) -> anyhow::Result<(u32, u32)> {
    let made = std::fs::metadata(folder)?;
    Ok(match made.uid() {
        0 => (NOBODY, NOBODY),
        uid => (uid, made.gid()),
    })
}

/// Makes every node another certificate by the same authority; see [`lay`].
///
/// # Errors
/// The program refuses.
pub(super) async fn renew(plan: &Plan) -> anyhow::Result<()> {
    certificates(plan, true).await
}

/// Makes an authority and a certificate for each node, by the program's own verb. The authority's key
/// stays outside of what any container sees.
async fn certificates(plan: &Plan, again: bool) -> anyhow::Result<()> {
    let mut command = Command::new(binary()?);
    command.args(["certs", "create", "--dir"]);
    command.arg(plan.folder.join("certs"));
    for id in plan.ids() {
        command.args(["--node", &format!("n{id}")]);
    }
    if again {
        command.arg("--renew");
    }
    without_foreign(&mut command);
    let output = command.output().await.context("certs create")?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        bail!("certs create: {}", told.trim());
    }
    Ok(())
}

/// Lays a node's certificate where its container sees it, as files of the user it runs as. Each is
/// renamed into place: a running node reads the old one or the new one.
pub(super) fn lay(plan: &Plan, id: usize) -> anyhow::Result<()> {
    let (from, to) = (plan.folder.join("certs"), plan.node_folder(id));
    for name in [
        "ca.pem".to_owned(),
        format!("n{id}.pem"),
        format!("n{id}.key"),
    ] {
        let beside = to.join(format!(".{name}.new"));
        std::fs::copy(from.join(&name), &beside).with_context(|| name.clone())?;
        let (uid, gid) = whose(&plan.folder)?;
        if uid == NOBODY && plan.user != "0:0" {
            chown(&beside, Some(uid), Some(gid)).with_context(|| name.clone())?;
        }
        std::fs::rename(&beside, to.join(&name))?;
    }
    Ok(())
}

/// Waits until a node answers `/ready`.
///
/// # Errors
/// It does not in time; its last words are included.
async fn ready(engine: &Engine, plan: &Plan, id: usize) -> anyhow::Result<()> {
    let client = Client::new(&plan.http(id))?;
    let until = Instant::now() + READY;
    while Instant::now() < until {
        let asked = timeout(Duration::from_secs(1), client.get("/ready")).await;
        if matches!(asked, Ok(Ok(reply)) if reply.status == 200) {
            return Ok(());
        }
        sleep(STEP).await;
    }
    let service = format!("n{id}");
    let words = ["logs", "--tail", "30", &service];
    let words = engine.compose(plan, &words).await.unwrap_or_default();
    bail!("{service} is not ready within {READY:?}; its last words:\n{words}")
}

/// Proposes the routing and waits until every node has it in service and knows all the others.
async fn agree(plan: &Plan) -> anyhow::Result<()> {
    let until = Instant::now() + READY;
    let mut proposed = None;
    loop {
        if proposed.is_none() {
            proposed = propose(plan).await?;
        }
        if let Some(revision) = proposed
            && figures::in_step(plan, revision).await
        {
            return Ok(());
        }
        if Instant::now() > until {
            bail!("the nodes do not agree within {READY:?}: llm-router-testnet status, logs");
        }
        sleep(STEP).await;
    }
}

/// The revision that was agreed; `None` where there is no leader yet.
async fn propose(plan: &Plan) -> anyhow::Result<Option<u64>> {
    let client = Client::new(&plan.http(1))?;
    let request = client.request(http::Method::PUT, "/admin/v1/config");
    let request = request.header("content-type", "application/yaml");
    let reply = whole(request.body(settings::routing())).await?;
    match reply.status {
        200 => Ok(reply.json()["revision"].as_u64()),
        status if status >= 500 => Ok(None),
        status => bail!("the routing is refused with {status}: {}", reply.text()),
    }
}
