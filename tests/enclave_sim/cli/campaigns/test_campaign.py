"""`enclave-sim campaign`: run a plan, look at it, repeat a run; mistakes are one line."""

import json
import sqlite3
from pathlib import Path

import html5lib
import pytest

from enclave_sim.cli.exit_codes import ExitCode
from enclave_sim.cli.schema import Output
from tests.enclave_sim.cli.campaigns.plans import PLAN
from tests.enclave_sim.cli.command import assert_refused, command
from tests.enclave_sim.cli.schemas import check


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("campaign")
    (directory / "plan.toml").write_text(PLAN)
    ended = command("campaign", "run", directory / "plan.toml", "--workers", "1")
    assert (ended.code, ended.error) == (0, "")
    assert ended.output.startswith("3 of 3 runs\n\ninstruction instructions 116800-116803: 3 runs for 3 faults")
    return directory / "plan.campaign"


@pytest.mark.slow
def test_a_campaign_that_is_done_runs_nothing(store: Path) -> None:
    before = store.read_bytes()
    ended = command("campaign", "run", store.with_name("plan.toml"))
    assert ended.output.startswith("3 of 3 runs\n")
    assert store.read_bytes() == before


def test_status(store: Path) -> None:
    ended = command("campaign", "status", store)
    assert ended.output == "3 of 3 runs\n            3 of           3  instruction instructions 116800-116803\n"


def test_reports(store: Path, tmp_path: Path) -> None:
    ended = command("campaign", "report", store, "--html", tmp_path / "a.html", "--parquet", tmp_path / "a.parquet")
    assert "failures, extrapolated: " in ended.output
    page = (tmp_path / "a.html").read_text()
    html5lib.HTMLParser(strict=True).parse(page)
    assert "http" not in page.replace("http://www.w3.org", "")
    assert "Outcomes by phase" in page
    parquet = pytest.importorskip("pyarrow.parquet").read_table(tmp_path / "a.parquet")
    with sqlite3.connect(store) as connection:
        rows = connection.execute("SELECT * FROM runs").fetchall()
    assert [tuple(row.values()) for row in parquet.to_pylist()] == rows
    connection.close()


def test_the_json_is_as_its_schema_says(store: Path) -> None:
    found = check(Output.CAMPAIGN_REPORT, "campaign", "report", store)
    assert (found["done"], found["planned"], found["population"]) == (3, 3, 3)
    assert check(Output.CAMPAIGN_REPORT, "campaign", "status", store) == found


def test_one_run_is_shown_and_repeated(store: Path, tmp_path: Path) -> None:
    shown = command("campaign", "show", store, "0/1").output
    assert f"repeat        enclave-sim campaign rerun {store} 0/1" in shown
    row = json.loads(command("campaign", "show", store, "0/1", "--json").output)
    record = tmp_path / "run.jsonl"
    ended = command("campaign", "rerun", store, "0/1", "--record", record)
    assert ended.output == f"{row['outcome']}, digest {row['digest']}: as stored\n"
    assert command("replay", record).output.startswith("equal: ")


def test_a_run_that_is_not_as_stored_is_reported(store: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.campaign"
    other.write_bytes(store.read_bytes())
    connection = sqlite3.connect(other)
    with connection:
        connection.execute("UPDATE runs SET digest = 'forged'")
    connection.close()
    ended = command("campaign", "rerun", other, "0/1")
    assert ended.code == ExitCode.DIVERGED
    assert ended.output.endswith("NOT as stored\n")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("status nowhere.campaign", "nowhere.campaign does not exist; enclave-sim campaign run PLAN makes it"),
        ("show {} 7/7", "{} has no run 7/7"),
        ("show {} 7", "'7' is not a run; it must be a stratum and a number, as 2/1234"),
        ("show {} -1/2", "there is no option"),
        ("run nowhere.toml", "cannot read nowhere.toml"),
    ],
)
def test_a_mistake_is_one_line(store: Path, words: str, error: str) -> None:
    ended = command("campaign", *words.format(store).split())
    assert_refused(ended)
    assert ended.error.startswith(f"error: {error.format(store)}")


def test_another_campaign_is_not_continued(store: Path, tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(PLAN.replace("116803", "116804"))
    ended = command("campaign", "run", tmp_path / "plan.toml", "--store", store)
    assert_refused(ended, "holds another campaign")


def test_another_database_is_refused(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "a.campaign")
    connection.execute("CREATE TABLE x (y)")
    connection.close()
    assert_refused(command("campaign", "status", tmp_path / "a.campaign"), "is not a campaign: it is another database")
