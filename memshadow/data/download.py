"""One file over HTTPS: resumed, checked, and only then given its name. Knows nothing of data sets."""

from __future__ import annotations

import errno
import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_address
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from memshadow.errors import DataError

Progress = Callable[[int, int | None], None]
"""Told the bytes that are here and the bytes in all (``None``: the server does not say)."""

_CHUNK = 1 << 18
_AGENT = "memshadow (data fetch)"
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class DownloadError(DataError):
    """A file could not be had: the network is away, the server refuses, or what came is not what was published."""


class NotThereError(DownloadError):
    """The server says that there is no such file."""


class _CutError(Exception):
    """The connection ended early; what came is kept, and asking again may bring the rest."""


def _silent(here: int, total: int | None) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloader:
    """Brings files here, one at a time.

    ``attempts`` counts the first. ``wait`` takes seconds, ``opening`` a path and a mode: tests give a clock that does
    not wait and a disk that is full.
    """

    timeout_s: float = 30.0
    attempts: int = 3
    wait: Callable[[float], None] = time.sleep
    opening: Callable[[Path, str], IO[Any]] = Path.open

    def download(self, url: str, target: Path, *, sha256: str | None, progress: Progress = _silent) -> str:
        """Bring ``url`` to ``target`` and return the SHA-256 of its bytes.

        The bytes grow in ``target.part``; a run that was cut goes on there by HTTP Range. A file without a known
        checksum begins anew instead: nothing could tell a mixture of two versions. ``target`` appears by a rename,
        complete and checked, or not at all.

        Raises:
            NotThereError: the server has no such file.
            DownloadError: no network, a refusal, an address that is neither https nor this machine, a wrong checksum
                (the part is removed), or a full disk (the part is kept).
        """
        _check_address(url)
        part = target.with_name(f"{target.name}.part")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if sha256 is None:
                part.unlink(missing_ok=True)
            self._fill(url, part, progress)
            found = sha256_of(part)
            if sha256 is not None and found != sha256:
                part.unlink()
                raise DownloadError(
                    f"What came from {url} is not what was published: its SHA-256 is {found}, {sha256} was needed. It "
                    "was removed. Try again; if it stays so, the file was changed at its source: do not use it."
                )
            part.replace(target)
        except OSError as error:
            raise unwritable(error, target) from error
        return found

    def _fill(self, url: str, part: Path, progress: Progress) -> None:
        """Ask for what ``part`` lacks until it is whole."""
        for attempt in range(self.attempts):
            try:
                return self._append(url, part, progress)
            except _CutError as cut:
                if attempt + 1 == self.attempts:
                    raise DownloadError(f"{url} could not be downloaded: {cut} ({self.attempts} attempts).") from cut
                self.wait(2.0**attempt)
        raise AssertionError("at least one attempt is needed")

    def _append(self, url: str, part: Path, progress: Progress) -> None:
        """Ask once for what ``part`` lacks and write what comes."""
        have = part.stat().st_size if part.exists() else 0
        response = self._ask(url, have)
        if response is None:
            part.unlink()
            raise _CutError("the server has less than the part that was kept; it was removed")
        with closing(response):
            here = _start(response, have)
            length = response.headers.get("Content-Length")
            total = here + int(length) if length else None
            progress(here, total)
            with self.opening(part, "ab" if here else "wb") as file:
                for chunk in _chunks(response):
                    file.write(chunk)
                    here += len(chunk)
                    progress(here, total)
                file.flush()
                os.fsync(file.fileno())
        if total is not None and here < total:
            raise _CutError(f"the connection ended after {here:,} of {total:,} bytes")

    def _ask(self, url: str, start: int) -> http.client.HTTPResponse | None:
        """Return the answer for the bytes from ``start`` on, or ``None`` where the file is not that long."""
        headers = {"User-Agent": _AGENT, "Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        request = urllib.request.Request(url, headers=headers)  # noqa: S310  (the address was checked)
        try:
            answer: http.client.HTTPResponse = _opener(url).open(request, timeout=self.timeout_s)
        except urllib.error.HTTPError as error:
            error.close()
            if start and error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                return None
            raise _refusal(url, error) from error
        except (OSError, http.client.HTTPException) as error:
            raise _CutError(f"there is no answer ({getattr(error, 'reason', None) or error})") from error
        return answer


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unwritable(error: OSError, target: Path) -> DownloadError:
    """Return the error of a place that cannot be written: a full disk, missing rights."""
    if error.errno in _FULL:
        return DownloadError(
            f"The disk is full: {target} could not be written ({error.strerror}). Make room and run the same command "
            "again (what is here already is kept), or name another place: MEMSHADOW_DATA=FOLDER."
        )
    why = error.strerror or error
    return DownloadError(f"{target} could not be written ({why}); name another place: MEMSHADOW_DATA=FOLDER.")


def _start(response: http.client.HTTPResponse, have: int) -> int:
    """Return the place of the first byte that comes: a server may ignore the Range and send all."""
    if response.status != HTTPStatus.PARTIAL_CONTENT:
        return 0
    if not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
        raise _CutError("the server sent another part than was asked for")
    return have


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    while True:
        try:
            chunk = response.read(_CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise _CutError(f"the connection ended ({error})") from error
        if not chunk:
            return
        yield chunk


def _refusal(url: str, error: urllib.error.HTTPError) -> Exception:
    if error.code in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:
        return NotThereError(f"{url} is not there any more (the server answers {error.code}).")
    if error.code in _AGAIN:
        return _CutError(f"the server answers {error.code} {error.reason}")
    return DownloadError(f"{url} was refused: the server answers {error.code} {error.reason}.")


def _check_address(url: str) -> None:
    address = urlsplit(url)
    if address.scheme != "https" and not (address.scheme == "http" and _is_loopback(address.hostname)):
        raise DownloadError(f"{url} is not fetched: only https is, and http from this machine itself.")


def _is_loopback(host: str | None) -> bool:
    try:
        return host == "localhost" or ip_address(host or "").is_loopback
    except ValueError:
        return False


class _CheckedRedirect(urllib.request.HTTPRedirectHandler):
    """Follows a redirect only where the new address would have been taken too."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        _check_address(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(url: str) -> urllib.request.OpenerDirector:
    """Return an opener that honours the user's proxy, but for this machine itself."""
    proxies = urllib.request.ProxyHandler({} if _is_loopback(urlsplit(url).hostname) else None)
    return urllib.request.build_opener(proxies, _CheckedRedirect)
