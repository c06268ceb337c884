"""Directories of the site, and its pages."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SITE = ROOT / "build" / "site"
"""Where `make docs` builds it."""
PROJECT = {"README.md": "readme.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"} | {
    "SECURITY.md": "security.md"
}
"""Pages of the repository's first level, and their names in the site."""
