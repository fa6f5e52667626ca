import json

import pytest

from serving.control import Denied
from serving.strict import check

AMBIGUOUS = {
    "not a number": b'{"value": NaN}',
    "endless": b'{"value": Infinity}',
    "minus endless": b"[-Infinity]",
    "too large": b"1e400",
    "too large below": b'{"a": [{"b": -1e999}]}',
    "five thousand digits": b"1" * 5_000,
    "a million digits": b"1" * 1_000_000,
    "twice": b'{"a": 1, "a": 2}',
    "twice below": b'{"events": [{"kind": "shown", "kind": "purchased"}]}',
    "twice by an escape": b'{"a": 1, "\\u0061": 2}',
    "deep lists": b"[" * 500_000 + b"]" * 500_000,
    "deep objects": b'{"a":' * 150_000 + b"1" + b"}" * 150_000,
    "open lists": b"[" * 1_000_000,
    "no UTF-8": b'{"a": "\xff"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "UTF-32": '{"a": 1}'.encode("utf-32"),
    "a mark": b"\xef\xbb\xbf{}",
    "nothing": b" ",
    "two": b"{} {}",
    "a comment": b"{} // no",
    "a comma": b'{"a": 1,}',
    "single quotes": b"{'a': 1}",
    "no quotes": b"{a: 1}",
    "a line break in text": b'{"a": "x\ny"}',
    "NUL": b'{"a": 1}\x00',
    "leading nought": b"[01]",
    "hexadecimal": b"[0x10]",
    "plus": b"[+1]",
    "half a word": b"[tru]",
    "cut": b'{"a": "b',
}


@pytest.mark.parametrize("body", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_what_could_be_read_in_two_ways_or_hardly_at_all_is_refused(body: bytes) -> None:
    with pytest.raises(Denied) as told:
        check(body)

    assert (told.value.status, told.value.code) == (422, "JSON")
    assert len(told.value.what) < 300


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        "x",
        1,
        -1.5,
        1e308,
        None,
        True,
        {"a": [{"b": {"c": 1}}]},
        [[[[1]]]],
        "客户-👩‍🔧",
        2**63,
    ],
)
def test_what_is_plain_passes(value: object) -> None:
    check(json.dumps(value).encode())
    check(json.dumps(value, ensure_ascii=False).encode())


def test_half_a_character_is_left_to_whoever_reads_the_field() -> None:
    check(b'{"events": [{"customer_id": "\\ud800"}]}')
