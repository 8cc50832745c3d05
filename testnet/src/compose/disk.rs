//! Small file systems for nodes' data, each in a file, so that one can be filled and nothing else suffers.
//! Only root may mount them; a bind mount keeps what a restart must find again.

use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::PathBuf;

use anyhow::Context;

use super::engine::run;
use super::launch::whose;
use super::plan::Plan;

/// Size of one: enough for the node's own reserve. The file is sparse.
const BYTES: u64 = 1536 << 20;
/// Nodes a testnet has at most.
const MOST_NODES: usize = 5;
/// How often room is measured and taken.
const TRIES: usize = 8;
/// What fills it.
const BALLAST: &str = "filled";

/// Where a node's file system is mounted.
fn mount(plan: &Plan, id: usize) -> PathBuf {
    plan.folder.join(format!("disk{id}"))
}

/// The folder on it that is the node's.
pub(super) fn data(plan: &Plan, id: usize) -> PathBuf {
    mount(plan, id).join("data")
}

/// Makes and mounts one.
///
/// # Errors
/// The caller is not root, or there are no loop devices.
pub(super) async fn make(plan: &Plan, id: usize) -> anyhow::Result<()> {
    let (image, mount) = (plan.folder.join(format!("disk{id}.img")), mount(plan, id));
    let made = std::fs::File::create(&image).and_then(|file| file.set_len(BYTES));
    made.with_context(|| image.display().to_string())?;
    std::fs::create_dir_all(&mount)?;
    let (image, place) = (image.display().to_string(), mount.display().to_string());
    run("mkfs.ext4", &["-q", "-F", "-m", "0", &image]).await?;
    run("mount", &["-o", "loop", &image, &place]).await?;
    let data = data(plan, id);
    std::fs::create_dir_all(&data)?;
    let (uid, gid) = whose(&plan.folder)?;
    chown(&data, Some(uid), Some(gid)).with_context(|| data.display().to_string())
}

/// Fills one until `left` bytes are free.
///
/// # Errors
/// It is not mounted, or the room cannot be had.
pub(super) async fn fill(plan: &Plan, id: usize, left: u64) -> anyhow::Result<()> {
    let mount = mount(plan, id);
    let place = mount.display().to_string();
    let ballast = mount.join(BALLAST).display().to_string();
    let mut told = Ok(());
    // the node goes on writing meanwhile
    for _ in 0..TRIES {
        let text = run("df", &["--output=avail", "-B1", &place]).await?;
        let free: u64 = text.lines().last().unwrap_or("").trim().parse()?;
        let held = std::fs::metadata(&ballast).map_or(0, |file| file.len());
        let size = held + free.saturating_sub(left);
        told = run("fallocate", &["-l", &size.to_string(), &ballast])
            .await
            .map(drop);
        if told.is_ok() {
            break;
        }
    }
    told
}

/// Gives the room back.
///
/// # Errors
/// The ballast cannot be removed.
pub(super) fn empty(plan: &Plan, id: usize) -> anyhow::Result<()> {
    match std::fs::remove_file(mount(plan, id).join(BALLAST)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Unmounts all that are mounted in the plan's folder, so that it can be removed.
///
/// # Errors
/// One of them is still used.
pub(super) async fn unmount_all(plan: &Plan) -> anyhow::Result<()> {
    let Ok(around) = std::fs::metadata(&plan.folder) else {
        return Ok(());
    };
    for id in 1..=MOST_NODES {
        let place = mount(plan, id);
        let mounted = std::fs::metadata(&place).is_ok_and(|there| there.dev() != around.dev());
        if mounted {
            run("umount", &[&place.display().to_string()]).await?;
        }
    }
    Ok(())
}

/// Whether this machine lets us do all that, tried with a small one; or why not.
pub(super) async fn lacks() -> Option<String> {
    let tried = async {
        let folder = tempfile::tempdir()?;
        let (image, place) = (folder.path().join("image"), folder.path().join("place"));
        std::fs::File::create(&image)?.set_len(8 << 20)?;
        std::fs::create_dir(&place)?;
        let (image, place) = (image.display().to_string(), place.display().to_string());
        run("mkfs.ext4", &["-q", "-F", &image]).await?;
        run("fallocate", &["-V"]).await?;
        run("mount", &["-o", "loop", &image, &place]).await?;
        run("umount", &[&place]).await
    };
    let tried = tried.await;
    tried
        .err()
        .map(|error| format!("no file system of a node's own: {error:#}"))
}
