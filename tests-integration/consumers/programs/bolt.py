"""Use django-bolt as its users do, where it leans on asgiref: executors, request lanes, parent loops.

Prints the answers, one a line.
"""

import tempfile
from pathlib import Path

import django
from django.conf import settings

FOLDER = tempfile.TemporaryDirectory()
settings.configure(
    SECRET_KEY="only for tests",
    ALLOWED_HOSTS=["*"],
    INSTALLED_APPS=[
        "django.contrib.contenttypes",
        "django.contrib.auth",
        "django.contrib.sessions",
        "django_bolt",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": Path(FOLDER.name, "db.sqlite3")}},
    USE_TZ=True,
)
django.setup()

from django.contrib.auth.models import Group  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django_bolt import BoltAPI  # noqa: E402
from django_bolt.concurrency import run_in_orm_executor, run_orm_blocking  # noqa: E402
from django_bolt.testing import TestClient  # noqa: E402

from asgiref.sync import SyncToAsync, async_to_sync, sync_to_async  # noqa: E402 - Django must be set up first


def routes(api):
    @api.get("/async-orm")
    async def async_orm():
        return {
            "names": [g.name async for g in Group.objects.order_by("name")],
            "n": await Group.objects.acount(),
        }

    @api.get("/sync-orm")
    def sync_orm():
        return {"n": Group.objects.count(), "again": async_to_sync(Group.objects.acount)()}

    @api.get("/nested")
    async def nested():
        def below():
            return [Group.objects.count(), async_to_sync(Group.objects.acount)()]

        return {"n": await sync_to_async(below)()}

    @api.get("/orm-executor")
    async def orm_executor():
        return {"n": await run_in_orm_executor(Group.objects.count)}

    @api.get("/blocking")
    async def blocking():
        return {"n": run_orm_blocking(async_to_sync(Group.objects.acount))}

    @api.get("/blocking-below")
    async def blocking_below():
        async def on_the_loop():
            return run_orm_blocking(Group.objects.count)

        # The sync function waits for the loop, and the loop for a query on its thread.
        return {"n": await sync_to_async(lambda: async_to_sync(on_the_loop)())()}

    @api.get("/error")
    async def error():
        await sync_to_async(int)("not a number")


def main():
    call_command("migrate", verbosity=0)
    Group.objects.bulk_create(Group(name=name) for name in ("a", "b"))
    print("executor", type(SyncToAsync.single_thread_executor).__name__)
    for label, api in (("bare", BoltAPI()), ("middleware", BoltAPI(django_middleware=True))):
        routes(api)
        with TestClient(api) as client:
            for page in (
                "async-orm",
                "sync-orm",
                "nested",
                "orm-executor",
                "blocking",
                "blocking-below",
                "error",
            ):
                answers = {client.get(f"/{page}").status_code for _ in range(3)}
                print(label, page, answers, client.get(f"/{page}").text[:60] if page != "error" else "")


if __name__ == "__main__":
    main()
