"""Make metrics.json: the ranking measures as ``ranx``, which shares no line with us, sees them.

    python3.11 -m venv SOMEWHERE && SOMEWHERE/bin/pip install ranx==0.3.21
    SOMEWHERE/bin/python tests/factory/golden/make.py

In an environment of its own: ranx brings numba and a dozen packages the product does not need.

Each case is one customer: the scores of all products (few distinct values, so that ties are
common), the ones that are not listed, the ones that were bought. What ranx is told is sorted here
by plain Python, because ranx leaves the order of ties open, and ours is by product number.
"""

import json
import random
from pathlib import Path

from ranx import Qrels, Run, evaluate  # type: ignore[import-not-found]

MEASURES = {"ndcg": "ndcg@10", "recall": "recall@10", "map": "map@10", "hit_rate": "hit_rate@10"}
CASES_PER_SHAPE = 6
SHAPES = [(1, 1), (4, 2), (9, 9), (10, 3), (14, 1), (14, 12), (60, 5), (60, 25)]
"""(products, at most so many bought)."""


def main() -> None:
    """Draw the cases, ask ranx, write the file."""
    rng = random.Random(20)
    cases = [case(rng, *shape) for shape in SHAPES for _ in range(CASES_PER_SHAPE)]
    text = ",\n".join(json.dumps(one) for one in cases)
    Path(__file__).with_name("metrics.json").write_text(f"[\n{text}\n]\n")


def case(rng: random.Random, products: int, most: int) -> dict[str, object]:
    """One customer and ranx's figures."""
    scores = [rng.randrange(9) / 8 for _ in range(products)]
    unlisted = sorted(rng.sample(range(products), rng.randrange(products // 3 + 1)))
    bought = sorted(rng.sample(range(products), rng.randrange(most + 1)))
    listed = [n for n in range(products) if n not in unlisted]
    order = sorted(listed, key=lambda n: (-scores[n], n))
    run = Run({"c": {f"p{n}": float(len(order) - place) for place, n in enumerate(order)}})
    # Whoever bought nothing is told as "looked, and not relevant": an empty dict stops ranx.
    truth = {f"p{n}": 1 for n in bought if n in listed} or {"p0": 0}
    found = evaluate(Qrels({"c": truth}), run, list(MEASURES.values()))
    figures = {name: float(found[theirs]) for name, theirs in MEASURES.items()}
    return {"scores": scores, "unlisted": unlisted, "bought": bought, **figures}


if __name__ == "__main__":
    main()
