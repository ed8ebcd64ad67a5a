"""Threads for blocking calls: answers, errors, a bound, an end."""

import asyncio
import threading
import time

import pytest

from memshadow.serving.work import BusyError, Work


def make(**given: int) -> Work:
    return Work(**{"readers": 2, "writers": 2, "importers": 1, "most_waiting": 4, **given})


def test_answers_and_errors_come_back() -> None:
    async def main() -> None:
        work = make()
        assert await work.read(divmod, 7, 2) == (3, 1)
        assert await work.write(int, "a", base=16) == 10
        with pytest.raises(ZeroDivisionError):
            await work.read(lambda: 1 / 0)
        work.close()
        work.close()

    asyncio.run(main())


def test_writers_that_wait_keep_no_reader_waiting() -> None:
    async def main() -> None:
        work, gate = make(), threading.Event()
        writing = [asyncio.create_task(work.write(gate.wait, 10)) for _ in range(4)]
        assert await asyncio.wait_for(work.read(abs, -1), 5) == 1
        gate.set()
        assert await asyncio.gather(*writing) == [True] * 4
        work.close()

    asyncio.run(main())


def test_imports_that_wait_keep_no_writer_waiting() -> None:
    async def main() -> None:
        work, gate = make(), threading.Event()
        imports = [asyncio.create_task(work.take_in(gate.wait, 10)) for _ in range(3)]
        assert await asyncio.wait_for(work.write(abs, -1), 5) == 1
        gate.set()
        assert await asyncio.gather(*imports) == [True] * 3
        work.close()

    asyncio.run(main())


def test_too_many_are_refused_and_it_goes_on() -> None:
    async def main() -> None:
        work, gate = make(), threading.Event()
        waiting = [asyncio.create_task(work.read(gate.wait, 10)) for _ in range(4)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await work.read(abs, 1)
        gate.set()
        await asyncio.gather(*waiting)
        assert await work.read(abs, -2) == 2
        work.close()

    asyncio.run(main())


def test_a_write_is_finished_though_nobody_waits_for_it() -> None:
    async def main() -> list[str]:
        work, done = make(), list[str]()
        writing = asyncio.create_task(work.write(lambda: (time.sleep(0.1), done.append("written"))))
        await asyncio.sleep(0.02)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        await asyncio.to_thread(work.close)
        return done

    assert asyncio.run(main()) == ["written"]


def test_as_many_readers_as_cores_and_at_least_two() -> None:
    work = make(readers=0)
    assert len(work._readers._threads) >= 2
    work.close()
