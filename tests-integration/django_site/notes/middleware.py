"""Sync and async middleware, each below the other kind once: every request crosses at each step."""

from django.utils.decorators import async_only_middleware

from asgiref.sync import iscoroutinefunction, markcoroutinefunction


class _Sync:
    sync_capable = True
    async_capable = False
    name = ""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        request.trace = [*getattr(request, "trace", []), self.name]
        response = self.get_response(request)
        response["X-Trace"] = f"{response.get('X-Trace', '')} {self.name}".strip()
        return response


class SyncOuter(_Sync):
    name = "sync-outer"


class SyncBelowAsync(_Sync):
    name = "sync-below-async"


def _async(name):
    def factory(get_response):
        assert iscoroutinefunction(get_response)

        async def middleware(request):
            request.trace = [*getattr(request, "trace", []), name]
            response = await get_response(request)
            response["X-Trace"] = f"{response.get('X-Trace', '')} {name}".strip()
            return response

        return markcoroutinefunction(middleware)

    return async_only_middleware(factory)


async_below_sync = _async("async-below-sync")
async_innermost = _async("async-innermost")
