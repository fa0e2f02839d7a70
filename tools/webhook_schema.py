"""``python -m tools.webhook_schema``: docs/webhook.schema.json anew, from the type that is
posted."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from recovery.notify.webhook_channel import Body

if __name__ == "__main__":
    schema = msgspec.json.schema(Body)
    (Path(__file__).parents[1] / "docs/webhook.schema.json").write_text(
        json.dumps(schema, indent=2) + "\n"
    )
