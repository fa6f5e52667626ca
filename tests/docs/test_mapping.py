"""docs/mapping.md is true: what it shows is a mapping, and it leaves no word of the language out."""

import re
from pathlib import Path

import pytest

from schema.mapping import Reading, Source, TableMapping, read_mapping, written

PAGE = (Path(__file__).parents[2] / "docs" / "mapping.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS)
def test_every_example_is_a_mapping_that_says_something_and_is_kept_as_it_is(block: str) -> None:
    mapping = read_mapping(block)

    assert mapping.as_json()
    assert read_mapping(written(mapping)) == mapping


@pytest.mark.parametrize("part", [Reading, Source, TableMapping])
def test_every_word_of_the_language_is_shown(
    part: type[Reading] | type[Source] | type[TableMapping],
) -> None:
    words = {field.alias or name for name, field in part.model_fields.items()}
    assert [word for word in words if f"{word}:" not in PAGE] == []
