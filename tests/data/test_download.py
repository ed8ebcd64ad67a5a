"""One file over a network that misbehaves: it arrives whole and checked, or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import random
from pathlib import Path
from typing import IO, Any

import pytest

from memshadow.data.download import Downloader, DownloadError, NotThereError

BODY = random.Random(0).randbytes(700_000)
SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def waits() -> list[float]:
    """Give the list of the seconds that a downloader would have waited."""
    return []


@pytest.fixture
def downloader(waits: list[float]) -> Downloader:
    """Give a downloader that does not wait."""
    return Downloader(timeout_s=5.0, attempts=3, wait=waits.append)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Give a place in a folder that is not there yet."""
    return tmp_path / "deep" / "file.bin"


def _part(target: Path) -> Path:
    return target.with_name("file.bin.part")


def test_brings_a_file_and_tells_its_progress(shelf: Any, downloader: Downloader, target: Path) -> None:
    shelf.files["/f"] = BODY
    told: list[tuple[int, int | None]] = []
    found = downloader.download(f"{shelf.url}/f", target, sha256=SHA256, progress=lambda *at: told.append(at))
    assert found == SHA256
    assert target.read_bytes() == BODY
    assert not _part(target).exists()
    assert told[0] == (0, len(BODY))
    assert told[-1] == (len(BODY), len(BODY))
    assert [here for here, _ in told] == sorted(here for here, _ in told)


def test_goes_on_where_a_cut_connection_left_it(
    shelf: Any, downloader: Downloader, target: Path, waits: list[float]
) -> None:
    shelf.files["/f"] = BODY
    shelf.cuts = [100_000, 250_000]
    downloader.download(f"{shelf.url}/f", target, sha256=SHA256)
    assert target.read_bytes() == BODY
    assert [wanted for _, wanted in shelf.requests] == [None, "bytes=100000-", "bytes=350000-"]
    assert waits == [1.0, 2.0]


def test_goes_on_in_a_later_run(shelf: Any, downloader: Downloader, target: Path) -> None:
    shelf.files["/f"] = BODY
    shelf.cuts = [100_000, 0, 0]
    with pytest.raises(DownloadError, match=r"ended after 100,000 of 700,000 bytes \(3 attempts\)"):
        downloader.download(f"{shelf.url}/f", target, sha256=SHA256)
    assert not target.exists()
    assert _part(target).read_bytes() == BODY[:100_000]
    downloader.download(f"{shelf.url}/f", target, sha256=SHA256)
    assert shelf.requests[-1] == ("/f", "bytes=100000-")
    assert target.read_bytes() == BODY


def test_a_server_without_ranges_sends_all_again(shelf: Any, downloader: Downloader, target: Path) -> None:
    shelf.files["/f"] = BODY
    shelf.cuts = [100_000]
    shelf.ignores_range = True
    downloader.download(f"{shelf.url}/f", target, sha256=SHA256)
    assert target.read_bytes() == BODY


def test_without_a_checksum_a_part_is_not_trusted(shelf: Any, downloader: Downloader, target: Path) -> None:
    shelf.files["/f"] = BODY
    target.parent.mkdir()
    _part(target).write_bytes(b"of another version")
    assert downloader.download(f"{shelf.url}/f", target, sha256=None) == SHA256
    assert target.read_bytes() == BODY


def test_a_part_that_is_whole_already_is_taken(shelf: Any, downloader: Downloader, target: Path) -> None:
    """The run before was ended between the last byte and the rename: the server answers 416."""
    shelf.files["/f"] = BODY
    target.parent.mkdir()
    _part(target).write_bytes(BODY)
    downloader.download(f"{shelf.url}/f", target, sha256=SHA256)
    assert target.read_bytes() == BODY


@pytest.mark.parametrize("kept", [b"", b"wrong" * 1000])
def test_a_wrong_checksum_leaves_nothing(shelf: Any, downloader: Downloader, target: Path, kept: bytes) -> None:
    shelf.files["/f"] = BODY[:-1] + b"!"
    target.parent.mkdir()
    _part(target).write_bytes(kept)
    with pytest.raises(DownloadError, match=f"not what was published.*{SHA256} was needed"):
        downloader.download(f"{shelf.url}/f", target, sha256=SHA256)
    assert list(target.parent.iterdir()) == []


def test_a_missing_file_is_told_apart(shelf: Any, downloader: Downloader, target: Path) -> None:
    with pytest.raises(NotThereError, match="404"):
        downloader.download(f"{shelf.url}/gone", target, sha256=SHA256)
    assert len(shelf.requests) == 1, "asking again would not help"


def test_a_refusal_is_final_and_a_busy_server_is_asked_again(
    shelf: Any, downloader: Downloader, target: Path, waits: list[float]
) -> None:
    shelf.files["/f"] = BODY
    shelf.statuses = [403]
    with pytest.raises(DownloadError, match="refused: the server answers 403"):
        downloader.download(f"{shelf.url}/f", target, sha256=SHA256)
    shelf.statuses = [503, 429]
    downloader.download(f"{shelf.url}/f", target, sha256=SHA256)
    assert target.read_bytes() == BODY
    assert len(waits) == 2


def test_no_network_names_the_address(downloader: Downloader, target: Path) -> None:
    url = "http://127.0.0.1:9/f"  # the discard port: nobody listens
    with pytest.raises(DownloadError, match=rf"{url} could not be downloaded: there is no answer .*\(3 attempts\)"):
        downloader.download(url, target, sha256=SHA256)
    assert not target.exists()


@pytest.mark.parametrize(
    "url", ["http://example.org/f", "ftp://127.0.0.1/f", "file:///etc/hostname", "http://127.0.0.1.example.org/f", "f"]
)
def test_only_https_or_this_machine(downloader: Downloader, target: Path, url: str) -> None:
    with pytest.raises(DownloadError, match="only https is"):
        downloader.download(url, target, sha256=None)


def test_a_redirect_may_not_leave_https(shelf: Any, downloader: Downloader, target: Path) -> None:
    shelf.redirects = {"/f": "http://example.org/f", "/here": "/real"}
    shelf.files["/real"] = BODY
    with pytest.raises(DownloadError, match=r"http://example\.org/f is not fetched"):
        downloader.download(f"{shelf.url}/f", target, sha256=None)
    downloader.download(f"{shelf.url}/here", target, sha256=SHA256)
    assert target.read_bytes() == BODY


class _FullDisk:
    """A file that takes so many bytes and no more."""

    def __init__(self, path: Path, mode: str, room: int) -> None:
        self._file, self._room = path.open(mode), room

    def __enter__(self) -> _FullDisk:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, chunk: bytes) -> int:
        fitting = self._file.write(chunk[: self._room])
        self._room -= fitting
        if fitting < len(chunk):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return fitting


def test_a_full_disk_is_said_and_what_came_is_kept(shelf: Any, target: Path) -> None:
    shelf.files["/f"] = BODY

    def opening(path: Path, mode: str) -> IO[Any]:
        return _FullDisk(path, mode, room=300_000)  # type: ignore[return-value]

    with pytest.raises(DownloadError, match=r"The disk is full: .*file\.bin.*MEMSHADOW_DATA=FOLDER"):
        Downloader(opening=opening).download(f"{shelf.url}/f", target, sha256=SHA256)
    assert not target.exists()
    assert _part(target).read_bytes() == BODY[:300_000]
    Downloader().download(f"{shelf.url}/f", target, sha256=SHA256)
    assert target.read_bytes() == BODY
    assert shelf.requests[-1] == ("/f", "bytes=300000-")


def test_a_place_that_cannot_be_written_is_said(shelf: Any, downloader: Downloader, tmp_path: Path) -> None:
    shelf.files["/f"] = BODY
    (tmp_path / "file").touch()
    with pytest.raises(DownloadError, match=r"could not be written \((Not a directory|File exists)\)"):
        downloader.download(f"{shelf.url}/f", tmp_path / "file" / "below", sha256=None)
