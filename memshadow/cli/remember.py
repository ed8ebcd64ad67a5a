"""Remember a text: durable when this returns.

  memshadow remember I moved to Lisbon speaker=Ann
  memshadow remember "Ann likes tea, no sugar" tags=food,ann key="Ann: tea"
  memshadow remember session=tuesday - < notes.txt        the whole of standard input is one memory
  memshadow remember -- a=b is how it begins              after -- everything is text

A word name=value is a setting, every other word is text; quotes around the whole keep several spaces. Where a service
holds the folder, it is spoken to. What is there already, word for word, is not added twice.
"""

from __future__ import annotations

from memshadow.cli._reach import as_json, reached
from memshadow.cli._words import understood
from memshadow.errors import DataError

_FIELDS = (
    "speaker",
    "role",
    "kind",
    "happened_at",
    "importance",
    "tags",
    "metadata",
    "image_caption",
    "source",
    "provenance",
    "key",
    "supersedes",
)


def main(argv: list[str]) -> int | None:
    """Add one memory and say what became of it."""
    words = understood("remember", argv)
    if not words.text.strip():
        raise DataError('remember what? Say it behind the settings: memshadow remember "I moved to Lisbon" speaker=Ann')
    with reached(words, begin=True) as memory:
        added = memory.add(words.text, **words.chosen(*_FIELDS))
    if words["json"]:
        from memshadow.serving.wire import added_out

        print(as_json(added_out(added)))
        return 0
    print(f"{added.id} was there already" if added.duplicate else f"{added.id} remembered")
    for told, ids in (("nearly the same", added.near), ("takes the place of", added.superseded)):
        if ids:
            print(f"  {told}: {', '.join(ids)}")
    return 0
