"""What is under deploy/ speaks of metrics that exist, and every alarm says what to do."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from jobs.cli import COMMANDS
from jobs.metrics import measured
from tests.jobs.test_summary import broken, night, told
from tests.serving.morning import Served

DEPLOY = Path(__file__).parents[2] / "deploy"
ALERTS = [
    rule
    for group in yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
DASHBOARD = json.loads((DEPLOY / "grafana.json").read_text())
SECONDS = {"s": 1, "m": 60, "h": 3600}


def named(text: str) -> set[str]:
    return set(re.findall(r"\brecfactory_\w+", text))


def existing(served: Served) -> dict[str, set[str]]:
    """Label names by the name of every sample, after a day in which a bit of everything happened."""
    served.recs("C-0001")
    served.tell({})
    found: dict[str, set[str]] = {}
    run = generate_latest(measured(told(night(memory=1), broken()))).decode()
    for family in text_string_to_metric_families(served.client.get("/metrics").text + run):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def expressions() -> list[str]:
    shown = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    asked = [choice["query"] for choice in DASHBOARD["templating"]["list"]]
    return [*shown, *asked, *(rule["expr"] for rule in ALERTS)]


class TestEveryMetricThatIsNamed:
    def test_exists(self, served: Served) -> None:
        wanted = set().union(*map(named, expressions()))
        assert len(wanted) > 5
        assert wanted <= set(existing(served))

    def test_has_the_labels_it_is_asked_by(self, served: Served) -> None:
        found = existing(served)
        for expression in expressions():
            for name, matchers in re.findall(r"(recfactory_\w+)\{([^}]*)\}", expression):
                labels = set(re.findall(r"(\w+)\s*[=!]~?", matchers))
                assert labels <= found[name], expression

    def test_is_looked_at_by_somebody(self, served: Served) -> None:
        ours = {name for name in existing(served) if name.startswith("recfactory_")}
        ours -= {name for name in ours if name.startswith("recfactory_night_")}  # docs/night.md
        parts = {name for name in ours if name.endswith(("_sum", "_count", "_created"))}
        assert ours - parts <= set().union(*map(named, expressions()))


class TestAnAlert:
    @pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
    def test_says_what_it_means_and_what_to_do(self, rule: dict[str, Any]) -> None:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in {"page", "warn", "info"}
        assert set(rule["annotations"]) == {"summary", "runbook"}
        assert len(rule["annotations"]["runbook"].split()) > 15
        assert re.fullmatch(r"\d+[smh]", rule.get("for", "1m"))

    def test_names_only_commands_there_are(self) -> None:
        told = " ".join(rule["annotations"]["runbook"] for rule in ALERTS)
        assert set(re.findall(r"`recfactory (\w+)", told)) <= set(COMMANDS)

    def test_has_a_name_of_its_own(self) -> None:
        names = [rule["alert"] for rule in ALERTS]
        assert len(names) == len(set(names))


def test_the_doors_that_were_tried_are_counted_from_nought(served: Served) -> None:
    """`increase` sees nothing of a series that begins at five."""
    found = served.client.get("/metrics").text
    for code in ("NO_KEY", "NO_TENANT", "ROLE", "DEFECT"):
        assert f'recfactory_refusals_total{{code="{code}"}} 0.0' in found


def test_the_example_scrapes_this_servers_address(served: Served) -> None:
    scrape = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    [job] = scrape["scrape_configs"]
    where = served.world.config.serving
    assert job["static_configs"] == [{"targets": [f"{where.host}:{where.port}"]}]
    assert all((DEPLOY / name).is_file() for name in scrape["rule_files"])
    assert job["job_name"] in ALERTS[0]["expr"]
