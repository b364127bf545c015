"""`joblot sirene template`, and templates that it is the beginning of."""

import json

from joblot_sirene.jobs import jobfile
from sirene.stock import place, write_places
from sirene.test_jobfile import NO_EFFECT, ORIGINAL

TEMPLATE = "job_template.yaml"


def test_the_template_is_printed_as_it_comes_and_can_be_given_back(sirene):
    done = sirene("template")
    assert (done.code, done.out, done.err) == (0, jobfile.template(), "")
    (sirene.folder / TEMPLATE).write_text(done.out, encoding="utf-8")
    write_places(sirene.folder / "stock.csv", [place(1)])
    words = ("batch", "--naf", "6201Z", "--input", "stock.csv", "--output-dir", "out")
    built = sirene(*words, "--template", TEMPLATE)
    assert (built.code, built.out.splitlines()[0]) == (0, "[SUCCESS] 6201Z: 1 rows in out/naf_6201Z")


def test_r88_the_original_template_is_used_and_warned_of_once_everywhere(sirene):
    (sirene.folder / TEMPLATE).write_text(ORIGINAL, encoding="utf-8")
    write_places(sirene.folder / "stock.csv", [place(1), place(2, activitePrincipale="56.10A")])
    given = ("--naf", "6201Z", "--naf", "5610A", "--template", TEMPLATE)
    generated = sirene("generate", "jobs", "--batch", *given)
    assert (generated.code, generated.err) == (0, f"WARNING: {NO_EFFECT}\n")
    words = ("batch", *given, "--input", "stock.csv", "--output-dir", "out")
    dry = sirene(*words, "--dry-run")
    assert dry.err.count(NO_EFFECT) == 1
    built = sirene(*words)
    assert built.code == 0, built.out
    assert built.err.count(NO_EFFECT) == 1
    assert f"WARNING: 6201Z, 5610A: {NO_EFFECT}\n" in built.err
    manifest = json.loads((sirene.folder / "out" / "out" / "naf_6201Z" / "manifest.json").read_text())
    assert manifest["warnings"][0] == NO_EFFECT
