"""The database's content; nothing is accepted that it does not store."""

import logging
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from enclave_sim.attestation.service import database
from enclave_sim.attestation.service.database import Kept
from enclave_sim.errors import ConfigurationError
from tests.enclave_sim.attestation.service.node import OTHER_KEYS, Node
from tests.enclave_sim.attestation.service.rig import Answer, Rig
from tests.enclave_sim.attestation.service.threads import at_once

NODE = Node()
NAME = "verifier.sqlite"


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(path=tmp_path / NAME)
    yield rig
    rig.database.close()


def submitted(rig: Rig, cycle: int, node: Node = NODE) -> Answer:
    challenge, nonce = rig.challenge(cycle)
    return rig.submit(challenge, node.evidence(nonce, cycle))


def elsewhere(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()


def deleted(path: Path) -> None:
    path.unlink()


def replaced(path: Path) -> None:
    shutil.copy(path, path.with_suffix(".copy"))
    path.with_suffix(".copy").rename(path)


def moved(path: Path) -> None:
    path.parent.rename(path.parent.with_name("moved"))
    path.parent.mkdir()


def cut(path: Path) -> None:
    os.truncate(path, 0)


LOSSES: list[tuple[Callable[[Path], None], str]] = [
    (deleted, ""),
    (replaced, ""),
    (moved, ""),
    (cut, ""),
    (deleted, "-wal"),
    (replaced, "-wal"),
    (deleted, "-shm"),
]


@pytest.mark.parametrize(("lose", "suffix"), LOSSES, ids=lambda each: getattr(each, "__name__", each))
def test_evidence_is_refused_once_a_file_is_lost(
    tmp_path: Path, lose: Callable[[Path], None], suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    """SQLite would continue, and a restarted verifier would accept the same position again."""
    path = tmp_path / "kept" / NAME
    path.parent.mkdir()
    rig = Rig(path=path)
    challenge, nonce = rig.challenge(1)
    assert rig.request("GET", "/health").content == {"status": "ok"}
    lose(path.with_name(NAME + suffix))
    assert rig.submit(challenge, NODE.evidence(nonce, 1)).error == (503, "database")
    for _ in range(3):
        health = rig.request("GET", "/health")
        assert health.error == (503, "database")
        assert NAME in health.content["message"]
        assert rig.post_challenge(b'{"cycle": 0}').error == (503, "database")
        assert rig.request("GET", "/verdicts").error == (503, "database")
    assert [(record.levelno, NAME in record.message) for record in caplog.records] == [(logging.ERROR, True)]
    rig.database.close()


def test_a_file_lost_within_a_transaction_is_noticed_before_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig(path=tmp_path / NAME)
    challenge, nonce = rig.challenge(1)
    add_verdict = database.Database.add_verdict

    def lost_before_the_commit(self: database.Database, challenge_id: str, verdict: str, *, accepted: bool) -> None:
        add_verdict(self, challenge_id, verdict, accepted=accepted)
        (tmp_path / NAME).unlink()

    monkeypatch.setattr(database.Database, "add_verdict", lost_before_the_commit)
    assert rig.submit(challenge, NODE.evidence(nonce, 1)).error == (503, "database")
    rig.database.close()


@pytest.mark.parametrize("table", ["challenges", "last_accepted", "verdicts", "health"])
def test_health_needs_every_table(kept: Rig, tmp_path: Path, table: str) -> None:
    elsewhere(tmp_path / NAME, f"DROP TABLE {table}")
    assert kept.request("GET", "/health").error == (503, "database")


@pytest.mark.parametrize("pragma", ["query_only = 1", "max_page_count = 1"], ids=["read-only", "full"])
def test_a_database_that_takes_nothing_is_not_healthy_until_it_does(
    kept: Rig, pragma: str, caplog: pytest.LogCaptureFixture
) -> None:
    connection = kept.database._connection
    connection.execute(f"PRAGMA {pragma}")
    for _ in range(2):
        assert kept.request("GET", "/health").error == (503, "database")
    connection.execute("PRAGMA query_only = 0")
    connection.execute("PRAGMA max_page_count = 1000000")
    assert kept.request("GET", "/health").content == {"status": "ok"}
    assert kept.failures(submitted(kept, 1)) == []
    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.WARNING]


@pytest.mark.parametrize("services", [1, 2])
def test_many_may_ask_for_health_at_once(tmp_path: Path, services: int, caplog: pytest.LogCaptureFixture) -> None:
    databases = [database.Database(tmp_path / NAME) for _ in range(services)]

    def ask(one: database.Database) -> None:
        for _ in range(20):
            one.check()

    at_once([partial(ask, one) for one in databases * 3])
    assert caplog.records == []
    for one in databases:
        one.close()


def test_requests_that_fail_and_others_that_do_not_fill_no_log(
    kept: Rig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    elsewhere(tmp_path / NAME, "DROP TABLE challenges")
    for _ in range(5):
        assert kept.post_challenge(b'{"cycle": 0}').error == (503, "database")
        assert kept.request("GET", "/verdicts").status == 200
    assert len(caplog.records) == 1


def test_health_notices_what_cannot_be_read_back(kept: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database.Database, "_write_probe", lambda _: "never written")
    assert kept.request("GET", "/health").error == (503, "database")


def test_health_leaves_nothing_behind(kept: Rig, tmp_path: Path) -> None:
    for _ in range(3):
        assert kept.request("GET", "/health").status == 200
    assert kept.request("GET", "/verdicts").content == {"verdicts": []}
    with sqlite3.connect(tmp_path / NAME) as connection:
        rows = connection.execute("SELECT count(*) FROM challenges UNION ALL SELECT count(*) FROM last_accepted")
        assert rows.fetchall() == [(0,), (0,)]
    connection.close()


def test_a_database_that_cannot_be_written_is_refused_at_the_start(tmp_path: Path) -> None:
    Rig(path=tmp_path / NAME).database.close()
    elsewhere(tmp_path / NAME, "DROP TABLE health")
    with pytest.raises(ConfigurationError, match="its tables are not the expected ones"):
        database.Database(tmp_path / NAME)


def test_a_name_that_sqlite_would_understand_otherwise_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (":memory:", "file:x?mode=memory"):
        database.Database(Path(name)).close()
        assert (tmp_path / name).is_file()


def test_refused_evidence_drops_no_accepted_verdict(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "KEPT", {True: Kept(2, 10**6), False: Kept(3, 10**6)})
    good = submitted(rig, 0).content
    bad = [rig.submit(rig.challenge()[0], b"x").content for _ in range(7)]
    assert rig.request("GET", "/verdicts").content == {"verdicts": [*bad[:3:-1], good]}
    assert rig.request("GET", "/verdicts?accepted=true").content == {"verdicts": [good]}
    assert rig.request("GET", "/verdicts?accepted=false&limit=2").content == {"verdicts": bad[:4:-1]}
    assert rig.request("GET", f"/verdicts/{good['challenge']}").content == good
    for value in ("1", "", "True", "true&accepted=true"):
        assert rig.request("GET", f"/verdicts?accepted={value}").error == (400, "accepted_malformed")
    later = [submitted(rig, cycle).content for cycle in (1, 2)]
    assert rig.request("GET", "/verdicts?accepted=true").content == {"verdicts": later[::-1]}


def test_the_size_of_the_journal_is_limited(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(rig.verifier.judge(rig.challenge()[0], b"x").encode())
    monkeypatch.setattr(database, "KEPT", {True: Kept(99, 10**6), False: Kept(99, 3 * size)})
    bad = [rig.submit(rig.challenge()[0], b"x").content for _ in range(6)]
    assert rig.request("GET", "/verdicts").content == {"verdicts": bad[:2:-1]}


def test_one_answer_has_a_limited_size(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = [rig.verifier.judge(rig.challenge()[0], b"x") for _ in range(4)]
    for size, listed in ((2 * len(bad[0]), 2), (2 * len(bad[0]) - 1, 1), (0, 1)):
        monkeypatch.setattr(database, "MAX_LISTED_BYTES", size)
        assert len(rig.request("GET", "/verdicts").content["verdicts"]) == listed


def test_the_number_of_open_challenges_is_limited(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "KEPT_CHALLENGES", 3)
    (oldest, nonce), *others = [rig.challenge() for _ in range(4)]
    assert rig.submit(oldest, NODE.evidence(nonce)).error == (404, "challenge_unknown")
    challenge, nonce = others[0]
    assert rig.failures(rig.submit(challenge, NODE.evidence(nonce))) == []


_VERSION_1 = """
CREATE TABLE challenges (id TEXT PRIMARY KEY, nonce BLOB NOT NULL, cycle INTEGER NOT NULL, ak BLOB,
    issued_ns INTEGER NOT NULL, expires_ns INTEGER NOT NULL, used INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE INDEX challenges_by_expiry ON challenges (expires_ns);
CREATE TABLE last_accepted (ak BLOB PRIMARY KEY, reset_count INTEGER NOT NULL, cycle INTEGER NOT NULL) STRICT;
CREATE TABLE verdicts (
    number INTEGER PRIMARY KEY AUTOINCREMENT, challenge TEXT NOT NULL UNIQUE, verdict TEXT NOT NULL) STRICT;
INSERT INTO verdicts VALUES (3, 'a', '{"challenge": "a", "accepted": true}'),
    (4, 'b', '{"challenge": "b", "accepted": false}'), (5, 'c', '{"challenge": "c", "accepted": true}');
PRAGMA application_id = 1096176198;
PRAGMA user_version = 1;
"""


def test_a_database_of_version_1_goes_on(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / NAME) as connection:
        connection.executescript(_VERSION_1)
        connection.execute("INSERT INTO last_accepted VALUES (?, 3, 5)", (NODE.ak_name,))
    connection.close()
    for found in ("c b a", "x c b a"):
        rig = Rig(path=tmp_path / NAME)
        listed = rig.request("GET", "/verdicts?accepted=true").content["verdicts"]
        assert [each["challenge"][:1] for each in listed] == [each for each in found.split() if each in "ac"]
        assert len(rig.request("GET", "/verdicts").content["verdicts"]) == len(found.split())
        assert rig.failures(submitted(rig, 5)) == ["freshness"]
        rig.database.close()
    rig = Rig(path=tmp_path / NAME)
    assert rig.failures(submitted(rig, 6)) == []
    assert rig.failures(submitted(rig, 0, Node(keys=OTHER_KEYS))) == []
    rig.database.close()
