"""Appends and loads by what a user of Python would pick: the OpenAI Agents SDK's SQLiteSession and LangGraph's SqliteSaver.

peers.py [--quick] [--json FILE] FOLDER...

Every row is an append of a message of about 400 bytes, or a load; the medians of all rounds are printed, with the pragmas that the
peer's own connection answers. Both take turns, and turns at being first.
"""

import argparse
import asyncio
import copy
import importlib.metadata
import json
import sqlite3
import statistics
import tempfile
import time
from collections import deque
from pathlib import Path

from agents import SQLiteSession
from langgraph.checkpoint.base import empty_checkpoint, uuid6
from langgraph.checkpoint.sqlite import SqliteSaver

MESSAGE = {"role": "user", "content": "m" * 370}
SESSIONS = 64
LONG = 2_000
BUDGET = 30.0
LEVELS = {0: "off", 1: "normal", 2: "full", 3: "extra"}


def durability(conn):
    mode = conn.execute("pragma journal_mode").fetchone()[0]
    level = LEVELS[conn.execute("pragma synchronous").fetchone()[0]]
    # Only full syncs the write-ahead log before a commit returns.
    synced = level in ("full", "extra") if mode == "wal" else level != "off"
    return f"{'synced' if synced else 'NOT synced'} (journal_mode={mode} synchronous={level})"


class OpenAI:
    """A row for each message; each call runs in a thread of its own."""

    name = "openai-agents SQLiteSession"
    package = "openai-agents"

    def __init__(self, folder):
        self.sessions = [SQLiteSession(f"session-{n}", folder / "openai.db") for n in range(SESSIONS)]

    async def fill(self):
        for n, session in enumerate(self.sessions):
            await session.add_items([MESSAGE] * (LONG if n == 0 else 10))

    def durability(self):
        return durability(self.sessions[1]._get_connection())

    async def append(self, n):
        await self.sessions[n].add_items([MESSAGE])

    async def together(self):
        await asyncio.gather(*(self.append(n) for n in range(1, SESSIONS)), self.append(1))

    async def load(self):
        return len(await self.sessions[0].get_items())


class LangGraph:
    """The whole state for each step: the conversation as it is then, with the message added."""

    name = "langgraph SqliteSaver"
    package = "langgraph-checkpoint-sqlite"

    def __init__(self, folder):
        self.conn = sqlite3.connect(folder / "langgraph.db", check_same_thread=False)
        self.saver = SqliteSaver(self.conn)
        self.saver.setup()
        self.states = [[copy.copy(MESSAGE) for _ in range(LONG if n == 0 else 10)] for n in range(SESSIONS)]
        self.configs = [{"configurable": {"thread_id": f"session-{n}", "checkpoint_ns": ""}} for n in range(SESSIONS)]

    async def fill(self):
        for n in range(SESSIONS):
            await self.append(n)

    def durability(self):
        return durability(self.conn)

    async def append(self, n):
        # The length stays as it is, so that every round costs the same.
        self.states[n].pop(0)
        self.states[n].append(copy.copy(MESSAGE))
        checkpoint = empty_checkpoint()
        checkpoint["id"] = str(uuid6())
        checkpoint["channel_values"] = {"messages": self.states[n]}
        self.configs[n] = self.saver.put(self.configs[n], checkpoint, {"source": "loop", "step": 1}, {})

    async def together(self):
        # It is not made for several at once: a lock lets one in.
        for n in [*range(1, SESSIONS), 1]:
            await self.append(n)

    async def load(self):
        latest = {"configurable": {"thread_id": "session-0", "checkpoint_ns": ""}}
        return len(self.saver.get_tuple(latest).checkpoint["channel_values"]["messages"])


async def compare(place, rounds, figures):
    with tempfile.TemporaryDirectory(dir=place, ignore_cleanup_errors=True) as folder:
        peers = deque([OpenAI(Path(folder)), LangGraph(Path(folder))])
        for peer in peers:
            await peer.fill()
        samples = {}

        async def timed(peer, what, count, work):
            began = time.perf_counter()
            done = await work
            samples.setdefault((what, peer.name), []).append((time.perf_counter() - began) * 1e6 / count)
            return done

        began = time.monotonic()
        for n in range(rounds):
            if time.monotonic() - began > BUDGET:
                print(f"{place}: {n} rounds, for want of time")
                break
            peers.rotate(1)
            for peer in peers:
                await timed(peer, "lone", 1, peer.append(1 + n % (SESSIONS - 1)))
            for peer in peers:
                await timed(peer, f"lone-at-{LONG}-messages", 1, peer.append(0))
            if n % 8 == 0:
                for peer in peers:
                    await timed(peer, "64-at-once", SESSIONS, peer.together())
                for peer in peers:
                    loaded = await timed(peer, f"load-{LONG}-messages", 1, peer.load())
                    assert loaded >= LONG, f"{peer.name} has lost messages: {loaded}"
        says = {peer.name: (peer.durability(), importlib.metadata.version(peer.package)) for peer in peers}
        for (what, name), times in sorted(samples.items()):
            value, (class_, version) = statistics.median(times), says[name]
            print(f"{f'peers.{what}.{name} {version}':<62} {value:>10.1f} µs {class_}", flush=True)
            figures.append(
                {"place": str(place), "what": what, "peer": name, "version": version, "value": value, "unit": "µs",
                 "rounds": len(times), "durability": class_}
            )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="fewer rounds: a first impression rather than a figure")
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    parser.add_argument("folders", nargs="+", type=Path, help="the files are made in each of them by turns")
    options = parser.parse_args()
    figures = []
    print(f"SQLite {sqlite3.sqlite_version}")
    for folder in options.folders:
        print(f"in {folder}")
        asyncio.run(compare(folder, 100 if options.quick else 1_000, figures))
    if options.json:
        options.json.write_text(json.dumps({"figures": figures}, indent=2, ensure_ascii=False))


main()
