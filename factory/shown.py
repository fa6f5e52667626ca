"""What a tenant's lists look like in a few figures, and whether they got worse than the last ones.

The gate judges the model, not the lists that are made with it: code that ranks wrongly leaves RMSE
as good as ever. One tenant's lists may rightly change, so nobody's night fails of this; many
tenants' at once is what stops a fleet (jobs/brake.py).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from schema.config import Brake
from schema.records import Lists
from schema.rules import FIRST_TEN

WORSE = {
    "LISTS_EMPTY": "their lists are empty",
    "LISTS_GONE": "their customers have no lists any more",
    "LISTS_CUT": "their lists are far shorter than the last ones",
    "LISTS_NARROW": "their lists show far fewer products than the last ones",
    "LISTS_SAME": "nearly all of their customers are shown the same first product",
}
"""What may have become of a tenant's lists, as a sentence about many tenants goes on."""


def shown(lists: Lists) -> dict[str, float | int]:
    """What customers are shown.

    Returns:
        empty: share of lists without any product; length: mean number of products; products: how
        many different ones stand on the first ten places; top_share: share of lists that begin with
        the most frequent first product.
    """
    product = lists.entries["product"]
    count = len(product)
    if not count:
        return {"empty": 0.0, "length": 0.0, "products": 0, "top_share": 0.0}
    length = (product >= 0).sum(1)
    first = product[:, :FIRST_TEN]
    tops = first[first[:, 0] >= 0, 0]
    return {
        "empty": round(float((length == 0).mean()), 4),
        "length": round(float(length.mean()), 2),
        "products": int(np.count_nonzero(np.bincount(first[first >= 0]))),
        "top_share": round(int(np.bincount(tops).max(initial=0)) / count, 4),
    }


def worse(now: Mapping[str, Any], before: Mapping[str, Any], rule: Brake) -> tuple[str, ...]:
    """How one night's lists are worse than those of the last one that was published.

    Args:
        now, before: figures of the two nights: "lists", how many there are, and "shown". Where
            the one before has none (a first night, an older version), only empty lists are seen.

    Returns:
        Of WORSE.
    """
    new, old = now["shown"], before.get("shown", {})
    told = {
        "LISTS_EMPTY": new["empty"] > old.get("empty", 0.0) + rule.empty,
        "LISTS_GONE": now["lists"] < rule.left * before.get("lists", 0),
        "LISTS_CUT": new["length"] < rule.left * old.get("length", 0),
    }
    if min(now["lists"], before.get("lists", 0)) >= rule.least_lists:
        same = rule.same_first
        told["LISTS_NARROW"] = new["products"] < rule.left * old.get("products", 0)
        told["LISTS_SAME"] = new["top_share"] > same >= old.get("top_share", 1.0)
    return tuple(name for name, so in told.items() if so)
