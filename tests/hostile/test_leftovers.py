"""What an action changes in its process and does not put back is not there for the next job in the same worker."""

from __future__ import annotations

from typing import Any

import pytest

CHANGES = {
    "a new variable": ("os.environ.update(LEAKED='yes')", "os.environ.get('LEAKED')", None),
    "a variable that is gone": ("os.environ.pop('HOSTILE_MARK')", "'HOSTILE_MARK' in os.environ", True),
    "a changed variable": ("os.environ.update(HOSTILE_MARK='x')", "os.environ['HOSTILE_MARK'] != 'x'", True),
    "no variables at all": ("os.environ.clear()", "'PATH' in os.environ", True),
    "another mapping": ("setattr(os, 'environ', {})", "'PATH' in os.environ", True),
    "what programs see": (
        "os.environ.update(LEAKED='yes')",
        "__import__('subprocess').run('echo $LEAKED', shell=True, capture_output=True).stdout.decode()",
        "\n",
    ),
    "the file mask": ("os.umask(0o777)", "os.umask(0) != 0o777", True),
    "a signal's handler": (
        "signal.signal(signal.SIGUSR1, signal.SIG_IGN)",
        "signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL",
        True,
    ),
    "Ctrl-C": ("signal.signal(signal.SIGINT, print)", "signal.getsignal(signal.SIGINT) is print", False),
    "the import path": ("sys.path.insert(0, '/leaked')", "'/leaked' in sys.path", False),
    "another import path": ("setattr(sys, 'path', [])", "bool(sys.path)", True),
    "the locale": (
        "locale.setlocale(locale.LC_ALL, 'C.UTF-8' if locale.setlocale(locale.LC_ALL) == 'C' else 'C')",
        "locale.setlocale(locale.LC_ALL) == before",
        True,
    ),
    "filters of warnings": (
        "warnings.simplefilter('error')",
        "warnings.warn('loud', UserWarning, stacklevel=1)",
        None,
    ),
    "the level of logging": ("logging.getLogger().setLevel(1)", "logging.getLogger().level", 30),
    "logging at all": ("logging.disable(50)", "logging.getLogger().manager.disable", 0),
    "handlers of logging": ("logging.basicConfig()", "len(logging.getLogger().handlers)", 0),
    "the standard output": ("setattr(sys, 'stdout', io.StringIO())", "type(sys.stdout).__name__", "TextIOWrapper"),
    "decimals": (
        "setattr(decimal.getcontext(), 'prec', 3)",
        "str(decimal.Decimal(1) / 3)",
        "0.3333333333333333333333333333",
    ),
}
SLOW_CHANGES = {
    "a soft limit": (
        "resource.setrlimit(resource.RLIMIT_NOFILE, (32, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))",
        "resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 32",
        True,
    ),
    "a hard limit, which only root can raise again": (
        "resource.setrlimit(resource.RLIMIT_CPU, (1000, 1000))",
        "resource.getrlimit(resource.RLIMIT_CPU)[0] != 1000",
        True,
    ),
    "another user, which only root can become": (
        "os.getuid() or os.setresuid(65534, 65534, 65534)",
        "os.getuid() != 65534",
        True,
    ),
    "blocked signals": (
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])",
        "len(signal.pthread_sigmask(signal.SIG_BLOCK, []))",
        0,
    ),
    "one processor": (
        "os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])",
        "len(os.sched_getaffinity(0)) == processors",
        True,
    ),
    "less priority": ("os.nice(3)", "os.getpriority(os.PRIO_PROCESS, 0) == priority", True),
}
HEAD = """
import decimal, io, locale, logging, resource, signal, sys, warnings
options["workers"] = 1
before, processors = locale.setlocale(locale.LC_ALL), len(os.sched_getaffinity(0))
priority = os.getpriority(os.PRIO_PROCESS, 0)
"""


@pytest.mark.parametrize(("change", "look", "found"), [pytest.param(*item, id=name) for name, item in CHANGES.items()])
def test_the_next_job_finds_its_worker_as_it_was(hostile: Any, change: str, look: str, found: object) -> None:
    """P4: whether two jobs share a worker must not be seen in what they do."""
    assert looked(hostile, f"lambda: {change} and None", look) == found


@pytest.mark.parametrize(
    ("change", "look", "found"), [pytest.param(*item, id=name) for name, item in SLOW_CHANGES.items()]
)
def test_what_is_dear_to_look_at_is_put_back_after_all_but_tiny_attempts(
    hostile: Any, change: str, look: str, found: object
) -> None:
    """P4: or the worker goes, when it cannot be put back."""
    assert looked(hostile, f"lambda: (time.sleep(0.002), {change}) and None", look) == found


def test_filters_that_a_module_brings_with_it_stay(hostile: Any) -> None:
    """It is loaded once in a worker, so its filters would be gone for all later jobs."""
    (hostile.folder / "brings.py").write_text("import warnings\nwarnings.filterwarnings('ignore', 'known noise')\n")
    known = "any(entry[1] and 'known' in entry[1].pattern for entry in warnings.filters)"
    assert looked(hostile, "lambda: __import__('brings') and None", known) is True


def looked(hostile: Any, change: str, look: str) -> object:
    """What a second job sees after a first one changed something."""
    report = hostile.batch(HEAD + f'batch.add("a", {change})\nbatch.add("b", lambda: {look}, needs=["a"])\n')
    assert report["jobs"]["a"]["state"] == "success", report["jobs"]["a"]["message"]
    assert report["jobs"]["b"]["state"] == "success", report["jobs"]["b"]["message"]
    result: object = report["jobs"]["b"]["result"]
    return result
