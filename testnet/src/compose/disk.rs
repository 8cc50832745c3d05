//! Small file systems for nodes' data, each in a file, so that one can be filled and nothing else suffers.
//! Only root may mount them; a bind mount keeps what a restart must find again.

use std::os::unix::fs::chown;
use std::path::PathBuf;

use anyhow::Context;

use super::engine::run;
use super::launch::whose;
use super::plan::Plan;

/// Size of one: enough for the node's own reserve. The file is sparse.
const BYTES: u64 = 1536 << 20;
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
    let text = run("df", &["--output=avail", "-B1", &place]).await?;
    let free: u64 = text.lines().last().unwrap_or("").trim().parse()?;
    let size = free.saturating_sub(left);
    anyhow::ensure!(size > 0, "{place} is full already");
    let ballast = mount.join(BALLAST).display().to_string();
    run("fallocate", &["-l", &size.to_string(), &ballast])
        .await
        .map(drop)
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
    let text = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let within = |place: &&str| std::path::Path::new(place).starts_with(&plan.folder);
    let places: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1))
        .filter(within)
        .collect();
    for place in places.into_iter().rev() {
        run("umount", &[place]).await?;
    }
    Ok(())
}
