"""The database of a verifier: open challenges, last accepted positions of attestation keys, verdicts.

SQLite in a file or in memory. There is one connection and one lock, and all access is in transactions. So a transaction
is atomic for all threads, and (`BEGIN IMMEDIATE`) for other processes on the same file. Commits reach the disk before
the request is answered: a power failure must not make a used nonce usable again. A transaction on a file that was
deleted or replaced fails, even if SQLite has committed it.
"""

import logging
import os
import secrets
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from enclave_sim.attestation import Position
from enclave_sim.attestation.service import schema
from enclave_sim.attestation.service.kept_files import KeptFiles
from enclave_sim.errors import ConfigurationError
from enclave_sim.reasons import reason

LOG = logging.getLogger("enclave_sim.verifier")
KEPT_CHALLENGES = 100_000
"""Older challenges are dropped, and a submission for them is refused."""
MAX_LISTED_BYTES = 2**20
"""Bytes of verdicts in one answer; every connection may hold one that its peer does not read."""
_MASK_64 = (1 << 64) - 1
_PROBE_BYTES = 16_384  # more than any verdict
_KEPT_PROBES = 100  # for concurrent checks, including those of other services


@dataclass(frozen=True, slots=True)
class Kept:
    """The number and total size of kept verdicts of one kind. Older ones are dropped."""

    rows: int
    size: int  # bytes


KEPT = {True: Kept(100_000, 512 * 2**20), False: Kept(10_000, 64 * 2**20)}
"""Limits of accepted and refused verdicts. They are separate because anyone can cause any number of refusals."""


@dataclass(frozen=True, slots=True)
class StoredChallenge:
    """An issued challenge. Times are nanoseconds of the verifier's clock."""

    id: str
    nonce: bytes
    cycle: int
    ak: bytes | None  # Name of the key to which the challenge was issued
    issued_ns: int
    expires_ns: int
    used: int = 0  # 1 when evidence for it was submitted


class Database:
    """The tables. Call every method except `transaction`, `check` and `close` within a transaction."""

    def __init__(self, path: Path | None = None) -> None:
        """Open or create the file; without a path, keep the database in memory. Raises ConfigurationError."""
        self._lock = threading.Lock()
        self._shown = ":memory:" if path is None else str(path)
        self._path = None if path is None else Path(os.path.realpath(path))
        self._files: KeptFiles | None = None
        self._logged: set[str] = set()  # errors since the database was last found healthy
        try:
            self._connection = self._connect()
        except sqlite3.Error as error:
            raise ConfigurationError(f"{self._shown}: cannot be opened as a database: {reason(error)}") from None
        try:
            self._prepare()
            if self._path is not None:
                self._write_probe()  # it creates the WAL files
                self._files = KeptFiles.of(self._path)
        except (sqlite3.Error, OSError) as error:
            self._connection.close()
            raise ConfigurationError(
                f"{self._shown} is not a database that a verifier can use: {reason(error)}"
            ) from None
        except ConfigurationError:
            self._connection.close()
            raise

    def _connect(self) -> sqlite3.Connection:
        name = ":memory:" if self._path is None else str(self._path)
        return sqlite3.connect(name, timeout=5.0, isolation_level=None, check_same_thread=False)

    def _prepare(self) -> None:
        self._identity()  # a foreign database is not changed
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        with self._committed():
            for statement in self._identity():
                self._connection.execute(statement)

    def _identity(self) -> tuple[str, ...]:
        """Return the statements that create or upgrade the tables. Raises ConfigurationError."""
        identity = self._number("PRAGMA application_id"), self._number("PRAGMA user_version")
        if identity == (0, 0) and not self._number("SELECT count(*) FROM sqlite_schema"):
            return schema.CREATE
        known = {(schema.APPLICATION_ID, 1): schema.FROM_1, (schema.APPLICATION_ID, schema.VERSION): ()}
        if identity not in known:
            raise ConfigurationError(
                f"{self._shown} is not a database of this version of the verifier; name a new file"
            )
        return known[identity]

    def _number(self, query: str) -> int:
        return int(self._connection.execute(query).fetchone()[0])

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the block as one transaction, rolled back by an exception.

        Yields:
            Nothing.

        Raises:
            sqlite3.Error: The database cannot be used, or the changes are not stored.
        """
        with self._lock:
            try:
                self._check_files()
                with self._committed():
                    yield
                self._check_files()
            except sqlite3.Error as error:
                self._log(reason(error))
                raise

    def _log(self, trouble: str) -> None:
        """Log a database error once, however many requests meet it."""
        if trouble not in self._logged:
            self._logged.add(trouble)
            LOG.error("%s: the database cannot be used, and nothing is accepted: %s", self._shown, trouble)

    @contextmanager
    def _committed(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def _check_files(self) -> None:
        if self._files is not None:
            self._files.check()

    def check(self) -> None:
        """Store a verdict as if evidence were accepted, and a persistent row of its size, and read both back.

        Raises:
            DatabaseError: Evidence could not be stored; or another sqlite3.Error.
        """
        with self.transaction():
            self._connection.execute("SAVEPOINT health")
            name, verdict = secrets.token_hex(16), "x" * _PROBE_BYTES
            self.add_challenge(StoredChallenge(name, b"", 0, None, 0, 0))
            self.use_challenge(name)
            self.set_last_accepted([name.encode()], Position(0, 0, 0, 0))
            self.add_verdict(name, verdict, accepted=True)
            found = self.challenge(name), self.last_accepted([name.encode()]), self.verdict(name)
            self._connection.execute("ROLLBACK TO health")
            self._connection.execute("RELEASE health")
            if found != (StoredChallenge(name, b"", 0, None, 0, 0, 1), (Position(0, 0, 0, 0),), verdict):
                raise sqlite3.DatabaseError("what is stored is not what is read back")
            stored = self._write_probe()
        with self.transaction():
            if not self._has_probe(stored):
                raise sqlite3.DatabaseError("what was stored cannot be read back")
            if self._logged:
                LOG.warning("%s: the database can be used again", self._shown)
                self._logged.clear()

    def _write_probe(self) -> str:
        stored = secrets.token_hex(_PROBE_BYTES // 2)
        number = self._connection.execute("INSERT INTO health (stored) VALUES (?)", (stored,)).lastrowid
        self._connection.execute("DELETE FROM health WHERE number <= ?", ((number or 0) - _KEPT_PROBES,))
        return stored

    def _has_probe(self, stored: str) -> bool:
        """Look for the stored row through a new connection to the file."""
        query = "SELECT count(*) FROM health WHERE stored = ?"
        if self._path is None:
            return bool(self._connection.execute(query, (stored,)).fetchone()[0])
        with closing(self._connect()) as connection:
            return bool(connection.execute(query, (stored,)).fetchone()[0])

    def close(self) -> None:
        """Close the file, after running transactions."""
        with self._lock:
            self._connection.close()

    def add_challenge(self, challenge: StoredChallenge) -> None:
        """Store a challenge before it is issued."""
        self._connection.execute(
            "INSERT INTO challenges (id, nonce, cycle, ak, issued_ns, expires_ns) VALUES (?, ?, ?, ?, ?, ?)",
            (
                challenge.id,
                challenge.nonce,
                challenge.cycle,
                challenge.ak,
                challenge.issued_ns,
                challenge.expires_ns,
            ),
        )
        self._connection.execute(
            "DELETE FROM challenges WHERE rowid <= (SELECT max(rowid) FROM challenges) - ?", (KEPT_CHALLENGES,)
        )

    def drop_challenges(self, expired_before_ns: int) -> None:
        """Delete the challenges that expired before a time, in ns of the verifier's clock."""
        self._connection.execute("DELETE FROM challenges WHERE expires_ns < ?", (expired_before_ns,))

    def challenge(self, challenge_id: str) -> StoredChallenge | None:
        """Return the challenge with that id, or None."""
        row = self._connection.execute(
            "SELECT id, nonce, cycle, ak, issued_ns, expires_ns, used FROM challenges WHERE id = ?", (challenge_id,)
        ).fetchone()
        return None if row is None else StoredChallenge(*row)

    def use_challenge(self, challenge_id: str) -> None:
        """Mark a challenge as used."""
        self._connection.execute("UPDATE challenges SET used = 1 WHERE id = ?", (challenge_id,))

    def last_accepted(self, ak_names: Iterable[bytes]) -> tuple[Position, ...]:
        """Return the last accepted position of each of these keys that has one."""
        rows = (
            self._connection.execute(
                "SELECT reset_count, restart_count, clock, cycle FROM last_accepted WHERE ak = ?", (name,)
            ).fetchone()
            for name in ak_names
        )
        return tuple(
            Position(resets, restarts, clock & _MASK_64, cycle)
            for resets, restarts, clock, cycle in (row for row in rows if row is not None)
        )

    def set_last_accepted(self, ak_names: Iterable[bytes], position: Position) -> None:
        """Store the accepted positions of these keys."""
        clock = position.clock - (position.clock >> 63 << 64)  # SQLite's 64-bit integers are signed
        self._connection.executemany(
            "INSERT OR REPLACE INTO last_accepted (ak, reset_count, restart_count, clock, cycle)"
            " VALUES (?, ?, ?, ?, ?)",
            [(name, position.reset_count, position.restart_count, clock, position.cycle) for name in ak_names],
        )

    def add_verdict(self, challenge_id: str, verdict: str, *, accepted: bool) -> None:
        """Append a verdict, as JSON, to the journal, and drop the oldest of its kind beyond the limits."""
        last = self._connection.execute(
            "SELECT place, total FROM verdicts WHERE accepted = ? ORDER BY place DESC LIMIT 1", (accepted,)
        ).fetchone()
        place, total = (1, 0) if last is None else (last[0] + 1, last[1])
        total += len(verdict.encode())
        self._connection.execute(
            "INSERT INTO verdicts (challenge, accepted, place, total, verdict) VALUES (?, ?, ?, ?, ?)",
            (challenge_id, accepted, place, total, verdict),
        )
        kept = KEPT[accepted]
        first = self._connection.execute(
            "SELECT place FROM verdicts WHERE accepted = ? AND place > ? AND total > ? ORDER BY place LIMIT 1",
            (accepted, place - kept.rows, total - kept.size),
        ).fetchone()
        self._connection.execute("DELETE FROM verdicts WHERE accepted = ? AND place < ?", (accepted, first[0]))

    def verdict(self, challenge_id: str) -> str | None:
        """Return the verdict on the evidence for a challenge, or None."""
        row = self._connection.execute("SELECT verdict FROM verdicts WHERE challenge = ?", (challenge_id,)).fetchone()
        return None if row is None else str(row[0])

    def newest_verdicts(self, limit: int, *, accepted: bool | None = None) -> list[str]:
        """Return the last verdicts, newest first: all, or those that accept, or those that refuse.

        Args:
            limit: The maximum number. Fewer are returned if they would exceed `MAX_LISTED_BYTES`.
            accepted: The kind; None for both.

        Returns:
            The verdicts, as JSON.
        """
        if accepted is None:
            rows = self._connection.execute("SELECT verdict FROM verdicts ORDER BY number DESC LIMIT ?", (limit,))
        else:
            rows = self._connection.execute(
                "SELECT verdict FROM verdicts WHERE accepted = ? ORDER BY place DESC LIMIT ?", (accepted, limit)
            )
        listed: list[str] = []
        size = 0
        for (verdict,) in rows:
            size += len(verdict)
            if listed and size > MAX_LISTED_BYTES:
                break
            listed.append(str(verdict))
        rows.close()
        return listed
