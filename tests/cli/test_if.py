"""`if` through the command line and from Python."""

import json

import pytest

from joblot import Batch

BATCH = """
vars: {full: {type: bool, default: false}}
jobs:
  - name: look
    run: |
      echo "{\\"changed\\": ${CHANGED:-true}}" > $JOBLOT_OUTPUT
  - name: load
    run: "true"
    needs: [look]
    if: ${{ jobs.look.result.changed }}
  - name: nothing
    run: "true"
    needs: [look]
    if: not ${{ jobs.look.result.changed }}
  - name: rebuild
    run: "true"
    if: ${{ vars.full }}
  - name: behind
    run: "true"
    needs: [rebuild]
"""


def statuses(project):
    return {one["job"]: one["status"] for one in json.loads(project("show", "last", "--json").out)["results"]}


def test_results_and_variables_decide(joblot):
    joblot.write("joblot.yaml", BATCH)
    done = joblot("run")
    assert done.code == 0
    assert statuses(joblot) == {
        "look": "success",
        "load": "success",
        "nothing": "skipped",
        "rebuild": "skipped",
        "behind": "skipped",
    }
    assert "nothing: skipped: its `if` is false\n" in done.plain
    assert joblot("explain", "last", "nothing").out.splitlines()[:3] == [
        "nothing: skipped",
        "  condition: its `if` is false",
        "  if: not ${{ jobs.look.result.changed }}",
    ]
    assert joblot("run", "--var", "full=true", env={"CHANGED": "false"}).code == 0
    assert statuses(joblot) == {
        "look": "success",
        "load": "skipped",
        "nothing": "success",
        "rebuild": "success",
        "behind": "success",
    }


def test_what_is_known_is_planned(joblot):
    joblot.write("joblot.yaml", BATCH)
    lines = joblot("plan").out.splitlines()
    assert any(line.endswith("needs look; if not ${{ jobs.look.result.changed }}") for line in lines)
    assert any(line.endswith("; if false") for line in lines)
    jobs = {one["job"]: (one.get("if"), one["will_run"]) for one in json.loads(joblot("plan", "--json").out)["jobs"]}
    assert jobs == {
        "look": (None, True),
        "load": ("${{ jobs.look.result.changed }}", True),
        "nothing": ("not ${{ jobs.look.result.changed }}", True),
        "rebuild": ("false", False),
        "behind": (None, True),
    }


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ('"yes"', "`if` must be `true` or `false`, not the text `yes`"),
        ('"true"', "`if` must be `true` or `false`, not the text `true`"),
        ("1", "`if` must be `true` or `false`, not the number 1"),
        ("null", "`if` must be `true` or `false`, not null"),
        ("[]", "`if` must be `true` or `false`, not a list"),
    ],
)
def test_a_result_that_is_no_truth_value_fails_the_job(joblot, value, message):
    joblot.write("joblot.yaml", BATCH)
    joblot.write("result", f'{{"changed": {value}}}')
    joblot.write("joblot.yaml", BATCH.replace('echo "{\\"changed\\": ${CHANGED:-true}}"', "cat result"))
    done = joblot("run")
    assert done.code == 1
    assert f"load: failed: {message} (1 attempt, T)\n" in done.plain
    joblot.write("result", "{}")
    assert "load: failed: `jobs.look.result` has no `changed` (in `jobs.look.result.changed`)" in joblot("run").plain


def test_items_decide_for_their_jobs_also_those_that_are_found(joblot):
    text = """
    jobs:
      - {name: list, run: 'echo "{\\"items\\": [{\\"n\\": 1, \\"on\\": true}, {\\"n\\": 2, \\"on\\": false}]}" > $JOBLOT_OUTPUT'}
      - {name: 'found-${{ item.n }}', run: 'true', needs: [list], foreach: '${{ jobs.list.result.items }}', if: '${{ item.on }}'}
      - {name: 'row-${{ item.n }}', run: 'true', foreach: table.csv, if: 'not ${{ item.on }}'}
    """
    joblot.write("joblot.yaml", text)
    joblot.write("table.csv", "n,on\n1,true\n2,false\n")
    done = joblot("run")
    assert done.code == 0, done.err
    assert statuses(joblot) == {
        "list": "success",
        "found-*": "success",
        "row-1": "skipped",
        "row-2": "success",
        "found-1": "success",
        "found-2": "skipped",
    }


def test_items_that_are_found_and_are_no_truth_values_fail_the_job_that_finds_them(joblot):
    text = """
    jobs:
      - {name: list, run: 'echo "{\\"items\\": [{\\"n\\": 1, \\"on\\": \\"maybe\\"}]}" > $JOBLOT_OUTPUT'}
      - {name: 'found-${{ item.n }}', run: 'true', needs: [list], foreach: '${{ jobs.list.result.items }}', if: '${{ item.on }}'}
    """
    joblot.write("joblot.yaml", text)
    done = joblot("run")
    assert done.code == 1
    assert "`on` of item 1: `if` must be `true` or `false`, and `item.on` is the text `maybe`" in done.plain


@pytest.mark.parametrize("on", ["inline", pytest.param("local", marks=pytest.mark.alone)])
def test_from_python(tmp_path, on):
    batch = Batch("b", folder=tmp_path)
    batch.add("look", lambda: {"on": True})
    batch.add("yes", lambda: 1, needs=["look"], if_="${{ jobs.look.result.on }}")
    batch.add("no", lambda: 1, needs=["look"], if_="not ${{ jobs.look.result.on }}")
    batch.add("never", lambda: 1, if_=False)
    batch.add("end", lambda: 1, finally_=True, if_="${{ jobs.no.result.on }}")
    report = batch.run(on=on, state=False)
    assert {name: (job.state, job.reason) for name, job in report.jobs.items()} == {
        "look": ("success", ""),
        "yes": ("success", ""),
        "no": ("skipped", "condition"),
        "never": ("skipped", "condition"),
        "end": ("skipped", "no_result"),
    }
    assert report.all_passed is False or report.ok


def test_what_is_up_to_date_is_asked_first(joblot):
    text = """
    vars: {on: true}
    jobs:
      - {name: a, run: echo x > a.txt, outputs: a.txt, if: '${{ vars.on }}'}
    """
    joblot.write("joblot.yaml", text)
    assert joblot("run").code == 0
    joblot("run")
    assert statuses(joblot) == {"a": "cached"}
    joblot("run", "--var", "on=false")
    assert statuses(joblot) == {"a": "skipped"}
    joblot("run")
    assert statuses(joblot) == {"a": "cached"}
