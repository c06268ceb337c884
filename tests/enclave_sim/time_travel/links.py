"""Links of all kinds."""

from hypothesis import strategies as st

from enclave_sim.inputs import LATEST_NS
from enclave_sim.time_travel import Link, Position
from enclave_sim.time_travel.run_identity import RunIdentity

DIGESTS = st.text("0123456789abcdef", min_size=16, max_size=16)
TEXTS = st.text(st.characters(categories=["L", "M", "N", "P", "S", "Zs"])).filter(str.isprintable)
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,39}", fullmatch=True)
IDENTITIES = st.builds(
    RunIdentity,
    kernel=DIGESTS,
    payloads=DIGESTS,
    configuration=DIGESTS,
    options=st.dictionaries(NAMES, TEXTS, max_size=4),
    inputs=DIGESTS,
    seen=st.integers(0, 10**12 - 1),
    events=DIGESTS,
)
LINKS = st.builds(
    Link,
    st.builds(Position, st.integers(0, LATEST_NS), st.integers(0, 10**9 - 1)),
    IDENTITIES,
    st.just("") | NAMES,
    TEXTS.filter(lambda text: len(text) <= 100),
)
