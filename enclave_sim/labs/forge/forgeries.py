"""The forgeries of lab `forge`: for each the check that it must fail, and those that may fail with it."""

from dataclasses import dataclass

_EXTRA_DATA = frozenset(("quote 1 extra data", "quote 2 extra data"))


@dataclass(frozen=True)
class Forgery:
    """One way to forge evidence."""

    name: str
    target: str
    """The check that it must fail."""
    others: frozenset[str] | None = frozenset()
    """Checks that may fail, too; None for any except the nonce."""

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"{self.name}.eat"

    def fits(self, failed: frozenset[str]) -> bool:
        """Return True if evidence that fails these checks is this forgery."""
        allowed = failed - {"nonce"} if self.others is None else self.others
        return self.target in failed and failed <= allowed | {self.target}


FORGERIES = (
    Forgery("stale", "nonce", _EXTRA_DATA),
    Forgery("repeated", "freshness"),
    Forgery("payload", "payloads", frozenset(("loader information",))),
    Forgery("options", "configuration", frozenset(("loader information",))),
    Forgery("cycle", "cycle", _EXTRA_DATA),
    Forgery("machine", "quote 1 AK known", frozenset(("quote 2 AK known",))),
    Forgery("kernel", "kernel image"),
    Forgery("edited", "envelope", None),
)
