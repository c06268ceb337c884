"""The results of a campaign: one SQLite file, which holds the plan, the strata, and one row for each run.

SQLite is in Python's standard library, survives a kill at any instant (write-ahead log, one transaction a batch),
can be queried with any tool while a campaign runs, and holds a billion rows. A run's key is its stratum and its number,
so no run can be in the table twice, and a campaign that was stopped continues with the runs that are missing. For
analysis in columns there is an export to Parquet.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

import msgspec

from enclave_sim.campaigns.outcomes import Outcome, Record
from enclave_sim.errors import ConfigurationError, installing
from enclave_sim.reasons import reason

VERSION = 1
_ID = int.from_bytes(b"AEcp", "big")
_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE strata (
    stratum INTEGER PRIMARY KEY, name TEXT NOT NULL, population INTEGER NOT NULL, size INTEGER NOT NULL,
    planned INTEGER NOT NULL
);
CREATE TABLE runs (
    stratum INTEGER NOT NULL, number INTEGER NOT NULL, weight INTEGER NOT NULL, outcome TEXT NOT NULL,
    guarantees TEXT NOT NULL, fault TEXT NOT NULL, moment TEXT NOT NULL, at_ns INTEGER, instructions INTEGER,
    rip INTEGER, phase TEXT NOT NULL, region TEXT NOT NULL, place TEXT NOT NULL, line TEXT NOT NULL,
    address INTEGER, cause TEXT NOT NULL, detail TEXT NOT NULL, end_ns INTEGER NOT NULL, same INTEGER NOT NULL,
    digest TEXT NOT NULL, evidence TEXT NOT NULL, PRIMARY KEY (stratum, number)
) WITHOUT ROWID;
"""
COLUMNS = (
    *("stratum", "number", "weight", "outcome", "guarantees", "fault", "moment", "at_ns", "instructions", "rip"),
    *("phase", "region", "place", "line", "address", "cause", "detail", "end_ns", "same", "digest", "evidence"),
)
"""The columns of `runs`, in order."""
Row = tuple[int | str | None, ...]
"""One run, in the order of `COLUMNS`."""


class StratumRow(msgspec.Struct, frozen=True):
    """One stratum, as stored."""

    stratum: int
    name: str
    population: int
    size: int
    planned: int


def row_of(stratum: int, number: int, weight: int, record: Record, line: str) -> Row:
    """Return the row of a run.

    Args:
        stratum: The number of its stratum.
        number: Its number in it.
        weight: How many faults at moments it stands for.
        record: Its record.
        line: The source line of the instruction before which the fault took effect; may be empty.

    Returns:
        The row.
    """
    fault, moment = (msgspec.json.encode(one).decode() for one in (record.injection.fault, record.injection.trigger))
    guarantees, evidence = " ".join(record.guarantees), "\n".join(record.evidence)
    address = getattr(record.injection.fault, "address", None)
    return (
        *(stratum, number, weight, record.outcome.value, guarantees, fault, moment, record.at_ns, record.instructions),
        *(record.rip, record.phase, record.region, record.place, line, address, record.cause, record.detail),
        *(record.end_ns, int(record.same), record.digest, evidence),
    )


class Store:
    """The file of one campaign. Use it as a context.

    Args:
        path: The file.
        create: Make it if there is none.

    Raises:
        ConfigurationError: There is no such file, or it is not one of a campaign.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self.path = path
        if path.exists() and not path.is_file():
            raise ConfigurationError(f"{path} is not a campaign: it is not a regular file")
        if not create and not path.exists():
            raise ConfigurationError(f"{path} does not exist; enclave-sim campaign run PLAN makes it")
        try:
            self._connection = sqlite3.connect(path, timeout=10.0, isolation_level=None)
            self._open(create=create)
        except sqlite3.Error as error:
            raise ConfigurationError(f"{path} is not a campaign: {reason(error)}") from None

    def _open(self, *, create: bool) -> None:
        (found,) = self._connection.execute("PRAGMA application_id").fetchone()
        (tables,) = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if not tables and create:
            self._connection.execute("PRAGMA journal_mode = WAL")
            with self._transaction():
                for statement in _SCHEMA.split(";"):
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA application_id = {_ID}")
                self._connection.execute(f"PRAGMA user_version = {VERSION}")
        elif found != _ID:
            raise ConfigurationError(f"{self.path} is not a campaign: it is another database")
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version != VERSION:
            raise ConfigurationError(f"{self.path} has format {version}; this version reads {VERSION}")
        self._connection.execute("PRAGMA synchronous = NORMAL")

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_error: object) -> None:
        with suppress(sqlite3.Error):
            self._connection.close()

    def _transaction(self) -> "_Transaction":
        return _Transaction(self._connection)

    # The plan

    def begin(self, identity: str, plan: str, strata: Sequence[StratumRow]) -> None:
        """Store the plan and the strata of a campaign, or check that they are the stored ones.

        Args:
            identity: A digest of all that determines the runs.
            plan: The plan, encoded.
            strata: Its strata.

        Raises:
            ConfigurationError: The file holds another campaign.
        """
        with self._transaction():
            stored = self.meta("identity")
            if stored is None:
                rows = [("identity", identity), ("plan", plan)]
                self._connection.executemany("INSERT INTO meta VALUES (?, ?)", rows)
                values = [msgspec.structs.astuple(one) for one in strata]
                self._connection.executemany("INSERT INTO strata VALUES (?, ?, ?, ?, ?)", values)
        if stored not in (None, identity):
            raise ConfigurationError(f"{self.path} holds another campaign: its plan, payload or kernel is another one")

    def meta(self, name: str) -> str | None:
        """Return a value stored by `begin`; None if there is none."""
        row = self._connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def strata(self) -> list[StratumRow]:
        """Return the strata, in order."""
        return [StratumRow(*row) for row in self._connection.execute("SELECT * FROM strata ORDER BY stratum")]

    # Runs

    def add(self, rows: Iterable[Row]) -> None:
        """Store runs in one transaction. A run that is there already stays as it is."""
        holes = ", ".join("?" * len(COLUMNS))
        with self._transaction():
            self._connection.executemany(f"INSERT OR IGNORE INTO runs VALUES ({holes})", rows)

    def done(self, stratum: int) -> set[int]:
        """Return the numbers of the runs of a stratum that are stored."""
        found = self._connection.execute("SELECT number FROM runs WHERE stratum = ?", (stratum,))
        return {number for (number,) in found}

    def count(self) -> int:
        """Return the number of runs stored."""
        return int(self._connection.execute("SELECT count(*) FROM runs").fetchone()[0])

    def rows(self) -> Iterator[Row]:
        """Yield all runs, by stratum and number."""
        with closing(self._connection.execute("SELECT * FROM runs ORDER BY stratum, number")) as cursor:
            yield from cursor

    def row(self, stratum: int, number: int) -> Row:
        """Return one run. Raises ConfigurationError if it is not stored."""
        found = self._connection.execute(
            "SELECT * FROM runs WHERE stratum = ? AND number = ?", (stratum, number)
        ).fetchone()
        if found is None:
            raise ConfigurationError(f"{self.path} has no run {stratum}/{number}")
        return tuple(found)

    def query(self, select: str, *values: object) -> list[Row]:
        """Return the rows of a query."""
        return [tuple(row) for row in self._connection.execute(select, values)]

    def export(self, path: Path) -> None:
        """Write the runs to a Parquet file. Raises ConfigurationError without pyarrow, or if it cannot be written."""
        try:
            import pyarrow  # noqa: PLC0415 - an extra
            import pyarrow.parquet  # noqa: PLC0415
        except ModuleNotFoundError:
            raise ConfigurationError(f"Parquet needs pyarrow: {installing('arrow')}") from None
        from enclave_sim.files.writing import output_file  # noqa: PLC0415

        columns = zip(*self.rows(), strict=True) if self.count() else ((),) * len(COLUMNS)
        table = pyarrow.table(dict(zip(COLUMNS, map(list, columns), strict=True)))
        with output_file(path, "write") as file:
            pyarrow.parquet.write_table(table, file)


class _Transaction:
    """`BEGIN IMMEDIATE`, and a commit or a rollback at the end."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._connection.execute("ROLLBACK" if kind is not None else "COMMIT")


def outcome_names() -> list[str]:
    """Return the outcomes as stored, in the order in which they are tried."""
    return [one.value for one in Outcome]
