"""Another process on the same database: `python -m tests.store.child DEED PLACE [powerless]`.

What it says, it says line by line.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import resource
import sys

from stepwell.base.errors import Conflict, StoreError
from stepwell.ports.ledger import JournalEntry, Write
from stepwell.ports.records import Change, Handle, InboxItem
from stepwell.store.factory import store_for
from tests.conformance.store import NOW, TTL, creation, scene_on
from tests.conformance.store import change as later_change

FILE_LIMIT = 400_000


def say(what: object) -> None:
    print(what, flush=True)


async def open_and_close(place: str) -> None:
    """Say `open`, or the code of the error."""
    store = store_for(place)
    try:
        await store.open()
    except StoreError as error:
        say(error.code)
        return
    say("open")
    await store.close()


async def own(place: str) -> None:
    """Own shard 0, say so, and do nothing until killed."""
    store = store_for(place)
    await store.open()
    await store.acquire(0, "child", NOW, TTL)
    say("owned")
    await asyncio.Event().wait()


async def listen(place: str) -> None:
    """Own shard 0 and say when called, once."""
    store = store_for(place)
    await store.open()
    await store.acquire(0, "child", NOW, TTL)
    called = asyncio.Event()
    store.listen(called.set)
    say("listening")
    await called.wait()
    say(f"called, {len(await store.inbox(0))} in the inbox")
    await store.close()


async def append(place: str) -> None:
    """Write to two executions in every commit, and say which number is committed, until killed or refused."""
    store = store_for(place)
    await store.open()
    scene = await scene_on(store, "child")
    first = len(await store.executions_after(0, 10_000))
    handles = [Handle(f"e{first + place}", scene.lease.shard) for place in range(2)]
    try:
        await scene.append(*[creation(handle) for handle in handles])
        say(f"created {handles[0].id} {handles[1].id}")
        for seq in itertools.count(2):
            await scene.append(*[_row(handle, seq) for handle in handles])
            say(seq)
    except StoreError as error:
        say(error.code)
    await store.close()


async def append_into_a_small_file(place: str) -> None:
    """As `append`, with files that cannot grow beyond `FILE_LIMIT` bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_LIMIT, FILE_LIMIT))
    await append(place)


async def write(place: str) -> None:
    """Change one document again and again, in competition with others, each time with an inbox item and a chained
    entry; say each revision that was written, until killed."""
    store = store_for(place)
    await store.open()
    say("writing")
    revision = 0
    while True:
        change = Write(kind="counter", key="k", body=b"x" * 300, expected=revision, due_at=revision + 1)
        posts = [InboxItem(shard=0, kind="start", payload=b"x" * 300)]
        note = JournalEntry(kind="audit", subject="k", at=NOW, body=f"{revision + 1}" + "x" * 300, chained=True)
        try:
            (revision,) = await store.write([change], NOW, posts=posts, entries=[note])
            say(revision)
        except Conflict:
            found = await store.document("counter", "k")
            revision = found.revision if found is not None else 0


def _row(handle: Handle, seq: int) -> Change:
    return later_change(handle, seq, bytes([seq % 256]) * 300)


DEEDS = {deed.__name__: deed for deed in (open_and_close, own, listen, append, append_into_a_small_file, write)}

NOBODY = 65_534


def give_up_power() -> None:
    """Be a user for whom permissions count; they do not for root."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


async def main(deed: str, place: str, *more: str) -> None:
    if more == ("powerless",):
        store_for(place)  # what it needs cannot be loaded later
        await asyncio.to_thread(give_up_power)  # in a thread, so that all that threads need is loaded before
    await DEEDS[deed](place)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
