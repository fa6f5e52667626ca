"""A made-up brewery whose pubs have taste: its files are in the universal form."""

import csv
import io
from datetime import date, datetime, time, timedelta

import numpy as np

FIRST_DAY, LAST_DAY = date(2026, 1, 5), date(2026, 10, 31)

_STYLES = ("Lager", "Ale", "Stout", "Wheat beer", "Cider", "Soft drink")
_NAMES = ("Hill", "Brook", "Mill", "Stag", "Abbey", "Harbour", "Forge")
_SIZES = ("bottle crate", "keg")
_SEGMENTS, _REGIONS = ("pub", "hotel", "club"), ("north", "south")


def brewery() -> dict[str, bytes]:
    """Files by name: customers.csv, products.csv and interactions.csv; the same ones every time.

    Every pub has a favourite style, a few products it comes back for at its own pace, and now and
    then tries another one of its style.
    """
    rng = np.random.default_rng(2026)
    pubs = [f"pub-{number:03}" for number in range(1, 121)]
    products = [
        (
            f"{style[:2].upper()}-{name[:3].upper()}-{size[0].upper()}",
            f"{name} {style}, {size}",
            style,
        )
        for style in _STYLES
        for name in _NAMES
        for size in _SIZES
    ]
    tables: dict[str, list[tuple[str, ...]]] = {
        "customers": [
            ("customer_id", "name", "segment", "region"),
            *((pub, f"Pub {pub[4:]}", _pick(rng, _SEGMENTS), _pick(rng, _REGIONS)) for pub in pubs),
        ],
        "products": [
            ("product_id", "name", "category", "price"),
            *((*product, f"{18 + 7 * n % 60:.2f}") for n, product in enumerate(products)),
        ],
        "interactions": [
            ("customer_id", "product_id", "event", "quantity", "value", "occurred_at"),
            *(line for pub in pubs for line in _orders(rng, pub, products)),
        ],
    }
    return {f"{table}.csv": _csv(rows) for table, rows in tables.items()}


def _csv(rows: list[tuple[str, ...]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _orders(
    rng: np.random.Generator, pub: str, products: list[tuple[str, str, str]]
) -> list[tuple[str, ...]]:
    style = _pick(rng, _STYLES)
    liked = [product for product in products if product[2] == style]
    known = [liked[n] for n in rng.choice(len(liked), 4, replace=False)]
    pace = {product[0]: int(rng.integers(7, 36)) for product in known}
    due = {
        name: FIRST_DAY + timedelta(days=int(rng.integers(0, days))) for name, days in pace.items()
    }
    lines: list[tuple[str, ...]] = []
    for day in range((LAST_DAY - FIRST_DAY).days + 1):
        today = FIRST_DAY + timedelta(days=day)
        wanted = [name for name, when in due.items() if when <= today]
        if rng.random() < 0.03:
            found = liked[int(rng.integers(len(liked)))][0]
            wanted.append(found)
            pace.setdefault(found, int(rng.integers(14, 50)))
        for name in dict.fromkeys(wanted):
            due[name] = today + timedelta(days=max(3, int(rng.normal(pace[name], pace[name] / 5))))
            quantity = int(rng.integers(1, 12))
            moment = datetime.combine(today, time(6 + int(rng.integers(10))))
            lines.append(
                (pub, name, "purchase", str(quantity), f"{quantity * 21.5:.2f}", moment.isoformat())
            )
    return lines


def _pick(rng: np.random.Generator, words: tuple[str, ...]) -> str:
    return words[int(rng.integers(len(words)))]
