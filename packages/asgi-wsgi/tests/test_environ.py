from __future__ import annotations

import ast
import logging
import time
from wsgiref.validate import validator

import pytest
from wsgi_driver import ask, hello, http_scope

pytestmark = pytest.mark.asyncio


async def environ_of(adapt, **changes):
    seen = {}

    def app(environ, start_response):
        seen.update(environ)
        return hello(environ, start_response)

    await ask(adapt(app), http_scope(**changes))
    return seen


async def test_keys_and_cgi_values_are_native_strings(adapt):
    environ = await environ_of(
        adapt, headers=[(b"x-a", b"1")], query_string=b"a=b", extensions={"tls": {"tls_version": 0x0304}}
    )
    for key, value in environ.items():
        assert type(key) is str
        if "." not in key:
            assert type(value) is str, key


async def test_wsgiref_validate_is_content(adapt):
    @validator
    def app(environ, start_response):
        body = environ["wsgi.input"].read(5)
        environ["wsgi.errors"].flush()
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [body]

    headers = [(b"content-length", b"5"), (b"content-type", b"text/plain"), (b"host", b"example.org")]
    client = await ask(adapt(app), http_scope(method="POST", headers=headers), b"12345")
    assert (client.status, client.body) == (200, b"12345")


@pytest.mark.parametrize("server", [..., None, ["/run/app.sock", None]])
async def test_wsgiref_validate_is_content_with_the_required_keys_only(adapt, server):
    @validator
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"x"]

    scope = {"type": "http", "http_version": "1.1", "method": "GET", "path": "/", "headers": []}
    if server is not ...:
        scope["server"] = server
    assert (await ask(adapt(app), scope)).status == 200


async def test_a_path_is_utf8_seen_as_latin1(adapt):
    environ = await environ_of(adapt, path="/中文/é", root_path="/中文")
    assert environ["SCRIPT_NAME"] == "/中文".encode().decode("latin-1")
    assert environ["PATH_INFO"] == "/é".encode().decode("latin-1")


async def test_an_undecodable_path_survives(adapt):
    environ = await environ_of(adapt, path="/caf\ufffd", raw_path=b"/caf%E9")
    assert environ["PATH_INFO"] == "/caf\xe9"
    assert environ["REQUEST_URI"] == "/caf%E9"
    environ = await environ_of(adapt, path="/caf\udce9")
    assert environ["PATH_INFO"] == "/caf\xe9"
    environ = await environ_of(adapt, path="/rewritten\ufffd", raw_path=b"/caf%E9")
    assert environ["PATH_INFO"] == "/rewritten\ufffd".encode().decode("latin-1")


@pytest.mark.parametrize(
    ("root_path", "path", "script_name", "path_info"),
    [
        ("", "/a", "", "/a"),
        ("/base", "/base/a", "/base", "/a"),
        ("/base", "/base", "/base", ""),
        ("/base/", "/base/a", "/base", "/a"),
        ("/base", "/baseball", "/base", "/baseball"),
        ("/base", "/other", "/base", "/other"),
        ("/", "/a", "", "/a"),
        ("base", "/base/a", "/base", "/a"),
    ],
)
async def test_root_path_is_stripped_at_a_segment_boundary_only(
    adapt, root_path, path, script_name, path_info
):
    environ = await environ_of(adapt, root_path=root_path, path=path)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == (script_name, path_info)


async def test_non_ascii_query_bytes_do_not_crash(adapt):
    environ = await environ_of(adapt, query_string="q=é".encode())
    assert environ["QUERY_STRING"] == "q=é".encode().decode("latin-1")


@pytest.mark.parametrize(
    ("server", "host", "scheme", "expected"),
    [
        (("10.0.0.1", 8000), b"example.org", "http", ("10.0.0.1", "8000")),
        (None, b"example.org:81", "http", ("example.org", "81")),
        (None, b"example.org", "https", ("example.org", "443")),
        (..., b"example.org", "http", ("example.org", "80")),
        (("/run/app.sock", None), b"example.org:81", "http", ("example.org", "81")),
        (("/run/app.sock", None), None, "http", ("/run/app.sock", "0")),
        (None, b"[::1]:8080", "http", ("[::1]", "8080")),
        (None, b"", "http", ("localhost", "80")),
        (None, b"a b@:/", "https", ("localhost", "443")),
        (("", 8000), None, "http", ("localhost", "8000")),
    ],
)
async def test_server_name_and_port_are_never_empty(adapt, server, host, scheme, expected):
    headers = [] if host is None else [(b"host", host)]
    environ = await environ_of(adapt, server=server, headers=headers, scheme=scheme)
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == expected


async def test_the_client_may_be_unknown(adapt):
    environ = await environ_of(adapt, client=None)
    assert "REMOTE_ADDR" not in environ
    environ = await environ_of(adapt, client=("192.0.2.9", 4711))
    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == ("192.0.2.9", "4711")


async def test_content_type_and_length_have_no_http_prefix(adapt):
    environ = await environ_of(adapt, headers=[(b"Content-Type", b"a/b"), (b"CONTENT-LENGTH", b"0")])
    assert (environ["CONTENT_TYPE"], environ["CONTENT_LENGTH"]) == ("a/b", "0")
    assert not [key for key in environ if key.startswith("HTTP_CONTENT")]


async def test_header_names_in_any_case(adapt):
    environ = await environ_of(adapt, headers=[(b"X-One", b"1"), (b"x-one", b"2"), (b"X-ONE", b"3")])
    assert environ["HTTP_X_ONE"] == "1,2,3"


async def test_cookies_are_joined_with_semicolons(adapt):
    environ = await environ_of(adapt, headers=[(b"cookie", b"a=1"), (b"cookie", b"b=2")])
    assert environ["HTTP_COOKIE"] == "a=1; b=2"


async def test_an_underscore_header_never_forges_a_dashed_one(adapt):
    headers = [(b"x_remote_user", b"root"), (b"content_length", b"7"), (b"x-remote-user", b"me")]
    environ = await environ_of(adapt, headers=headers)
    assert environ["HTTP_X_REMOTE_USER"] == "me"
    assert "CONTENT_LENGTH" not in environ
    assert "HTTP_CONTENT_LENGTH" not in environ
    environ = await environ_of(lambda app: adapt(app, keep_underscore_headers=True), headers=[(b"x_a", b"1")])
    assert environ["HTTP_X_A"] == "1"


async def test_too_many_repeats_are_answered_400(adapt):
    for count, status in ((100, 200), (101, 400), (20_000, 400)):
        client = await ask(adapt(hello), http_scope(headers=[(b"x-a", b"1")] * count))
        assert client.status == status
    assert client.body == b"Bad Request: Too many duplicate headers"


async def test_20000_repeats_cost_linear_time_when_they_are_allowed(adapt):
    async def seconds(count):
        seen = {}

        def app(environ, start_response):
            seen["length"] = len(environ["HTTP_X_A"])
            return hello(environ, start_response)

        began = time.process_time()
        client = await ask(
            adapt(app, duplicate_header_limit=None), http_scope(headers=[(b"x-a", b"1" * 50)] * count)
        )
        assert client.status == 200
        assert seen["length"] == 51 * count - 1
        return time.process_time() - began

    await seconds(100)
    short = min([await seconds(2_000) for _ in range(3)])
    long = min([await seconds(20_000) for _ in range(3)])
    assert long < 60 * short  # quadratic joining costs more than 100 times as much


async def test_cookies_are_exempt_from_the_count(adapt):
    environ = await environ_of(adapt, headers=[(b"cookie", b"a=1")] * 300)
    assert environ["HTTP_COOKIE"].count("; ") == 299


@pytest.mark.parametrize("limit", [0, None])
async def test_no_limit(adapt, limit):
    client = await ask(adapt(hello, duplicate_header_limit=limit), http_scope(headers=[(b"x-a", b"1")] * 500))
    assert client.status == 200


@pytest.mark.parametrize(
    "values",
    [
        (b"1", b"2"),
        (b"1, 2",),
        (b"-1",),
        (b"+1",),
        (b"1_0",),
        (b"abc",),
        (b"",),
        (b"9" * 5000,),
        ("\u0661".encode(),),
    ],
)
async def test_a_conflicting_or_senseless_content_length_is_refused(adapt, values):
    called = []

    def app(environ, start_response):
        called.append(environ)
        return hello(environ, start_response)

    client = await ask(
        adapt(app), http_scope(method="POST", headers=[(b"content-length", v) for v in values])
    )
    assert client.status == 400
    assert not called


async def test_the_same_content_length_twice_is_one(adapt):
    environ = await environ_of(adapt, headers=[(b"content-length", b"0"), (b"content-length", b"0")])
    assert environ["CONTENT_LENGTH"] == "0"


async def test_transfer_encoding_overrides_content_length(adapt):
    environ = await environ_of(adapt, headers=[(b"content-length", b"9"), (b"transfer-encoding", b"chunked")])
    assert "CONTENT_LENGTH" not in environ


async def test_input_terminated(adapt):
    assert (await environ_of(adapt))["wsgi.input_terminated"] is True


async def test_request_uri(adapt):
    environ = await environ_of(adapt, path="/a b", raw_path=b"/a%20b", query_string=b"c=d")
    assert environ["REQUEST_URI"] == "/a%20b?c=d"
    environ = await environ_of(adapt, path="/a b%é", raw_path=...)
    assert environ["REQUEST_URI"] == "/a%20b%25%C3%A9"


async def test_https(adapt):
    environ = await environ_of(adapt, scheme="https")
    assert (environ["HTTPS"], environ["wsgi.url_scheme"]) == ("on", "https")
    assert "HTTPS" not in await environ_of(adapt)


async def test_the_scope_is_there_as_a_copy(adapt):
    scope = http_scope(path="/x", headers=[[b"x-a", b"1"]], extensions={"x": {}}, state={"db": 1})
    untouched = ast.literal_eval(repr(scope))

    def app(environ, start_response):
        seen = environ["asgi.scope"]
        assert seen["path"] == "/x"
        seen["path"] = "/y"
        seen["headers"].append((b"forged", b"1"))
        seen["extensions"]["forged"] = {}
        seen["state"]["db"] = 2
        environ["asgi.state"]["more"] = 3
        environ.clear()
        return hello(environ, start_response)

    application = adapt(app)
    for _ in range(2):
        assert (await ask(application, scope)).status == 200
        assert scope == untouched


async def test_lifespan_state(adapt):
    pool = object()
    environ = await environ_of(adapt, state={"pool": pool})
    assert environ["asgi.state"]["pool"] is pool
    assert "asgi.state" not in await environ_of(adapt, state=...)


async def test_tls_extension_keys(adapt):
    tls = {
        "server_cert": "server pem",
        "client_cert_chain": ["client pem", "issuer pem"],
        "client_cert_name": "CN=me",
        "client_cert_error": None,
        "tls_version": 0x0304,
        "cipher_suite": 0x1301,
    }
    environ = await environ_of(adapt, scheme="https", extensions={"tls": tls})
    assert {key: value for key, value in environ.items() if key.startswith("SSL_")} == {
        "SSL_PROTOCOL": "TLSv1.3",
        "SSL_CIPHER": "TLS_AES_128_GCM_SHA256",
        "SSL_SERVER_CERT": "server pem",
        "SSL_CLIENT_CERT": "client pem",
        "SSL_CLIENT_CERT_CHAIN_0": "issuer pem",
        "SSL_CLIENT_S_DN": "CN=me",
        "SSL_CLIENT_VERIFY": "SUCCESS",
    }
    environ = await environ_of(
        adapt, extensions={"tls": {"client_cert_error": "expired", "cipher_suite": 0xABCD}}
    )
    assert (environ["SSL_CLIENT_VERIFY"], environ["SSL_CIPHER"]) == ("FAILED:expired", "0xabcd")
    assert (await environ_of(adapt, extensions={"tls": {}}))["SSL_CLIENT_VERIFY"] == "NONE"


async def test_a_scope_with_only_its_required_keys(adapt):
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "2", "method": "GET", "path": "/"}
    scope |= {"query_string": b"", "headers": []}
    seen = {}

    def app(environ, start_response):
        seen.update(environ)
        return hello(environ, start_response)

    assert (await ask(adapt(app), scope)).body == b"hello"
    assert seen["SERVER_PROTOCOL"] == "HTTP/2"
    assert seen["wsgi.url_scheme"] == "http"


async def test_wsgi_errors_goes_to_logging(adapt, caplog):
    def app(environ, start_response):
        errors = environ["wsgi.errors"]
        errors.write("one\ntw")
        errors.writelines(["o\n", "unfinished"])
        with pytest.raises(TypeError, match="takes str"):
            errors.write(b"bytes")
        return hello(environ, start_response)

    with caplog.at_level(logging.ERROR):
        await ask(adapt(app))
    records = [(r.name, r.levelname, r.getMessage()) for r in caplog.records]
    assert records == [("asgi_wsgi.errors", "ERROR", text) for text in ("one", "two", "unfinished")]


async def test_what_a_log_handler_writes_to_wsgi_errors_is_logged(adapt, caplog):
    """Flask's default handler writes there. CPython 3.13.4 and 3.13.5 drop records that come of a record."""
    logger = logging.getLogger("asgi_wsgi_tests.application")

    def app(environ, start_response):
        handler = logging.StreamHandler(environ["wsgi.errors"])
        logger.addHandler(handler)
        try:
            logger.error("first\nof two lines")
            logger.error("second")
        finally:
            logger.removeHandler(handler)
        environ["wsgi.errors"].write("third\nunfinished")
        return hello(environ, start_response)

    await ask(adapt(app))
    lines = [record.getMessage() for record in caplog.records if record.name == "asgi_wsgi.errors"]
    assert lines == ["first", "of two lines", "second", "third", "unfinished"]


async def test_the_next_request_starts_with_a_fresh_environ(adapt):
    kept = []

    def app(environ, start_response):
        assert "mine" not in environ
        environ["mine"] = environ["wsgi.errors"] = 1
        kept.append(environ)
        return hello(environ, start_response)

    application = adapt(app)
    assert [(await ask(application)).status for _ in range(3)] == [200] * 3
    assert kept[0] is not kept[1]
