"""Views of both kinds, which cross as views do: the ORM, transactions, signals, streams, errors, context."""

import asyncio
import contextvars
import threading
import time

from django.db import connection, transaction
from django.dispatch import Signal
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.views import View

from asgiref.local import Local
from asgiref.sync import async_to_sync, sync_to_async

from . import counting
from .models import Note

greeting = contextvars.ContextVar("greeting", default="unset")
local = Local()
signal = Signal()


def _receive_sync(sender, **kwargs):
    return f"sync in {'the same' if kwargs['thread'] == threading.get_ident() else 'another'} thread"


async def _receive_async(sender, **kwargs):
    await asyncio.sleep(0)
    return "async"


signal.connect(_receive_sync, weak=False)
signal.connect(_receive_async, weak=False)


def sync_view(request):
    note = Note.objects.create(text="sync")
    found = Note.objects.filter(pk=note.pk).count()
    note.delete()
    return JsonResponse({"found": found, "trace": request.trace})


async def async_view(request):
    note = await Note.objects.acreate(text="async")
    found = await Note.objects.filter(pk=note.pk).acount()
    texts = [n.text async for n in Note.objects.filter(pk=note.pk)]
    await note.adelete()
    return JsonResponse({"found": found, "texts": texts, "trace": request.trace})


class ClassView(View):
    async def get(self, request):
        request.session["count"] = 1
        await request.session.aset("more", 2)
        return JsonResponse({"session": sorted(request.session.keys())})


def _fail_in_transaction():
    with transaction.atomic():
        Note.objects.create(text="rolled back")
        # In the transaction an async function looks through the same connection.
        seen = async_to_sync(Note.objects.filter(text="rolled back").acount)()
        raise LookupError(seen)


def _succeed_in_transaction():
    with transaction.atomic():
        note = Note.objects.create(text="committed")
        transaction.on_commit(lambda: setattr(local, "committed", True))
    return note


async def transactions(request):
    try:
        await sync_to_async(_fail_in_transaction)()
    except LookupError as error:
        seen = error.args[0]
    left = await Note.objects.filter(text="rolled back").acount()
    note = await sync_to_async(_succeed_in_transaction)()
    committed = await Note.objects.filter(text="committed").aexists()
    await note.adelete()
    same = await sync_to_async(lambda: connection.in_atomic_block)()
    return JsonResponse(
        {
            "seen inside": seen,
            "left": left,
            "committed": committed,
            "on_commit": local.committed,
            "in atomic": same,
        }
    )


async def signals(request):
    answers = await signal.asend(None, thread=threading.get_ident())
    robust = await signal.asend_robust(None, thread=threading.get_ident())
    in_sync = await sync_to_async(lambda: signal.send(None, thread=threading.get_ident()))()
    return JsonResponse(
        {"answers": [sorted(str(value) for _, value in a) for a in (answers, robust, in_sync)]}
    )


async def context(request):
    greeting.set("from the view")
    local.name = "local"

    def below():
        seen = (greeting.get(), local.name)
        greeting.set("from below")
        local.name = "changed"
        return seen

    seen = await sync_to_async(below)()
    return JsonResponse({"below": seen, "after": [greeting.get(), local.name]})


def sync_calls_async(request):
    async def gather():
        main = sync_to_async(lambda: threading.get_ident() == here)
        return await asyncio.gather(main(), main(), asyncio.sleep(0, "slept"))

    here = threading.get_ident()
    return JsonResponse({"answers": async_to_sync(gather)()})


async def stream(request):
    async def parts():
        async for note in Note.objects.filter(text="kept").order_by("pk"):
            yield f"{note.text};"
            await asyncio.sleep(0)

    return StreamingHttpResponse(parts(), content_type="text/plain")


async def error(request):
    await sync_to_async(int)("not a number")


def health(request):
    return HttpResponse("ok")


def stats(request):
    if "count" in request.GET:
        counting.switch(request.GET["count"] == "on")
    return JsonResponse(
        {
            "threads": threading.active_count(),
            "crossings": counting.crossings(),
            "processor seconds": time.process_time(),
        }
    )
