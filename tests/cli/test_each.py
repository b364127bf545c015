"""`joblot each`: a command for each item, without a file."""

import csv
import json
import os
import pty
import signal
import subprocess
import sys
import time

import pytest

from joblot.reports.rows import COLUMNS

PRINT = [sys.executable, "-c", "import os, sys; os.write(1, os.fsencode(sys.argv[1]) + b'\\0')"]
"""Prints its argument, byte for byte, and a NUL."""


def each(joblot, *words, given=b"", env=None):
    """The exit code, standard output as bytes, and standard error without times."""
    with joblot.popen("each", *words, stdin=subprocess.PIPE, env=env) as process:
        out, err = process.communicate(given, timeout=60)
    return process.returncode, out, joblot._done(0, "", err.decode()).plain


def last_run(joblot):
    return json.loads(joblot("show", "--json").out)


# --- items ------------------------------------------------------------------------------------------


def test_items_behind_three_colons(joblot):
    done = joblot("each", "-j1", "echo", "{}", "{stem}", ":::", "in/a.txt", "b c")
    assert (done.code, done.out) == (0, "in/a.txt a\nb c b c\n")
    run = last_run(joblot)
    assert done.plain == f"run {run['run_id']}: 2 jobs: 2 succeeded, in T\n"
    assert [job["job"] for job in run["results"]] == ["echo-in-a.txt", "echo-b-c"]


def test_options_behind_the_first_word_belong_to_the_command(joblot):
    done = joblot("each", "-q", "echo", "-n", "--", "-j8", "{}", ":::", "-x", "--help")
    assert (done.code, done.out, done.err) == (0, "-- -j8 -x-- -j8 --help", "")
    assert joblot("each", "-q", "--", "echo", ":::", "a").out == "a\n"


def test_a_command_in_one_word_is_split(joblot):
    assert joblot("each", "-q", "echo 'a  b' {}", ":::", "$(id)").out == "a  b $(id)\n"


def test_lines_of_standard_input(joblot):
    code, out, err = each(joblot, "-q", "echo", given="a b\r\n \n\nc é".encode())
    assert (code, out.decode()) == (0, "a b\nc é\n")
    assert err == "WARNING | 2 blank lines are left out of the items (`--null` keeps empty ones)\n"


def test_items_up_to_a_nul(joblot):
    assert each(joblot, "-q0", *PRINT, given=b"a\nb\0\0 \0") == (0, b"a\nb\0\0 \0", "")
    assert each(joblot, "-q0", *PRINT, given=b"a\0b")[1] == b"a\0b\0"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", 'code,day\n01.10,1\n43,"a,b"\n'),
        ("t.tsv", "code\tday\n01.10\t1\n43\ta,b\n"),
        ("t.jsonl", '{"code": "01.10", "day": 1}\n{"code": 43, "day": "a,b"}\n'),
    ],
)
def test_a_table(joblot, name, text):
    joblot.write(name, text)
    words = ["-q", "echo", "{code}", "{day}", "{number}"]
    assert joblot("each", "--from", name, *words).out == "01.10 1 1\n43 a,b 2\n"
    kind = name.removeprefix("t.")
    assert each(joblot, "--from", f"{kind}:-", *words, given=text.encode())[1] == b"01.10 1 1\n43 a,b 2\n"
    (joblot.path / "odd").write_text(text)
    assert joblot("each", "--from", f"{kind}:odd", *words).out == "01.10 1 1\n43 a,b 2\n"


def test_files_of_lines_and_patterns(joblot):
    joblot.write("list.txt", "b\n\na\n")
    joblot.write("d/x.csv", "")
    assert joblot("each", "-q", "--from", "list.txt", "echo").out == "b\na\n"
    assert joblot("each", "-q", "--from", "d/*", "echo", "{} {root} {parent}").out == "d/x.csv d/x d\n"


@pytest.mark.parametrize(
    "words",
    [
        ("echo", ":::"),
        ("--from", "empty.txt", "echo"),
        ("echo",),
        ("--from", "lines:empty.txt", "--dry-run", "echo"),
        ("--from", "jsonl:empty.txt", "echo", "{code}"),
        ("--from", "header.csv", "echo", "{code}"),
    ],
)
def test_without_items_nothing_runs(joblot, words):
    joblot.write("empty.txt", "")
    joblot.write("header.csv", "code,day\n")
    done = joblot("each", *words)
    assert (done.code, done.out, done.plain) == (0, "", "INFO | no items: nothing to run\n")
    assert not (joblot.path / ".joblot").exists()


def test_a_terminal_as_standard_input_is_an_error(joblot):
    master, slave = pty.openpty()
    done = joblot.real("each", "echo", stdin=slave)
    os.close(master)
    os.close(slave)
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "error: no items: none behind `:::`, no `--from`, and standard input is a terminal\n"
        "hint: `joblot each COMMAND ::: ITEM...`, or `LISTING | joblot each COMMAND`\n"
    )


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        ((":::", "a"), "no command to run for each item", "`joblot each COMMAND ::: ITEM...`; where each line is a command: `joblot each sh -c {}`"),
        ((" ", ":::", "a"), "no command to run for each item", "`joblot each COMMAND ::: ITEM...`; where each line is a command: `joblot each sh -c {}`"),
        (("--from", "a.csv", "x", ":::", "a"), "`--from` and `:::` exclude each other", "keep one of them"),
        (("-0", "x", ":::", "a"), "`--null` is for items from standard input", ""),
        (("-0", "--from", "a.csv", "x"), "`--null` is for items from standard input", ""),
        (("--from", "codes", "x"), "`codes` has no ending that says what it holds", "say it: `--from lines:codes` (or `csv:`, `tsv:`, `jsonl:`, `parquet:`, `glob:`)"),
        (("--from", "glob:-", "x"), "items of the kind `glob` cannot come from standard input", ""),
        (("--from", "no.csv", "x"), "cannot read `no.csv`: no such file or directory", ""),
        (("--from", "csv:-", "x"), "`standard input` has no header line", "the first line names the columns"),
        (("--shell", "a", "b", ":::", "c"), "with `--shell` the command is one text, and there are 2 words: `a b`", "put it in quotes, which the shell that reads this line takes away"),
        (("x | y", ":::", "a"), "`|` in `x | y` is for a shell, and none reads it", "`--shell` has a shell run it; in quotes it stands for itself"),
        (("x", "{stm}", ":::", "a"), "`{stm}` stands for nothing", "did you mean `{stem}`? `{{stm}}` is the text itself"),
        (("--shell", "awk '/{}/' f", ":::", "a"), "`{}` stands in the text of `awk`, which would run its value as code", "give it as an argument, such as `sh -c 'echo \"$1\"' sh {}`"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(joblot, words, message, hint):
    done = joblot("each", *words)
    assert (done.code, done.out) == (2, "")
    assert done.err == f"error: {message}\n" + (f"hint: {hint}\n" if hint else "")
    assert not (joblot.path / ".joblot").exists()


# --- hostile items ----------------------------------------------------------------------------------

HOSTILE = [
    "'", '"', "a'b\"c", "\n", "a\nb\n", "$(touch pwned)", "`touch pwned`", "; touch pwned", "-rf", "--", "--help", "{}", "{stem}", "{{x}}",
    "${{ run.id }}", "${HOME}", "$HOME", "*", "~", "\\", "a\\", "\\n", "!!", "#", "%s", "é", "日本", "😀", "\u2028", "\ufeff", "", " ", "\t", "  a  ",
    "a", "a", "A", ":::", "-0", "con", "..", ".", "/", "a/../b", "=1", "x" * 100_000,
]  # fmt: skip


def test_hostile_items_come_to_the_command_as_they_are(joblot):
    given = "\0".join([*HOSTILE, ""]).encode()
    assert each(joblot, "-q0", *PRINT, given=given) == (0, given, "")
    assert not (joblot.path / "pwned").exists()


def test_so_they_do_behind_three_colons_and_in_a_shell(joblot):
    listed = [item for item in HOSTILE if item != ":::"]
    given = "\0".join([*listed, ""]).encode()
    done = joblot.real("each", "-q", *PRINT, "{}", ":::", *listed)
    assert (done.code, done.out.encode()) == (0, given)
    code, out, err = each(joblot, "-q0", "--shell", "printf '%s\\0' {}", given=given)
    assert (code, out, err) == (0, given, "")
    quoted = each(joblot, "-q0", "--shell", "printf '<%s>' \"{}\" '{}' a{}b", given=given)[1]
    assert quoted == b"".join(b"<%s><%s><a%sb>" % ((item.encode(),) * 3) for item in listed)
    assert not (joblot.path / "pwned").exists()


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (b"a\x1bb", "item 2: a text holds a control character (U+001B)"),
        (b"a\rb", "item 2: a text holds a control character (U+000D)"),
        (b"a\xffb", "item 2 is not UTF-8 text"),
    ],
)
def test_items_that_no_run_can_keep_are_refused(joblot, item, message):
    code, out, err = each(joblot, "-0", "echo", given=b"x\0" + item + b"\0")
    assert (code, out, err.splitlines()[0]) == (2, b"", f"error: {message}")
    done = joblot.real("each", "echo", ":::", "x", os.fsdecode(item))
    assert (done.code, done.err.splitlines()[0]) == (2, f"error: {message}")
    assert not (joblot.path / ".joblot").exists()


def test_a_nul_within_a_line_is_refused(joblot):
    expected = "error: standard input holds a NUL\nhint: `-0` takes items that end with one\n"
    assert each(joblot, "echo", given=b"a\0b\n") == (2, b"", expected)
    joblot.write("list.txt", "a\0b\n")
    assert joblot("each", "--from", "list.txt", "echo").err == "error: item 1: a text holds a NUL (U+0000)\n"


def test_lines_that_are_not_utf_8_are_refused(joblot):
    code, out, err = each(joblot, "echo", given=b"a\n\xff\n")
    assert (code, out) == (2, b"")
    assert err == "error: `standard input` is not UTF-8 text (byte 2)\nhint: a run keeps its items as UTF-8\n"
    assert each(joblot, os.fsdecode(b"\xff"), given=b"a")[2].startswith("error: the command is not UTF-8 text\n")


def test_an_item_that_no_command_takes_fails_alone(joblot):
    code, out, err = each(joblot, "-q", "-j1", "echo", given=b"a\n" + b"x" * 200_000 + b"\nb\n")
    assert (code, out) == (1, b"a\nb\n")
    assert "failed: cannot execute `echo`: its word 2 has 200000 bytes, and the system takes 131071 in one" in err


def _all_of(master):
    """What is written to a terminal until nobody has it open."""
    found = b""
    with os.fdopen(master, "rb", buffering=0) as file:
        try:
            while block := file.read(65536):
                found += block
        except OSError:
            pass
    return found


# --- output -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("option", "expected"), [((), b"slow\nquick\n"), (("--as-ready",), b"quick\nslow\n")])
def test_output_comes_in_the_order_of_the_items_or_of_the_ends(joblot, option, expected):
    text = "test {} = quick || while ! test -e done; do sleep 0.05; done; echo {}; test {} = slow || touch done"
    assert each(joblot, "-q", "-j2", *option, "--shell", text, given=b"slow\nquick\n") == (0, expected, "")


def test_output_is_passed_on_byte_for_byte_and_while_the_run_goes_on(joblot):
    text = "printf 'a\\000\\377\\033[1m'; test {} = 1 || while ! test -e go; do sleep 0.05; done"
    with joblot.popen("each", "-q", "-j1", "--shell", text, ":::", "1", "2") as process:
        assert process.stdout.read(7) == b"a\0\xff\x1b[1m"
        (joblot.path / "go").touch()
        assert process.stdout.read() == b"a\0\xff\x1b[1m"
    assert process.returncode == 0


def test_a_slow_reader_holds_nothing_up(joblot):
    """The jobs all end though nobody reads, and what they printed comes all the same."""
    text = "head -c 300000 /dev/zero | tr '\\0' {}; echo {} >> ended"
    with joblot.popen("each", "-q", "-j1", "--shell", text, ":::", "a", "b", "c") as process:
        joblot.wait_for("ended", "c")
        assert process.stdout.read() == b"a" * 300_000 + b"b" * 300_000 + b"c" * 300_000
    assert process.returncode == 0


def test_when_nobody_reads_any_more_the_run_stops_without_a_word(joblot):
    with joblot.popen(
        "each", "-j1", "--shell", "echo {}; echo {} >> ran; sleep 0.1", ":::", *map(str, range(100))
    ) as process:
        assert process.stdout.readline() == b"0\n"
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141
    ran = (joblot.path / "ran").read_text().split()
    assert 1 <= len(ran) < 100
    run = last_run(joblot)
    assert run["status"] == "cancelled"
    assert joblot("resume", "-q").code == 0
    assert sorted(map(int, (joblot.path / "ran").read_text().split())) == list(range(100))


def test_a_full_standard_output_is_an_error(joblot):
    with open("/dev/full", "wb") as full:
        done = joblot.real("each", "-j1", "echo", ":::", "a", "b", stdout=full)
    assert done.code == 1
    assert "error: cannot write to standard output: no space left on device\n" in done.err


def test_a_failure_is_told_and_its_output_passed_on(joblot):
    done = joblot("each", "-j1", "sh", "-c", "echo out-$1; exit $1", "sh", "{}", ":::", "0", "3")
    run = last_run(joblot)["run_id"]
    assert (done.code, done.out) == (1, "out-0\nout-3\n")
    assert done.plain == (
        "ERROR | [2/2] sh-3: failed: exit status 3 (1 attempt, T)\n"
        f"  the end of `DIR/.joblot/runs/{run}/logs/sh-3/1.log`:\n"
        "  | out-3\n"
        f"run {run}: 2 jobs: 1 succeeded, 1 failed, in T\n"
        f"the report: DIR/.joblot/runs/{run}/report.json\n"
        f"to see what happened: joblot show {run}\n"
        f"to run again what failed: joblot retry {run} --failed\n"
    )


def test_what_is_not_kept_of_a_log_is_told(joblot):
    text = ": {}; head -c 9000000 /dev/zero | tr '\\0' x"
    code, out, err = each(joblot, "-q", "--max-log", "1MiB", "--shell", text, ":::", "a")
    assert code == 0
    assert 1_048_576 < len(out) < 1_100_000
    assert err == "WARNING | each-a: printed more than is kept: its output lacks the middle (`--max-log`)\n"


def test_on_a_terminal_the_display_makes_room_for_what_jobs_print(joblot):
    """Standard output and standard error are one terminal: no line of one stands in a line of the other."""
    pyte = pytest.importorskip("pyte")
    master, slave = pty.openpty()
    text = "printf 'out-%s\\033[2J' {}; sleep 0.7"
    process = joblot.popen(
        "each", "-j1", "--shell", text, ":::", "a", "b", "c", stdout=slave, stderr=slave, env={"TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    )  # fmt: skip
    os.close(slave)
    screen = pyte.Screen(80, 24)
    pyte.ByteStream(screen).feed(_all_of(master))
    assert process.wait(30) == 0
    lines = [line.rstrip() for line in screen.display if line.strip()]
    assert [line for line in lines if "out-" in line] == [f"out-{name}" for name in "abc"]
    assert lines[0].endswith(": 3 jobs, 1 at once")
    assert lines[-1].startswith("run ")
    assert len(lines) == 5


@pytest.mark.parametrize(("target", "drawn"), [("pipe", False), ("file", True)])
def test_in_a_pipe_there_is_no_display_for_its_reader_may_write_to_the_terminal(joblot, target, drawn):
    master, slave = pty.openpty()
    file = (joblot.path / "out").open("wb")
    stdout = subprocess.PIPE if target == "pipe" else file
    with file, joblot.popen(
        "each", "-j1", "--shell", "sleep 0.4; echo {}", ":::", "a", "b", "c", stdout=stdout, stderr=slave, env={"TERM": "xterm"}
    ) as process:  # fmt: skip
        os.close(slave)
        told = _all_of(master)
        out = process.stdout.read() if target == "pipe" else (joblot.path / "out").read_bytes()
    assert out == b"a\nb\nc\n"
    assert (b"\x1b[" in told) is drawn
    assert b": 3 jobs: 3 succeeded, in" in told


def test_with_json_the_report_is_all_that_is_printed(joblot):
    done = joblot("each", "--json", "echo", ":::", "a")
    assert json.loads(done.out)["results"][0]["job"] == "echo-a"


# --- looking ----------------------------------------------------------------------------------------


def test_dry_run_prints_what_a_shell_would_read(joblot):
    items = ["a b", "it's", "-x", "$(id)", ""]
    done = joblot("each", "-n", "printf", "%s\\0", "{}", "{number}", ":::", *items)
    assert done.code == 0
    shown = done.out.splitlines()
    assert shown[0] == "printf '%s\\0' 'a b' 1"
    ran = subprocess.run(["/bin/sh"], input=done.out.encode(), capture_output=True, check=True).stdout
    assert ran == b"".join(b"%s\0%d\0" % (item.encode(), number) for number, item in enumerate(items, 1))
    done = joblot("each", "-n", "--shell", "printf '%s\\0' {} | cat", ":::", *items)
    ran = subprocess.run(["/bin/sh"], input=done.out.encode(), capture_output=True, check=True).stdout
    assert ran == b"".join(b"%s\0" % item.encode() for item in items)
    assert not (joblot.path / ".joblot").exists()


def test_print_writes_the_batch_file_that_does_the_same(joblot):
    words = ["-j1", "--retry", "2", "--timeout", "90s", "--run-timeout", "2h", "-x", "--max-failures", "5%"]
    words += ["echo", "{}", "{stem}", ":::", "a.txt", "$(id)"]
    printed = joblot("each", "--print", *words)
    assert printed.out == (
        "name: echo\n"
        "description: \"echo '{}' '{stem}'\"\n"
        "max_workers: 1\n"
        "fail_fast: true\n"
        'max_failures: "5%"\n'
        "timeout: 7200\n"
        "jobs:\n"
        '  - name: "echo-${{ item.item }}"\n'
        '    run: [echo, "${{ item.item }}", "${{ item.stem }}"]\n'
        "    foreach:\n"
        "      - {item: a.txt, stem: a}\n"
        '      - {item: "$(id)", stem: "$(id)"}\n'
        "    retry: {max_attempts: 3}\n"
        "    timeout: 90\n"
    )
    joblot.write("printed.yaml", printed.out)
    assert joblot("run", "-q", "printed.yaml").code == 0
    by_file = joblot("logs").out
    assert joblot("each", "-q", *words).out == "a.txt a\n$(id) $(id)\n"
    assert [line for line in joblot("logs").out.splitlines() if "==>" not in line] == [
        line for line in by_file.splitlines() if "==>" not in line
    ]


def test_print_names_the_file_of_the_items(joblot):
    joblot.write("codes.csv", "code,day\n01.10,1\n")
    joblot.write("printed.yaml", joblot("each", "--print", "--from", "codes.csv", "echo", "{code}", "{day}").out)
    assert "    foreach: {csv: codes.csv}\n" in (joblot.path / "printed.yaml").read_text()
    assert joblot("run", "-q", "printed.yaml").code == 0
    assert "01.10 1\n" in joblot("logs").out


# --- a run like any other ---------------------------------------------------------------------------


def test_a_table_has_a_row_for_each_job(joblot):
    joblot.write("in.csv", "code,file\n0,=a\n1,b\tc\n")
    done = joblot("each", "-q", "--from", "in.csv", "--table", "out/jobs.tsv", "sh", "-c", "exit $1", "sh", "{code}")
    assert done.code == 1
    with open(joblot.path / "out" / "jobs.tsv", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert list(rows[0]) == ["code", "file", *COLUMNS]
    assert [(row["code"], row["file"], row["job"], row["state"], row["exit_code"]) for row in rows] == [
        ("0", "'=a", "sh-0", "success", "0"),
        ("1", "b\tc", "sh-1", "failed", "1"),
    ]


def test_a_table_that_cannot_be_written_is_found_before_anything_runs(joblot):
    done = joblot("each", "--table", "/proc/x/y", "touch", "{}", ":::", "ran")
    assert done.code == 2
    assert done.err.startswith("error: cannot write `/proc/x/y`: ")
    assert not (joblot.path / "ran").exists()


def test_retries_and_time_limits(joblot):
    text = "echo x >> tries; echo try {}; test $(wc -l < tries) = 3"
    done = joblot("each", "-q", "--retry", "2", "--shell", text, ":::", "a")
    assert (done.code, done.out) == (0, "try a\n")  # of the last one
    assert last_run(joblot)["results"][0]["attempts"] == 3
    done = joblot("each", "--timeout", "200ms", "sleep", ":::", "30")
    assert done.code == 1
    assert "sleep-30: failed: " in done.err
    assert last_run(joblot)["results"][0]["reason"] == "timeout"
    done = joblot("each", "--run-timeout", "200ms", "sleep", ":::", "30")
    assert done.code == 124


def test_too_many_failures_stop_the_run(joblot):
    done = joblot("each", "-j1", "--max-failures", "2", "false", ":::", "a", "b", "c", "d")
    assert done.code == 1
    run = last_run(joblot)
    assert (run["failed"], run["aborted"]) == (2, 2)


def test_retry_runs_what_failed_and_logs_and_explain_know_the_jobs(joblot):
    words = ["each", "-q", "-j1", "sh", "-c", "echo $1 >> ran; test -e ok -o $1 = a", "sh", "{}", ":::", "a", "b"]
    assert joblot(*words).code == 1
    assert "sh-b" in joblot("explain", "sh-b").out
    (joblot.path / "ok").touch()
    assert joblot("retry", "-q").code == 0
    assert (joblot.path / "ran").read_text() == "a\nb\nb\n"
    assert "sh" in joblot("ls").out


def test_show_says_what_the_line_was(joblot):
    joblot("each", "-q", "echo", "${{ run.id }}", "it's {stem}", ":::", "a.txt")
    lines = joblot("show").out.splitlines()
    assert lines[1] == "  description: echo '${{ run.id }}' 'it'\"'\"'s {stem}'"
    assert joblot("logs").out.endswith("${{ run.id }} it's a\n")
    joblot("each", "-q", "--shell", "echo {}\nexit 0 #", ":::", "x" * 300)
    assert joblot("show").out.splitlines()[1] == "  description: echo {}\\nexit 0 #"


def test_after_kill_9_resume_does_the_rest(joblot):
    text = "echo {} >> ran; test {} != 2 || test -e go || sleep 60"
    with joblot.popen("each", "-j1", "--shell", text, ":::", *map(str, range(5))) as process:
        joblot.wait_for("ran", "2")
        time.sleep(0.1)
        joblot.interrupt(process, signal.SIGKILL)
    (joblot.path / "go").touch()
    done = joblot("resume", "-q")
    assert done.code == 0
    assert sorted((joblot.path / "ran").read_text().split()) == ["0", "1", "2", "2", "3", "4"]
    assert last_run(joblot)["all_passed"]


def test_what_the_line_says_of_the_run_holds_when_it_is_tried_again(joblot):
    done = joblot("each", "-j1", "-x", "--max-memory", "1GiB", "false", ":::", *"abcd")
    assert done.code == 1
    assert "1 failed, 3 aborted" in done.err
    again = joblot("retry", "--failed")
    assert "4 jobs, 1 at once" in again.err
    assert "3 aborted" in joblot("show").out + again.err + again.out


def test_ctrl_c_stops_and_resume_goes_on(joblot):
    text = "echo {} >> ran; test {} = 0 || test -e go || sleep 60"
    with joblot.popen("each", "-j1", "--stop-grace", "100ms", "--shell", text, ":::", "0", "1", "2") as process:
        joblot.wait_for("ran", "1")
        joblot.interrupt(process)
        err = process.stderr.read().decode()
    assert process.returncode == 130
    assert "to go on with the rest: joblot resume" in err
    (joblot.path / "go").touch()
    assert joblot("resume", "-q").code == 0
    assert sorted((joblot.path / "ran").read_text().split()) == ["0", "1", "1", "2"]


def test_what_each_needs_is_not_imported_by_run():
    script = "import sys, joblot.cli.run, joblot.cli.drive; print([name for name in sys.modules if name in ('joblot.cli.each', 'joblot.cli.oneline', 'joblot.cli.passing', 'joblot.reports.table')])"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"
