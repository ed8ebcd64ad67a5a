"""Bodies: whole, bounded, not waited for for ever."""

import asyncio
from typing import Any

import pytest

from memshadow.errors import DataError
from memshadow.serving.exchange import split
from memshadow.serving.limits import GoneError, Limits, TooMuchError, TooSlowError, body_of

LIMITS = Limits(body_bytes=10, batch=1, texts=1, silence_s=0.05)


def body(*messages: Any) -> bytes:
    """Read a body that comes in these messages; ``None``: nothing more comes."""
    left = list(messages)

    async def receive() -> Any:
        if left[0] is None:
            await asyncio.sleep(10)
        return left.pop(0)

    return asyncio.run(body_of(receive, LIMITS))


def part(content: bytes, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": content, "more_body": more}


def test_parts_are_joined() -> None:
    assert body(part(b"", more=False)) == b""
    assert body(part(b"abc"), part(b""), part(b"def", more=False)) == b"abcdef"
    assert body(part(b"0123456789", more=False)) == b"0123456789"


def test_one_byte_too_many_is_too_much_and_the_rest_is_not_read() -> None:
    with pytest.raises(TooMuchError, match="10 bytes"):
        body(part(b"01234567890", more=False))
    with pytest.raises(TooMuchError):
        body(part(b"0123456"), part(b"7890"), None)


def test_silence_and_leaving() -> None:
    with pytest.raises(TooSlowError, match=r"0\.05 seconds"):
        body(part(b"a"), None)
    with pytest.raises(GoneError):
        body(part(b"a"), {"type": "http.disconnect"})


@pytest.mark.parametrize("cut", range(1, 9))
def test_lines_are_found_wherever_the_stream_is_cut(cut: int) -> None:
    content = "é\n\nab🙂\nlast".encode()
    chunks = (content[i : i + cut] for i in range(0, len(content), cut))
    assert list(split(chunks, longest=100)) == ["é\n", "\n", "ab🙂\n", "last"]


def test_a_line_may_not_be_endless_nor_of_other_bytes() -> None:
    with pytest.raises(TooMuchError):
        list(split(iter([b"abc"] * 10), longest=10))
    with pytest.raises(DataError, match="line 2 is no UTF-8"):
        list(split(iter([b"a\n\xff\n"]), longest=10))
