"""recovery demo: see it work, on this machine, with nothing prepared."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Annotated, Any

import typer

from recovery.commands.errors import WRONG
from recovery.commands.plan import shipped

Stay = Annotated[
    bool, typer.Option("--stay", help="Keep serving when the play is over, until Ctrl-C.")
]


def demo(stay: Stay = False) -> None:
    """Run the controller against an embedded cluster.

    Applications break there and are recovered, in about a minute. Nothing outside is touched.
    """
    try:
        well = asyncio.run(_demo(stay))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    if not well:
        raise typer.Exit(WRONG)


async def _demo(stay: bool) -> bool:
    from rich.console import Console

    from recovery.simulate.demo import Demo

    console = Console(width=None if sys.stdout.isatty() else 150, highlight=False)
    console.print(
        "[bold]recovery demo[/]: the real controller, an embedded cluster, the shipped policies"
        " (10m OutOfSync, 5m Degraded)\n"
    )
    began = time.monotonic()
    teller = _Teller(console)
    play = Demo(shipped().decode(), teller.say)
    teller.clock = play.clock
    teller.since = play.clock.now()
    async with play.stage() as process:
        scenes = await play.play(process)
        well = _table(console, scenes, time.monotonic() - began)
        if stay:
            await play.return_to_real_time(process)
            console.print(
                f"\nStill serving, on your clock from now on: {play.url}/", soft_wrap=True
            )
            console.print("In another shell, as on a cluster:\n")
            console.print(f"  export KUBECONFIG={play.kubeconfig}", soft_wrap=True)
            for words in (
                "kubectl get recoveries -n gitops-system",
                "recovery status",
                "recovery explain lost",
                "recovery pause web --for 2h",
            ):
                console.print(f"  {words}", soft_wrap=True)
            console.print("\nCtrl-C ends it.")
            await asyncio.Event().wait()
    return well


TRY_COMMANDS = (
    "kubectl get recoveries -n gitops-system",
    "recovery status",
    "recovery explain lost",
    "recovery pause web --for 2h",
)
_STYLE = {
    "does": "bold green",
    "decides": "cyan",
    "is": "dim",
    "tells": "magenta",
    "breaks": "bold red",
    "mends": "bold yellow",
}


class _Teller:
    """One line an occurrence: when, who, what kind of thing, words."""

    def __init__(self, console: Any) -> None:
        self._console = console
        self.clock: Any = None
        self.since: Any = None

    def say(self, who: str, kind: str, words: str) -> None:
        """Print one line of the demo."""
        from rich.text import Text

        elapsed = int((self.clock.now() - self.since).total_seconds())
        line = Text(f"{elapsed // 60:02}:{elapsed % 60:02}  ", style="dim")
        line.append(f"{who:<7}", style="bold")
        line.append(f" {kind:<8} ", style=_STYLE.get(kind, ""))
        line.append(" ".join(words.split()))
        self._console.print(line, soft_wrap=True)


def _table(console: Any, scenes: list[Any], seconds: float) -> bool:
    from rich.table import Table

    table = Table(
        title=f"\nWhat happened, in {seconds:.0f} s",
        title_justify="left",
        header_style="bold",
    )
    for column in (
        "APPLICATION",
        "WHAT WENT WRONG",
        "CAUSE",
        "WHAT WAS DONE",
        "TIME TO RECOVER",
        "EXPECTED",
    ):
        table.add_column(column, overflow="fold")
    for scene in scenes:
        table.add_row(
            scene.name,
            scene.story,
            scene.cause,
            scene.done,
            scene.took,
            "[green]yes[/]" if scene.well else "[bold red]NO[/]",
        )
    console.print(table)
    return all(scene.well for scene in scenes)
