"""The site builds without a warning, the same bytes each time, and loads nothing from another host."""

from collections import Counter
from pathlib import Path

import click
import pytest

from enclave_sim.cli.app import app
from enclave_sim.cli.exit_codes import ExitCode
from enclave_sim.events import KINDS
from tests.site import building, command_line, hardware, python_api, requests, schemas, tables
from tests.site.places import DOCS
from tests.site.staging import GENERATED, sections


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    building.build(out)
    return out


def content(site: Path) -> dict[str, bytes]:
    return {path.relative_to(site).as_posix(): path.read_bytes() for path in site.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_the_site_has_a_page_for_each_document_and_each_reference(site: Path) -> None:
    names = [path.stem for path in DOCS.glob("*.md")]
    names += [f"reference/{name}" for name in (*GENERATED, *python_api.PACKAGES, "errors")]
    assert [name for name in names if not (site / f"{name}.html").exists()] == []


@pytest.mark.slow
def test_the_site_loads_nothing_from_another_host(site: Path) -> None:
    assert list(requests.of_site(site)) == []


@pytest.mark.long
def test_the_same_sources_give_the_same_bytes(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    building.build(tmp_path / "again")
    assert content(tmp_path / "again") == content(site)


@pytest.mark.slow
def test_a_broken_link_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "stage", lambda to: (to / "index.md").write_text("# A\n\n[gone](gone.md)\n"))
    with pytest.raises(building.SiteError, match=r"gone\.md"):
        building.build(tmp_path)


def test_every_page_is_in_one_section_of_the_index() -> None:
    listed = Counter(name for _, names in sections((DOCS / "index.md").read_text()) for name in names)
    pages = [path.stem for path in (*DOCS.glob("*.md"), *DOCS.glob("*.ipynb"))]
    assert listed == Counter(name for name in pages if name != "index"), "edit docs/index.md"


def options(group: click.Command, context: click.Context) -> list[str]:
    own = [name for one in group.get_params(context) if isinstance(one, click.Option) for name in one.opts]
    return own + [name for each, below in command_line.commands(group, context) for name in options(each, below)]


def test_the_page_of_the_command_line_has_every_option_of_every_command() -> None:
    page = command_line.page()
    assert len(options(app, click.Context(app))) > 100
    assert [name for name in options(app, click.Context(app)) if f" {name}" not in page] == []
    assert "[default: 1]" in page.replace("\\", "")


def test_pages_made_from_types_have_every_member() -> None:
    events, exit_codes, of_schemas = tables.events(), tables.exit_codes(), schemas.page()
    assert [kind for kind in KINDS if f"## {kind}\n" not in events] == []
    assert [code.name for code in ExitCode if f"`{code.name}`" not in exit_codes] == []
    assert "| 4 | `0x00000010` | `ATTESTED` |" in tables.words()
    assert "the payload ran all its cycles" not in of_schemas
    assert "| `virtual_ns` | integer | Virtual time at the end, in ns since reset. |" in of_schemas


def test_registers_and_regions_have_the_numbers_of_the_firmware() -> None:
    assert "| `ENCLAVE_POWER` | `0x20` | write 1: dormant |" in hardware.registers()
    assert "## The scrub engine" in hardware.registers()
    assert "| `0x00c00000` | `0x00ffffff` | 4096 KiB | `heap` | `rw-` | 3 |" in hardware.memory_map()


def test_a_name_exported_twice_is_described_once() -> None:
    pages = dict(python_api.pages())
    assert ".. autoclass:: enclave_sim.Enclave\n" in pages["enclave_sim"]
    assert "``Enclave`` is :py:obj:`enclave_sim.Enclave`." in pages["enclave_sim.enclave"]


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://cdn.example/a.js"></script>',
        '<link rel="stylesheet" href="//fonts.example/a.css">',
        '<img src="http://example.org/a.png">',
        '<img srcset="a.png 1x, //example.org/a.png 2x">',
        '<p style="background: url(https://example.org/a.png)">',
        '<svg><image xlink:href="https://example.org/a.png"/></svg>',
        "@font-face { src: url('https://fonts.example/a.woff2') }",
        '@import "https://fonts.example/a.css";',
        'fetch("https://example.org/a.json")',
    ],
)
def test_a_request_to_another_host_is_found(text: str) -> None:
    assert len(set(requests.to_other_hosts(text))) == 1


def test_links_and_names_are_no_requests() -> None:
    text = '<a href="https://example.org">x</a><svg xmlns="http://www.w3.org/2000/svg"/><img src="_images/a.svg">'
    assert requests.to_other_hosts(text) == []
