"""Print the exact versions of everything that memshadow's extras pull in, as installed here: `make lock`.

Versions only: no hashes and no addresses, so the file fits any index and any build of a package (a CPU torch and a CUDA
torch are both 2.13.0). It is given to pip as constraints: what a platform does not need is not installed.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution, version
from platform import machine, system

from packaging.requirements import Requirement

_EXTRAS = ("train", "serve", "dev")
_HEADER = """\
# Exact versions for `pip install -c requirements/lock.txt -e '.[{extras}]'`; written by `make lock`, not by hand.
# Made with Python {python} on {platform}; what another platform needs besides, pip takes at its newest.
"""


def closure(name: str, extras: tuple[str, ...]) -> dict[str, str]:
    """Return normalised name -> version of what ``name[extras]`` needs on this machine, itself left out."""
    found: dict[str, str] = {}
    open_: list[tuple[str, tuple[str, ...]]] = [(name, extras)]
    seen: set[tuple[str, str]] = set()
    while open_:
        name, wanted = open_.pop()
        for requirement in _needs(distribution(name), wanted):
            key = re.sub(r"[-_.]+", "-", requirement.name).lower()
            todo = tuple(extra for extra in ("", *requirement.extras) if (key, extra) not in seen)
            seen.update((key, extra) for extra in todo)
            if todo:
                found[key] = version(requirement.name).partition("+")[0]
                open_.append((requirement.name, todo))
    return found


def _needs(package: Distribution, extras: tuple[str, ...]) -> list[Requirement]:
    """Return the requirements that hold on this machine for any of the extras."""
    requirements = [Requirement(text) for text in package.requires or ()]
    return [r for r in requirements if any(not r.marker or r.marker.evaluate({"extra": e}) for e in ("", *extras))]


def main() -> None:
    """Write the file to standard output."""
    try:
        pins = closure("memshadow", _EXTRAS)
    except PackageNotFoundError as error:
        sys.exit(f"{error.name} is not installed here; first: pip install -e '.[{','.join(_EXTRAS)}]'")
    pins.pop("memshadow", None)
    python = ".".join(map(str, sys.version_info[:2]))
    print(_HEADER.format(extras=",".join(_EXTRAS), python=python, platform=f"{system()} {machine()}"), end="")
    print("\n".join(f"{name}=={pin}" for name, pin in sorted(pins.items())))


if __name__ == "__main__":
    main()
