"""Settings of the site: both kinds of middleware, in both orders, and Channels."""

import os

SECRET_KEY = "only for tests"
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "notes.urls"
ASGI_APPLICATION = "asgi.application"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions", "notes"]
MIDDLEWARE = [
    "notes.middleware.SyncOuter",
    "notes.middleware.async_below_sync",
    "notes.middleware.SyncBelowAsync",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "notes.middleware.async_innermost",
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ["SITE_DATABASE"],
        "OPTIONS": {"timeout": 30},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = True
_REDIS = os.environ.get("SITE_REDIS")
CHANNEL_LAYERS = {
    "default": {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": [_REDIS]}}
    if _REDIS
    else {"BACKEND": "channels.layers.InMemoryChannelLayer"}
}
