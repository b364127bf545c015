"""What looks back and ahead is short for many jobs: by declaration, with what differs by itself."""

import json

BATCH = """\
name: sweep
vars: {word: a}
jobs:
  - {name: prep, run: "echo 1 > prep.txt", outputs: [prep.txt]}
  - name: fit-${{ item.n }}
    run: "[ ${{ item.n }} != 7 ] || [ ! -e bad ] || exit 3; echo ${{ vars.word }} > out/${{ item.n }}.txt"
    foreach: items.csv
    input: prep.txt
    outputs: ["out/${{ item.n }}.txt"]
  - {name: "sum-${{ item.n }}", run: "cp ${{ input }} ${{ outputs }}", foreach: items.csv, input: "out/${{ item.n }}.txt", outputs: ["sum/${{ item.n }}.txt"]}
  - {name: report, run: "true", needs: ["sum-*"]}
"""

FIT = "[ 0 != 7 ] || [ ! -e bad ] || exit 3; echo {} > out/0.txt"


def head(*lines):
    return "".join(f"{line}\n" for line in lines)


def test_plan_accept_and_explain_of_many_jobs(joblot):
    joblot.write("joblot.yaml", BATCH)
    joblot.write("items.csv", "n\n" + "".join(f"{n}\n" for n in range(50)))
    assert joblot("run", "-q", "--run-id", "r1").code == 0

    def planned(*words):
        lines = joblot("plan", *words).out.splitlines(keepends=True)
        start = next(number for number, line in enumerate(lines) if "up to date, " in line and " to run" in line)
        return "".join(line for line in lines[start:] if line.startswith((" ", "0", "1", "9")) and " -j " not in line)

    assert planned("--var", "word=b") == head(
        "1 job up to date, 101 to run",
        f"  fit-*: 50 jobs: changed: run (such as `fit-0`: '{FIT.format('a')}' -> '{FIT.format('b')}')",
        "  sum-*: 50 jobs: need will run (such as `sum-0`: fit-0)",
        "  report: no outputs declared",
    )
    (joblot.path / "out/7.txt").unlink()
    assert planned() == head(
        "99 jobs up to date, 3 to run",
        "  fit-7: output missing: out/7.txt",
        "  sum-7: need will run: fit-7",
        "  report: no outputs declared",
    )
    joblot.write("prep.txt", "2\n")
    assert planned() == head(
        "0 jobs up to date, 102 to run",
        "  prep: output changed: prep.txt",
        "  fit-*: 49 jobs: need will run: prep",
        "  fit-7: output missing: out/7.txt",
        "  sum-*: 50 jobs: need will run (such as `sum-0`: fit-0)",
        "  report: no outputs declared",
    )
    assert len(json.loads(joblot("plan", "--json").out)["jobs"]) == 102, "as data it is whole"

    joblot.write("bad", "")
    assert joblot("run", "-q", "-k", "--run-id", "r2").code == 1
    assert joblot("explain").out == head(
        "prep: success",
        "fit-*: 49 jobs: cached",
        "fit-7: failed: exit status 3",
        "sum-*: 49 jobs: cached",
        "sum-7: skipped: `fit-7` failed",
        "report: skipped: `fit-7` failed",
    )
    assert joblot("explain", "[fs][iu][tm]-[67]").out == head(
        "fit-6: cached",
        "fit-7: failed: exit status 3",
        "sum-6: cached",
        "sum-7: skipped: `fit-7` failed",
    )
    assert len(json.loads(joblot("explain", "--json").out)) == 102
    assert joblot("explain", "report").out == head(
        "report: skipped",
        "  need_failed: `fit-7` failed",
        "  because fit-7: failed: exit status 3",
        "  needs:",
        "    sum-*: 49 jobs: cached",
        "    sum-7: skipped: `fit-7` failed",
    )
    assert "  needed by: fit-* (50 jobs)\n" in joblot("explain", "prep").out
    assert len(json.loads(joblot("explain", "report", "--json").out)["needs"]) == 50

    (joblot.path / "bad").unlink()
    joblot.write("out/7.txt", "a\n")
    assert joblot("accept", "joblot.yaml", "fit-*", "prep").out == head(
        "accepted `prep`: up to date as it is", "accepted `fit-*`: 50 jobs, up to date as they are"
    )
    assert len(json.loads(joblot("accept", "joblot.yaml", "fit-*", "--json").out)["accepted"]) == 50


def test_of_many_attempts_the_last_are_told(joblot):
    retry = "retry: {max_attempts: 25, delay: 1ms, backoff: 1}"
    joblot.write("joblot.yaml", f"jobs: [{{name: a, run: 'exit 3', {retry}}}]\n")
    assert joblot("run", "-q").code == 1
    lines = joblot("explain", "a").out.splitlines()
    start = lines.index("  attempts:")
    assert lines[start + 1] == "    ... 5 earlier ones (`--json` lists all)"
    assert [line.split(":")[0] for line in lines[start + 2 : start + 22]] == [f"    {n}" for n in range(6, 26)]


def test_a_run_without_jobs_is_explained(joblot):
    joblot.write("joblot.yaml", "jobs: []\n")
    assert joblot("run", "-q", "--run-id", "r1").code == 0
    done = joblot("explain")
    assert (done.code, done.out, done.err) == (0, "no jobs: nothing to do\n", "")
    assert joblot("explain", "--json").out == "[]\n"
