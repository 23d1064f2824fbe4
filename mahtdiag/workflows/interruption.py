"""From when on Ctrl-C and SIGTERM are a KeyboardInterrupt; before that they end the process at once.

Modules may swallow what is raised while they are imported, or abort the process. Only a job that keeps what
it has done, or tells a pipeline how it ended, needs it raised, and no sooner than it has something to keep.
"""

_can_be_kept = False


def keep_work(keep: bool) -> None:
    """Say whether an interruption now leaves something that is worth keeping."""
    global _can_be_kept
    _can_be_kept = keep


def work_is_kept() -> bool:
    """Whether the job under way wants to be told of an interruption."""
    return _can_be_kept
