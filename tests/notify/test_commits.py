"""Commits for people: where two are compared, what of a stranger's text is shown, and which
messages name them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from msgspec import structs

from recovery.decide import notifications
from recovery.model.commit import Commit, Deployed, compare, described
from recovery.model.message import Message, shortened
from recovery.model.notification_config import Links
from tests.builders import NOW, a_recovery, a_situation, degraded

A, B = "a" * 40, "b" * 40


@pytest.mark.parametrize(
    ("repository", "page"),
    [
        ("https://github.com/acme/shop.git", f"https://github.com/acme/shop/compare/{A}...{B}"),
        ("git@github.com:acme/shop.git", f"https://github.com/acme/shop/compare/{A}...{B}"),
        ("https://bot:***@github.com/acme/shop", f"https://github.com/acme/shop/compare/{A}...{B}"),
        (
            "ssh://git@gitlab.acme.example:2222/a/b/shop.git",
            f"https://gitlab.acme.example/a/b/shop/-/compare/{A}...{B}",
        ),
        (
            "https://gitea.acme.example/acme/shop.git",
            f"https://gitea.acme.example/acme/shop/compare/{A}...{B}",
        ),
        ("https://codeberg.org/acme/shop", f"https://codeberg.org/acme/shop/compare/{A}...{B}"),
        (
            "https://bitbucket.org/acme/shop.git",
            f"https://bitbucket.org/acme/shop/branches/compare/{B}..{A}",
        ),
        ("https://git.acme.example/shop.git", ""),
        ("https://acme.example/github.com/shop.git", ""),
        ("oci://registry.example/github", ""),
        ("github.com", ""),
        ("", ""),
    ],
)
def test_a_link_is_given_for_a_host_whose_pages_are_known(repository: str, page: str) -> None:
    links = Links(git={"gitlab.acme.example": "gitlab", "Gitea.acme.example": "gitea"})

    assert compare(repository, A, B, links.hosts) == page


@pytest.mark.parametrize(
    "repository",
    [
        "https://github.com.evil.example/acme/shop",
        "https://evil.example#.github.com/acme/shop",
        "https://evil.example\\\\.github.com/acme/shop",
        "https://github.com@evil.example/acme/shop",
        "https://gitlab.evil.example/acme/shop",
        "javascript://github.com/acme/shop",
        "https://github.com",
    ],
)
def test_no_owner_brings_a_link_to_another_host(repository: str) -> None:
    assert compare(repository, A, B) == ""


def test_what_is_no_commit_is_not_compared() -> None:
    assert compare("https://github.com/acme/shop", "1.4.2", B) == ""
    assert compare("https://github.com/acme/shop", A, "main") == ""


def test_a_path_cannot_leave_its_link() -> None:
    assert (
        compare("https://github.com/acme/shop?x=1#y", A, B)
        == f"https://github.com/acme/shop%3Fx%3D1%23y/compare/{A}...{B}"
    )


def test_a_commit_is_one_line_that_calls_nobody() -> None:
    message = "Use @acme/cart 1.4.2 \u202e<!channel>\n\nFixes #1"
    commit = described(
        A, "Dana Dev <dana@acme.example>", message, datetime(2026, 3, 2, 12, tzinfo=UTC)
    )

    assert commit.author == "Dana Dev"
    assert "@" not in commit.subject
    assert "\n" not in str(commit)
    assert "\u202e" not in str(commit)
    assert str(commit).startswith('aaaaaaa "Use')
    assert str(commit).endswith("by Dana Dev, 2026-03-02 12:00 UTC")


@pytest.mark.parametrize(
    "text",
    ["Clone from https://bot:hunter2Secret@git.example/shop.git", f"Use token ghp_{'a1B2' * 9}"],
)
def test_a_credential_in_a_commit_is_not_handed_on(text: str) -> None:
    said = str(described(A, text, text, None))

    assert "hunter2" not in said
    assert "ghp_a1" not in said


def test_a_commit_of_many_megabytes_costs_nothing() -> None:
    commit = described(A, "x y " * 1_000_000, "y z " * 1_000_000, None)

    assert (len(commit.author), len(commit.subject)) == (60, 100)
    assert "@" not in str(described(A, "@everyone <x@y>", "@here", None))


def test_what_argo_cd_does_not_say_is_left_out() -> None:
    assert str(Commit(B)) == "bbbbbbb"


LINK = f"https://github.com/acme/shop/compare/{A}...{B}"
DEPLOYED = Deployed(Commit(B, "Dana Dev", "Run cart 2"), Commit(A, "Bo Byte", "Run cart 1"), LINK)
LINES = [
    'Deployed: bbbbbbb "Run cart 2" by Dana Dev',
    'Last good: aaaaaaa "Run cart 1" by Bo Byte',
    f"Compare: {LINK}",
]


def test_whoever_is_called_reads_which_commit_and_whom_to_ask() -> None:
    situation = a_situation(degraded(), deployed=DEPLOYED)
    record = a_recovery("cart-1", NOW)
    policy = situation.policies.policies[0]
    notes = (
        notifications.escalated(situation, record, severity="critical", channels=()),
        notifications.noted(situation, policy, record, severity="high", channels=()),
        notifications.acted(situation, record, "rolled back bbbbbbb to aaaaaaa"),
        notifications.held_back(situation, record, "Storm", "too many at once", ()),
        notifications.incurable(situation, record, "no cure is left", policy),
    )
    for note in notes:
        lines = note.body.split("\n")
        assert [line for line in lines if line in LINES] == LINES, note.title


def test_the_link_survives_where_a_message_is_shortened() -> None:
    note = notifications.escalated(
        a_situation(degraded(), deployed=DEPLOYED),
        a_recovery("cart-1", NOW),
        severity="high",
        channels=(),
    )
    long = structs.replace(note, body=note.body + "\n- evidence" * 2_000)
    short = shortened(Message(long.key, long.incident, long.title, long.body), 2_000)

    assert len(short.body) <= 2_000
    assert LINES[2] in short.body.split("\n")


def test_nothing_is_said_of_commits_that_nobody_knows() -> None:
    assert (
        "Deployed:"
        not in notifications.escalated(
            a_situation(degraded()), a_recovery("cart-1", NOW), severity="high", channels=()
        ).body
    )
