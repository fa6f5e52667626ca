"""Who did what over the command line, and what becomes of somebody who would rather not have."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from schema.errors import Refused
from schema.names import Mode
from tests.scenarios.test_rules import cli
from tests.world import ACME, BETA, World, tables, write_files


def audit(world: World, *words: str | Path) -> Any:
    done = cli(world, "audit", *words, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def tampered(world: World, statement: str) -> None:
    with world.stores.engine.begin() as connection:
        for act in ("update", "delete"):
            connection.execute(text(f"drop trigger if exists audit_{act}"))
        assert connection.execute(text(statement)).rowcount


class TestEveryActOfTheCommandLine:
    def test_leaves_a_line_with_who_did_it(self, world: World) -> None:
        world.night(ACME)
        files = write_files(world.folder / "again", tables(ACME))
        key = json.loads(cli(world, "key", "create", ACME, "--json").stdout)["key_id"]
        acts = {
            ("tenant", "add", "gamma"): "register",
            ("tenant", "set", ACME, "als.factors=16"): "settings",
            ("tenant", "mode", ACME, "freeze", "--why", "x"): "mode",
            ("data", "import", ACME, "--products", str(files["products"])): "import",
            ("rule", "add", ACME, "exclude", "--product", "acme-P-01", "--why", "x"): "rule added",
            ("rule", "remove", ACME, "1"): "rule removed",
            ("key", "create", "--role", "operator"): "key created",
            ("key", "revoke", key): "key revoked",
            ("edition", "activate", ACME, "1", "--why", "x"): "activate",
            ("edition", "release", ACME): "release",
        }
        for words, act in acts.items():
            before = len(audit(world))
            done = cli(world, *words)
            assert done.exit_code == 0, done.output
            line, *rest = audit(world)
            assert (line["act"], len(rest)) == (act, before)
            assert line["actor"].startswith("cli")

    def test_that_only_tries_leaves_none(self, world: World) -> None:
        files = write_files(world.folder / "again", tables(ACME))
        before = audit(world)
        cli(world, "data", "import", ACME, "--products", str(files["products"]), "--dry-run")
        cli(world, "tenant", "add", ACME)
        cli(world, "tenant", "set", ACME, "als.factors=-1")
        assert audit(world) == before


class TestAudit:
    def test_shows_one_tenants_lines_or_all(self, world: World) -> None:
        assert [line["act"] for line in audit(world, ACME)] == ["import", "register"]
        assert {line["tenant"] for line in audit(world)} == {ACME, BETA}
        assert len(audit(world, "--limit", "1")) == 1
        shown = cli(world, "audit").stdout
        assert "register" in shown
        assert BETA in shown

    def test_of_an_unknown_tenant_is_refused(self, world: World) -> None:
        assert "nobody" in str(cli(world, "audit", "nobody").exception)


class TestVerify:
    def test_finds_a_trail_whole(self, world: World) -> None:
        chains = audit(world, "--verify")
        assert [(chain["tenant"], chain["number"]) for chain in chains] == [
            (None, 0), (ACME, 2), (BETA, 2),
        ]  # fmt: skip
        assert "whole" in cli(world, "audit", "--verify").stdout
        assert [chain["tenant"] for chain in audit(world, ACME, "--verify")] == [ACME]

    @pytest.mark.parametrize(
        ("statement", "said"),
        [
            ("update audit set actor = 'bob' where tenant = 'acme' and number = 1", "was changed"),
            ("delete from audit where tenant = 'acme' and number = 1", "line 1 is gone"),
        ],
    )
    def test_names_what_was_done_to_it_and_whose_it_is(
        self, statement: str, said: str, world: World
    ) -> None:
        tampered(world, statement)

        done = cli(world, "audit", "--verify", "--json")

        assert done.exit_code == 1
        wrong = [chain for chain in json.loads(done.stdout) if chain["faults"]]
        assert [chain["tenant"] for chain in wrong] == [ACME]
        assert said in wrong[0]["faults"][0]
        assert said in cli(world, "audit", "--verify").stdout
        doctor = cli(world, "doctor")
        assert doctor.exit_code == 1
        assert said in doctor.stdout

    def test_finds_a_tail_that_was_cut_off_by_what_it_said_before(
        self, world: World, tmp_path: Path
    ) -> None:
        kept = tmp_path / "kept.json"
        kept.write_text(cli(world, "audit", "--verify", "--json").stdout)
        world.switch(ACME, Mode.OFF)
        assert cli(world, "audit", "--verify", "--since", kept).exit_code == 0
        tampered(world, "delete from audit where tenant = 'acme' and number > 1")

        assert cli(world, "audit", "--verify").exit_code == 0  # by itself it cannot know
        done = cli(world, "audit", "--verify", "--since", kept)

        assert done.exit_code == 1
        assert "line 2 is not the one" in done.stdout

    @pytest.mark.parametrize("content", ["", "[1]", "{}", '[{"tenant": null}]'])
    def test_refuses_a_file_that_it_did_not_write(
        self, content: str, world: World, tmp_path: Path
    ) -> None:
        kept = tmp_path / "kept.json"
        kept.write_text(content)
        told = cli(world, "audit", "--verify", "--since", kept).exception
        assert isinstance(told, Refused)
        assert told.code == "FILE"
