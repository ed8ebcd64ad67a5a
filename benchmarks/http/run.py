"""What a search by HTTP costs beside a trivial FastAPI route, and how many clients fare; see README.md."""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from server import TOKEN, USERS  # noqa: E402 - beside this file

ROUTES = ("trivial", "trivial, def", "health", "search")
RATIOS = {"**HTTP's share / trivial**": "trivial", "HTTP's share / trivial, def": "trivial, def"}


@contextmanager
def served(*, in_folder: bool) -> Iterator[tuple[str, int]]:
    """Run the measured process, its memory in a folder or in dicts; yield its host and port."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(HERE / "server.py"), *([f"{folder}/memories"] if in_folder else [])]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                place = urlsplit(process.stdout.readline().strip())
                yield str(place.hostname), int(place.port or 0)
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(60)


def request(path: str, body: bytes = b"", *, user: int = 0) -> bytes:
    """Return the bytes of a request."""
    method = "POST" if body else "GET"
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
    return f"{head}X-Memshadow-User-Id: user-{user}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def answer(place: socket.socket) -> tuple[int, bytes]:
    """Read one answer; return its status and body."""
    got = b""
    while b"\r\n\r\n" not in got:
        got += _some(place)
    head, _, body = got.partition(b"\r\n\r\n")
    size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while len(body) < size:
        body += _some(place)
    return int(head.split(b" ", 2)[1]), body


def _some(place: socket.socket) -> bytes:
    if not (part := place.recv(65536)):
        raise ConnectionError("the service closed the connection")
    return part


def cost(address: tuple[str, int], *, connections: int, rounds: int, each: int) -> dict[str, float]:
    """Return the server's CPU microseconds per request of each route; medians over rounds, ratios within a round."""
    places = [socket.create_connection(address) for _ in range(connections)]
    asked = {
        "trivial": request("/trivial"),
        "trivial, def": request("/trivial/threaded"),
        "health": request("/health"),
        "search": request("/v1/search", b'{"query":"where are the boats","k":10}'),
    }

    def spent() -> dict[str, float]:
        places[0].sendall(request("/trivial/spent"))
        found: dict[str, float] = json.loads(answer(places[0])[1])
        return found

    found: dict[str, list[float]] = {name: [] for name in (*ROUTES, "searching itself", "HTTP's share", *RATIOS)}
    for _ in range(rounds + 1):
        for name, sent in asked.items():
            before = spent()
            for _ in range(each // connections):
                for place in places:
                    place.sendall(sent)
                for place in places:
                    assert answer(place)[0] == 200
            after, count = spent(), each // connections * connections
            found[name].append((after["cpu_s"] - before["cpu_s"]) / count * 1e6)
            if name == "search":
                found["searching itself"].append((after["search_s"] - before["search_s"]) / count * 1e6)
        found["HTTP's share"].append(found["search"][-1] - found["searching itself"][-1])
        for ratio, base in RATIOS.items():
            found[ratio].append(found["HTTP's share"][-1] / found[base][-1])
    for place in places:
        place.close()
    return {name: median(values[1:]) for name, values in found.items()}  # the first round warms up


def load(address: tuple[str, int], *, searchers: int, writers: int, seconds: float) -> dict[str, float]:
    """Let many clients search while some add; return latencies in ms, requests a second, errors."""
    until = time.monotonic() + seconds
    took: dict[str, list[float]] = {"search": [], "add": []}
    errors: list[str] = []

    def client(kind: str, made: Callable[[int], bytes]) -> None:
        try:
            with socket.create_connection(address, timeout=60) as place:
                turn = 0
                while time.monotonic() < until:
                    begun = time.perf_counter()
                    place.sendall(made(turn))
                    status, body = answer(place)
                    took[kind].append((time.perf_counter() - begun) * 1e3)
                    if status >= 300:
                        errors.append(f"{status}: {body[:200]!r}")
                    turn += 1
        except (OSError, AssertionError) as error:
            errors.append(repr(error))

    def search(who: int) -> Callable[[int], bytes]:
        return lambda _: request("/v1/search", b'{"query":"where are the boats","k":10}', user=who % USERS)

    def add(who: int) -> Callable[[int], bytes]:
        return lambda turn: request("/v1/memories", json.dumps({"text": f"{who} adds {turn}"}).encode(), user=who)

    threads = [threading.Thread(target=client, args=("search", search(i))) for i in range(searchers)]
    threads += [threading.Thread(target=client, args=("add", add(i))) for i in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in errors[:5]:
        print("error:", error)
    told: dict[str, float] = {"errors": len(errors), "seconds": seconds, "searchers": searchers, "writers": writers}
    for kind, values in took.items():
        ordered = sorted(values)
        told[f"{kind}: a second"] = len(ordered) / seconds
        for share in (50, 99):
            told[f"{kind} p{share}, ms"] = ordered[int(len(ordered) * share / 100)]
        told[f"{kind} slowest, ms"] = ordered[-1]
    return told


def tables(results: dict[str, object]) -> str:
    """Return the results as Markdown."""
    costs, loaded = results["cost"], results["load"]
    names = list(next(iter(costs.values())))
    lines = [
        "| CPU us a request | " + " | ".join(f"{n} connection(s)" for n in costs) + " |",
        "|---|" + "---|" * len(costs),
    ]
    for name in names:
        shown = [f"{one[name]:.2f}" if name in RATIOS else f"{one[name]:.0f}" for one in costs.values()]
        lines.append(f"| {name} | " + " | ".join(shown) + " |")
    lines += ["", "| under load | |", "|---|---|", *(f"| {name} | {value:.4g} |" for name, value in loaded.items())]
    return "\n".join([str(results["machine"]), "", *lines])


def machine() -> str:
    """Return what a reader must know of the machine."""
    names = ("fastapi", "starlette", "uvicorn", "httptools", "uvloop", "orjson")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    cores, busy = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    return f"{cores} cores, load {busy:.1f} before; {time.strftime('%Y-%m-%d')}; {versions}."


def main() -> None:
    """Measure, print, and write results.json and the table of README.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--each", type=int, default=160, help="requests of a route in a round")
    parser.add_argument("--searchers", type=int, default=64)
    parser.add_argument("--writers", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    results: dict[str, object] = {"machine": machine(), "cost": {}}
    with served(in_folder=False) as address:
        for connections in (1, 8):
            results["cost"][str(connections)] = cost(
                address, connections=connections, rounds=given.rounds, each=given.each
            )
    with served(in_folder=True) as address:
        results["load"] = load(address, searchers=given.searchers, writers=given.writers, seconds=given.seconds)
    shown = tables(results)
    print(shown)
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    readme = HERE / "README.md"
    before, _, rest = readme.read_text().partition("<!-- table -->")
    readme.write_text(f"{before}<!-- table -->\n{shown}\n<!-- /table -->{rest.partition('<!-- /table -->')[2]}")


if __name__ == "__main__":
    main()
