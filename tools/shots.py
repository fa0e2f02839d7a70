"""``make shots``: the README's pictures anew. docs/demo.cast and docs/demo.svg are a demo as it
ran; the page is what it showed meanwhile."""

from __future__ import annotations

import io
import json
import os
import pty
import queue
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.text import Text

DOCS = Path(__file__).parents[1] / "docs"
WIDTH, HEIGHT = 150, 45
SHOWN = 48
"""Lines of the picture: the end, with the table."""
CHROMIUM = shutil.which("chromium")
BUSY = 2
"""Open recoveries that the picture of now shows at least."""
CLOSING = "Ctrl-C ends it"
"""The last words of a demo that stays: all has happened, and its page is served on."""
FRAME = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: system-ui, sans-serif; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/></clipPath>{lines}</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">{backgrounds}<g class="{unique_id}-matrix">{matrix}</g></g>
</svg>
"""
"""rich's own names a font on a content network: a picture of ours asks nobody for anything."""


def main() -> int:
    """Run the demo in a terminal of its own, record it, look at its page meanwhile."""
    events, text = record()
    head = {"version": 2, "width": WIDTH, "height": HEIGHT, "title": "recovery demo"}
    (DOCS / "demo.cast").write_text("\n".join(json.dumps(line) for line in (head, *events)) + "\n")
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    for line in [line for line in text.replace("\r", "").split("\n") if line.strip()][-SHOWN:]:
        console.print(Text.from_ansi(line), soft_wrap=False, overflow="ellipsis", no_wrap=True)
    console.save_svg(str(DOCS / "demo.svg"), title="recovery demo", code_format=FRAME)
    print(f"{len(events)} pieces of output, {len(text)} characters")
    return 0


def record() -> tuple[list[tuple[float, str, str]], str]:
    """What the demo wrote, and when."""
    main_end, child_end = pty.openpty()
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(WIDTH), "LINES": str(HEIGHT)}
    env.pop("NO_COLOR", None)
    command = [str(Path(sys.executable).parent / "recovery"), "demo", "--stay"]
    demo = subprocess.Popen(command, stdout=child_end, stderr=child_end, env=env)
    os.close(child_end)
    began, events, text = time.monotonic(), [], ""
    over: queue.Queue[str] = queue.Queue()
    with ThreadPoolExecutor(1) as pool:
        looking, stopped = None, False
        while demo.poll() is None or select.select([main_end], [], [], 0)[0]:
            if looking is not None and looking.done() and not stopped:
                demo.send_signal(signal.SIGINT)
                stopped = True
            if not select.select([main_end], [], [], 0.2)[0]:
                continue
            try:
                piece = os.read(main_end, 65536).decode(errors="replace")
            except OSError:
                break
            events.append((round(time.monotonic() - began, 3), "o", piece))
            text += piece
            found = re.search(r"http://127\.0\.0\.1:\d+", text)
            if found and looking is None:
                looking = pool.submit(look, found.group(), over)
            if CLOSING in text:
                over.put("")
        assert looking is not None, text[-2000:]
        looking.result()
    assert demo.wait() == 130, text[-2000:]  # of Ctrl-C
    return events, text


def look(url: str, over: queue.Queue[str]) -> None:
    """Pictures of the page: while it works, and when the demo's table is there."""
    from playwright.sync_api import Error, sync_playwright

    with sync_playwright() as play:
        chromium = play.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        page = chromium.new_page(viewport={"width": 1280, "height": 860})
        most = BUSY - 1
        while over.empty():
            try:
                page.goto(url)
            except Error:
                continue  # the demo kills its controller once
            if page.get_by_text("Not ready").count():
                continue  # it has just started, and does not know all yet
            if (many := page.locator("#open td.id a").count()) > most:
                most = many
                page.screenshot(path=str(DOCS / "page-now.png"))
            time.sleep(0.5)
        assert most >= BUSY, f"never more than {BUSY - 1} open recoveries"
        page.goto(f"{url}/history")
        page.screenshot(path=str(DOCS / "page-history.png"))
        page.locator("#past td.id a").first.click()
        page.wait_for_load_state()
        page.screenshot(path=str(DOCS / "page-recovery.png"))
        chromium.close()


if __name__ == "__main__":
    sys.exit(main())
