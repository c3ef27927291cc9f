"""Start a guestbook on a free port, use it over HTTP as two people would, and look at what ran where."""

import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from guestbook.browser import Browser, Listener

Steps = list[dict[str, Any]]

AT_ONCE = 8
CONCURRENT_ENTRIES = 24
LONGEST_RUN = 120  # seconds, after which the server is killed, so that nothing waits on it for ever
LOG_LINE = re.compile(r"\d\d:\d\d:\d\d (r\d{4}|bot\S*|-) +\S+ +\S+: ")
ON_THE_LOOP = ("hub", "stream", "bot", "site")


@dataclass
class Findings:
    all_good: bool = True

    def expect(self, fact: bool, what: str) -> None:
        self.all_good = self.all_good and fact
        print(f"{'ok    ' if fact else 'FAILED'}  {what}", flush=True)


@dataclass
class Served:
    process: subprocess.Popen[str]
    netloc: str
    log: Path
    listeners: list[Listener] = field(default_factory=list[Listener])

    def listen(self, after: int = 0) -> Listener:
        listener = Listener(self.netloc, after)
        self.listeners.append(listener)
        return listener


@contextmanager
def serving(folder: Path) -> Generator[Served]:
    """A guestbook in a process of its own."""
    log = folder / "log"
    database = str(folder / "guestbook.sqlite3")
    command = [sys.executable, "-m", "guestbook", "--port", "0", "--database", database]
    with log.open("w") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
    watchdog = threading.Timer(LONGEST_RUN, process.kill)
    watchdog.start()
    try:
        assert process.stdout is not None
        first_line = process.stdout.readline()
        found = re.search(r"http://(\S+)", first_line)
        if not found:
            raise RuntimeError(f"the guestbook did not start: {first_line}{log.read_text()}")
        yield Served(process, found.group(1), log)
    finally:
        watchdog.cancel()
        process.kill()
        process.communicate()


def two_people_talk(served: Served, findings: Findings) -> str:
    """Ada and Ben read, listen and write. Returns the id of a request that wrote an entry."""
    ada, ben = Browser(served.netloc, "Ada"), Browser(served.netloc, "Ben")
    status, request_id, page = ada.request("GET", "/")
    findings.expect(status == 200 and "Guestbook" in page, "the page is there")
    findings.expect(f"<b>{request_id}</b>" in page, f"the request's id, {request_id}, is on the page")
    hers, his = served.listen(), served.listen()
    status, written = ada.sign("What a lovely engine.")
    findings.expect(status == 303, "Ada signs the book")
    findings.expect(ben.sign("I was here, too.")[0] == 303, "Ben signs the book")
    findings.expect(ben.sign("  ")[0] == 400, "an empty entry is refused")
    both = hers.wait_for_entries(4) and his.wait_for_entries(4)
    findings.expect(both, "each hears what the other wrote, and the answers")
    heard = [entry["text"] for entry in his.entries]
    findings.expect("Welcome, Ada! Make yourself at home." in heard, "the host welcomes Ada")
    return written


def a_crowd_comes(served: Served, findings: Findings) -> None:
    """Many write at once; everybody hears everything, also who comes late, and who comes back."""
    names = [f"Visitor-{number % AT_ONCE}" for number in range(CONCURRENT_ENTRIES)]

    def sign(name: str) -> int:
        return Browser(served.netloc, name).sign("Hello!")[0]

    with ThreadPoolExecutor(AT_ONCE) as people:
        statuses = list(people.map(sign, names))
    all_taken = statuses == [303] * CONCURRENT_ENTRIES
    findings.expect(all_taken, f"visitors sign {CONCURRENT_ENTRIES} times, {AT_ONCE} at once")
    total = 2 * (2 + CONCURRENT_ENTRIES)  # each entry is answered
    served.listen()
    for listener in served.listeners:
        listener.wait_for_entries(total)
        in_order = listener.ids() == list(range(1, total + 1))
        findings.expect(in_order, f"a listener hears all {total} entries, once each and in order")
    back = served.listen(after=total - 2)
    back.wait_for_entries(2)
    findings.expect(back.ids() == [total - 1, total], "who comes back hears what was missed")
    back.close()
    served.listeners.remove(back)


def look_at_trail(steps: Steps, written: str, findings: Findings) -> None:
    """What ran where."""
    by_module: dict[str, Steps] = {}
    for step in steps:
        by_module.setdefault(step["what"].partition(":")[0], []).append(step)
    sync = by_module["pages"] + by_module["store"]
    threads = {step["thread"] for step in sync}
    findings.expect(len(threads) == 1, "all sync code ran on one thread, the database's")
    findings.expect(all(step["loop"] is None for step in sync), "no event loop runs on that thread")
    places = {(step["thread"], step["loop"]) for module in ON_THE_LOOP for step in by_module[module]}
    one_loop = len(places) == 1 and None not in places.pop()
    findings.expect(one_loop, "all async code ran on the server's event loop")

    mine = [step["what"].partition(":")[0] for step in steps if step["request"] == written]
    # Flask, the database, across to the loop, back for the count, and on the loop again.
    crossing = ["pages", "store", "store", "hub"]
    findings.expect(mine == crossing, f"{written} kept its id from thread to loop, and back, and again")
    answering = [step["what"].partition(":")[0] for step in steps if step["request"] == "bot:Ada"]
    findings.expect(answering == ["bot", "store", "store", "hub"], "so did the host's answer to Ada")


def look_at_crossings(served: Served, findings: Findings) -> None:
    """The page that draws the last request: Ada's entry, whose way from Flask to the loop and back it shows."""
    ada = Browser(served.netloc, "Ada")
    status, request_id = ada.sign("Draw me!")
    title, page = f"<b>POST /entries</b>, request {request_id}", ""
    for _ in range(100):
        page = ada.request("GET", "/crossings")[2]
        if title in page:  # an answer is there a moment before its request has ended
            break
    drawn = status == 303 and title in page
    findings.expect(drawn, "the page /crossings draws the last request")
    bars = [page.count(f'<g class="{kind}">') for kind in ("request", "wait", "run")]
    findings.expect(bars == [1, 3, 3] and page.count('class="arrow"') == 6, "three crossings, there and back")
    names = ("guestbook.hub.Hub.announce", "guestbook.store.Store.count")
    findings.expect(all(f"<title>{name}" in page for name in names), "they have the names of what was called")


def print_table(steps: Steps) -> None:
    loops: dict[int, str] = {}
    rows: dict[tuple[str, str, str], int] = {}
    for step in steps:
        loop = "-" if step["loop"] is None else loops.setdefault(step["loop"], f"loop {len(loops) + 1}")
        row = (re.sub(r"%\w", "…", step["what"]), step["thread"], loop)
        rows[row] = rows.get(row, 0) + 1
    head = ("what ran", "on which thread", "and loop", "times")
    lines: Iterable[tuple[str, ...]] = [head, *((*row, str(times)) for row, times in sorted(rows.items()))]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    print(flush=True)


def close(served: Served, findings: Findings) -> None:
    served.process.send_signal(signal.SIGINT)
    ended = [listener.wait_for_end() for listener in served.listeners]
    findings.expect(all(ended), f"the server ended the {len(ended)} open streams when it was told to stop")
    for listener in served.listeners:
        listener.close()
    served.process.communicate(timeout=LONGEST_RUN)
    findings.expect(served.process.returncode == 0, "it stopped in order")
    lines = served.log.read_text().splitlines()
    odd = [line for line in lines if not LOG_LINE.match(line)]
    findings.expect(not odd, f"each of its {len(lines)} log lines tells the request it belongs to")
    print(*odd, sep="\n", end="\n" if odd else "")


def check() -> bool:
    """Do all that, print the findings, and return whether all is as it should be."""
    findings = Findings()
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as served:
        written = two_people_talk(served, findings)
        a_crowd_comes(served, findings)
        steps = Browser(served.netloc, "Reader").trail()
        look_at_crossings(served, findings)
        print()
        print_table(steps)
        look_at_trail(steps, written, findings)
        close(served, findings)
    print("All is as it should be." if findings.all_good else "Something is wrong.")
    return findings.all_good
