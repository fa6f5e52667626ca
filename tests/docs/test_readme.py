"""The README is true: every command in it is run here, in its order."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from jobs.cli import COMMANDS, recfactory

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = [block.strip() for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)]
TWO_COMMANDS, *TOUR = BLOCKS
TOUR_SECONDS = 900
"""Sixty programs are started one after the other, each for about a second of computing: seven
minutes on two cores that others use, too. This is for what hangs."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        "RECFACTORY_HOME": str(tmp_path / "home"),
        "RECFACTORY_SERVING__PORT": str(free_port()),
    }


def test_the_first_screen_names_the_two_commands() -> None:
    assert TWO_COMMANDS == "make run\nmake test"
    assert "make test" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.slow
@pytest.mark.timeout(TOUR_SECONDS + 30)
def test_every_command_of_the_tour_and_of_operation_works(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    assert shutil.which("curl"), "the tour needs curl"
    place = tmp_path / "clone"
    place.mkdir()
    (place / ".venv").symlink_to(Path(sys.prefix))
    (place / "config.yaml").write_text((ROOT / "config.yaml").read_text())
    script = "set -eux\n" + "\n".join(TOUR)
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TOUR_SECONDS,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert '"rank":3' in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_make_run_serves_real_tenants_and_its_curl_line_answers(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    """The whole main job: twelve tenants, two nights, a curl line with a key, and a clean stop."""
    first = main_job(environment)
    assert first.count("2018-01-01") == 12  # a row each
    again = main_job(environment)
    assert "Manufacturer" not in again  # nothing is taken in twice
    assert_evaluation(tmp_path / "home" / "demo", environment)


def main_job(environment: dict[str, str]) -> str:
    """Run `make run` until it serves, ask as it says, stop it; returns what it printed."""
    with subprocess.Popen(
        ["make", "run"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as job:
        assert job.stdout is not None
        printed = ""
        for line in job.stdout:
            printed += line
            if "Stop with Ctrl-C" in line:
                break
        try:
            command = re.search(r"curl .*?(?= \| python3)", printed, re.DOTALL)
            assert command, printed[-2000:]
            answer = subprocess.run(["bash", "-c", command[0]], capture_output=True, text=True)
            assert answer.stdout.count('"rank"') == 10, answer.stdout + printed[-2000:]
            assert "times, " in answer.stdout
        finally:
            os.killpg(job.pid, signal.SIGINT)
            rest = job.stdout.read()
    assert "Traceback" not in rest
    assert "Stopped." in rest
    return printed


def assert_evaluation(folder: Path, environment: dict[str, str]) -> None:
    """The README's table is what `recfactory evaluate` says, and the engine beats the simple rules."""
    done = subprocess.run(
        [Path(sys.prefix) / "bin" / "python", "-m", "benchmarks.readme", str(folder), "--check"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_schedule_starts_and_stops(environment: dict[str, str]) -> None:
    """`recfactory schedule` runs until it is stopped, and ends without a fuss."""
    program = Path(sys.prefix) / "bin" / "recfactory"
    subprocess.run([program, "init"], env=environment, check=True)
    with subprocess.Popen(
        [program, "schedule"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as clock:
        assert clock.stdout is not None
        assert "local midnight" in clock.stdout.readline()
        clock.send_signal(signal.SIGINT)
        rest = clock.stdout.read()
    assert "Traceback" not in rest
    assert clock.returncode == 130


def inline_commands() -> list[str]:
    """Commands named in running text and tables: `recfactory …`."""
    text = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    return sorted(set(re.findall(r"`recfactory ([^`]+)`", text)))


@pytest.mark.parametrize("command", inline_commands())
def test_a_command_named_in_the_text_exists(command: str) -> None:
    words = [word for word in command.split() if re.fullmatch(r"[a-z]+", word)]
    result = CliRunner().invoke(recfactory, [*words[:2], "--help"])
    assert result.exit_code == 0, result.output


def test_every_command_group_is_in_the_readme_or_in_help() -> None:
    named = " ".join(inline_commands()) + README
    missing = [name for name in COMMANDS if f"recfactory {name}" not in named and name != "demo"]
    assert not missing
