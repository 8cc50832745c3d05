"""A process that takes orders on its stdin and ends when there are no more."""

import subprocess

END_SECONDS = 5


def end(process):
    """Closes its stdin; one that goes on all the same is killed."""
    process.stdin.close()
    try:
        process.wait(timeout=END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()
