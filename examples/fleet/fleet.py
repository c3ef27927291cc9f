"""Three workers, 20,000 messages, one worker killed in the middle, one added: what arrives, in which order.

python examples/fleet/fleet.py                              starts a redis-server of its own
python examples/fleet/fleet.py --url redis://127.0.0.1/9    uses yours
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis.asyncio
from worker import LAYOUT

from asgi_server.redis_streams import RedisStreamsProducer

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKER = Path(__file__).with_name("worker.py")


def redis_process(program: str, folder: str) -> tuple[subprocess.Popen[bytes], int]:
    """Start redis on a port that is free; again on another one, if somebody was faster to take it."""
    for _ in range(10):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        network = ["--port", str(port), "--bind", "127.0.0.1"]
        keeps_nothing = ["--save", "", "--dir", folder, "--loglevel", "warning"]
        process = subprocess.Popen([program, *network, *keeps_nothing], stdout=subprocess.DEVNULL)
        while process.poll() is None:
            if listens(port, process.pid):
                return process, port
            time.sleep(0.01)  # it is another process: there is no event to wait for
    raise SystemExit(f"{program} ends with status {process.returncode}, whatever its port")


def listens(port: int, process: int) -> bool:
    """Whether the redis at this port is this process: it could be that of another run."""
    try:
        with socket.create_connection(("127.0.0.1", port), 10) as connection:
            connection.sendall(b"INFO server\r\n")
            return f"\r\nprocess_id:{process}\r\n".encode() in connection.recv(65536)
    except OSError:
        return False


@contextmanager
def redis_server() -> Iterator[str]:
    """A redis-server on a free port of the loopback interface, which keeps nothing."""
    program = shutil.which("redis-server")
    if program is None:
        raise SystemExit("there is no redis-server here; install it, or say where yours is with --url")
    with tempfile.TemporaryDirectory() as folder:
        process, port = redis_process(program, folder)
        try:
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()
            process.wait(30)


class Worker:
    """A process that runs worker.py."""

    def __init__(self, url: str, number: int, lease: float) -> None:
        self.name = f"worker-{number}"
        command = [sys.executable, str(WORKER), url, "--name", self.name, "--lease", str(lease)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(30)

    def end(self) -> int:
        """Wait for its end, after SIGTERM; returns how many messages it has claimed."""
        said = self.process.communicate(timeout=60)[0]
        if not said:
            raise RuntimeError(f"{self.name} ended with status {self.process.returncode} and said nothing")
        claimed: int = json.loads(said)["claimed"]
        return claimed


async def produce(client: Any, start: int, stop: int, scopes: int) -> None:
    """Message after message to scope after scope, so that those of one scope come all the time."""
    producer = RedisStreamsProducer(client, LAYOUT)
    for first in range(start, stop, scopes):
        await producer.send_all(
            (
                f"user-{index % scopes}",
                {"type": "fleet", "user": index % scopes},
                {"type": "fleet.message", "number": index // scopes},
            )
            for index in range(first, min(first + scopes, stop))
        )


class Answers:
    """Reads the answers as they come, and judges them."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._last = "0"
        self.numbers: dict[int, list[int]] = {}
        self.distinct: set[tuple[int, int]] = set()
        self.total = 0
        self.by_worker: collections.Counter[str] = collections.Counter()

    async def read(self) -> None:
        for _, entries in await self._client.xread({LAYOUT.replies: self._last}, count=500, block=200):
            for entry, fields in entries:
                answer = json.loads(fields[b"message"])
                self.numbers.setdefault(answer["user"], []).append(answer["number"])
                self.distinct.add((answer["user"], answer["number"]))
                self.by_worker[fields[b"worker"].decode()] += 1
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


async def registered(client: Any, workers: list[Worker]) -> None:
    """Wait until these workers are there: before that, SIGTERM would end them without a word."""
    for worker in workers:
        while await client.zscore(LAYOUT.workers, worker.name) is None:  # noqa: ASYNC110  # they are other processes
            await asyncio.sleep(0.05)


async def run_fleet(url: str, messages: int, scopes: int, seconds: float, lease: float) -> dict[str, Any]:
    """Run it all; returns the figures."""
    client = await connected(url)
    workers = [Worker(url, number, lease) for number in (1, 2, 3)]
    started = time.monotonic()

    def tell(text: str) -> None:
        print(f"{time.monotonic() - started:5.1f} s: {len(answers.distinct):,} answered; {text}", flush=True)

    try:
        answers = Answers(client)
        async with asyncio.timeout(seconds):
            await registered(client, workers)
        tell("three workers are there")
        later = messages * 3 // 4  # the rest is for the fleet with the new worker
        producing = asyncio.create_task(produce(client, 0, later, scopes))
        await wait_for(answers, messages // 3, seconds)
        killed = next(worker for worker in workers if worker.name in answers.by_worker)
        workers.remove(killed)
        killed.kill()
        tell(f"{killed.name} is killed")
        await wait_for(answers, messages // 2, seconds)
        added = Worker(url, 4, lease)
        workers.append(added)
        await producing
        async with asyncio.timeout(seconds):
            await registered(client, [added])
        tell(f"{added.name} is added")
        # One at a time until it has taken its share of the partitions, which nobody else can see.
        while later < messages and added.name not in answers.by_worker:
            await produce(client, later, later + 1, scopes)
            later += 1
            await answers.read()
            await asyncio.sleep(0.02)  # other processes hand over by their leases, in their own time
        tell(f"{added.name} serves; the rest is sent")
        await produce(client, later, messages, scopes)
        await wait_for(answers, messages, seconds)
        took = time.monotonic() - started
        tell("the workers get SIGTERM")
        for worker in workers:
            worker.process.send_signal(signal.SIGTERM)
        claimed = sum(worker.end() for worker in workers)
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
            "claimed": claimed,
            "pending": sum(summary["pending"] for summary in pending),
            "out_of_order": len(answers.scopes_out_of_order()),
            "killed_answered": answers.by_worker[killed.name],
            "added_answered": answers.by_worker[added.name],
            "exit_statuses": [worker.process.returncode for worker in workers],
            "seconds": round(took, 1),
        }
    finally:
        for worker in workers:
            worker.kill()
        await client.aclose()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", help="a Redis that may be written to; without it a redis-server is started")
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--scopes", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=120, help="how long to wait for the answers at most")
    parser.add_argument(
        "--lease", type=float, default=8, help="seconds after which a dead worker is replaced"
    )
    options = parser.parse_args()
    with nullcontext(options.url) if options.url else redis_server() as url:
        figures = asyncio.run(
            run_fleet(url, options.messages, options.scopes, options.seconds, options.lease)
        )
    for name, value in figures.items():
        print(f"{name:>15}: {value}")
    fine = (
        figures["answered"] == figures["messages"]
        and not figures["out_of_order"]
        and not figures["pending"]
        and figures["duplicates"] <= figures["claimed"]
        and figures["added_answered"]
        and not any(figures["exit_statuses"])
    )
    print(
        "nothing lost, every scope in order, duplicates only among the claimed" if fine else "NOT as promised"
    )
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
