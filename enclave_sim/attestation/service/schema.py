"""The tables of a verifier's database, and the upgrade from an earlier version."""

APPLICATION_ID = 0x41565246  # "AVRF"
VERSION = 2
_POSITION = ", ".join(f"{name} INTEGER NOT NULL" for name in ("reset_count", "restart_count", "clock", "cycle"))
_CHALLENGES = (
    """CREATE TABLE challenges (
        id TEXT PRIMARY KEY,
        nonce BLOB NOT NULL,
        cycle INTEGER NOT NULL,
        ak BLOB,
        issued_ns INTEGER NOT NULL,
        expires_ns INTEGER NOT NULL,
        used INTEGER NOT NULL DEFAULT 0
    ) STRICT""",
    "CREATE INDEX challenges_by_expiry ON challenges (expires_ns)",
)
_VERDICTS = (
    # `place` and `total` count the verdicts of one kind, accepted or refused, and their bytes, up to this one.
    """CREATE TABLE verdicts (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        challenge TEXT NOT NULL UNIQUE,
        accepted INTEGER NOT NULL,
        place INTEGER NOT NULL,
        total INTEGER NOT NULL,
        verdict TEXT NOT NULL
    ) STRICT""",
    "CREATE UNIQUE INDEX verdicts_by_kind ON verdicts (accepted, place)",
)
_HEALTH = ("CREATE TABLE health (number INTEGER PRIMARY KEY AUTOINCREMENT, stored TEXT NOT NULL) STRICT",)
_IDENTITY = (f"PRAGMA application_id = {APPLICATION_ID}", f"PRAGMA user_version = {VERSION}")

CREATE = (
    *_CHALLENGES,
    f"CREATE TABLE last_accepted (ak BLOB PRIMARY KEY, {_POSITION}) STRICT",
    *_VERDICTS,
    *_HEALTH,
    *_IDENTITY,
)
"""Statements that create the tables in an empty database."""
FROM_1 = (
    "ALTER TABLE last_accepted ADD COLUMN restart_count INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE last_accepted ADD COLUMN clock INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE verdicts RENAME TO verdicts_1",
    *_VERDICTS,
    """INSERT INTO verdicts SELECT number, challenge, accepted,
        row_number() OVER (PARTITION BY accepted ORDER BY number),
        sum(length(CAST(verdict AS BLOB))) OVER (PARTITION BY accepted ORDER BY number), verdict
        FROM (SELECT *, json_extract(verdict, '$.accepted') AS accepted FROM verdicts_1)""",
    "DROP TABLE verdicts_1",
    *_HEALTH,
    *_IDENTITY,
)
"""Statements that upgrade version 1 to this version. Accepted positions are kept."""
