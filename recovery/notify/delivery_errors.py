"""Why a message did not arrive."""

from __future__ import annotations


class Undelivered(Exception):
    """The receiver did not take it. Only what is wrong with this very message is ``for_good``: an
    address, a credential or a thread may be put right."""

    def __init__(
        self,
        why: str,
        *,
        after: float | None = None,
        for_good: bool = False,
        unsure: bool = False,
        address: bool = False,
        thread: bool = False,
        large: bool = False,
        said: bytes = b"",
    ) -> None:
        """``after``: seconds that the receiver asked us to wait (Retry-After). ``unsure``: it may
        have arrived all the same. ``address``: the URL or its credential is not taken, the Secret
        may have another by now. ``thread``: the conversation is gone. ``large``: it is too large.
        ``said``: the answer's body."""
        super().__init__(why)
        self.after = after
        self.for_good = for_good
        self.unsure = unsure
        self.address = address
        self.thread = thread
        self.large = large
        self.said = said
