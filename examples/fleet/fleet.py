"""Three workers, 20,000 messages, one worker killed in the middle, one added: what arrives, in which order.

python examples/fleet/fleet.py                              starts a redis-server of its own
python examples/fleet/fleet.py --url redis://127.0.0.1/9    uses yours
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis.asyncio
from worker import LAYOUT

from asgi_server.redis_streams import RedisStreamsProducer

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKER = Path(__file__).with_name("worker.py")


@contextmanager
def redis_server() -> Iterator[str]:
    """A redis-server on a free port of the loopback interface, which keeps nothing."""
    program = shutil.which("redis-server")
    if program is None:
        raise SystemExit("there is no redis-server here; install it, or say where yours is with --url")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        arguments = [
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            folder,
            "--loglevel",
            "warning",
        ]
        process = subprocess.Popen([program, *arguments], stdout=subprocess.DEVNULL)
        try:
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()
            process.wait(10)


def start_worker(url: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, str(WORKER), url], stdout=subprocess.PIPE, text=True)


async def produce(client: Any, messages: int, scopes: int) -> None:
    """Message after message to scope after scope, so that those of one scope come all the time."""
    producer = RedisStreamsProducer(client, LAYOUT)
    for start in range(0, messages, scopes):
        await producer.send_all(
            (
                f"user-{index % scopes}",
                {"type": "fleet", "user": index % scopes},
                {"type": "fleet.message", "number": index // scopes},
            )
            for index in range(start, min(start + scopes, messages))
        )


class Answers:
    """Reads the answers as they come, and judges them."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._last = "0"
        self.numbers: dict[int, list[int]] = {}
        self.distinct: set[tuple[int, int]] = set()
        self.total = 0
        self.workers: set[bytes] = set()

    async def read(self) -> None:
        for _, entries in await self._client.xread({LAYOUT.replies: self._last}, count=5000, block=200):
            for entry, fields in entries:
                answer = json.loads(fields[b"message"])
                self.numbers.setdefault(answer["user"], []).append(answer["number"])
                self.distinct.add((answer["user"], answer["number"]))
                self.workers.add(fields[b"worker"])
                self.total += 1
                self._last = entry

    def scopes_out_of_order(self) -> list[int]:
        """Users for whom a message came before an earlier one of theirs had come at all."""
        bad = []
        for user, numbers in self.numbers.items():
            expected = 0
            for number in numbers:
                if number > expected:
                    bad.append(user)
                    break
                expected = max(expected, number + 1)
        return bad


async def wait_for(answers: Answers, count: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while len(answers.distinct) < count:
        if time.monotonic() > deadline:
            raise SystemExit(
                f"only {len(answers.distinct)} of {count} messages were answered in {seconds:g} s"
            )
        await answers.read()


async def connected(url: str) -> Any:
    client: Any = redis.asyncio.Redis.from_url(url, socket_timeout=30)
    deadline = time.monotonic() + 10
    while True:
        try:
            await client.ping()
        except redis.exceptions.ConnectionError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)
        else:
            return client


async def run_fleet(url: str, messages: int, scopes: int, seconds: float) -> dict[str, Any]:
    """Run it all; returns the figures."""
    client = await connected(url)
    workers = [start_worker(url) for _ in range(3)]
    started = time.monotonic()
    try:
        answers = Answers(client)
        producing = asyncio.create_task(produce(client, messages, scopes))
        await wait_for(answers, messages // 3, seconds)
        killed = workers.pop(0)
        killed.kill()
        killed.wait(10)
        print(
            f"{time.monotonic() - started:5.1f} s: {len(answers.distinct):,} answered; one worker is killed"
        )
        await wait_for(answers, messages // 2, seconds)
        workers.append(start_worker(url))
        print(f"{time.monotonic() - started:5.1f} s: {len(answers.distinct):,} answered; a worker is added")
        await producing
        await wait_for(answers, messages, seconds)
        took = time.monotonic() - started
        print(f"{took:5.1f} s: all {messages:,} answered; the workers get SIGTERM")
        for worker in workers:
            worker.send_signal(signal.SIGTERM)
        reports = [json.loads(worker.communicate(timeout=30)[0]) for worker in workers]
        for _ in range(3):
            await answers.read()
        pending = [
            await client.xpending(LAYOUT.stream(number), "asgi") for number in range(LAYOUT.partitions)
        ]
        return {
            "messages": messages,
            "scopes": scopes,
            "answered": len(answers.distinct),
            "duplicates": answers.total - len(answers.distinct),
            "claimed": sum(report["claimed"] for report in reports),
            "pending": sum(summary["pending"] for summary in pending),
            "out_of_order": len(answers.scopes_out_of_order()),
            "workers": len(answers.workers),
            "exit_statuses": [worker.returncode for worker in workers],
            "seconds": round(took, 1),
        }
    finally:
        for worker in workers:
            if worker.poll() is None:
                worker.kill()
            worker.wait(10)
        await client.aclose()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", help="a Redis that may be written to; without it a redis-server is started")
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--scopes", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=120, help="how long to wait for the answers at most")
    options = parser.parse_args()
    if options.url:
        figures = asyncio.run(run_fleet(options.url, options.messages, options.scopes, options.seconds))
    else:
        with redis_server() as url:
            figures = asyncio.run(run_fleet(url, options.messages, options.scopes, options.seconds))
    for name, value in figures.items():
        print(f"{name:>14}: {value}")
    fine = (
        figures["answered"] == figures["messages"]
        and not figures["out_of_order"]
        and not figures["pending"]
        and figures["duplicates"] <= figures["claimed"]
        and not any(figures["exit_statuses"])
    )
    print(
        "nothing lost, every scope in order, duplicates only among the claimed" if fine else "NOT as promised"
    )
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
