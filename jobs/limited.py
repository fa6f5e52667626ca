"""A command of the CLI in a process that may take so much: ``python -m jobs.limited BYTES SECONDS …``.

The server starts its imports so. What is too much ends this process and nobody else's.
"""

import os
import resource
import sys

from jobs.cli import main


def limited() -> None:
    """Bound address space (bytes) and processor time (seconds), then be the command line.

    Lookups go first: it gives way to every other process.
    """
    os.nice(10)
    for limit, value in zip((resource.RLIMIT_AS, resource.RLIMIT_CPU), sys.argv[1:3], strict=True):
        resource.setrlimit(limit, (int(value), int(value)))
    sys.argv[1:] = sys.argv[3:]
    main()


if __name__ == "__main__":
    limited()
