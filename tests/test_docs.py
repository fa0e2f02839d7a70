"""The documentation: generated pages are up to date, every page is in the site, every link leads
somewhere, every example is one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from recovery.act.registry import POLICY_ACTIONS
from recovery.cli import COMMANDS
from recovery.policies import parse
from tools import reference

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
TEXTS = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@pytest.mark.parametrize("name", reference.PAGES)
def test_a_generated_page_is_up_to_date(name: str) -> None:
    assert (DOCS / name).read_text() == reference.PAGES[name](), "python -m tools.reference"


def test_every_page_is_in_the_site() -> None:
    def pages(part: Any) -> set[str]:
        if isinstance(part, str):
            return {part}
        return {
            found
            for each in (part.values() if isinstance(part, dict) else part)
            for found in pages(each)
        }

    text = (ROOT / "mkdocs.yml").read_text()
    nav = yaml.safe_load(text[text.index("\nnav:") :])[
        "nav"
    ]  # above it are tags for Python objects
    assert pages(nav) == {page.name for page in DOCS.glob("*.md")}


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    lost = []
    for link in _LINK.findall(page.read_text()):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        there = (page.parent / path) if path else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            lost.append(link)
        if page.parent == DOCS and DOCS not in there.resolve().parents:
            lost.append(f"{link} is not part of the site")
    assert lost == []


def test_the_readme_is_short() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 150
    assert len(text.encode()) <= 8_000


@pytest.mark.parametrize("page", [ROOT / "README.md", DOCS / "policies.md"], ids=lambda p: p.name)
def test_the_policies_it_shows_are_policies(page: Path) -> None:
    shown = re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
    assert shown
    for text in shown:
        assert parse(text, POLICY_ACTIONS).policies


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.name)
def test_the_commands_it_shows_are_there(page: Path) -> None:
    blocks = re.findall(r"```(?:sh)?\n(.*?)```", page.read_text(), re.DOTALL)
    typed = [
        name
        for block in blocks
        for name in re.findall(r"(?:^|\| )(?:\$ )?recovery (\w+)", block, re.MULTILINE)
    ]
    assert [name for name in typed if name not in COMMANDS] == []
