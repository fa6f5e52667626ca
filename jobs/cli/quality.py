"""What was served, after the fact."""

import click

from jobs.cli.door import as_json, print_json, table, with_stores
from schema.config import Config
from schema.records import Realised
from storage.stores import Stores

COLUMNS = (
    "night", "edition>", "model>", "days from", "bought>", "pairs>", "RMSE>", "foreseen>",
    "band", "MAE>", "calibration>", "NDCG@10>", "predicted>", "recall@10>", "lists", "",
)  # fmt: skip


@click.command()
@click.argument("tenant")
@as_json
@with_stores
def quality(stores: Stores, config: Config, tenant: str, json: bool) -> None:
    """What really happened beside what the gate had predicted, newest night first.

    Each edition is held against the days its probabilities speak of, once they are over. RMSE
    and the rest are over every known customer and product; "foreseen" is the gate's RMSE carried
    over to as many purchases as there were. NDCG and recall are those of the served lists, or of
    the model's order where these have expired.

    Example: recfactory model quality acme
    """
    known = stores.ledger.tenant(tenant)
    series = stores.nights.realised(known.tenant)
    if json:
        print_json([{"tenant": known.tenant, **point.as_json()} for point in series])
        return
    table(f"What {tenant} served, after the fact", COLUMNS, [_row(point) for point in series])
    if not series:
        click.echo("Nothing has come due yet: an edition is scored when its days are over.")
    for point in series:
        if point.flagged or point.figures is None:
            click.echo(f"{point.night}: {point.because}.")


def _row(point: Realised) -> list[object]:
    found, foretold = point.figures or {}, point.predicted or {}
    low_high = found.get("band")
    return [
        point.night,
        point.edition,
        point.model,
        point.starts,
        _figure(found.get("bought"), ",d"),
        _figure(found.get("pairs"), ",d"),
        _figure(found.get("rmse"), ".6f"),
        _figure(found.get("foreseen_rmse"), ".6f"),
        f"{low_high[0]:.4f}–{low_high[1]:.4f}" if low_high else "",
        _figure(found.get("mae"), ".6f"),
        _figure(found.get("calibration"), ".6f"),
        _figure(found.get("ndcg_at_10"), ".3f"),
        _figure(foretold.get("ndcg_at_10"), ".3f"),
        _figure(found.get("recall_at_10"), ".3f"),
        point.lists,
        "flagged" if point.flagged else "" if point.figures else "not scored",
    ]


def _figure(value: float | None, form: str) -> str:
    return "" if value is None else f"{value:{form}}"
