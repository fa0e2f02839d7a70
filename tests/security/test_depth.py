"""One object that nobody can read, or that nobody foresaw, costs itself and no other."""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from recovery.commands.diagnosis_view import of_file
from recovery.commands.errors import Refused
from recovery.dependencies import _wave
from recovery.kube import reading
from recovery.kube.client import APPLICATIONS, group_path
from recovery.kube.errors import Invalid
from recovery.kube.reading import decoded, shallow
from recovery.model.situation import HealthyRevision, SubjectState
from recovery.model.timestamps import EARLIEST, LATEST_TIME, aware, utc
from recovery.observe import wire
from recovery.record.checkpoint import CHECKPOINT_FORMAT, FITS, _Content, _fitting
from recovery.simulate.environment import ARGOCD
from recovery.simulate.manifests import deployment
from tests.builders import NOW, an_application
from tests.play import Play, play

SHIPPED = Path("config/policies.yaml").read_text()
DEEP = b'{"a":' * 3_000 + b"1" + b"}" * 3_000


def cut(value: Any, depth: int = 0) -> Any:
    if not isinstance(value, list | dict):
        return value
    if depth >= 3:
        return None
    return (
        [cut(e, depth + 1) for e in value]
        if isinstance(value, list)
        else {k: cut(v, depth + 1) for k, v in value.items()}
    )


def made(r: random.Random, depth: int) -> Any:
    kind = r.random()
    if depth == 0 or kind < 0.3:
        return r.choice(["a[{", '\\"}]', 1, None, True, "ü"])
    if kind < 0.65:
        return [made(r, depth - 1) for _ in range(r.randint(0, 3))]
    return {r.choice("ab}{"): made(r, depth - 1) for _ in range(r.randint(0, 3))}


def test_what_is_nested_too_deeply_becomes_null_and_nothing_else_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reading, "DEEPEST_JSON", 3)
    for seed in range(2_000):
        value = made(random.Random(seed), 6)  # noqa: S311 (the same values each time)
        for separators in ((",", ":"), (", ", ": ")):
            assert json.loads(shallow(json.dumps(value, separators=separators).encode())) == cut(
                value
            )


def test_a_deep_object_that_is_asked_for_is_an_error_with_words() -> None:
    with pytest.raises(Invalid, match="nested deeper"):
        decoded(DEEP, dict)
    with pytest.raises(Invalid, match="cannot be read"):
        decoded(b"{", dict)


@pytest.mark.parametrize("early", [True, False], ids=["at the start", "while it runs"])
def test_one_application_that_is_nested_without_end_blinds_nobody(early: bool) -> None:
    async def script(p: Play) -> None:
        await p.world.policies(SHIPPED)
        for i in range(4):
            await p.world.application(f"calm-{i}", (deployment(f"calm-{i}"),))
        listed, watched = p.world.cluster.list, p.world.cluster.watch

        async def everything(*args: Any, **query: Any) -> bytes:
            return (await listed(*args, **query)).replace(b'"DEEP"', DEEP)

        @asynccontextmanager
        async def changes(*args: Any, **query: Any) -> AsyncIterator[AsyncIterator[bytes]]:
            async with watched(*args, **query) as lines:
                yield (line.replace(b'"DEEP"', DEEP) async for line in lines)

        p.world.cluster.list, p.world.cluster.watch = everything, changes  # type: ignore[method-assign]
        spec = {
            "project": "default",
            "source": {"repoURL": "https://git.example/x.git", "helm": {"valuesObject": "DEEP"}},
        }
        body = {"metadata": {"name": "evil"}, "spec": spec, "status": {"frozen": True}}
        if early:
            await p.world.cluster.create(APPLICATIONS, ARGOCD, body)
        async with p.controller() as app:
            await p.clock.sleep(120)
            if not early:
                await p.world.cluster.create(APPLICATIONS, ARGOCD, body)
            await p.world.commit("calm-3", (deployment("calm-3", "crash-until-restart", 30),))
            await p.clock.sleep(3600)
            assert app.freshness().fresh, app.freshness().message
        assert p.world.seen("calm-3").health.value == "Healthy"

    play(script)


@pytest.mark.parametrize(
    "text",
    [
        "9999-12-31T23:59:59Z",
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
    ],
)
def test_no_time_of_a_stranger_can_be_reckoned_out_of_the_calendar(text: str) -> None:
    assert utc(text) is None
    said = aware(text)
    assert said is None or EARLIEST <= said <= LATEST_TIME
    for stamp in filter(None, (said, utc("2199-12-31T00:00:00Z"))):
        assert stamp + timedelta(days=366 * 100) > stamp - timedelta(days=366 * 100)


def test_an_unforeseen_object_does_not_end_the_stream_of_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def script(p: Play) -> None:
        await p.world.policies(SHIPPED)
        for i in range(4):
            await p.world.application(f"calm-{i}", (deployment(f"calm-{i}"),))
        async with p.controller() as app:
            real = app.store.put

            def put(item: Any) -> None:
                if item.name == "calm-0":
                    raise RuntimeError("nobody thought of this")
                real(item)

            monkeypatch.setattr(app.store, "put", put)
            await p.clock.sleep(60)
            await p.world.commit("calm-0", (deployment("calm-0", "crash"),))
            await p.world.commit("calm-3", (deployment("calm-3", "crash-until-restart", 30),))
            await p.clock.sleep(3600)
            assert any("calm-0" in name for stream in app._theirs for name in stream.unreadable)
        assert p.world.seen("calm-3").health.value == "Healthy"

    play(script)


def test_a_look_that_fails_ends_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(p: Play) -> None:
        await p.world.policies(SHIPPED)
        for name in ("bad", "calm"):
            await p.world.application(name, (deployment(name),))
        async with p.controller() as app:
            real, looked = app.examiner._look, list[str]()

            async def look(about: Any, finding: Any) -> Any:
                looked.append(about.name)
                if about.name == "bad":
                    raise OverflowError("date value out of range")
                return await real(about, finding)

            monkeypatch.setattr(app.examiner, "_look", look)
            for name in ("bad", "calm"):
                await p.world.commit(name, (deployment(name, "crash", 30),))
            await p.clock.sleep(300)
            assert {"bad", "calm"} <= set(looked)
            assert app.store.signs

    play(script)


@pytest.mark.parametrize(
    ("text", "wave"),
    [("-5", -5), ("7", 7), ("--5", 0), ("", 0), ("٣", 0), ("9" * 30, 0), ("1_0", 0), ("+1", 0)],
)
def test_a_sync_wave_is_a_number_or_none(text: str, wave: int) -> None:
    assert _wave(an_application(marks={"argocd.argoproj.io/sync-wave": text})) == wave


@pytest.mark.parametrize(
    "group", ["argoproj.io/v1alpha1/applications", "..", "a//b", "", "a?b", "a%2fb"]
)
def test_a_group_of_kinds_is_one_word_of_a_path(group: str) -> None:
    if group:
        with pytest.raises(Invalid):
            group_path(group)
    with pytest.raises(Invalid):
        group_path("apps", group or "v1/namespaces")


def test_of_what_no_config_map_takes_the_clocks_of_all_are_kept() -> None:
    def noise(seed: int, length: int) -> str:
        return random.Random(seed).randbytes(length).hex()  # noqa: S311 (it has to be incompressible, not secret)

    huge = SubjectState(
        "huge",
        NOW,
        {"x": NOW},
        ledger=tuple(HealthyRevision(i, (noise(i, 300_000),), NOW) for i in range(5)),
    )
    others = {
        f"u{i}": SubjectState(
            f"u{i}", NOW, {"x": NOW}, ledger=(HealthyRevision(i, (noise(i, 20),), NOW),)
        )
        for i in range(50)
    }
    content = _fitting(0, _Content(CHECKPOINT_FORMAT, NOW, {"huge": huge, **others}))

    assert len(content) <= FITS

    kept = msgspec.json.decode(zlib.decompress(content))["sights"]
    assert set(kept) == {"huge", *others}
    assert all(sight["clocks"] for sight in kept.values())
    assert all("ledger" in kept[uid] for uid in others), "the others lose nothing"


def test_kinds_that_somebody_thinks_up_are_not_kept_for_ever() -> None:
    def read(n: int, kinds: int, length: int) -> tuple[str, ...]:
        rows = [{"kind": f"K{n}-{i}-{'x' * length}", "name": "a"} for i in range(kinds)]
        raw = {"metadata": {"name": "evil"}, "spec": {}, "status": {"resources": rows}}
        return wire.application(msgspec.json.encode(raw)).kinds

    wire._one_tuple.cache_clear()
    long = read(0, 50, 200)
    assert sum(map(len, long)) > wire.KNOWN_LENGTH
    assert wire._one_tuple.cache_info().currsize == 0, "long ones are not kept at all"
    for n in range(600):
        read(n, 3, 20)
    assert wire._one_tuple.cache_info().currsize == wire.KNOWN
    assert read(599, 3, 20) is read(599, 3, 20), "equal ones are one"


@pytest.mark.parametrize(
    "text",
    [
        "kind: Application\nx: !!timestamp foo\n",
        "kind: Application\nx: !!int ''\n",
        "kind: Application\nx: !!bool abc\n",
        "kind: Application\nx: &a [1]\ny: *a\n",
        "kind: Application\nx: " + "9" * 299 + "\n",
        "kind: Application\nx: " + "[" * 200 + "]" * 200 + "\n",
        "kind: Application\nmetadata: 2026-01-01\n",
    ],
)
def test_a_hostile_file_is_refused_with_words(tmp_path: Path, text: str) -> None:
    file = tmp_path / "app.yaml"
    file.write_text(text)
    with pytest.raises(Refused):
        of_file(str(file))


def test_numbers_of_base_sixty_and_dates_stay_text(tmp_path: Path) -> None:
    file = tmp_path / "app.yaml"
    file.write_text(
        "kind: Application\nmetadata: {name: cart, labels: {a: "
        + "1:" * 300_000
        + "1, b: 9999-99-99}}\nspec: {}\n"
    )
    app, _ = of_file(str(file))
    assert app.labels is not None
    assert app.labels["b"] == "9999-99-99"


def test_a_kind_that_decides_is_not_lost_behind_many_others() -> None:
    rows = [{"kind": f"K{n}", "name": "a"} for n in range(500)] + [
        {"kind": "StatefulSet", "name": "db"}
    ]
    app = wire.application(
        msgspec.json.encode(
            {"metadata": {"name": "cart"}, "spec": {}, "status": {"resources": rows}}
        )
    )
    assert "StatefulSet" in app.kinds
    assert len(app.kinds) == wire.Bounds.kinds + 1
