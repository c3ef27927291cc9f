"""The site that people see: a Flask application, as it would be under any WSGI server."""

import logging
import threading

from flask import Flask, Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from asgi_sync import async_to_sync
from guestbook.crossings import Camera
from guestbook.drawing import draw
from guestbook.hub import Hub
from guestbook.request import Trail, current_id
from guestbook.store import HOST, Store

log = logging.getLogger(__name__)

LONGEST_NAME = 40
LONGEST_TEXT = 500


def make_pages(store: Store, hub: Hub, trail: Trail, camera: Camera) -> Flask:
    pages = Flask("guestbook")
    pages.config["MAX_CONTENT_LENGTH"] = 16 * 1024

    @pages.get("/")
    def read() -> str:
        log.info("show the page")
        return render_template(
            "guestbook.html",
            entries=store.latest(),
            total=store.count(),
            host=HOST,
            request_id=current_id(),
            thread=threading.current_thread().name,
            longest_name=LONGEST_NAME,
            longest_text=LONGEST_TEXT,
        )

    @pages.post("/entries")
    def write() -> ResponseReturnValue:
        log.info("take an entry")
        author = request.form.get("author", "").strip()
        text = request.form.get("text", "").strip()
        if author == HOST:
            return Response("That name is taken.", status=400, mimetype="text/plain")
        if not 0 < len(author) <= LONGEST_NAME or not 0 < len(text) <= LONGEST_TEXT:
            message = f"A name of up to {LONGEST_NAME} and a text of up to {LONGEST_TEXT} characters, please."
            return Response(message, status=400, mimetype="text/plain")
        entry = store.add(author, text)
        # The followers are on the event loop: cross over, and come back when they know.
        async_to_sync(hub.announce)(entry)
        return redirect(url_for("read"), code=303)

    @pages.get("/trail.json")
    def show_trail() -> list[dict[str, object]]:
        return trail.steps()

    @pages.get("/crossings")
    def show_crossings() -> str:
        latest = camera.latest()
        wanted = request.args.get("request")
        shown = next((each for each in latest if wanted in (None, each.id)), None)
        picture = Markup(draw(shown.title, shown.recording)) if shown else None
        return render_template("crossings.html", latest=latest, shown=shown, picture=picture)

    return pages
