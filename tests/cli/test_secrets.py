"""Values of secrets, wherever they are set: on the terminal, in logs, results, reports and events."""

import json

import pytest

CANARY = "CANARY-0123456789"
TALKS = "echo my $TOKEN; echo r=$TOKEN > $JOBLOT_OUTPUT; false $TOKEN || ./$TOKEN"
PLACES = {
    "joblot's environment": {"jobs": [{"name": "a", "run": TALKS}]},
    "batch": {"env": {"TOKEN": CANARY}, "jobs": [{"name": "a", "run": TALKS}]},
    "defaults": {"defaults": {"env": {"TOKEN": CANARY}}, "jobs": [{"name": "a", "run": TALKS}]},
    "job": {"jobs": [{"name": "a", "run": TALKS, "env": {"TOKEN": CANARY}}]},
    "jobs with different values": {
        "jobs": [{"name": n, "run": TALKS, "env": {"TOKEN": f"{CANARY}-{n}"}} for n in "ab"]
    },
    "items": {"jobs": [{"name": "a${{ item }}", "run": TALKS, "foreach": [1, 2], "env": {"TOKEN": CANARY}}]},
    "growing": {
        "jobs": [
            {"name": "n", "run": "echo '{\"v\": [1, 2]}' > $JOBLOT_OUTPUT"},
            {"name": "a${{ item }}", "run": TALKS, "foreach": "${{ jobs.n.result.v }}", "needs": ["n"], "env": {"TOKEN": CANARY}},
        ]
    },
    "action": {
        "jobs": [{"name": "a", "action": "python", "params": {"code": "import os; print(os.environ['TOKEN']); 1/0"}, "env": {"TOKEN": CANARY}}]
    },
}  # fmt: skip


def seen(joblot, run="r1"):
    """Everything that is shown or kept of a run, but for the plan, which says what the batch says."""
    shown = [joblot(*words) for words in (["show", run], ["logs", run], ["explain", run, "a"], ["show", run, "--json"])]
    folder = joblot.path / ".joblot" / "runs" / run
    files = [
        path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file() and path.name != "plan.json"
    ]
    return [*(done.out + done.err for done in shown), *files]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("on", ["local", "inline"])
def test_i14_a_secret_is_masked_wherever_it_is_set(joblot, place, on):
    """I14"""
    if place == "joblot's environment":
        joblot.env["TOKEN"] = CANARY
    joblot.write("batch.json", json.dumps({"secrets": ["TOKEN"], **PLACES[place]}))
    log = [] if place == "growing" else ["--log", "l.json"]
    done = joblot("run", "batch.json", "-v", "--json", "--on", on, "--run-id", "r1", "--report", "r.json", *log)
    texts = [done.out, done.err, *(path.read_text() for path in joblot.path.glob("?.json")), *seen(joblot)]
    assert done.code in (0, 1)
    assert "***" in done.err + joblot("logs", "r1").out
    assert [text for text in texts if "CANARY" in text] == []


def test_a_secret_that_changed_is_no_reason_to_run_and_is_not_shown(joblot):
    batch = {
        "secrets": ["TOKEN"], "env": {"TOKEN": CANARY}, "jobs": [{"name": "a", "run": "echo $TOKEN | wc -c > out", "outputs": ["out"]}],
    }  # fmt: skip
    joblot.write("batch.json", json.dumps(batch))
    assert joblot("run", "batch.json", "-q").code == 0
    joblot.write("batch.json", json.dumps(batch).replace("CANARY", "CANARY2"))
    done = joblot("plan", "batch.json")
    assert "CANARY" not in done.out + done.err
    assert "up to date" in done.out
