"""A whole set from a loopback home: folder complete or absent, checksums held, every failure with a way on."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from memshadow.data.corpora.original import Fetchable, Original
from memshadow.data.download import Downloader, DownloadError
from memshadow.data.fetch import downloads_of, fetch
from memshadow.errors import DataError


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


@dataclass
class TinySet:
    """Two files: one with a published checksum, one without; the set is both, copied."""

    folder: Path
    originals: tuple[Original, ...]
    reference: Mapping[str, str] = field(default_factory=dict)
    name: str = "tiny"
    licence: str = "CC0"
    weights_may_ship: bool = True
    home: str = "http://localhost"
    failure: Exception | None = None

    def files(self) -> list[Path]:
        return [self.folder / original.path for original in self.originals]

    def assemble(self, downloads: Path, folder: Path) -> None:
        for original in self.originals:
            shutil.copyfile(downloads / original.path, folder / original.path)
        if self.failure:
            raise self.failure


@pytest.fixture
def tiny(shelf: Any, tmp_path: Path) -> TinySet:
    """Give a set whose files are on the shelf."""
    shelf.files |= {"/a": b"alpha", "/b": b"beta"}
    originals = (
        Original(url=f"{shelf.url}/a", path="a.txt", sha256=_sha256(b"alpha")),
        Original(url=f"{shelf.url}/b-new", otherwise=f"{shelf.url}/b", path="b.txt"),
    )
    return TinySet(folder=tmp_path / "home" / "tiny", originals=originals)


def _silent(original: Original, place: int) -> Callable[[int, int | None], None]:
    return lambda here, total: None


def _fetch(corpus: TinySet) -> Any:
    return fetch(corpus, watch=_silent, downloader=Downloader(attempts=2, wait=lambda seconds: None))


def test_a_set_arrives_whole_and_its_downloads_go(tiny: TinySet) -> None:
    assert isinstance(tiny, Fetchable)
    fetched = _fetch(tiny)
    assert (fetched.folder, fetched.files, fetched.unverified, fetched.differing) == (tiny.folder, 2, 1, ())
    assert {path.name: path.read_bytes() for path in tiny.folder.iterdir()} == {"a.txt": b"alpha", "b.txt": b"beta"}
    assert [path.name for path in downloads_of(tiny).iterdir()] == ["pins.json"]
    assert sorted(path.name for path in tiny.folder.parent.iterdir()) == [".downloads", "tiny"]


def test_what_is_there_is_not_touched(tiny: TinySet, shelf: Any) -> None:
    tiny.folder.mkdir(parents=True)
    with pytest.raises(DataError, match="exists already and is not touched"):
        _fetch(tiny)
    assert shelf.requests == []
    assert list(tiny.folder.iterdir()) == []


def test_a_run_goes_on_with_what_the_one_before_brought(tiny: TinySet, shelf: Any) -> None:
    del shelf.files["/b"]
    with pytest.raises(DataError, match=r"/b is not there any more"):
        _fetch(tiny)
    assert not tiny.folder.exists()
    shelf.files["/b"] = b"beta"
    shelf.requests.clear()
    _fetch(tiny)
    assert [path for path, _ in shelf.requests] == ["/b-new", "/b"]


def test_offline_names_the_address_and_the_way_by_hand(tiny: TinySet, shelf: Any) -> None:
    nobody = Original(url="http://127.0.0.1:9/a", path="a.txt", sha256=_sha256(b"alpha"))
    tiny.originals = (nobody, tiny.originals[1])
    by_hand = downloads_of(tiny) / "a.txt"
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1:9/a could not be downloaded") as caught:
        _fetch(tiny)
    assert f"put it at {by_hand}" in str(caught.value)
    wanted = (downloads_of(tiny) / "wanted.txt").read_text(encoding="utf-8").splitlines()
    assert wanted == [f"{original.url} {downloads_of(tiny) / original.path}" for original in tiny.originals]
    assert not tiny.folder.exists()
    by_hand.write_bytes(b"alpha")
    assert _fetch(tiny).files == 2


def test_a_file_brought_by_hand_is_checked_too(tiny: TinySet) -> None:
    by_hand = downloads_of(tiny) / "a.txt"
    by_hand.parent.mkdir(parents=True)
    by_hand.write_bytes(b"alpine")
    with pytest.raises(DownloadError, match=r"a\.txt is not the file that was published"):
        _fetch(tiny)
    assert not tiny.folder.exists()


def test_a_wrong_checksum_leaves_no_set(tiny: TinySet, shelf: Any) -> None:
    shelf.files["/a"] = b"alpha, improved"
    with pytest.raises(DownloadError, match="not what was published"):
        _fetch(tiny)
    assert not tiny.folder.exists()
    assert [path.name for path in downloads_of(tiny).iterdir()] == ["wanted.txt"]


def test_a_file_without_a_checksum_is_pinned_by_its_first_download(tiny: TinySet, shelf: Any) -> None:
    _fetch(tiny)
    shutil.rmtree(tiny.folder)
    assert _fetch(tiny).files == 2
    shutil.rmtree(tiny.folder)
    shelf.files["/b"] = b"beta 2"
    with pytest.raises(DownloadError, match=rf"/b has changed since .* it was {_sha256(b'beta')}") as caught:
        _fetch(tiny)
    assert not tiny.folder.exists()
    pins = downloads_of(tiny) / "pins.json"
    assert str(pins) in str(caught.value)
    pins.unlink()
    assert (_fetch(tiny).folder / "b.txt").read_bytes() == b"beta 2"


def test_a_text_unlike_the_reference_is_told(tiny: TinySet) -> None:
    tiny.reference = {"a.txt": _sha256(b"alpha"), "b.txt": _sha256(b"bet")}
    assert _fetch(tiny).differing == ("b.txt",)


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (KeyError("qa"), r"laid out in another way than this version knows \(KeyError: 'qa'\)"),
        (DataError("a line is damaged"), "a line is damaged"),
        (OSError(28, "No space left on device"), "The disk is full"),
    ],
)
def test_a_failed_conversion_leaves_no_set_and_keeps_the_downloads(
    tiny: TinySet, failure: Exception, message: str
) -> None:
    tiny.failure = failure
    with pytest.raises(DataError, match=message):
        _fetch(tiny)
    assert sorted(path.name for path in tiny.folder.parent.iterdir()) == [".downloads"]
    assert (downloads_of(tiny) / "a.txt").exists()
    tiny.failure = None
    assert _fetch(tiny).files == 2


def test_every_file_is_announced_and_its_bytes_counted(tiny: TinySet) -> None:
    told: list[tuple[str, int, int, int | None]] = []

    def watch(original: Original, place: int) -> Callable[[int, int | None], None]:
        return lambda here, total: told.append((original.path, place, here, total))

    fetch(tiny, watch=watch, downloader=Downloader())
    assert ("a.txt", 0, 5, 5) in told
    assert ("b.txt", 1, 4, 4) in told
