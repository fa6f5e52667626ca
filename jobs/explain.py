"""A verdict in sentences that a tenant's admin understands, from what was kept of its night."""

from collections.abc import Mapping
from datetime import date, timedelta
from math import sqrt
from typing import Any


def explain(line: Mapping[str, Any], *, published: bool) -> list[str]:
    """Why a model was promoted or not, and what became of the lists.

    Args:
        line: the model as `recfactory model show --json` prints it, without these sentences.
        published: whether its night's edition was.
    """
    figures = line["figures"]
    challenger, incumbent = figures.get("challenger"), figures.get("incumbent")
    told = []
    if challenger and incumbent and line["challenger"]:
        told = [
            _compared(line, challenger),
            _error(line, challenger, incumbent),
            _difference(figures, challenger, incumbent),
            *(_guard(guard) for guard in figures.get("guards", ())),
        ]
    elif challenger and incumbent:
        told = ["On its night it was judged as the incumbent, against the night's challenger."]
    told += [*_lists(line, published), _now(line)]
    if figures.get("data_fingerprint"):
        told.append(f"Data fingerprint {figures['data_fingerprint']}, seed {figures['seed']}.")
    return told


def _compared(line: Mapping[str, Any], challenger: Mapping[str, Any]) -> str:
    figures = line["figures"]
    other = figures.get("incumbent_model")
    against = (
        f"model {other}, then in force" if other else "the first incumbent, made the same night"
    )
    days = ""
    if figures.get("windows"):
        first = date.fromisoformat(figures["windows"]["judge"])
        last = first + timedelta(days=figures["windows"]["days"] - 1)
        days = f" the days from {first} to {last}, which neither had seen:"
    shown = figures.get("bought_before") or {}
    kind = " that were new to the customer" if shown.get("decided") == "exclude" else ""
    return (
        f"Model {line['model']} was compared with {against}, on{days} {challenger['customers']:,} "
        f"customers, {challenger['pairs']:,} pairs of a customer and a product{kind}, "
        f"{challenger['bought']:,} of them bought."
    )


def _error(
    line: Mapping[str, Any], challenger: Mapping[str, Any], incumbent: Mapping[str, Any]
) -> str:
    share = challenger["bought"] / max(challenger["pairs"], 1)
    return (
        "For each pair a model says how probable a purchase is; RMSE is how far it is off, "
        f"0 would be never. Saying {100 * share:.3g} % every time gives "
        f"{sqrt(share * (1 - share)):.6f}; the incumbent came to {_six(incumbent['rmse'])}, "
        f"model {line['model']} to {_six(challenger['rmse'])}."
    )


def _difference(
    figures: Mapping[str, Any], challenger: Mapping[str, Any], incumbent: Mapping[str, Any]
) -> str:
    interval = figures.get("rmse_interval")
    if not interval:
        return "The difference was not measured."
    change = challenger["rmse"] - incumbent["rmse"]
    low, high = interval
    noise = low <= 0 <= high
    word = "lower" if change < 0 else "higher" if change > 0 else "the same"
    told = (
        f"That is {word}: {change:+.6f}, 95 % interval {low:+.6f} to {high:+.6f}; "
        f"{'zero lies inside, so it may be noise' if noise else 'more than noise'}."
    )
    asked = " The rule asks for lower, not for certainly lower."
    return told + (asked if noise and change < 0 else "")


def _guard(guard: Mapping[str, Any]) -> str:
    return f"Guard {guard['name']} {'objected' if guard['objected'] else 'passed'}: {guard['because']}."


def _lists(line: Mapping[str, Any], published: bool) -> list[str]:
    by, edition = line["ranked_by"], line["edition"]
    if by is None:
        return []
    if by == line["model"]:
        whose = "It ranked"
    elif by < line["model"]:
        whose = f"Model {by} stayed in force and, with the newest history, ranked"
    else:
        whose = f"Model {by} took over the same night and ranked"
    told = f"{whose} the {line['figures'].get('lists', 0):,} lists of edition {edition}"
    if published:
        return [f"{told}, published that night."]
    return [f"{told}, which was not published: a rollback was holding an earlier one."]


def _now(line: Mapping[str, Any]) -> str:
    number, tenant = line["model"], line["tenant"]
    decided = line["decided"]
    told = ""
    if decided:
        done = {"promote": "promoted", "discard": "discarded"}[decided["act"]]
        told = (
            f"It was {done} by {decided['actor']} on {decided['at']:%Y-%m-%d %H:%M} UTC: "
            f"{decided['detail']['why']}. "
        )
    if line["waits"]:
        return (
            f"{told}It waits for a person: look for a leak, then `recfactory model promote "
            f"{tenant} {number} --why …` or `recfactory model discard {tenant} {number} --why …`."
        )
    return told + ("It is in force." if line["in_force"] else "It is not in force.")


def _six(value: float | None) -> str:
    return "no number" if value is None else f"{value:.6f}"
