from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from wsgi_driver import hello


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"workers": 0}, ValueError),
        ({"workers": -1}, ValueError),
        ({"workers": 2.5}, TypeError),
        ({"workers": "2"}, TypeError),
        ({"workers": True}, TypeError),
        ({"max_body_size": -1}, ValueError),
        ({"max_body_size": "1MB"}, TypeError),
        ({"send_window": 0}, ValueError),
        ({"send_window": None}, TypeError),
        ({"receive_window": 0}, ValueError),
        ({"client_timeout": 0}, ValueError),
        ({"client_timeout": -1.0}, ValueError),
        ({"client_timeout": float("nan")}, ValueError),
        ({"client_timeout": "60"}, TypeError),
        ({"client_timeout": True}, TypeError),
        ({"duplicate_header_limit": -1}, ValueError),
        ({"duplicate_header_limit": "100"}, TypeError),
        ({"stream": 1}, TypeError),
        ({"merge": None}, TypeError),
        ({"fill_content_length": "yes"}, TypeError),
        ({"thread_sensitive": None}, TypeError),
        ({"keep_underscore_headers": 0}, TypeError),
        ({"executor": 5}, TypeError),
        ({"executor": ThreadPoolExecutor}, TypeError),
        ({"workers": 2, "thread_sensitive": True}, ValueError),
        ({"unknown": 1}, TypeError),
    ],
)
def test_nonsense_is_refused_at_construction(adapt, options, error):
    options = {"thread_sensitive": False, **options}
    (name,) = set(options) - {"thread_sensitive"} or {"thread_sensitive"}
    with pytest.raises(error, match=name):
        adapt(hello, **options)


def test_an_executor_and_other_threads_exclude_each_other(adapt):
    with ThreadPoolExecutor(1) as executor:
        with pytest.raises(ValueError, match="executor"):
            adapt(hello, executor=executor, thread_sensitive=True)
        with pytest.raises(ValueError, match="executor"):
            adapt(hello, executor=executor, thread_sensitive=False, workers=2)
        adapt(hello, executor=executor, thread_sensitive=False)


@pytest.mark.parametrize("application", [None, 5, "app:app", object()])
def test_what_is_no_callable_is_no_application(adapt, application):
    with pytest.raises(TypeError, match="callable"):
        adapt(application)


def test_no_thread_is_started_before_the_first_request(adapt):
    import threading

    before = threading.active_count()
    adapt(hello)
    assert threading.active_count() == before
