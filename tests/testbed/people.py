"""Receivers that speak Slack's, PagerDuty's and a mail server's protocols and refuse what those
would refuse.

A process of its own, so that it can be killed: ``python -m tests.testbed.people FOLDER HTTP_PORT
SMTP_PORT``. What it takes is in FOLDER/taken.jsonl, one line a message; what it finds wrong with
one in FOLDER/wrong.jsonl. FOLDER/busy holds how many Slack calls are still to be answered 429 (with
Retry-After: 4). Limits as published: Slack's Block Kit reference and chat.postMessage, PagerDuty's
Events API v2, RFC 5321 and 2045 for mail.
"""

from __future__ import annotations

import asyncio
import email
import email.policy
import itertools
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from aiohttp import web
from aiosmtpd.controller import Controller as Smtp

BOT = "xoxb-1234567890-abcdefghij"
ROUTING_KEY = "R0123456789ABCDEFGHIJKLMNOPQRSTU"
RETRY_AFTER = 4


class People:
    """Slack, PagerDuty and mail."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stamps = itertools.count(int(time.time()))
        self.known = {
            line["ts"] for line in taken(folder) if line["kind"] == "slack" and "ts" in line
        }

    def take(self, kind: str, **what: Any) -> None:
        _append(self._folder / "taken.jsonl", {"kind": kind, "at": time.time(), **what})

    def wrong(self, kind: str, why: str, body: Any) -> None:
        _append(self._folder / "wrong.jsonl", {"kind": kind, "why": why, "body": body})

    async def slack(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        body = await request.json()
        busy = self._folder / "busy"
        left = int(busy.read_text() or 0) if busy.exists() else 0
        if left:
            busy.write_text(str(left - 1))
            self.take("slack busy", method=method)
            return web.json_response(
                {"ok": False, "error": "ratelimited"},
                status=429,
                headers={"Retry-After": str(RETRY_AFTER)},
            )
        if request.headers.get("Authorization") != f"Bearer {BOT}":
            return web.json_response({"ok": False, "error": "invalid_auth"})
        if "application/json" not in request.headers.get("Content-Type", ""):
            return web.json_response({"ok": False, "error": "invalid_post_type"})
        if why := wrong_with_slack(method, body, self.known):
            self.wrong("slack", why, body)
            return web.json_response({"ok": False, "error": why})
        ts = body.get("ts") or f"{next(self._stamps)}.000100"
        self.known.add(ts)
        self.take(
            "slack",
            method=method,
            ts=ts,
            thread=body.get("thread_ts", ""),
            text=body["text"],
            broadcast=bool(body.get("reply_broadcast")),
        )
        return web.json_response({"ok": True, "channel": "C0OPS", "ts": ts})

    async def pagerduty(self, request: web.Request) -> web.Response:
        raw = await request.read()
        event = json.loads(raw)
        if why := wrong_with_event(event, len(raw)):
            self.wrong("pagerduty", why, event)
            return web.json_response(
                {"status": "invalid event", "message": "Event object is invalid", "errors": [why]},
                status=400,
            )
        self.take(
            "pagerduty",
            action=event["event_action"],
            key=event["dedup_key"],
            payload=event.get("payload"),
        )
        return web.json_response(
            {"status": "success", "message": "Event processed", "dedup_key": event["dedup_key"]},
            status=202,
        )

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 (aiosmtpd's own name)
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        parts = [part.get_content_type() for part in mail.walk() if not part.is_multipart()]
        if not {"text/plain", "text/html"} <= set(parts) or any(
            not mail[name] for name in ("From", "To", "Subject", "Date", "Message-ID")
        ):
            self.wrong("mail", f"parts {parts}, headers {mail.keys()}", "")
            return "550 not a whole mail"
        text = mail.get_body(("plain",)).get_content()
        html = mail.get_body(("html",)).get_content()
        self.take("mail", subject=str(mail["Subject"]), text=text, html=html, to=envelope.rcpt_tos)
        return "250 OK"


def wrong_with_slack(method: str, body: dict[str, Any], known: set[str]) -> str:
    """Slack's error for it; empty when it is right."""
    if method not in ("chat.postMessage", "chat.update"):
        return "unknown_method"
    if not body.get("channel") or (method == "chat.update" and body["channel"] != "C0OPS"):
        return "channel_not_found"
    if len(body.get("text", "")) > 40_000 or not body.get("text"):
        return "no_text"
    if (method == "chat.update" and body.get("ts") not in known) or (
        body.get("thread_ts") and body["thread_ts"] not in known
    ):
        return "message_not_found"
    blocks = [
        *body.get("blocks", ()),
        *(b for a in body.get("attachments", ()) for b in a.get("blocks", ())),
    ]
    if len(blocks) > 50:
        return "invalid_blocks"
    for block in blocks:
        match block["type"]:
            case "header":
                fits = (
                    block["text"]["type"] == "plain_text" and 1 <= len(block["text"]["text"]) <= 150
                )
            case "section":
                texts = block.get("fields", ())
                fits = (
                    len(block["text"]["text"]) in range(1, 3001)
                    if "text" in block
                    else len(texts) in range(1, 11)
                )
                fits = fits and all(1 <= len(field["text"]) <= 2000 for field in texts)
            case "context":
                fits = 1 <= len(block["elements"]) <= 10 and all(
                    1 <= len(e["text"]) <= 3000 for e in block["elements"]
                )
            case _:
                fits = False
        if not fits:
            return "invalid_blocks"
    return ""


def wrong_with_event(event: dict[str, Any], size: int) -> str:
    """What Events v2 has against it; empty when it is right."""
    if size > 512 * 1024:
        return "the event is larger than 512 KB"
    if event.get("routing_key") != ROUTING_KEY:
        return "'routing_key' is invalid"
    if event.get("event_action") not in ("trigger", "acknowledge", "resolve"):
        return "'event_action' is invalid"
    if not event.get("dedup_key") or len(event["dedup_key"]) > 255:
        return "'dedup_key' is missing or too long"
    if event["event_action"] != "trigger":
        return ""
    payload = event.get("payload") or {}
    if not payload.get("summary") or len(payload["summary"]) > 1024 or not payload.get("source"):
        return "'payload.summary' or 'payload.source' is missing or too long"
    if payload.get("severity") not in ("critical", "error", "warning", "info"):
        return "'payload.severity' is invalid"
    if not all(
        set(link) <= {"href", "text"} and link.get("href", "").startswith("http")
        for link in event.get("links", ())
    ):
        return "'links' is invalid"
    return ""


def taken(folder: Path, kind: str = "") -> list[dict[str, Any]]:
    """What was taken so far, by this process and by those before it."""
    file = folder / "taken.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return [line for line in lines if kind in ("", line["kind"])]


def wrong(folder: Path) -> list[dict[str, Any]]:
    """What was refused for its form."""
    file = folder / "wrong.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def _append(file: Path, line: dict[str, Any]) -> None:
    with file.open("a") as opened:
        opened.write(json.dumps(line) + "\n")
        opened.flush()
        os.fsync(opened.fileno())


async def main(folder: Path, http: int, smtp: int) -> None:
    """Until killed."""
    people = People(folder)
    app = web.Application()
    app.router.add_post("/api/{method}", people.slack)
    app.router.add_post("/v2/enqueue", people.pagerduty)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", http, reuse_address=True).start()
    Smtp(people, hostname="127.0.0.1", port=smtp).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
