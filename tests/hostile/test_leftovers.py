"""What an action changes in its process and does not put back is not there for the next job in the same worker."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from hostile.conftest import Hostile

if TYPE_CHECKING:
    from collections.abc import Callable

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
    "a word of the command line": ("sys.argv.append('leaked')", "'leaked' in sys.argv", False),
    "other words": ("setattr(sys, 'argv', ['other', 'leaked'])", "'leaked' in sys.argv", False),
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
SETTINGS = {
    "a profiler": ("sys.setprofile(lambda *_: None)", "sys.getprofile()", None),
    "a debugger": ("sys.settrace(lambda *_: None)", "sys.gettrace()", None),
    "the digits of numbers": ("sys.set_int_max_str_digits(0)", "sys.get_int_max_str_digits() > 0", True),
    "when memory is collected": ("gc.set_threshold(1)", "gc.get_threshold()[0] > 1", True),
    "how long sockets wait": (
        "__import__('socket').setdefaulttimeout(1)",
        "__import__('socket').getdefaulttimeout()",
        None,
    ),
    "what breakpoints do": ("setattr(sys, 'breakpointhook', print)", "sys.breakpointhook is print", False),
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
    "a file's size": (
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))",
        "open('nine', 'wb').write(b'123456789')",
        9,
    ),
    "less priority": ("os.nice(3)", "os.getpriority(os.PRIO_PROCESS, 0) == priority", True),
}
HEAD = """
import decimal, gc, io, locale, logging, resource, signal, sys, warnings
options["workers"] = 1
before, processors = locale.setlocale(locale.LC_ALL), len(os.sched_getaffinity(0))
priority = os.getpriority(os.PRIO_PROCESS, 0)
"""


LATER = {"a signal's handler", "Ctrl-C", "the locale", "filters of warnings"}
"""What `inline` puts back after attempts of a millisecond, or at the end."""
SEEN_INLINE = {case: change for case, change in CHANGES.items() if case not in LATER}
KINDS = {
    ("usual", "local"): (CHANGES, 0.0),
    ("usual", "inline"): (SEEN_INLINE, 0.0),
    ("settings", "local"): (SETTINGS, 0.005),
    ("settings", "inline"): (SETTINGS, 0.005),
    ("slow", "local"): (SLOW_CHANGES, 0.005),
}
"""The cases of a program, and how long its attempts take at least."""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], dict[str, object]]:
    """What the job behind each change of a kind has seen, in one chain of jobs; run once."""

    @cache
    def seen(kind: str, on: str) -> dict[str, object]:
        cases, pause_s = KINDS[kind, on]
        text = HEAD + f"options['on'] = {on!r}\n"
        needs = ""
        for number, (change, look, _) in enumerate(cases.values()):
            slowly = on == "inline" and kind == "usual" and ("log" in change or "decimal" in change)
            change = f"(time.sleep({max(pause_s, 0.005 * slowly)}), {change})" if pause_s or slowly else change
            text += f"batch.add('a{number}', lambda: {change} and None{needs})\n"
            text += f"batch.add('b{number}', lambda: {look}, needs=['a{number}'])\n"
            needs = f", needs=['b{number}']"
        hostile = Hostile(tmp_path_factory.mktemp("leftovers"))
        try:
            jobs = hostile.batch(text, limit=60.0)["jobs"]
        finally:
            hostile.sweep()
        return {case: jobs[f"b{number}"]["result"] for number, case in enumerate(cases)}

    return seen


@pytest.mark.parametrize("case", CHANGES)
def test_the_next_job_finds_its_worker_as_it_was(results: Any, case: str) -> None:
    """P4: whether two jobs share a worker must not be seen in what they do."""
    assert results("usual", "local")[case] == CHANGES[case][2]


@pytest.mark.parametrize("case", SLOW_CHANGES)
def test_what_is_dear_to_look_at_is_put_back_after_all_but_tiny_attempts(results: Any, case: str) -> None:
    """P4: or the worker goes, when it cannot be put back."""
    assert results("slow", "local")[case] == SLOW_CHANGES[case][2]


@pytest.mark.parametrize("on", ["local", "inline"])
@pytest.mark.parametrize("case", SETTINGS)
def test_settings_of_the_interpreter_are_an_attempt_s_own(results: Any, case: str, on: str) -> None:
    """Another job would run slower, fail, or be watched, for it ran behind this one."""
    assert results("settings", on)[case] == SETTINGS[case][2]


def test_how_the_output_is_encoded_is_an_attempt_s_own(hostile: Any) -> None:
    """The next one would fail where it prints what the encoding has no bytes for."""
    change = "time.sleep(0.005) or [stream.reconfigure(encoding='ascii', errors='strict') for stream in (sys.stdout, sys.stderr)]"
    report = ended(hostile, f"lambda: {change} and None", "print('\u20ac') or print('\u20ac', file=sys.stderr)")
    assert report["jobs"]["b"]["log"] == "\u20ac\n\u20ac\n"


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


CLOSES = {
    "the input": ("sys.stdin.close()", "sys.stdin.read()", ""),
    "the input's descriptor": ("os.close(0)", "sys.stdin.read()", ""),
    "another input": (
        "os.dup2(os.open('program.py', os.O_RDONLY), 0)",
        "__import__('subprocess').run('cat', capture_output=True).stdout.decode()",
        "",
    ),
    "the output": ("sys.stdout.close()", "sys.stdout.write('seen\\n')", 5),
    "the output's descriptor": ("os.close(1)", "sys.stdout.write('seen\\n')", 5),
    "both outputs' descriptors": ("os.closerange(1, 3)", "sys.stderr.write('seen\\n')", 5),
    "no output": ("setattr(sys, 'stdout', None)", "sys.stdout.write('seen\\n')", 5),
    "a detached output": ("sys.stdout.detach()", "sys.stdout.write('seen\\n')", 5),
}


@pytest.mark.parametrize("case", CLOSES)
def test_streams_are_there_for_the_next_job(hostile: Any, case: str) -> None:
    """Whatever was closed, and what the next one prints is in its own log."""
    change, look, found = CLOSES[case]
    report = ended(hostile, f"lambda: {change} and None", look)
    assert report["jobs"]["b"]["result"] == found, report["jobs"]["b"]
    if found == 5:
        assert report["jobs"]["b"]["log"] == "seen\n"


@pytest.mark.parametrize("change", ["os.closerange(3, 256)", "os.closerange(0, 256)"])
def test_an_attempt_that_closes_what_its_worker_needs_is_told_so(hostile: Any, change: str) -> None:
    """It was called a bug of joblot; the next job has another worker."""
    report = ended(hostile, f"lambda: {change}", "7")
    assert (report["jobs"]["a"]["state"], report["jobs"]["a"]["message"]) == ("failed", "exit status 1")
    assert report["jobs"]["b"]["state"] == "skipped"
    assert report["jobs"]["a"]["log"] in (
        "the attempt has closed descriptors that it had not opened, and its process cannot go on without them\n",
        "",  # those of the log were among them
    )


@pytest.mark.parametrize("on", ["local", "inline"])
def test_what_was_printed_before_the_output_was_replaced_is_in_the_job_s_own_log(hostile: Any, on: str) -> None:
    """It waits in the buffer of the stream that was there."""
    report = hostile.batch(f"""
        import io
        options.update(workers=1, on="{on}")
        def replaces():
            print("before")
            sys.stdout = open("/dev/stdout", "w")
            print("after")
        batch.add("a", replaces)
        batch.add("b", lambda: print("next"), needs=["a"])
    """)
    assert sorted(report["jobs"]["a"]["log"].split()) == ["after", "before"]
    assert report["jobs"]["b"]["log"] == "next\n"


def ended(hostile: Any, change: str, look: str, **options: object) -> Any:
    """The report of a job that changes something and one after it that looks."""
    given = f"options.update({options!r})\n" if options else ""
    return hostile.batch(HEAD + given + f'batch.add("a", {change})\nbatch.add("b", lambda: {look}, needs=["a"])\n')


@pytest.mark.parametrize("case", SEEN_INLINE)
def test_inline_puts_back_what_is_changed_most_however_short_the_attempt(results: Any, case: str) -> None:
    """And the rest after attempts of a millisecond, and for the program after the run."""
    assert results("usual", "inline")[case] == CHANGES[case][2]


TOKYO = "time.strftime('%H', time.localtime(0))"
ZONES = {
    "the job's": ({}, {"TZ": "Asia/Tokyo"}, "09"),
    "the batch's": ({"TZ": "Asia/Tokyo"}, {}, "09"),
    "both": ({"TZ": "America/Bogota"}, {"TZ": "Asia/Tokyo"}, "09"),
    "one without a file": ({}, {"TZ": "XYZ-9"}, "09"),
    "none": ({"A": "1"}, {"B": "2"}, "05"),
}


@pytest.mark.parametrize("on", ["local", "inline"])
@pytest.mark.parametrize("case", ZONES)
def test_the_time_zone_of_env_is_that_of_the_action(hostile: Any, case: str, on: str) -> None:
    """The C library reads `TZ` once: it is told of the change, before the action and after it. The case."""
    batch, job, hour = ZONES[case]
    hostile.env["TZ"] = "Etc/GMT-5"
    report = hostile.batch(f"""
        options.update(workers=1, on="{on}")
        batch = Batch("zones", max_workers=1, env={batch!r})
        batch.add("a", lambda: {TOKYO}, env={job!r})
        batch.add("command", None, run="date -d @0 +%H", env={job!r}, needs=["a"])
        batch.add("after", lambda: {TOKYO}, needs=["a"])
    """)
    after = "19" if "Bogota" in str(batch) else hour if batch.get("TZ") else "05"
    assert (report["jobs"]["a"]["result"], report["jobs"]["after"]["result"]) == (hour, after), report["jobs"]
    assert report["jobs"]["command"]["log"] == f"{hour}\n"


SET_BACK = {
    "set": "os.environ.update(TZ='Asia/Tokyo'); time.tzset()",
    "set, and the variable removed again": "os.environ['TZ'] = 'Asia/Tokyo'; time.tzset(); del os.environ['TZ']",
    "set around the mapping": "os.putenv('TZ', 'Asia/Tokyo'); time.tzset()",
}


@pytest.mark.parametrize("on", ["local", "inline"])
@pytest.mark.parametrize("case", SET_BACK)
def test_a_time_zone_that_an_action_sets_is_its_own(hostile: Any, case: str, on: str) -> None:
    """By whatever way."""
    hostile.env["TZ"] = "Etc/GMT-5"
    change = f"lambda: exec({SET_BACK[case]!r}, {{'os': os, 'time': time}})"
    report = ended(hostile, change, TOKYO, on=on)
    assert report["jobs"]["b"]["result"] == "05"


@pytest.mark.parametrize("on", ["local", "inline"])
def test_the_temporary_folder_of_env_is_that_of_the_action(hostile: Any, on: str) -> None:
    """`tempfile` reads it once, in whatever attempt comes first."""
    for name in ("one", "two"):
        (hostile.folder / name).mkdir()
    report = hostile.batch(f"""
        import tempfile
        options.update(workers=1, on="{on}")
        before = tempfile.gettempdir()
        look = lambda: os.path.basename(tempfile.gettempdir())
        batch.add("a", look, env={{"TMPDIR": "one"}})
        batch.add("b", look, env={{"TMPDIR": "two"}}, needs=["a"])
        batch.add("c", lambda: tempfile.gettempdir() == before, needs=["b"])
    """)
    assert [report["jobs"][name]["result"] for name in "abc"] == ["one", "two", True], report["jobs"]


def test_what_an_observer_of_the_program_changes_stays(hostile: Any) -> None:
    """It is called between attempts, and is no attempt."""
    report = hostile.batch("""
        class Watches:
            def __getattr__(self, name):
                def told(*_):
                    os.environ["OBSERVED"] = os.environ.get("OBSERVED", "") + "x"
                return told
        options.update(on="inline", observers=[Watches()])
        batch.add("a", lambda: os.environ.update(LEAKED="yes"))
        batch.add("b", lambda: [os.environ.get("OBSERVED", "")[:1], os.environ.get("LEAKED")], needs=["a"])
    """)
    assert report["jobs"]["b"]["result"] == ["x", None]


def test_a_program_that_runs_a_batch_in_a_thread_goes_on_beside_it(hostile: Any) -> None:
    """What its main thread changes meanwhile is not taken for an attempt's change."""
    report = hostile.batch("""
        import threading
        options["on"] = "inline"
        began, go_on = threading.Event(), threading.Event()
        batch.add("a", lambda: began.set() or go_on.wait(10) and None)
        real, done = batch.run, []
        thread = threading.Thread(target=lambda: done.append(real(**options)))
        thread.start()
        assert began.wait(10)
        os.environ["MEANWHILE"] = "set"
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        go_on.set()
        thread.join()
        assert os.environ["MEANWHILE"] == "set"
        assert signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN
        batch.run = lambda **_: done[0]
    """)
    assert report["jobs"]["a"]["state"] == "success", report["jobs"]["a"]
