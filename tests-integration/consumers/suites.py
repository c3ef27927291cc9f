"""Whose tests are run, which of them, and what they need."""

import re
from dataclasses import dataclass, field
from pathlib import Path

DJANGO_NEEDS = (
    "aiosmtpd",
    "argon2-cffi",
    "bcrypt",
    "docutils",
    "jinja2",
    "pillow",
    "pymemcache",
    "pyyaml",
    "redis",
    "tblib",
    "tzdata",
)

# The parts of Django's suite in which sync and async code meet.
DJANGO_PARTS = (
    "asgi",
    "async",
    "auth_tests",
    "cache",
    "csrf_tests",
    "decorators",
    "dispatch",
    "generic_views",
    "handlers",
    "middleware",
    "middleware_exceptions",
    "requests_tests",
    "responses",
    "servers",
    "sessions_tests",
    "signals",
    "staticfiles_tests",
    "tasks",
    "test_client",
    "test_client_regress",
    "transaction_hooks",
    "transactions",
)


@dataclass(frozen=True)
class Suite:
    """The tests in one source distribution.

    `command` is what follows `python`; `{report}` becomes the file in which pytest is to leave its JUnit
    report. Without one, the output is read as unittest's.
    """

    name: str
    requirement: str
    """What is fetched, as source, and installed, as wheel, in one and the same version."""
    command: tuple[str, ...]
    needs: tuple[str, ...] = ()
    folder: str = "."
    """Where, in the source distribution, the command runs."""
    environment: dict[str, str] = field(default_factory=dict)
    redis: bool = False

    @property
    def distribution(self) -> str:
        return re.split(r"[^\w-]", self.requirement, maxsplit=1)[0]

    def arguments(self, report: Path, folder: Path) -> list[str]:
        # Django 5.2 has no tests of tasks: what is not there is not asked for.
        parts = [part for part in self.command if part not in DJANGO_PARTS or (folder / part).is_dir()]
        return [part.replace("{report}", str(report)) for part in parts]


def _pytest(*arguments: str) -> tuple[str, ...]:
    return ("-m", "pytest", "-q", "--tb=short", "--junitxml={report}", *arguments)


_NEW_RELIC = {"PYTHONPATH": "..", "NEW_RELIC_DEVELOPER_MODE": "true", "NEW_RELIC_LICENSE_KEY": "0" * 40}

SUITES = (
    # Not newer than the newest opentelemetry-test-utils.
    Suite(
        "otel-asgi",
        "opentelemetry-instrumentation-asgi==0.66b1",
        _pytest("tests"),
        ("opentelemetry-test-utils==0.66b1", "pytest"),
    ),
    Suite(
        "otel-django",
        "opentelemetry-instrumentation-django[asgi]==0.66b1",
        _pytest("tests"),
        (
            "opentelemetry-test-utils==0.66b1",
            "opentelemetry-instrumentation-sqlite3==0.66b1",
            "django<6",
            "pytest",
        ),
    ),
    Suite("newrelic", "newrelic", _pytest("."), ("pytest", "WebTest"), "tests/adapter_asgiref", _NEW_RELIC),
    Suite(
        "newrelic-django",
        "newrelic",
        _pytest("."),
        ("pytest", "WebTest", "django<6", "legacy-cgi"),
        "tests/framework_django",
        _NEW_RELIC,
    ),
    Suite(
        "flask",
        "flask[async]",
        _pytest("tests/test_async.py", "tests/test_views.py", "tests/test_basic.py"),
        ("pytest<9", "python-dotenv"),  # its fixtures use a private name that pytest 9 has not
    ),
    Suite(
        "channels_redis",
        "channels_redis",
        _pytest(
            "-p",
            "no:django",
            "tests/test_core.py",
            "tests/test_pubsub.py",
            "tests/test_serializers.py",
            "tests/test_utils.py",
        ),  # the tests of sentinel want a cluster of its own
        ("async-timeout", "cryptography", "pytest", "pytest-asyncio", "pytest-timeout"),
        redis=True,
    ),
    Suite(
        "django-debug-toolbar",
        "django-debug-toolbar",
        ("-m", "django", "test", "-v1", "tests"),
        (
            "django<6",
            "jinja2",
            "html5lib",
            "pygments",
            "sqlparse",
            "django-csp",
            "django-template-partials",
            "selenium",
        ),
        environment={
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "PYTHONPATH": ".",
            "DB_BACKEND": "sqlite3",
            "DB_NAME": ":memory:",
        },
    ),
    Suite(
        "django-lts",
        "django>=5.2,<6",
        ("-W", "ignore", "runtests.py", "--parallel=1", *DJANGO_PARTS),
        DJANGO_NEEDS,
        "tests",
    ),
    Suite(
        "django",
        "django>=6",
        ("-W", "ignore", "runtests.py", "--parallel=1", *DJANGO_PARTS),
        DJANGO_NEEDS,
        "tests",
    ),
)


@dataclass(frozen=True)
class Program:
    """A program of ours that uses a project whose source distribution has no tests, as its users do.

    What it prints, line by line, must be the same with both.
    """

    name: str
    command: tuple[str, ...]
    """A script, below tests-integration/, and its arguments."""
    needs: tuple[str, ...]
    redis: bool = False


_SITE = ("django", "channels", "channels_redis", "daphne", "httpx", "uvicorn", "websockets")

PROGRAMS = (
    Program("channels-daphne", ("django_site/drive.py", "daphne"), _SITE, redis=True),
    Program("channels-uvicorn", ("django_site/drive.py", "uvicorn"), _SITE, redis=True),
    Program("django-bolt", ("consumers/programs/bolt.py",), ("django-bolt", "django>=5.2,<6")),
    Program("adrf", ("consumers/programs/adrf_views.py",), ("adrf", "django>=5.2,<6")),
)
