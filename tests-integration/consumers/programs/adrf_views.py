"""Use adrf as its users do: async views, class-based ones, permissions and throttles of both kinds, viewsets.

Prints the answers, one a line.
"""

import asyncio

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="only for tests",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "rest_framework", "adrf"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": "file:adrf?mode=memory&cache=shared",
            "OPTIONS": {"uri": True, "timeout": 30},
        }
    },
    REST_FRAMEWORK={"DEFAULT_AUTHENTICATION_CLASSES": []},
    USE_TZ=True,
)
django.setup()

from adrf.decorators import api_view  # noqa: E402 - Django must be set up first
from adrf.serializers import ModelSerializer  # noqa: E402
from adrf.views import APIView  # noqa: E402
from adrf.viewsets import ModelViewSet  # noqa: E402
from django.contrib.auth.models import Group  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.test import AsyncClient, Client  # noqa: E402
from django.urls import path  # noqa: E402
from rest_framework.permissions import BasePermission  # noqa: E402
from rest_framework.response import Response  # noqa: E402


class SyncPermission(BasePermission):
    def has_permission(self, request, view):
        return request.query_params.get("as") != "nobody"


class AsyncPermission(BasePermission):
    async def has_permission(self, request, view):
        return await Group.objects.acount() >= 0


@api_view(["GET"])
async def function(request):
    return Response({"groups": await Group.objects.acount()})


class Async(APIView):
    permission_classes = [SyncPermission, AsyncPermission]  # noqa: RUF012 - so wants the framework

    async def get(self, request):
        return Response({"async": True})

    async def post(self, request):
        return Response({"got": request.data})


class Sync(APIView):
    permission_classes = [SyncPermission]  # noqa: RUF012

    def get(self, request):
        return Response({"groups": Group.objects.count()})


class GroupSerializer(ModelSerializer):
    class Meta:
        model = Group
        fields = ("id", "name")


class Groups(ModelViewSet):
    queryset = Group.objects.order_by("id")
    serializer_class = GroupSerializer


urlpatterns = [
    path("function", function),
    path("async", Async.as_view()),
    path("sync", Sync.as_view()),
    path("groups", Groups.as_view({"get": "alist", "post": "acreate"})),
    path("groups/<int:pk>", Groups.as_view({"get": "aretrieve", "delete": "adestroy"})),
]


def show(label, response):
    print(label, response.status_code, response.content.decode()[:80])


async def over_asgi():
    client = AsyncClient()
    for page in ("/function", "/async", "/sync", "/async?as=nobody"):
        show(f"asgi {page}", await client.get(page))
    show("asgi post", await client.post("/async", {"a": 1}, content_type="application/json"))
    show("asgi create", await client.post("/groups", {"name": "new"}, content_type="application/json"))
    show("asgi list", await client.get("/groups"))
    show("asgi retrieve", await client.get("/groups/1"))
    show("asgi delete", await client.delete("/groups/1"))


def main():
    call_command("migrate", verbosity=0)
    asyncio.run(over_asgi())
    client = Client()
    for page in ("/function", "/async", "/sync", "/async?as=nobody", "/groups"):
        show(f"wsgi {page}", client.get(page))


if __name__ == "__main__":
    main()
