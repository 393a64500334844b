"""Apply nftables text as one transaction, by the `nft` program.

The proxy room has its own, busier road; the runtime touches rules only at start, at reset and for host ports.
"""

from __future__ import annotations

from kogia.cri.errors import Code, CriError
from kogia.runtime.spawn import run


async def apply(text: str) -> None:
    """Errors: CriError INTERNAL with nft's own words; nothing is changed then."""
    try:
        result = await run(["nft", "-f", "-"], stdin=text.encode(), timeout_s=30)
    except FileNotFoundError as error:
        raise CriError(Code.UNAVAILABLE, "nft is not installed (package nftables)") from error
    except TimeoutError as error:
        raise CriError(Code.UNAVAILABLE, "nft did not answer within 30 s") from error
    if result.returncode:
        raise CriError(Code.INTERNAL, f"nft: {result.error_text()}")


async def drop_table(name: str) -> None:
    """Idempotent."""
    await apply(f"table ip {name} {{}}\ndelete table ip {name}\n")
