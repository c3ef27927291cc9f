from django.urls import path

from . import views

urlpatterns = [
    path("sync", views.sync_view),
    path("async", views.async_view),
    path("class", views.ClassView.as_view()),
    path("transactions", views.transactions),
    path("signals", views.signals),
    path("context", views.context),
    path("sync-calls-async", views.sync_calls_async),
    path("stream", views.stream),
    path("error", views.error),
    path("health", views.health),
    path("stats", views.stats),
]
