"""Made-up tenants' files, to try the product on."""

from collections.abc import Callable, Mapping
from pathlib import Path

from jobs.brewery import brewery
from jobs.telecom import telecom
from storage import durable
from storage.durable import Disk

EXAMPLES: Mapping[str, Callable[[], dict[str, bytes]]] = {"brewery": brewery, "telecom": telecom}


def write_example(folder: Path, kind: str = "brewery") -> list[Path]:
    """Write the files of one of EXAMPLES into a folder; the same ones every time."""
    disk = Disk()
    goal = folder.absolute()
    durable.make_folders(disk, goal)
    made = EXAMPLES[kind]()
    for name, content in made.items():
        durable.replace(disk, goal / name, content)
    return [folder / name for name in made]
