"""Write the generated parts of docs/data.md anew: ``python -m tests.docs.make``."""

import re
from collections.abc import Callable
from pathlib import Path

from schema.document import codes, tables

PAGE = Path(__file__).parents[2] / "docs" / "data.md"
PARTS: dict[str, Callable[[], str]] = {"tables": tables, "codes": codes}


def made(text: str) -> str:
    """The page with its generated parts as the definition has them now."""
    for name, part in PARTS.items():
        block = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        content = part()
        text, found = block.subn(lambda match: f"{match[1]}{content}\n{match[2]}", text)  # noqa: B023
        assert found == 1, name
    return text


if __name__ == "__main__":
    PAGE.write_text(made(PAGE.read_text()))
