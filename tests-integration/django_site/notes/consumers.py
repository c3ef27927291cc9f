"""Websockets: an async consumer with database access and a group, and a sync one."""

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer, JsonWebsocketConsumer

from asgiref.sync import async_to_sync

from .models import Note


class Room(AsyncJsonWebsocketConsumer):
    async def connect(self):
        self.room = self.scope["url_route"]["kwargs"]["name"]
        await self.channel_layer.group_add(self.room, self.channel_name)
        await self.accept()

    async def disconnect(self, code):
        await self.channel_layer.group_discard(self.room, self.channel_name)

    @database_sync_to_async
    def save(self, text):
        note = Note.objects.create(text=text)
        count = Note.objects.filter(text=text).count()
        note.delete()
        return count

    async def receive_json(self, content):
        count = await self.save(content["text"])
        await self.channel_layer.group_send(
            self.room, {"type": "said", "text": content["text"], "count": count}
        )

    async def said(self, event):
        await self.send_json({"text": event["text"], "count": event["count"]})


class SyncEcho(JsonWebsocketConsumer):
    def connect(self):
        self.accept()
        async_to_sync(self.channel_layer.group_add)("echo", self.channel_name)

    def disconnect(self, code):
        async_to_sync(self.channel_layer.group_discard)("echo", self.channel_name)

    def receive_json(self, content):
        kept = Note.objects.filter(text="kept").count()
        async_to_sync(self.channel_layer.send)(
            self.channel_name, {"type": "echoed", "echo": content, "kept": kept}
        )

    def echoed(self, event):
        self.send_json({"echo": event["echo"], "kept": event["kept"]})
