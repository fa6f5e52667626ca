"""The command line as an operator meets it: words in, words and a status out."""

import csv
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pyarrow.parquet as pq
import pytest

from jobs.cli import _SUMMARIES, COMMANDS, main, recfactory
from schema.codes import CODES
from schema.names import Mode, Outcome, TenantId
from schema.records import Verdict
from schema.tables import TABLES
from storage.durable import Disk
from tests.serving.morning import Night, one_night
from tests.world import ACME, BETA, TEMPLATE, World, tables, write_files

SMALL = {
    "RECFACTORY_TEMPLATE": TEMPLATE.model_dump_json(),
    "RECFACTORY_NIGHTLY__EXECUTOR": "in-process",
}
"""The tenants of these tests are small."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a command came to."""

    status: int
    out: str
    told: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Cli:
    """`recfactory …` in this process, through the same door as the real thing."""

    def __init__(
        self, home: Path, capture: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self._capture, self._patch = capture, monkeypatch
        self.home = home
        for name, value in {**SMALL, "RECFACTORY_HOME": str(home), "COLUMNS": "200"}.items():
            monkeypatch.setenv(name, value)

    def __call__(self, *words: object) -> Done:
        self._patch.setattr(sys, "argv", ["recfactory", *map(str, words)])
        self._capture.readouterr()
        status = 0
        try:
            main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
        shown = self._capture.readouterr()
        return Done(status, shown.out, shown.err)

    def well(self, *words: object) -> Done:
        """A command that has to succeed."""
        done = self(*words)
        assert done.status == 0, done
        return done

    def refused(self, code: str, *words: object) -> str:
        """A command that has to be refused with this code; the sentence it told."""
        done = self(*words)
        assert done.status == 2, done
        assert done.told.startswith(f"{code}: "), done.told
        assert "Next: " in done.told
        assert done.out == ""
        return done.told


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    return one_night(tmp_path_factory.mktemp("night"))


@pytest.fixture
def world(night: Night, tmp_path: Path) -> Iterator[World]:
    """acme and beta after one night."""
    made = night.world(tmp_path)
    yield made
    made.stores.engine.dispose()


@pytest.fixture
def cli(world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(world.folder)
    return Cli(world.config.home, capsys, monkeypatch)


@pytest.fixture
def bare(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Cli:
    """A command line where nothing was installed yet."""
    monkeypatch.chdir(tmp_path)
    return Cli(tmp_path / "new", capsys, monkeypatch)


@pytest.fixture
def new(bare: Cli) -> Cli:
    """A command line of an installation that was just made."""
    bare.well("init")
    return bare


def delivered(folder: Path, **files: list[list[str]]) -> list[object]:
    """Files and the options that name them."""
    options: list[object] = []
    for table, rows in files.items():
        path = folder / f"{table}.csv"
        with path.open("w", newline="") as file:
            csv.writer(file).writerows(rows)
        options += [f"--{table}", path]
    return options


def every() -> Iterator[tuple[str, click.Command]]:
    """Every command and subcommand by the words that call it."""

    def below(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
        yield path, command
        if isinstance(command, click.Group):
            for name in command.list_commands(click.Context(command)):
                found = command.get_command(click.Context(command), name)
                assert found is not None
                yield from below(f"{path} {name}", found)

    yield from below("recfactory", recfactory)


COMMANDS_AND_GROUPS = pytest.mark.parametrize(
    ("path", "command"), [pytest.param(path, command, id=path) for path, command in every()]
)


class TestEveryCommand:
    @COMMANDS_AND_GROUPS
    def test_explains_itself_with_an_example(
        self, path: str, command: click.Command, new: Cli
    ) -> None:
        done = new.well(*path.split()[1:], "--help")

        assert "Usage: " in done.out
        assert "Example:" in done.out

    @COMMANDS_AND_GROUPS
    def test_has_an_example_that_calls_it_and_uses_options_it_has(
        self, path: str, command: click.Command
    ) -> None:
        if isinstance(command, click.Group):
            return
        _, _, example = (command.help or "").partition("Example: ")
        words = shlex.split(example.strip())
        known = {option for param in command.params for option in param.opts}

        assert path in " ".join(words)
        assert {word for word in words if word.startswith("--")} <= known

    @COMMANDS_AND_GROUPS
    def test_explains_every_option(self, path: str, command: click.Command) -> None:
        options = [param for param in command.params if isinstance(param, click.Option)]

        assert [o.name for o in options if not o.help and o.type.name != "choice"] == []

    def test_is_named_in_the_overview(self, new: Cli) -> None:
        shown = new.well("--help").out

        assert list(_SUMMARIES) == list(COMMANDS)
        for name, summary in _SUMMARIES.items():
            assert name in shown
            assert summary[:30] in shown

    @pytest.mark.parametrize("words", [["--help"], ["recs", "--help"]])
    def test_explains_itself_without_waiting_for_heavy_libraries(
        self, words: list[str], tmp_path: Path
    ) -> None:
        look = (
            "import json, sys\n"
            "from jobs.cli import main\n"
            "try:\n    main()\nexcept SystemExit:\n    pass\n"
            "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
        )
        done = subprocess.run(
            [sys.executable, "-c", look, *words],
            env={**os.environ, "RECFACTORY_HOME": str(tmp_path / "home")},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )

        imported = set(json.loads(done.stdout.splitlines()[-1]))
        assert "click" in imported
        assert imported & {"pandas", "scipy", "implicit"} == set()

    def test_that_only_explains_itself_makes_no_home(self, bare: Cli) -> None:
        for words in (["--help"], ["tenant", "add", "--help"], ["night", "--help"]):
            bare.well(*words)

        assert not bare.home.exists()


class TestAWholeFirstDay:
    def test_from_nothing_to_a_list(self, new: Cli, tmp_path: Path) -> None:
        files = write_files(tmp_path / "files", tables("acme"))

        new.well("tenant", "add", "acme", "--title", "Acme Ltd", "--timezone", "Europe/Zurich")
        new.well("data", "import", "acme", *(w for t, p in files.items() for w in (f"--{t}", p)))
        done = new.well("night", "acme", "--date", "2026-04-01", "--json")
        body = new.well("recs", "acme", "C-0001", "--json").json

        assert done.json[0]["verdict"] == "promoted"
        assert (body["source"], body["edition"]) == ("personal", 1)
        assert new("doctor").status == 0


class TestTenant:
    def test_add_registers_one_that_is_on(self, new: Cli) -> None:
        new.well("tenant", "add", "acme", "--title", "Acme Ltd", "--timezone", "Asia/Tokyo")

        [tenant] = new.well("tenant", "list", "--json").json
        assert tenant == {
            "tenant": "acme",
            "title": "Acme Ltd",
            "mode": "on",
            "timezone": "Asia/Tokyo",
            "night": None,
            "verdict": None,
            "model": None,
            "edition": None,
        }

    def test_add_twice_is_refused(self, cli: Cli) -> None:
        assert "acme" in cli.refused("TENANT_EXISTS", "tenant", "add", "acme")

    @pytest.mark.parametrize("name", ["Acme", "a_b", "../acme", "", "x" * 64])
    def test_add_of_an_impossible_name_is_refused(self, name: str, new: Cli) -> None:
        new.refused("TENANT_NAME", "tenant", "add", name)

        assert new.well("tenant", "list", "--json").json == []

    def test_add_in_an_unknown_time_zone_is_refused(self, new: Cli) -> None:
        new.refused("TIMEZONE", "tenant", "add", "acme", "--timezone", "Mars/Olympus")

        assert new.well("tenant", "list", "--json").json == []

    def test_list_says_what_each_serves(self, cli: Cli) -> None:
        found = {line["tenant"]: line for line in cli.well("tenant", "list", "--json").json}

        assert set(found) == {"acme", "beta"}
        assert found["acme"]["verdict"] == "promoted"
        assert (found["acme"]["edition"], found["acme"]["model"]) == (1, 2)
        assert "acme" in cli.well("tenant", "list").out

    def test_list_of_none_is_no_error(self, new: Cli) -> None:
        assert new.well("tenant", "list").out

    def test_show_says_mode_settings_and_who_did_what(self, cli: Cli) -> None:
        cli.well("tenant", "set", ACME, "lists.length=40")

        body = cli.well("tenant", "show", ACME, "--json").json

        assert (body["tenant"], body["mode"], body["edition"]) == ("acme", "on", 1)
        assert body["changes"] == {"lists.length": 40}
        assert body["settings"]["lists"]["length"] == 40
        assert body["settings"]["als"]["factors"] == 8
        assert body["audit"][0]["act"] == "settings"
        shown = cli.well("tenant", "show", ACME).out
        assert "lists.length" in shown
        assert "own" in shown

    def test_list_and_show_have_a_title_as_it_is(self, new: Cli) -> None:
        new.well("tenant", "add", "acme", "--title", "[/b] [red]")

        assert "[/b] [red]" in new.well("tenant", "list").out
        assert "[/b] [red]" in new.well("tenant", "show", "acme").out

    def test_set_keeps_what_was_set_before_and_default_takes_it_back(self, cli: Cli) -> None:
        cli.well("tenant", "set", ACME, "lists.length=40", "frozen_lists=rerank")
        cli.well("tenant", "set", ACME, "als.factors=16", "lists.length=default")

        body = cli.well("tenant", "show", ACME, "--json").json

        assert body["changes"] == {"frozen_lists": "rerank", "als.factors": 16}

    @pytest.mark.parametrize(
        "change", ["als.factor=1", "als.factors=0", "als.factors=many", "lists.length", "=5"]
    )
    def test_set_of_what_does_not_hold_is_refused_and_nothing_is_changed(
        self, change: str, cli: Cli
    ) -> None:
        cli.refused("SETTINGS", "tenant", "set", ACME, "seed=7", change)

        assert cli.well("tenant", "show", ACME, "--json").json["changes"] == {}

    def test_mode_turns_the_switch_and_says_how_to_turn_it_back(self, cli: Cli) -> None:
        done = cli.well("tenant", "mode", ACME, "freeze", "--why", "stocktaking")

        assert "on -> freeze" in done.out
        assert "recfactory tenant mode acme on" in done.out
        modes = {t["tenant"]: t["mode"] for t in cli.well("tenant", "list", "--json").json}
        assert modes == {"acme": "freeze", "beta": "on"}

    def test_mode_keeps_who_and_why(self, cli: Cli) -> None:
        cli.well("tenant", "mode", ACME, "off", "--why", "stocktaking")

        act = cli.well("tenant", "show", ACME, "--json").json["audit"][0]

        assert act["detail"] == {"was": "on", "mode": "off", "why": "stocktaking"}
        assert act["actor"].startswith("cli")

    def test_mode_wants_a_reason(self, cli: Cli) -> None:
        done = cli("tenant", "mode", ACME, "off")

        assert (done.status, "--why" in done.told) == (2, True)
        assert cli.well("tenant", "show", ACME, "--json").json["mode"] == "on"

    def test_mode_knows_three_words(self, cli: Cli) -> None:
        assert cli("tenant", "mode", ACME, "pause", "--why", "x").status == 2


class TestMapping:
    """An export in the client's own form: proposed, corrected, declared, tried, imported."""

    EXPORT = (
        "Kundennummer;Artikel;Menge;Preis;Datum\n"
        "C-0001;acme-P-01;2;1.234,50;20.03.2026 17:05\n"
        ";acme-P-01;1;12,50;21.03.2026 08:00\n"
        "C-0002;acme-P-02;-1;3,00;21.03.2026 08:00\n"
    )

    @pytest.fixture
    def export(self, world: World) -> Path:
        path = world.folder / "export.csv"
        path.write_text(self.EXPORT)
        return path

    def test_is_proposed_as_a_file_that_can_be_declared(
        self, cli: Cli, export: Path, world: World
    ) -> None:
        proposed = cli.well("data", "suggest", export).out
        assert 'thousands: "."' in proposed
        assert "# ? 1 of 3 rows have no Kundennummer" in proposed
        (world.folder / "acme.yaml").write_text(proposed)

        done = cli.well("data", "mapping", "set", ACME, "acme.yaml", "--why", "a test")

        assert "a mapping for interactions" in done.out
        assert "--dry-run" in done.out
        shown = cli.well("data", "mapping", "show", ACME)
        assert "customer_id: Kundennummer" in shown.out
        assert cli.well("data", "mapping", "show", ACME, "--json").json["mapping"]["interactions"]
        assert cli.well("data", "mapping", "show", BETA, "--json").json["mapping"] == {}

    def test_brings_the_file_in(self, cli: Cli, export: Path, world: World) -> None:
        options = ("data", "import", ACME, "--interactions", export)
        cli.refused("SCHEMA_MISSING", *options)
        proposed = cli.well("data", "suggest", export).out
        answers = '  leave_out: {Kundennummer: [""]}\n'
        (world.folder / "acme.yaml").write_text(proposed + answers)
        cli.well("data", "mapping", "set", ACME, "acme.yaml", "--why", "a test")

        tried = cli.well(*options, "--dry-run", "--json").json

        [table] = tried["tables"]
        assert (table["read"], table["accepted"], table["quarantined"]) == (3, 2, 1)
        assert [fault["code"] for fault in table["faults"]] == ["ROW_LEFT_OUT"]
        assert cli.well(*options, "--json").json["tables"] == tried["tables"]
        shown = cli.well("data", "show", ACME, tried["batch"]).out
        assert "line: value" in shown
        assert "mend" not in shown  # what the mapping leaves out wants nothing
        rows = world.stores.datasets.read(world.tenant(ACME).uid, "interactions")
        newest = rows.slice(len(rows) - 2).to_pylist()
        assert [(row["event"], row["value"]) for row in newest] == [
            ("purchase", 2469.0),
            ("return", -3.0),
        ]

    def test_that_does_not_hold_is_refused_and_the_old_one_stays(
        self, cli: Cli, world: World
    ) -> None:
        (world.folder / "a.yaml").write_text("customers: {columns: {nr: Nr}}")
        told = cli.refused("MAPPING", "data", "mapping", "set", ACME, "a.yaml", "--why", "a test")
        assert "have no column 'nr'" in told
        assert cli.well("data", "mapping", "show", ACME).out == "{}\n"

    def test_of_a_file_that_is_not_there_is_refused(self, cli: Cli) -> None:
        cli.refused("FILE", "data", "suggest", "nowhere.csv")
        cli.refused("FILE", "data", "mapping", "set", ACME, "nowhere.yaml", "--why", "a test")

    def test_is_proposed_for_parquet_too_and_as_json(self, cli: Cli, world: World) -> None:
        write_files(world.folder / "p", tables(ACME))
        found = cli.well("data", "suggest", world.folder / "p" / "interactions.parquet", "--json")
        assert found.json["mapping"]["interactions"]["columns"]["customer_id"] == "customer_id"
        assert found.json["questions"] == {"interactions": []}


class TestData:
    def test_import_takes_files_and_reports(self, cli: Cli, world: World) -> None:
        options = delivered(
            world.folder,
            customers=[["customer_id"], ["C-1"]],
            products=[["product_id", "colour"], ["P-1", "red"]],
            interactions=[
                ["customer_id", "product_id", "occurred_at"],
                ["C-1", "P-1", "2026-03-01"],
            ],
        )

        body = cli.well("data", "import", ACME, *options, "--json").json

        assert (body["tenant"], body["dry_run"]) == ("acme", False)
        assert [(t["table"], t["accepted"]) for t in body["tables"]] == [
            ("customers", 1),
            ("products", 1),
            ("interactions", 1),
        ]
        assert body["tables"][1]["ignored_columns"] == ["colour"]

    def test_import_shows_what_was_quarantined_and_what_to_do(self, cli: Cli, world: World) -> None:
        options = delivered(
            world.folder, products=[["product_id", "price"], ["P-1", "1"], ["P-2", "cheap"]]
        )

        done = cli.well("data", "import", ACME, *options)

        assert "VALUE_TYPE" in done.out
        assert "3: cheap" in done.out
        assert "plain number" in done.out

    def test_import_shows_any_value_as_it_is(self, cli: Cli, world: World) -> None:
        rows = [["product_id", "price"], ["P-1", "1"], ["P-2", "[/b]"], ["P-3", "[red]x"]]

        done = cli.well("data", "import", ACME, *delivered(world.folder, products=rows))

        assert "3: [/b]" in done.out
        assert "4: [red]x" in done.out

    def test_a_dry_run_keeps_nothing(self, cli: Cli, world: World) -> None:
        before = cli.well("data", "show", ACME, "--json").json
        options = delivered(world.folder, products=[["product_id"], ["P-1"]])

        done = cli.well("data", "import", ACME, *options, "--dry-run")

        assert "would be accepted" in done.out
        assert cli.well("data", "show", ACME, "--json").json == before

    def test_import_of_a_file_that_cannot_be_used_is_refused(self, cli: Cli, world: World) -> None:
        options = delivered(world.folder, products=[["article"], ["P-1"]])

        told = cli.refused("SCHEMA_MISSING", "data", "import", ACME, *options)

        assert "acme, validate" in told
        assert "product_id" in told

    @pytest.mark.parametrize(
        ("code", "words"),
        [
            ("NO_TENANT", ["nobody", "--products", "x.csv"]),
            ("DATA_MISSING", ["acme", "--products", "nowhere.csv"]),
            ("USAGE", ["acme"]),
        ],
    )
    def test_import_of_nothing_is_refused(self, code: str, words: list[str], cli: Cli) -> None:
        cli.refused(code, "data", "import", *words)

    def test_import_of_interactions_before_anything_else_is_refused(
        self, new: Cli, tmp_path: Path
    ) -> None:
        new.well("tenant", "add", "acme")
        rows = [["customer_id", "product_id", "occurred_at"], ["C-1", "P-1", "2026-03-01"]]

        new.refused(
            "DATA_MISSING", "data", "import", "acme", *delivered(tmp_path, interactions=rows)
        )

    def test_show_lists_deliveries_newest_first(self, cli: Cli, world: World) -> None:
        cli.well("data", "import", ACME, *delivered(world.folder, products=[["product_id"], ["P"]]))

        newest, oldest = cli.well("data", "show", ACME, "--json").json

        assert [t["table"] for t in newest["report"]["tables"]] == ["products"]
        assert [t["table"] for t in oldest["report"]["tables"]] == [
            "customers",
            "products",
            "interactions",
        ]
        assert newest["report"]["tenant"] == "acme"
        assert newest["batch"] in cli.well("data", "show", ACME).out

    def test_files_names_what_counts_and_nothing_else(self, cli: Cli, world: World) -> None:
        folder = world.config.home / "tenants" / world.tenant(ACME).uid / "data"
        cli.well("data", "import", ACME, *delivered(world.folder, products=[["product_id"], ["P"]]))

        [path] = cli.well("data", "files", ACME, "products").out.split()

        assert pq.read_table(path)["product_id"].to_pylist() == ["P"]
        assert len(list((folder / "products").glob("*.parquet"))) > 1

    def test_files_of_nothing_is_refused(self, new: Cli) -> None:
        new.well("tenant", "add", "acme")

        new.refused("DATA_MISSING", "data", "files", "acme", "interactions")

    def test_codes_shows_every_code_with_its_effect_and_what_to_do(self, new: Cli) -> None:
        shown = new.well("data", "codes").out
        listed = new.well("data", "codes", "--json").json

        assert [code["name"] for code in listed] == [code.name for code in CODES]
        assert {code["severity"] for code in listed} == {"error", "warning"}
        assert all(code.name in shown for code in CODES)

    def test_schema_shows_every_column(self, new: Cli) -> None:
        shown = new.well("data", "schema")
        listed = {t["name"]: t for t in new.well("data", "schema", "--json").json}

        for table in TABLES.values():
            assert [c["name"] for c in listed[table.name]["columns"]] == [
                c.name for c in table.columns
            ]
            assert all(column.name in shown.out for column in table.columns)


class TestNight:
    def test_of_one_tenant_says_what_came_of_it(self, cli: Cli) -> None:
        [line] = cli.well("night", ACME, "--date", "2026-04-02", "--json").json

        assert (line["tenant"], line["night"]) == ("acme", "2026-04-02")
        assert line["verdict"] in ("promoted", "rejected")
        assert (line["edition"], line["published"]) == (2, True)
        assert line["because"]

    def test_run_again_changes_nothing(self, cli: Cli) -> None:
        first, again = (
            cli.well("night", ACME, "--date", "2026-04-02", "--json").json for _ in range(2)
        )

        assert again == first

    def test_of_all_is_of_everybody(self, cli: Cli) -> None:
        done = cli.well("night", "--all", "--date", "2026-04-02")

        assert "acme" in done.out
        assert "beta" in done.out
        assert [t["edition"] for t in cli.well("tenant", "list", "--json").json] == [2, 2]

    def test_of_a_frozen_tenant_says_frozen(self, cli: Cli, world: World) -> None:
        world.switch(ACME, Mode.FREEZE)

        [line] = cli.well("night", ACME, "--date", "2026-04-02", "--json").json

        assert (line["verdict"], line["published"]) == ("frozen", False)

    def test_without_data_fails_with_1_and_says_whose(self, new: Cli) -> None:
        new.well("tenant", "add", "acme")

        done = new("night", "acme", "--date", "2026-04-02")

        assert done.status == 1
        assert "acme, validate" in done.told
        assert "Next: " in done.told

    def test_of_the_past_fails_and_nothing_changes(self, cli: Cli) -> None:
        done = cli("night", ACME, "--date", "2026-03-01")

        assert done.status == 1
        assert "2026-03-01" in done.told
        assert cli.well("recs", ACME, "C-0001", "--json").json["edition"] == 1

    def test_of_one_that_fails_does_not_stop_the_others(self, cli: Cli) -> None:
        cli.well("tenant", "add", "empty")

        done = cli("night", "--all", "--date", "2026-04-02")

        assert done.status == 1
        editions = {t["tenant"]: t["edition"] for t in cli.well("tenant", "list", "--json").json}
        assert editions == {"acme": 2, "beta": 2, "empty": None}

    def test_of_all_is_an_alarm_while_no_tenant_is_on(
        self, cli: Cli, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        world.switch(ACME, Mode.OFF)
        world.switch(BETA, Mode.FREEZE)

        assert cli("night", "--all", "--date", "2026-04-02").status == 1

        assert "no tenant is on (1 frozen, 1 off)" in caplog.text

    def test_of_all_while_another_run_is_at_it_is_no_failure(self, cli: Cli, world: World) -> None:
        night = date(2026, 4, 2)
        world.stores.nights.begin_all(
            [(ACME, night), (BETA, night)],
            owner="another-host:1:1",
            alive=lambda _: True,
            now=datetime.now(UTC),
            lease=timedelta(minutes=5),
        )

        shown = cli.well("night", "--all", "--date", str(night))
        lines = cli.well("night", "--all", "--date", str(night), "--json").json

        assert "2 of 2 tenants: the night of 2026-04-02 is running since" in shown.told
        assert [line["verdict"] for line in lines] == ["running", "running"]

    def test_without_room_on_disk_fails_with_1_and_the_bytes_that_are_missing(
        self, cli: Cli, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Disk, "free", lambda *_: 10**6)

        done = cli("night", "--all", "--date", "2026-04-02")

        assert done.status == 1
        assert "DISK_SPACE: " in done.told
        assert " bytes are missing, nothing was begun" in done.told

    def test_of_many_is_summed_up_instead_of_a_row_for_each(
        self, cli: Cli, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("jobs.cli.night.A_SCREEN", 1)
        cli.well("tenant", "add", "empty")

        done = cli("night", "--all", "--date", "2026-04-02")

        assert done.status == 1
        assert "Night of 2026-04-02: 3 tenants" in done.out
        assert "empty: validate" in done.out
        assert "Next: " in done.out
        assert "RMSE challenger" not in done.out
        rows = cli("night", "--all", "--date", "2026-04-02", "--every").out
        assert "RMSE challenger" in rows

    def test_of_all_is_told_again_as_words_and_as_json(self, cli: Cli) -> None:
        cli.refused("NO_RUN", "night", "--last")
        cli.well("night", "--all", "--date", "2026-04-02")
        cli.well(
            "night", ACME, "--date", "2026-04-03"
        )  # one that was named is not the fleet's last

        assert "Night of 2026-04-02: 2 tenants" in cli.well("night", "--last").out
        told = cli.well("night", "--last", "--json").json
        assert (told["by"], told["tenants"], told["nights"]) == ("night", 2, ["2026-04-02"])
        assert sum(told["words"].values()) == 2
        assert told["compared"]["tenants"] == 2

    @pytest.mark.parametrize(
        ("code", "words"),
        [
            ("USAGE", []),
            ("USAGE", ["acme", "--all"]),
            ("USAGE", ["--all", "--last"]),
            ("NO_TENANT", ["nobody"]),
        ],
    )
    def test_of_nobody_is_refused(self, code: str, words: list[str], cli: Cli) -> None:
        cli.refused(code, "night", *words)

    def test_of_no_date_is_refused(self, cli: Cli) -> None:
        done = cli("night", ACME, "--date", "2026-02-30")

        assert (done.status, "2026-02-30" in done.told) == (2, True)


class TestWhy:
    def test_tells_what_is_served_and_what_the_nights_said(self, cli: Cli) -> None:
        body = cli.well("why", ACME, "--json").json

        assert (body["tenant"], body["mode"], body["edition"], body["model"]) == (
            "acme",
            "on",
            1,
            2,
        )
        assert body["nights"][0]["verdict"] == "promoted"
        assert body["next"]
        shown = cli.well("why", ACME).out
        assert "serves edition 1" in shown
        assert "RMSE" in shown

    def test_tells_a_new_tenant_what_to_do(self, new: Cli) -> None:
        new.well("tenant", "add", "acme")

        assert "import data" in new.well("why", "acme").out

    def test_of_nobody_is_refused(self, cli: Cli) -> None:
        cli.refused("NO_TENANT", "why", "nobody")


class TestRecs:
    def test_shows_a_list_with_reasons(self, cli: Cli) -> None:
        done = cli.well("recs", ACME, "C-0001", "--limit", 3)

        assert "acme-P-" in done.out
        assert "Bought" in done.out
        assert "edition 1" in done.out

    def test_in_json_uses_the_words_of_the_answer_over_http(self, cli: Cli) -> None:
        body = cli.well("recs", ACME, "C-0001", "--limit", 3, "--json").json

        assert list(body) == [
            "tenant",
            "customer",
            "mode",
            "bought",
            "source",
            "edition",
            "model",
            "published_at",
            "stale",
            "recommendations",
        ]
        assert len(body["recommendations"]) == 3

    def test_shows_names_as_they_are(self, cli: Cli, world: World) -> None:
        made = tables(ACME)
        names = [f"Screw [m{n}] [/m]" for n in range(24)]
        made["products"] = made["products"].set_column(1, "name", [names])
        world.import_(ACME, made)
        cli.well("night", ACME, "--date", "2026-04-02")

        shown = cli.well("recs", ACME, "C-0001").out

        assert "Screw [m" in shown
        assert "] [/m]" in shown

    @pytest.mark.parametrize("customer", ["[/x]", "[red]", "..", "\x07", "\udcff", "", "--", "a b"])
    @pytest.mark.parametrize("options", [[], ["--json"]], ids=["", "json"])
    def test_of_any_customer_whatever_is_a_list(
        self, customer: str, options: list[str], cli: Cli
    ) -> None:
        done = cli.well("recs", *options, "--", ACME, customer)

        assert "acme-P-" in done.out

    def test_while_off_shows_nothing(self, cli: Cli, world: World) -> None:
        world.switch(ACME, Mode.OFF)

        body = cli.well("recs", ACME, "C-0001", "--json").json

        assert (body["mode"], body["recommendations"]) == ("off", [])

    @pytest.mark.parametrize(
        ("code", "words"),
        [
            ("NO_TENANT", ["nobody", "C-0001"]),
            ("LIMIT", ["acme", "C-0001", "--limit", "0"]),
            ("LIMIT", ["acme", "C-0001", "--limit", "51"]),
        ],
    )
    def test_of_a_wrong_question_is_refused(self, code: str, words: list[str], cli: Cli) -> None:
        cli.refused(code, "recs", *words)

    def test_before_the_first_night_is_refused(self, new: Cli) -> None:
        new.well("tenant", "add", "acme")

        new.refused("NO_EDITION", "recs", "acme", "C-0001")


class TestModel:
    def test_list_says_what_the_verdict_on_each_was(self, cli: Cli) -> None:
        newest, oldest = cli.well("model", "list", ACME, "--json").json

        assert (newest["tenant"], newest["model"], newest["verdict"]) == ("acme", 2, "promoted")
        assert (newest["in_force"], oldest["in_force"]) == (True, False)
        assert "in force" in cli.well("model", "list", ACME).out

    def test_show_is_of_the_one_in_force_unless_a_number_is_named(self, cli: Cli) -> None:
        assert cli.well("model", "show", ACME, "--json").json["model"] == 2
        assert cli.well("model", "show", ACME, 1, "--json").json["model"] == 1

    def test_show_has_every_figure_and_the_verdict(self, cli: Cli) -> None:
        body = cli.well("model", "show", ACME, "--json").json

        assert body["verdict"] == "promoted"
        assert body["figures"]["challenger"]["rmse"] < body["figures"]["incumbent"]["rmse"]
        assert "rmse" in cli.well("model", "show", ACME).out

    def test_show_explains_what_was_compared_on_what_and_what_became_of_it(self, cli: Cli) -> None:
        body = cli.well("model", "show", ACME, "--json").json
        told = " ".join(body["explanation"])
        figures = body["figures"]

        assert "compared with the first incumbent, made the same night" in told
        assert "the days from 2026-03-25 to 2026-03-31, which neither had seen" in told
        assert f"{figures['challenger']['bought']:,} of them bought" in told
        assert f"model 2 to {figures['challenger']['rmse']:.6f}" in told
        assert "95 % interval" in told
        for guard in figures["guards"]:
            assert guard["because"] in told
        assert "It ranked the 60 lists of edition 1, published that night." in told
        assert "It is in force." in told
        assert f"Data fingerprint {figures['data_fingerprint']}, seed 0." in told

    def test_show_prints_sentences_figures_and_both_reliability_tables(self, cli: Cli) -> None:
        body = cli.well("model", "show", ACME, "--json").json
        shown = cli.well("model", "show", ACME).out

        assert "acme, model 2 (als), night of 2026-04-01: promoted" in shown
        assert "- Guard ndcg passed: " in shown
        for model in ("challenger", "incumbent"):
            for pairs, _, _ in body["figures"][model]["reliability"]:
                assert f" {pairs:,} " in shown

    def test_show_of_the_first_incumbent_says_what_became_of_it(self, cli: Cli) -> None:
        told = " ".join(cli.well("model", "show", ACME, 1, "--json").json["explanation"])

        assert "it was judged as the incumbent" in told
        assert "Model 2 took over the same night" in told
        assert "It is not in force." in told

    def test_show_draws_a_picture_where_it_is_told_to(self, cli: Cli) -> None:
        assert "drawn: acme.png" in cli.well("model", "show", ACME, "--plot", "acme.png").out

        assert Path("acme.png").read_bytes().startswith(b"\x89PNG")

    def test_show_of_a_place_that_cannot_be_written_is_refused(self, cli: Cli) -> None:
        cli.refused("FILE", "model", "show", ACME, "--plot", "nowhere/acme.png")

    @pytest.mark.parametrize("number", [0, 99])
    def test_show_of_none_is_refused(self, number: int, cli: Cli) -> None:
        cli.refused("NO_MODEL", "model", "show", ACME, number)

    @pytest.fixture
    def held(self, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
        """The gate held model 3 last night."""
        monkeypatch.setattr(
            "jobs.night.decide", lambda *_, **__: Verdict(Outcome.HELD, "too good to be true")
        )
        assert cli("night", ACME, "--date", "2026-04-02").status == 3
        return cli

    def test_a_held_one_tells_how_to_settle_it(self, held: Cli) -> None:
        assert "recfactory model promote acme 3 --why" in held.well("model", "show", ACME, 3).out
        assert "model promote" in held.well("why", ACME).out
        assert held.well("model", "show", ACME, 3, "--json").json["waits"]

    def test_promote_puts_a_held_one_in_force_and_says_how_to_undo_it(self, held: Cli) -> None:
        done = held.well("model", "promote", ACME, 3, "--why", "no leak")

        assert "recfactory edition activate acme 2" in done.out
        shown = held.well("model", "show", ACME, "--json").json
        assert (shown["model"], shown["in_force"], shown["waits"]) == (3, True, False)
        assert ": no leak. It is in force." in shown["explanation"][-2]
        held.well("edition", "activate", ACME, 2, "--why", "after all")
        assert held.well("model", "show", ACME, "--json").json["model"] == 2

    def test_discard_throws_a_held_one_away(self, held: Cli) -> None:
        held.well("model", "discard", ACME, 3, "--why", "a leak")

        shown = held.well("model", "show", ACME, 3, "--json").json
        assert (shown["verdict"], shown["on_disk"], shown["waits"]) == ("held", False, False)
        assert "discarded by cli" in shown["explanation"][-2]
        held.refused("MODEL_GONE", "model", "promote", ACME, 3, "--why", "x")

    def test_neither_is_for_a_model_that_is_not_held(self, cli: Cli) -> None:
        for act in ("promote", "discard"):
            cli.refused("MODEL_NOT_HELD", "model", act, ACME, 1, "--why", "x")

    def test_either_wants_a_reason(self, held: Cli) -> None:
        for act in ("promote", "discard"):
            assert held("model", act, ACME, 3).status == 2
            assert held("model", act, ACME, 3, "--why", " ").status == 2
        assert held.well("model", "show", ACME, 3, "--json").json["waits"]


class TestEdition:
    @pytest.fixture
    def two(self, cli: Cli) -> Cli:
        """Edition 2 is served, 1 is kept."""
        cli.well("night", ACME, "--date", "2026-04-02")
        return cli

    def test_list_marks_the_one_served(self, two: Cli) -> None:
        found = two.well("edition", "list", ACME, "--json").json

        assert [(e["tenant"], e["edition"], e["current"]) for e in found] == [
            ("acme", 2, True),
            ("acme", 1, False),
        ]
        assert "served" in two.well("edition", "list", ACME).out

    def test_activate_goes_back_and_says_how_to_undo_it(self, two: Cli) -> None:
        done = two.well("edition", "activate", ACME, 1, "--why", "odd lists")

        assert "recfactory edition activate acme 2" in done.out
        assert two.well("recs", ACME, "C-0001", "--json").json["edition"] == 1
        assert two.well("recs", BETA, "C-0001", "--json").json["edition"] == 1
        assert "rollback holds" in two.well("why", ACME).out

    @pytest.mark.parametrize("file", ["lists.parquet", "lists.csv"])
    def test_export_says_how_many_rows_it_wrote(self, file: str, cli: Cli) -> None:
        done = cli.well("edition", "export", ACME, "--out", file, "--bought", "exclude")

        assert re.search(rf"^acme: edition 1, [\d,]+ rows of 60 customers -> {file}$", done.out)
        assert Path(file).stat().st_size > 1_000

    def test_export_of_an_earlier_edition_and_of_none(self, two: Cli) -> None:
        out = ["--out", "lists.csv", "--edition"]

        assert "edition 1," in two.well("edition", "export", ACME, *out, 1).out
        two.refused("NO_EDITION", "edition", "export", ACME, *out, 9)

    def test_export_into_what_is_no_table_is_refused(self, cli: Cli) -> None:
        assert cli("edition", "export", ACME, "--out", "lists.xlsx").status == 2
        done = cli("edition", "export", ACME, "--out", "nowhere/lists.csv")
        assert (done.status, "FILE: nowhere" in done.told) == (2, True)

    def test_release_ends_the_hold(self, two: Cli) -> None:
        two.well("edition", "activate", ACME, 1, "--why", "odd lists")
        assert two.well("why", ACME, "--json").json["held_until"] is not None

        two.well("edition", "release", ACME)

        assert two.well("why", ACME, "--json").json["held_until"] is None
        [line] = two.well("night", ACME, "--date", "2026-04-03", "--json").json
        assert line["published"]

    def test_activate_wants_a_reason(self, two: Cli) -> None:
        assert two("edition", "activate", ACME, 1).status == 2
        assert two.well("recs", ACME, "C-0001", "--json").json["edition"] == 2

    def test_activate_of_none_is_refused(self, two: Cli) -> None:
        for number in (0, 99, 2**63, 10**30):
            done = two("edition", "activate", ACME, number, "--why", "x")
            assert done.status == 2, done

        assert two.well("recs", ACME, "C-0001", "--json").json["edition"] == 2


class TestKey:
    def test_create_shows_a_key_that_is_kept_only_as_a_digest(self, cli: Cli) -> None:
        secret = cli.well("key", "create", ACME, "--label", "call centre").out.strip()

        assert secret.startswith("rf_")
        listed = cli.well("key", "list", ACME).out + cli.well("key", "list", ACME, "--json").out
        assert "call centre" in listed
        assert secret.partition(".")[2] not in listed
        home = [path for path in cli.home.rglob("*") if path.is_file()]
        assert [p for p in home if secret.partition(".")[2].encode() in p.read_bytes()] == []

    def test_create_in_json_names_tenant_and_role(self, cli: Cli) -> None:
        made = cli.well("key", "create", ACME, "--role", "admin", "--json").json

        assert (made["tenant"], made["role"]) == ("acme", "admin")
        assert made["key"].startswith(f"rf_{made['key_id']}.")

    def test_create_for_some_days_ends_after_them(self, cli: Cli) -> None:
        made = cli.well("key", "create", ACME, "--days", 30, "--json").json

        [line] = [
            k for k in cli.well("key", "list", "--json").json if k["key_id"] == made["key_id"]
        ]
        left = datetime.fromisoformat(line["expires_at"]) - datetime.now(UTC)
        assert left.days in (29, 30)

    @pytest.mark.parametrize("days", [0, -1, 10**12])
    def test_create_for_days_that_make_no_sense_is_refused(self, days: int, cli: Cli) -> None:
        before = cli.well("key", "list", "--json").json

        assert cli("key", "create", ACME, "--days", days).status == 2
        assert cli.well("key", "list", "--json").json == before

    @pytest.mark.parametrize(
        "words", [["acme", "--role", "operator"], [], ["--role", "admin"]], ids=" ".join
    )
    def test_create_for_an_operator_names_no_tenant_and_any_other_does(
        self, words: list[str], cli: Cli
    ) -> None:
        cli.refused("USAGE", "key", "create", *words)

    def test_create_for_nobody_is_refused(self, cli: Cli) -> None:
        cli.refused("NO_TENANT", "key", "create", "nobody")

    def test_list_of_one_tenant_is_its_own(self, cli: Cli) -> None:
        listed = cli.well("key", "list", ACME, "--json").json

        assert {line["tenant"] for line in listed} == {"acme"}
        assert {line["tenant"] for line in cli.well("key", "list", "--json").json} == {
            "acme",
            "beta",
            None,
        }

    def test_revoke_says_when(self, cli: Cli) -> None:
        made = cli.well("key", "create", ACME, "--json").json

        cli.well("key", "revoke", made["key_id"])

        revoked = {k["key_id"]: k["revoked_at"] for k in cli.well("key", "list", "--json").json}
        assert revoked.pop(made["key_id"]) is not None
        assert set(revoked.values()) == {None}

    def test_rotate_shows_a_new_key_and_says_when_the_old_one_ends(self, cli: Cli) -> None:
        old = cli.well("key", "create", ACME, "--label", "till", "--json").json

        done = cli.well("key", "rotate", old["key_id"], "--overlap", "2h", "--json")

        assert done.json["key_id"] != old["key_id"]
        assert f"{old['key_id']} ends on" in done.told
        lines = {line["key_id"]: line for line in cli.well("key", "list", ACME, "--json").json}
        left = datetime.fromisoformat(lines[old["key_id"]]["expires_at"]) - datetime.now(UTC)
        assert timedelta(hours=1) < left <= timedelta(hours=2)
        assert lines[done.json["key_id"]]["label"] == "till"

    @pytest.mark.parametrize("overlap", ["", "2", "-1h", "2 weeks", "1.5h", "99999d"])
    def test_rotate_with_a_time_that_makes_no_sense_is_refused(
        self, overlap: str, cli: Cli
    ) -> None:
        assert cli("key", "rotate", "0a1b2c3d4e5f", "--overlap", overlap).status == 2

    def test_rotate_of_none_is_refused(self, cli: Cli) -> None:
        cli.refused("NO_SUCH_KEY", "key", "rotate", "000000000000")

    def test_revoke_stops_a_key_although_the_ledger_cannot_be_opened(self, cli: Cli) -> None:
        key = cli.well("key", "create", ACME, "--json").json["key_id"]
        (cli.home / "ledger.db").rename(cli.home / "elsewhere.db")
        (cli.home / "ledger.db").mkdir()

        done = cli("key", "revoke", key)
        assert (done.status, "stopped on every server" in done.told) == (1, True)
        assert (cli.home / "revoked" / key).exists()

    def test_revoke_of_none_is_refused(self, cli: Cli) -> None:
        cli.refused("NO_SUCH_KEY", "key", "revoke", "000000000000")


class TestDoctor:
    def test_finds_nothing_wrong_where_nothing_is(self, cli: Cli) -> None:
        found = cli.well("doctor", "--json").json

        assert {line["state"] for line in found} == {"ok"}
        assert {"acme", "beta"} <= {line["what"] for line in found}

    @pytest.mark.parametrize(
        "path",
        [
            "editions/e000001/lists.lmdb",
            "editions/e000001/products.json",
            "CURRENT",
            "models/v000002/factors.npy",
        ],
    )
    def test_finds_a_damaged_file_and_still_looks_at_the_others(
        self, path: str, cli: Cli, world: World
    ) -> None:
        file = world.config.home / "tenants" / world.tenant(ACME).uid / path
        body = bytearray(file.read_bytes())
        body[len(body) // 2] ^= 0xFF
        file.chmod(0o644)
        file.write_bytes(body)

        done = cli("doctor", "--json")

        assert done.status == 1
        states = {line["what"]: line["state"] for line in done.json}
        assert (states["acme"], states["beta"]) == ("broken", "ok")

    def test_names_feedback_that_waits_for_the_ledger_until_a_night_delivers_it(
        self, cli: Cli, world: World
    ) -> None:
        row: dict[str, Any] = {
            "event_id": "e",
            "digest": "d",
            "kind": "shown",
            "customer_id": "C-1",
        }
        row |= {"product_id": "P-1", "edition": 1, "rank": 1, "quantity": None, "value": None}
        event = {**row, "occurred_at": datetime.now(UTC)}
        spool = world.stores.feedback.spool
        spool.append(ACME, [event])
        spool.append(TenantId("gone"), [event])
        spool.close()

        def found() -> dict[str, Any]:
            done = cli("doctor", "--json")
            lines = {line["what"]: line for line in done.json}
            assert done.status == 1
            return dict(lines["spool"])

        assert found()["state"] == "waiting"
        assert "2 events" in found()["detail"]

        cli("night", "acme", "--date", "2026-04-02")

        assert (found()["state"], spool.waiting().stuck) == ("stuck", 1)
        assert [line["shown"] for line in cli.well("outcomes", "acme", "--json").json] == [1]


class TestOutcomes:
    def tell(self, world: World, tenant: TenantId, kind: str, **more: Any) -> None:
        row: dict[str, Any] = {"event_id": kind, "digest": kind, "kind": kind, "customer_id": "C-1"}
        row |= {"product_id": "P-1", "edition": 1, "rank": 1, "quantity": 1.0, "value": None}
        row |= {"occurred_at": datetime.now(UTC), **more}
        world.stores.feedback.record(tenant, [row])

    def test_are_those_of_one_tenant(self, cli: Cli, world: World) -> None:
        for kind in ("shown", "accepted"):
            self.tell(world, ACME, kind)
        self.tell(world, ACME, "purchased", value=1234.5)
        self.tell(world, BETA, "shown")

        [line] = cli.well("outcomes", "acme", "--json").json
        printed = cli.well("outcomes", "acme", "--days", "1").out

        figures = {name: line[name] for name in ("tenant", "shown", "bought", "revenue")}
        assert figures == {"tenant": "acme", "shown": 1, "bought": 1, "revenue": 1234.5}
        assert "100.0%" in printed
        assert "1,234.50" in printed

    def test_where_nothing_was_told_say_how_to_tell(self, cli: Cli) -> None:
        assert "/feedback" in cli.well("outcomes", "acme").out

    def test_of_a_tenant_that_is_none_are_refused(self, cli: Cli) -> None:
        cli.refused("NO_TENANT", "outcomes", "nobody")


class TestEvaluate:
    def test_compares_the_engine_with_simple_rules(self, new: Cli, tmp_path: Path) -> None:
        write_files(tmp_path / "data" / "shop", tables("acme"))

        [found] = new.well("evaluate", tmp_path / "data", "--json").json

        assert found["name"] == "shop"
        assert found["judged"] > 0
        scores = {score["method"]: score["ndcg_at_10"] for score in found["scores"]}
        assert "engine" in scores
        assert all(0 <= score <= 1 for score in scores.values())
        assert "shop" in new.well("evaluate", tmp_path / "data" / "shop").out

    def test_from_a_day_of_ones_own(self, new: Cli, tmp_path: Path) -> None:
        write_files(tmp_path / "shop", tables("acme"))

        [found] = new.well("evaluate", tmp_path / "shop", "--cut", "2026-03-20", "--json").json

        assert found["cut"] == "2026-03-20"

    def test_needs_no_home(self, bare: Cli, tmp_path: Path) -> None:
        write_files(tmp_path / "shop", tables("acme", customers=5))

        bare.well("evaluate", tmp_path / "shop", "--json")

        assert not bare.home.exists()

    def test_of_a_folder_without_data_is_refused(self, new: Cli, tmp_path: Path) -> None:
        new.refused("DATA_MISSING", "evaluate", tmp_path)


class TestTheDoor:
    @pytest.mark.parametrize(
        "words", [["nonsense"], ["tenant", "nonsense"], ["recs"], ["recs", "a"]]
    )
    def test_answers_2_to_words_it_does_not_know(self, words: list[str], new: Cli) -> None:
        done = new(*words)

        assert done.status == 2
        assert "Usage: " in done.told

    def test_answers_2_to_a_configuration_that_does_not_hold(
        self, new: Cli, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("RECFACTORY_SERVING__PORT", "x")

        assert "serving.port" in new.refused("CONFIG", "tenant", "list")

    def test_answers_2_to_a_configuration_that_cannot_be_read(
        self, new: Cli, tmp_path: Path
    ) -> None:
        (tmp_path / "config.yaml").write_text("serving: {port: [")

        new.refused("CONFIG", "tenant", "list")

    @pytest.mark.parametrize("url", ["hunter2", "sqlite:////nowhere/hunter2/ledger.db"])
    def test_answers_in_a_sentence_where_the_ledgers_address_leads_nowhere(
        self, url: str, new: Cli, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("RECFACTORY_LEDGER__URL", url)

        done = new("tenant", "list")

        assert done.status in (1, 2)
        assert "Next: " in done.told
        assert "hunter2" not in done.told

    def test_answers_130_to_ctrl_c(self, new: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
        def stop(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("jobs.cli.recfactory", stop)

        done = new("tenant", "list")

        assert (done.status, done.told) == (130, "stopped\n")

    def test_prints_json_and_nothing_else_where_json_is_asked_for(self, cli: Cli) -> None:
        for words in (
            ["tenant", "list"],
            ["tenant", "show", "acme"],
            ["data", "show", "acme"],
            ["data", "schema"],
            ["night", "acme", "--date", "2026-04-02"],
            ["why", "acme"],
            ["recs", "acme", "C-0001"],
            ["model", "list", "acme"],
            ["model", "show", "acme"],
            ["outcomes", "acme"],
            ["edition", "list", "acme"],
            ["key", "list"],
            ["doctor"],
        ):
            done = cli.well(*words, "--json")
            assert isinstance(done.json, (list, dict))
            assert done.told == ""

    def test_never_prints_the_ledgers_address(
        self, new: Cli, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("RECFACTORY_LEDGER", "sqlite:////hunter2/ledger.db")

        assert "hunter2" not in new.refused("CONFIG", "doctor")
