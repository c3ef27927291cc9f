"""What the tests of real servers serve: chosen by the environment variables PROGRAM and ADAPTER."""

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asgi_wsgi

BLOCK = bytes(range(256)) * 256  # 64 KiB
BLOCKS = 800  # 50 MiB


def download(mark: str) -> Iterator[bytes]:
    try:
        for _ in range(BLOCKS):
            yield BLOCK
    finally:
        if mark:
            Path(os.environ["MARK"]).with_name(mark).touch()


def ticking() -> Iterator[bytes]:
    for number in range(10):
        yield b"%d\n" % number
        time.sleep(0.05)


def raw(environ: Any, start_response: Any) -> Any:
    path, source = environ["PATH_INFO"], environ["wsgi.input"]
    headers = [("Content-Type", "application/octet-stream")]
    if path == "/download":
        start_response("200 OK", headers)
        return download(environ["QUERY_STRING"])
    if path == "/ticking":
        start_response("200 OK", headers)
        return ticking()
    body = b"hello"
    if path == "/upload":
        digest = hashlib.sha256()
        while data := source.read(65536):
            digest.update(data)
        body = digest.hexdigest().encode()
    elif path == "/write":
        write = start_response("200 OK", headers)
        for _ in range(10):
            write(BLOCK)
        return [b"end"]
    elif path == "/error":
        raise LookupError("mine")
    start_response("200 OK", [*headers, ("Content-Length", str(len(body)))])
    return [body]


def flask() -> Any:
    from flask import Flask, request

    app = Flask(__name__)

    @app.get("/hello")
    def hello() -> str:
        return "hello"

    @app.post("/upload")
    def upload() -> str:
        digest = hashlib.sha256()
        while data := request.stream.read(65536):
            digest.update(data)
        return digest.hexdigest()

    @app.get("/download")
    def send() -> Any:
        return app.response_class(
            download(request.query_string.decode()), mimetype="application/octet-stream"
        )

    @app.get("/ticking")
    def tick() -> Any:
        return app.response_class(ticking(), mimetype="application/octet-stream")

    @app.get("/error")
    def error() -> str:
        raise LookupError("mine")

    return app


program = flask() if os.environ.get("PROGRAM") == "flask" else raw
application = getattr(asgi_wsgi, os.environ.get("ADAPTER", "WSGIMiddleware"))(program)
