"""Checkpoints by LangGraph's PostgresSaver, as a line of JSON: postgres.py URL CALLERS SECONDS

Each caller is a thread with a connection of its own and a thread_id of its own. Every put stores a state of ten messages of about 400
bytes, as a graph does after each step, and is a commit.
"""

import json
import sys
import threading
import time

from langgraph.checkpoint.base import empty_checkpoint, uuid6
from langgraph.checkpoint.postgres import PostgresSaver

MESSAGES = 10
MOST = 64


def put(saver, config, n):
    checkpoint = empty_checkpoint()
    checkpoint["id"] = str(uuid6())
    messages = [{"role": "user", "content": f"{n + i:>370}"} for i in range(MESSAGES)]
    checkpoint["channel_values"] = {"messages": messages}
    checkpoint["channel_versions"] = {"messages": n + 1}
    saver.put(config, checkpoint, {"step": n}, {"messages": n + 1})


def caller(url, number, began, end, times):
    config = {"configurable": {"thread_id": f"caller-{number}", "checkpoint_ns": ""}}
    with PostgresSaver.from_conn_string(url) as saver:
        n = 0
        began.wait()
        while time.monotonic() < end[0]:
            before = time.perf_counter()
            put(saver, config, n)
            times.append(time.perf_counter() - before)
            n += 1


def main():
    url, callers, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    if callers > MOST:
        # A connection for each would be more than a server has.
        callers = MOST
    with PostgresSaver.from_conn_string(url) as saver:
        saver.setup()
    began, end, times = threading.Barrier(callers + 1), [0.0], []
    threads = [threading.Thread(target=caller, args=(url, n, began, end, times)) for n in range(callers)]
    for thread in threads:
        thread.start()
    end[0] = time.monotonic() + seconds
    start = time.monotonic()
    began.wait()
    for thread in threads:
        thread.join()
    took = time.monotonic() - start
    times.sort()
    print(json.dumps({"appends_per_s": len(times) / took, "p50_us": times[len(times) // 2] * 1e6, "samples": len(times)}))


main()
