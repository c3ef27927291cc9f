"""As much of a web browser as `check` needs: it loads pages, sends the form and listens to the stream."""

import contextlib
import http.client
import json
import socket
import threading
from typing import Any
from urllib.parse import urlencode

TIMEOUT = 20  # seconds that a server may be silent for; here it never should be


class Browser:
    def __init__(self, netloc: str, name: str) -> None:
        self._netloc = netloc
        self.name = name

    def request(self, method: str, path: str, body: str | None = None) -> tuple[int, str, str]:
        """The answer's status, the id of the request, and the body."""
        connection = http.client.HTTPConnection(self._netloc, timeout=TIMEOUT)
        headers = {"content-type": "application/x-www-form-urlencoded"} if body is not None else {}
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
            return answer.status, answer.headers["x-request-id"], text
        finally:
            connection.close()

    def sign(self, text: str) -> tuple[int, str]:
        """Write an entry: the answer's status, and the id of the request."""
        form = urlencode({"author": self.name, "text": text})
        status, request_id, _ = self.request("POST", "/entries", form)
        return status, request_id

    def trail(self) -> list[dict[str, Any]]:
        steps: list[dict[str, Any]] = json.loads(self.request("GET", "/trail.json")[2])
        return steps


class Listener:
    """An open stream of entries. A thread reads it until the server ends it."""

    def __init__(self, netloc: str, after: int = 0) -> None:
        self._connection = http.client.HTTPConnection(netloc, timeout=TIMEOUT)
        # As a browser does when it comes back after a lost connection.
        self._connection.request("GET", "/stream", headers={"last-event-id": str(after)})
        self._answer = self._connection.getresponse()
        self._changed = threading.Condition()
        self.entries: list[dict[str, Any]] = []
        self.ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        try:
            for line in self._answer:
                if line.startswith(b"data: "):
                    with self._changed:
                        self.entries.append(json.loads(line.removeprefix(b"data: ")))
                        self._changed.notify_all()
        except (OSError, http.client.HTTPException):
            return  # broken off, so not `ended`
        with self._changed:
            self.ended = True
            self._changed.notify_all()

    def ids(self) -> list[int]:
        return [entry["id"] for entry in self.entries]

    def wait_for_entries(self, number: int) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: len(self.entries) >= number, TIMEOUT)

    def wait_for_end(self) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self.ended, TIMEOUT)

    def close(self) -> None:
        """Leave as a browser does whose window is closed. Does nothing more to a stream that has ended."""
        # Closing alone would take the file away from the thread that reads it.
        with contextlib.suppress(OSError):
            self._connection.sock.shutdown(socket.SHUT_RDWR)
        self._reader.join()
        self._answer.close()
        self._connection.close()
