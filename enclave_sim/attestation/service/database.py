"""The database of a verifier: open challenges, what was last accepted of each attestation key, verdicts.

SQLite in a file or in memory. There is one connection and one lock, and all access is in transactions. So whatever is
read and written within one happens at once, for all threads, and (`BEGIN IMMEDIATE`) for other processes on the same
file. Commits reach the disk before the request is answered: a power failure must not make a used nonce new again.
"""

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from enclave_sim.errors import ConfigurationError

KEPT_VERDICTS = 100_000
"""Older verdicts are dropped, so that nobody can fill the disk with refused evidence."""
_APPLICATION_ID = 0x41565246  # "AVRF"
_VERSION = 1
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE challenges (
    id TEXT PRIMARY KEY,
    nonce BLOB NOT NULL,
    cycle INTEGER NOT NULL,
    ak BLOB,
    issued_ns INTEGER NOT NULL,
    expires_ns INTEGER NOT NULL,
    used INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX challenges_by_expiry ON challenges (expires_ns);
CREATE TABLE last_accepted (
    ak BLOB PRIMARY KEY,
    reset_count INTEGER NOT NULL,
    cycle INTEGER NOT NULL
) STRICT;
CREATE TABLE verdicts (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    challenge TEXT NOT NULL UNIQUE,
    verdict TEXT NOT NULL
) STRICT;
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {_VERSION};
COMMIT;
"""


@dataclass(frozen=True, slots=True)
class StoredChallenge:
    """A challenge that was given out. Times are nanoseconds of the verifier's clock."""

    id: str
    nonce: bytes
    cycle: int
    ak: bytes | None  # Name of the key that the challenge was issued to
    issued_ns: int
    expires_ns: int
    used: int = 0  # 1 when evidence for it was submitted


class Database:
    """The tables. Every method but `transaction` and `close` is to be called within a transaction."""

    def __init__(self, path: Path | None = None) -> None:
        """Open or create the file; without a path, keep the database in memory. Raises ConfigurationError."""
        self._lock = threading.Lock()
        name = ":memory:" if path is None else str(path)
        if path is not None and path.exists() and not path.is_file():
            raise ConfigurationError(f"{name}: cannot be opened as a database: it is not a regular file")
        try:
            self._connection = sqlite3.connect(name, timeout=5.0, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise ConfigurationError(f"{name}: cannot be opened as a database: {error}") from None
        try:
            self._prepare(name)
        except sqlite3.Error as error:
            self._connection.close()
            raise ConfigurationError(f"{name}: is no database of a verifier: {error}") from None
        except ConfigurationError:
            self._connection.close()
            raise

    def _prepare(self, name: str) -> None:
        identity = self._number("PRAGMA application_id"), self._number("PRAGMA user_version")
        is_new = identity == (0, 0) and not self._number("SELECT count(*) FROM sqlite_schema")
        if not is_new and identity != (_APPLICATION_ID, _VERSION):
            raise ConfigurationError(f"{name}: is not a database of this version of the verifier; name a new file")
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        if is_new:
            self._connection.executescript(_SCHEMA)

    def _number(self, query: str) -> int:
        return int(self._connection.execute(query).fetchone()[0])

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the block as one transaction, which an exception undoes. Raises sqlite3.Error."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the file, after the transactions that are under way."""
        with self._lock:
            self._connection.close()

    def add_challenge(self, challenge: StoredChallenge) -> None:
        """Store a challenge before it is given out."""
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

    def drop_challenges(self, expired_before_ns: int) -> None:
        """Delete the challenges that expired before a time, in ns of the verifier's clock."""
        self._connection.execute("DELETE FROM challenges WHERE expires_ns < ?", (expired_before_ns,))

    def challenge(self, challenge_id: str) -> StoredChallenge | None:
        """Return the challenge of that id, or None if it is unknown."""
        row = self._connection.execute(
            "SELECT id, nonce, cycle, ak, issued_ns, expires_ns, used FROM challenges WHERE id = ?", (challenge_id,)
        ).fetchone()
        return None if row is None else StoredChallenge(*row)

    def use_challenge(self, challenge_id: str) -> None:
        """Mark a challenge as used."""
        self._connection.execute("UPDATE challenges SET used = 1 WHERE id = ?", (challenge_id,))

    def last_accepted(self, ak_names: Iterable[bytes]) -> tuple[int, int] | None:
        """Return the latest (reset count, cycle) accepted of any of these keys, or None."""
        rows = (
            self._connection.execute("SELECT reset_count, cycle FROM last_accepted WHERE ak = ?", (name,)).fetchone()
            for name in ak_names
        )
        return max((row for row in rows if row is not None), default=None)

    def set_last_accepted(self, ak_names: Iterable[bytes], reset_count: int | None, cycle: int | None) -> None:
        """Store what was accepted of these keys. Both numbers are needed: the table refuses None."""
        self._connection.executemany(
            "INSERT INTO last_accepted (ak, reset_count, cycle) VALUES (?, ?, ?)"
            " ON CONFLICT (ak) DO UPDATE SET reset_count = excluded.reset_count, cycle = excluded.cycle",
            [(name, reset_count, cycle) for name in ak_names],
        )

    def add_verdict(self, challenge_id: str, verdict: str) -> None:
        """Append a verdict, as JSON, to the journal."""
        number = self._connection.execute(
            "INSERT INTO verdicts (challenge, verdict) VALUES (?, ?)", (challenge_id, verdict)
        ).lastrowid
        self._connection.execute("DELETE FROM verdicts WHERE number <= ?", ((number or 0) - KEPT_VERDICTS,))

    def verdict(self, challenge_id: str) -> str | None:
        """Return the verdict over the evidence for a challenge, or None."""
        row = self._connection.execute("SELECT verdict FROM verdicts WHERE challenge = ?", (challenge_id,)).fetchone()
        return None if row is None else str(row[0])

    def newest_verdicts(self, limit: int) -> list[str]:
        """Return the last verdicts, newest first."""
        rows = self._connection.execute("SELECT verdict FROM verdicts ORDER BY number DESC LIMIT ?", (limit,))
        return [str(row[0]) for row in rows]
