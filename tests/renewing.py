"""Whether tests rewrite what they compare with: `make pages` sets RENEW=1 in the environment."""

import os

RENEW = os.environ.get("RENEW") == "1"
