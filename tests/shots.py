"""``make shots``: the README's pictures anew. docs/demo.cast and docs/demo.svg are a demo as it ran; the page is what it showed meanwhile."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

DOCS = Path(__file__).parents[1] / "docs"
WIDTH, HEIGHT = 150, 45
SHOWN = 48
"""Lines of the picture: the end, with the table."""
CHROMIUM = shutil.which("chromium")
LOOKS = ((28.5, "/", "page-now"), (31.5, "/history", "page-history"))
"""Seconds after the page is there, its path, the picture's name."""
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
    demo = subprocess.Popen([str(Path(sys.executable).parent / "recovery"), "demo"], stdout=child_end, stderr=child_end, env=env)
    os.close(child_end)
    began, events, text, looking = time.monotonic(), [], "", None
    while True:
        ready, _, _ = select.select([main_end], [], [], 0.2)
        if not ready:
            if demo.poll() is not None:
                break
            continue
        try:
            piece = os.read(main_end, 65536).decode(errors="replace")
        except OSError:
            break
        events.append((round(time.monotonic() - began, 3), "o", piece))
        text += piece
        found = re.search(r"http://127\.0\.0\.1:\d+", text)
        if found and looking is None:
            looking = threading.Thread(target=look, args=(found.group(),))
            looking.start()
    if looking is not None:
        looking.join()
    assert demo.wait() == 0, text[-2000:]
    return events, text


def look(url: str) -> None:
    """Pictures of the page while it works."""
    from playwright.sync_api import sync_playwright

    began = time.monotonic()
    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"])
        page = chromium.new_page(viewport={"width": 1280, "height": 860})
        for after, path, name in LOOKS:
            time.sleep(max(0.0, began + after - time.monotonic()))
            page.goto(url + path)
            page.screenshot(path=str(DOCS / f"{name}.png"))
            link = page.query_selector("#open td.id a, #past td.id a")
            if name == "page-history" and link is not None:
                link.click()
                page.wait_for_load_state()
                page.screenshot(path=str(DOCS / "page-recovery.png"))
        chromium.close()


if __name__ == "__main__":
    sys.exit(main())
