"""A made-up telecom dealer whose files look like an export of its own system.

Semicolons, decimal commas, local times as people write them, German headers and words, Windows's
code page, gzip: nothing of it is in the universal form, and ``mapping.yaml`` beside them brings it
in.
"""

import csv
import gzip
import io
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

import numpy as np

FIRST_DAY, LAST_DAY = date(2026, 1, 5), date(2026, 10, 31)

MAPPING = """\
# How the files of this dealer become the universal tables (`recfactory data schema` lists these).
currency: EUR
customers:
  reading: {encoding: windows-1252, delimiter: ";"}
  columns:
    customer_id: Kundennr
    name: Firma
    segment: Branche
    region: Gebiet
products:
  reading: {encoding: windows-1252, delimiter: ";"}
  columns:
    product_id: Artikelnr
    name: Bezeichnung
    category: Warengruppe
    price: {from: Listenpreis, remove: ["€"], decimal: ",", thousands: "."}
    cost: {from: EK-Preis, remove: ["€"], decimal: ",", thousands: "."}
    status: {from: Auslauf, words: {J: discontinued, N: sellable}}
interactions:
  reading: {encoding: windows-1252, delimiter: ";"}
  columns:
    customer_id: Kundennr
    product_id: Artikelnr
    event: {from: Vorgang, words: {Verkauf: purchase, Gutschrift: return, Angebot: view}}
    quantity: {from: Menge, decimal: ",", thousands: "."}
    value: {from: Betrag, decimal: ",", thousands: "."}
    occurred_at: {from: Datum, time: "%d.%m.%Y %H:%M"}
  leave_out:
    Vorgang: [Storno]
"""
"""Times are the tenant's own: register it with --timezone Europe/Vienna."""

_NETWORKS = ("Alpenfunk", "Donau Mobil", "Südnetz")
_MAKERS = ("Nova", "Orion", "Kestrel", "Fjord")
_CONTRACTS = {"S": 14.9, "M": 24.9, "L": 39.9, "XL": 49.9, "Daten": 19.9, "Business": 59.9}
_CARDS = (10.0, 20.0, 50.0)
_DEVICES = {"Lite": 199.0, "One": 449.0, "Plus": 599.0, "Pro": 899.0, "Ultra": 1299.0, "Tab": 379.0}
_EXTRAS = {
    "Hülle": 19.9, "Ladegerät": 29.9, "Panzerglas": 14.9, "Kopfhörer": 89.0, "Kabel": 9.9,
    "Powerbank": 39.9, "Stift": 69.0, "Uhr": 249.0,
}  # fmt: skip
_BRANCHES = {"Trafik": 60, "Handyshop": 60, "Firmenkunde": 40}
"""Kiosks and shops live on prepaid cards, companies on contracts; how many there are of each."""
_REGIONS = ("Wien", "Graz", "Linz", "Österreich West")


@dataclass(frozen=True, slots=True)
class _Article:
    number: str
    name: str
    group: str
    price: float
    brand: str
    """The network of a card or contract, the maker of a device or of what goes with it."""


@dataclass(frozen=True, slots=True)
class _Line:
    at: datetime
    customer: str
    article: _Article
    word: str
    pieces: int


def telecom() -> dict[str, bytes]:
    """Files by name: kunden.csv, artikel.csv, umsaetze.csv.gz, mapping.yaml; the same every time.

    Every customer has a network and a maker of devices it keeps to: cards or contracts of the one
    it orders again and again at its own pace, now and then something else of either.
    """
    rng = np.random.default_rng(2026)
    articles = _articles()
    customers: list[tuple[str, ...]] = []
    lines: list[_Line] = []
    for branch, count in _BRANCHES.items():
        for _ in range(count):
            number = f"{len(customers) + 471:06}"
            name = f"{branch} Müller & Söhne {number[3:]}"
            customers.append((number, name, branch, _REGIONS[int(rng.integers(4))]))
            lines += _bought(rng, number, branch, articles)
    lines.sort(key=lambda line: (line.at, line.customer, line.article.number))
    return {
        "kunden.csv": _csv([("Kundennr", "Firma", "Branche", "Gebiet"), *customers]),
        "artikel.csv": _csv(
            [
                ("Artikelnr", "Bezeichnung", "Warengruppe", "Listenpreis", "EK-Preis", "Auslauf"),
                *(_listed(article) for article in articles),
            ]
        ),
        "umsaetze.csv.gz": gzip.compress(
            _csv(
                [
                    ("Beleg", "Datum", "Kundennr", "Artikelnr", "Vorgang", "Menge", "Betrag"),
                    *(_written(f"B{n:06}", line) for n, line in enumerate(lines, 1)),
                ]
            ),
            mtime=0,
        ),
        "mapping.yaml": MAPPING.encode(),
    }


def _articles() -> list[_Article]:
    made = [
        *(
            (f"{network} Tarif {size}", "Vertrag", price, network)
            for network in _NETWORKS
            for size, price in _CONTRACTS.items()
        ),
        *(
            (f"{network} Wertkarte {price:.0f} €", "Wertkarte", price, network)
            for network in _NETWORKS
            for price in _CARDS
        ),
        *(
            (f"{maker} {model}", "Gerät", price, maker)
            for maker in _MAKERS
            for model, price in _DEVICES.items()
        ),
        *(
            (f"{extra} für {maker}", "Zubehör", price, maker)
            for maker in _MAKERS
            for extra, price in _EXTRAS.items()
        ),
    ]
    return [_Article(f"{n:05}", *about) for n, about in enumerate(made, 1001)]


_TASTE = {
    "Trafik": {"Wertkarte": 2},
    "Handyshop": {"Wertkarte": 1},
    "Firmenkunde": {"Vertrag": 1},
}
"""How many articles of which group a customer of a branch comes back for."""
_PACE = {"Wertkarte": (5, 14), "Vertrag": (30, 90)}
"""Days between two orders: from, to."""
_TRIES = 0.08
"""How likely a customer is, on any day, to order something else of its network or maker."""


def _bought(
    rng: np.random.Generator, customer: str, branch: str, articles: list[_Article]
) -> list[_Line]:
    brands = _pick(rng, _NETWORKS), _pick(rng, _MAKERS)
    liked = [article for article in articles if article.brand in brands]
    due: dict[_Article, tuple[date, int]] = {}
    for group, count in _TASTE[branch].items():
        choice = [article for article in liked if article.group == group]
        for place in rng.choice(len(choice), min(count, len(choice)), replace=False):
            pace = int(rng.integers(*_PACE[group]))
            due[choice[place]] = FIRST_DAY + timedelta(days=int(rng.integers(pace))), pace
    lines = []
    for day in range((LAST_DAY - FIRST_DAY).days + 1):
        today = FIRST_DAY + timedelta(days=day)
        wanted = [article for article, (when, _) in due.items() if when <= today]
        if rng.random() < _TRIES:
            wanted.append(liked[int(rng.integers(len(liked)))])
        for article in dict.fromkeys(wanted):
            if article in due:
                pace = due[article][1]
                pause = max(2, int(rng.normal(pace, pace / 6)))
                due[article] = today + timedelta(days=pause), pace
            moment = datetime.combine(today, time(8 + int(rng.integers(10)), int(rng.integers(60))))
            pieces = int(rng.integers(5, 60)) if article.group == "Wertkarte" else 1
            if rng.random() < 0.1:
                lines.append(_Line(moment - timedelta(hours=1), customer, article, "Angebot", 1))
            lines.append(_Line(moment, customer, article, "Verkauf", pieces))
            back = rng.random()
            if back < 0.02 and today < LAST_DAY:
                word = "Gutschrift" if back < 0.01 else "Storno"
                lines.append(_Line(moment + timedelta(days=1), customer, article, word, -pieces))
    return lines


def _listed(article: _Article) -> tuple[str, ...]:
    old = "J" if article.name.startswith("Fjord Lite") else "N"
    prices = (f"{_german(share * article.price)} €" for share in (1.0, 0.8))
    return (article.number, article.name, article.group, *prices, old)


def _written(receipt: str, line: _Line) -> tuple[str, ...]:
    return (
        receipt,
        f"{line.at:%d.%m.%Y %H:%M}",
        line.customer,
        line.article.number,
        line.word,
        str(line.pieces),
        _german(line.pieces * line.article.price * 0.95),
    )


def _german(amount: float) -> str:
    """1234.5 as 1.234,50."""
    return f"{amount:,.2f}".translate(str.maketrans(",.", ".,"))


def _csv(rows: list[tuple[str, ...]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=";", lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode("windows-1252")


def _pick(rng: np.random.Generator, words: tuple[str, ...]) -> str:
    return words[int(rng.integers(len(words)))]
