"""Links that make two paths of a batch one file: what the plan takes for two is refused before anything runs."""

import json

import pytest

import joblot as lib

LINK_HINT = "hint: links are followed: give each job files of its own"


def batch(*jobs, more=""):
    return f"{more}jobs:\n" + "".join(f"  - {{{job}}}\n" for job in jobs)


MAKE = 'name: make, run: "echo new > out/mid.txt", outputs: [out/mid.txt]'


def reads(path, shown="out/mid.txt", made="out/mid.txt"):
    return [
        f"error: job `use` reads `{path}`, by a link what job `make` makes, which it does not need: `{made}`",
        f"hint: write `{shown}` there, or `needs: [make]`",
    ]


REFUSED = {
    "a folder is a link": (
        [MAKE, "name: use, run: 'cat latest/mid.txt', input: latest/mid.txt"],
        reads("latest/mid.txt"),
    ),
    "what is made goes through the link": (
        [MAKE.replace("[out", "[latest"), "name: use, run: 'cat out/mid.txt', input: out/mid.txt"],
        reads("out/mid.txt"),
    ),
    "both go through links": (
        [MAKE.replace("[out", "[latest"), "name: use, run: 'true', input: other/mid.txt"],
        reads("other/mid.txt"),
    ),
    "the file is a link, to what is not there yet": (
        [MAKE, "name: use, run: 'true', input: mid.txt"],
        reads("mid.txt"),
    ),
    "a folder that is read is a link": (
        [MAKE, "name: use, run: 'true', input: latest"],
        reads("latest", "out"),
    ),
    "a folder is made": (
        [MAKE.replace("[out/mid.txt]", "[out]"), "name: use, run: 'true', input: latest/x/y.txt"],
        reads("latest/x/y.txt", "out/x/y.txt", "out"),
    ),
    "a pattern": (
        [MAKE, "name: use, run: 'true', input: latest/*.txt"],
        reads("latest/*.txt", "out/*.txt"),
    ),
    "the link's parent": (
        [MAKE, "name: use, run: 'true', input: deep/../mid.txt"],
        reads("deep/../mid.txt"),
    ),
    "an absolute path to the folder by another name": (
        [MAKE, "name: use, run: 'true', input: DIR-too/out/mid.txt"],
        reads("DIR-too/out/mid.txt"),
    ),
    "no needs, it says": (
        [MAKE, "name: use, run: 'true', input: latest/mid.txt, needs: []"],
        reads("latest/mid.txt"),
    ),
    "one of many in a folder": (
        ['name: "make-${{ item }}", run: "true", outputs: ["out/${{ item }}.txt"], foreach: {range: 100}'.replace(
            "{range: 100}", str(list(range(100)))
        ), "name: use, run: 'true', input: latest/70.txt"],
        [
            "error: job `use` reads `latest/70.txt`, by a link what job `make-70` makes, which it does not need: `out/70.txt`",
            "hint: write `out/70.txt` there, or `needs: [make-70]`",
        ],
    ),
    "two write it": (
        [MAKE, "name: two, run: 'true', outputs: [latest/mid.txt]"],
        ["error: job `two` writes `out/mid.txt`, which job `make` (line 2) writes too", LINK_HINT],
    ),
    "one writes into what another makes": (
        [MAKE, "name: two, run: 'true', outputs: [latest]"],
        ["error: job `make` writes `out/mid.txt`, which job `two` (line 3) makes the folder of", LINK_HINT],
    ),
    "it is the batch's own folder": (
        ["name: two, run: 'true', outputs: [self]"],
        ["error: output `DIR` of job `two` is the batch's own folder, or one above it", LINK_HINT],
    ),
    "it reads what it writes": (
        ["name: two, run: 'true', input: latest/mid.txt, outputs: [out/mid.txt]"],
        [
            "error: job `two` reads `latest/mid.txt` and writes it: it is `out/mid.txt`, links followed",
            "hint: write to another file",
        ],
    ),
}  # fmt: skip


@pytest.fixture
def linked(joblot):
    (joblot.path / "out" / "sub").mkdir(parents=True)
    joblot.write("out/mid.txt.old", "")
    for name, target in {
        "latest": "out",
        "other": "latest",
        "mid.txt": "out/mid.txt",
        "deep": "out/sub",
        "self": ".",
    }.items():
        (joblot.path / name).symlink_to(target)
    too = joblot.path.with_name(f"{joblot.path.name}-too")
    too.symlink_to(joblot.path.name)
    yield joblot
    too.unlink()


@pytest.mark.parametrize("case", REFUSED)
def test_one_file_by_links_is_refused_before_anything_runs(linked, case):
    jobs, told = REFUSED[case]
    linked.write("joblot.yaml", batch(*jobs).replace("DIR", str(linked.path)))
    done = linked("run", "--run-id", "r1")
    assert done.code == 2
    lines = [line for line in done.err.splitlines() if not line.startswith(" ")]
    assert [line[max(line.find("error:"), 0) :] for line in lines] == told
    assert not (linked.path / "out/mid.txt").exists()
    assert not (linked.path / ".joblot").exists()


TAKEN = {
    "it needs what makes it": [MAKE, "name: use, run: 'cat latest/mid.txt', input: latest/mid.txt, needs: [make]"],
    "it needs it from afar": [
        MAKE,
        "name: far, run: 'true', needs: [make]",
        "name: use, run: 'cat latest/mid.txt', input: latest/mid.txt, needs: [far]",
    ],
    "a pattern, and it needs what makes it": [
        MAKE,
        "name: use, run: 'cat latest/mid.txt', input: latest/*.txt, needs: [make]",
    ],
    "both go through one link": [
        MAKE.replace("[out", "[latest"),
        "name: use, run: 'cat latest/mid.txt', input: latest/mid.txt",
    ],
    "others write beside it": [MAKE, "name: two, run: 'touch latest/two', outputs: [latest/two]"],
    "the folder that holds it is read": [MAKE, "name: use, run: 'true', input: latest/mid.txt.old"],
}


@pytest.mark.parametrize("case", TAKEN)
def test_links_that_do_no_harm_are_left_alone(linked, case):
    linked.write("joblot.yaml", batch(*TAKEN[case]))
    done = linked("run")
    assert (done.code, done.err.count("error")) == (0, 0)
    assert (linked.path / "out/mid.txt").read_text() == "new\n"


def test_the_batch_itself_may_lie_behind_a_link(linked):
    linked.write("joblot.yaml", batch(MAKE, "name: use, run: 'cat out/mid.txt', input: out/mid.txt"))
    too = linked.path.with_name(f"{linked.path.name}-too")
    done = linked("run", str(too / "joblot.yaml"))
    assert (done.code, done.err.count("error")) == (0, 0)
    assert (linked.path / "out/mid.txt").read_text() == "new\n"


@pytest.mark.parametrize("command", [["plan"], ["run", "--dry-run"], ["run", "--on", "inline"]])
def test_whoever_looks_at_it_is_told_the_same(linked, command):
    linked.write("joblot.yaml", batch(MAKE, "name: use, run: 'true', input: latest/mid.txt"))
    done = linked(*command)
    assert (done.code, done.err.splitlines()[0].partition(" error: ")[2]) == (2, reads("latest/mid.txt")[0][7:])


@pytest.mark.parametrize("needs", ["needs: [build]", "needs: [between]"])
def test_a_job_may_make_the_link_to_what_another_makes(linked, needs):
    """From the second run on the link is there before the job that makes it."""
    linked.write(
        "joblot.yaml",
        batch(
            "name: build, run: 'mkdir -p r/1; echo x > r/1/page', outputs: [r/1]",
            "name: between, run: 'true', needs: [build]",
            f"name: turn, run: 'ln -sfn r/1 current', outputs: [current], {needs}",
            "name: use, run: 'cat current/page', input: current/page",
        ),
    )
    assert [linked("run", "--force").code for _ in range(2)] == [0, 0]


def test_a_link_to_what_another_makes_that_is_not_needed_is_refused(linked):
    linked.write("joblot.yaml", batch(MAKE, "name: turn, run: 'true', outputs: [mid.txt]"))
    assert "job `turn` writes `out/mid.txt`, which job `make` (line 2) writes too" in linked("run").err


def test_what_is_not_selected_makes_nothing(linked):
    linked.write("out/mid.txt", "old\n")
    linked.write("joblot.yaml", batch(MAKE, "name: use, run: 'cat latest/mid.txt', input: latest/mid.txt"))
    assert linked("run", "--only", "use").code == 0
    assert linked("run", "--only", "make").code == 0


def test_jobs_that_are_found_fail_their_finder(linked):
    linked.write(
        "joblot.yaml",
        batch(
            "name: list, run: 'cat items.json > $JOBLOT_OUTPUT'",
            "name: 'w-${{ item }}', run: 'true', outputs: ['${{ item }}'], foreach: '${{ jobs.list.result }}', needs: [list]",
            MAKE,
        ),
    )
    linked.write("items.json", '["y.txt", "latest/mid.txt"]')
    found = next(one for one in json.loads(linked("run", "--json").out)["results"] if one["job"] == "w-*")
    message = "job `w-latest-mid.txt` writes `out/mid.txt`, which job `make` (line 4) writes too"
    assert (found["status"], found["reason"]) == ("failed", "bad_items")
    assert found["message"] in (message, message.replace("`w-latest-mid.txt`", "`make`"))


@pytest.mark.parametrize("path", ["latest/mid.txt", "mid.txt", "DIR/deep/../mid.txt", "DIR-too/other/mid.txt"])
def test_input_that_is_known_at_the_start(linked, path):
    linked.write("which.json", json.dumps(path.replace("DIR", str(linked.path))))
    linked.write("out/mid.txt", "old\n")
    linked.write(
        "joblot.yaml",
        batch(
            "name: which, run: 'cat which.json > $JOBLOT_OUTPUT'",
            "name: use, run: 'true', input: '${{ jobs.which.result }}', needs: [which]",
            MAKE,
        ),
    )
    found = next(one for one in json.loads(linked("run", "--json").out)["results"] if one["job"] == "use")
    assert (found["status"], found["reason"], found["message"]) == (
        "failed",
        "unneeded_input",
        "input `out/mid.txt` is made by job `make`, which `use` does not need (`needs: [make]`)",
    )


def test_a_python_batch_in_a_folder_that_has_another_name(linked):
    made = lib.Batch("flow", folder=f"{linked.path}-too")
    made.command("use", "true", input=str(linked.path / "new.txt"))
    made.command("make", "true", outputs=["new.txt"])
    with pytest.raises(lib.ConfigError, match="by a link what job `make` makes"):
        made.run(state=False, on="inline")


@pytest.mark.parametrize("on", ["local", "inline"])
def test_a_link_that_a_pattern_finds_is_followed(joblot, on):
    (joblot.path / "in").mkdir()
    joblot.write("in/r.txt", "r")
    joblot.write("out/x.txt", "old")
    (joblot.path / "in/l.txt").symlink_to("../out/x.txt")
    make = "{name: make, run: 'echo half > out/x.txt; sleep 0.3; echo whole >> out/x.txt', outputs: [out/x.txt]}"
    use = "{name: use, run: 'cat ${{ input }} > seen', input: 'in/*.txt'}"
    joblot.write("joblot.yaml", f"jobs:\n  - {make}\n  - {use}\n")
    done = joblot("run", "--on", on)
    assert done.code == 1
    assert "input `out/x.txt` is made by job `make`, which `use` does not need (`needs: [make]`)" in done.err
    assert not (joblot.path / "seen").exists()
    joblot.write("joblot.yaml", f"jobs:\n  - {make}\n  - {use.replace('input:', 'needs: [make], input:')}\n")
    assert joblot("run", "--on", on).code == 0
    assert (joblot.path / "seen").read_text() == "half\nwhole\nr"


def inside(link, made="out/mid.txt"):
    return [
        f"error: job `use` reads `{link}`, a link to what job `make` makes, which it does not need: `{made}`",
        "hint: `needs: [make]`",
    ]


INSIDE = {
    "a file in a folder": (["read/link: ../out/mid.txt"], "read", inside("read/link")),
    "deep in it": (["read/a/b/link: ../../../out/mid.txt"], "read", inside("read/a/b/link")),
    "a folder in it": (["read/link: ../out"], "read", inside("read/link")),
    "by a link in the folder that a link leads to": (
        ["read/far: ../far", "far/link: ../out/mid.txt"],
        "read",
        inside("read/far/link"),
    ),
    "what is not there yet": (["read/link: ../out/mid.txt", "out: later"], "read", inside("read/link", "later/mid.txt")),
    "the folder is named with a slash": (["read/link: ../out/mid.txt"], "read/", inside("read/link")),
    "the folder is a link": (["read/link: ../out/mid.txt", "way: read"], "way", inside("way/link")),
    "all of the batch's folder": (["read/link: ELSE/mid.txt"], ".", inside("./read/link", "DIR-else/mid.txt")),
    "by an absolute path": (["read/link: DIR/out/mid.txt"], "DIR/read", inside("DIR/read/link")),
    "one of a list": (["read/link: ../out/mid.txt"], "[plain.txt, read]", inside("read/link")),
    "in a circle of links": (["read/back: .", "read/deep/link: ../../out"], "read", inside("read/deep/link")),
}  # fmt: skip


@pytest.mark.parametrize("case", INSIDE)
def test_a_link_in_a_folder_that_is_read_whole_is_followed(joblot, case):
    links, job_input, told = INSIDE[case]
    elsewhere = joblot.path.with_name(f"{joblot.path.name}-else")
    elsewhere.mkdir()

    def placed(text):
        return text.replace("DIR", str(joblot.path)).replace("ELSE", str(elsewhere))

    for link in links:
        path, _, target = link.partition(": ")
        (joblot.path / path).parent.mkdir(parents=True, exist_ok=True)
        (joblot.path / path).symlink_to(placed(target))
    use = f"name: use, run: 'true', input: {placed(job_input)}"
    joblot.write("joblot.yaml", batch(MAKE, use))
    if "the batch's folder" in case:  # all that is made in it is needed; this is made elsewhere
        joblot.write("joblot.yaml", batch(MAKE.replace("[out/", placed("[ELSE/")), use))
    done = joblot("run")
    assert done.code == 2
    lines = [line for line in done.err.splitlines() if not line.startswith(" ")]
    assert [line[max(line.find("error:"), 0) :] for line in lines] == told
    assert not (joblot.path / ".joblot").exists()
    joblot.write(
        "joblot.yaml", (joblot.path / "joblot.yaml").read_text().replace("name: use", "name: use, needs: [make]")
    )
    assert joblot("plan").code == 0


@pytest.mark.parametrize(
    "link",
    ["read/link: ../other.txt", "read/link: ../own", "read/link: nowhere", "read/.joblot/link: ../../out/mid.txt"],
)
def test_a_link_in_a_folder_to_what_no_other_job_makes(joblot, link):
    path, _, target = link.partition(": ")
    (joblot.path / path).parent.mkdir(parents=True)
    (joblot.path / path).symlink_to(target)
    joblot.write("joblot.yaml", batch(MAKE, "name: use, run: 'touch own', input: read, outputs: [own]"))
    assert joblot("plan").code == 0


def test_a_link_in_a_folder_that_is_known_at_the_start(joblot):
    (joblot.path / "read").mkdir()
    (joblot.path / "read/link").symlink_to("../out/mid.txt")
    joblot.write(
        "joblot.yaml",
        batch(
            """name: which, run: 'echo "[\\"read\\"]" > $JOBLOT_OUTPUT'""",
            "name: use, run: 'true', input: '${{ jobs.which.result }}', needs: [which]",
            MAKE,
        ),
    )
    found = next(one for one in json.loads(joblot("run", "--json").out)["results"] if one["job"] == "use")
    assert (found["status"], found["reason"]) == ("failed", "unneeded_input")


@pytest.mark.parametrize("job_input", ["parts/a", "'parts/*'", "parts", "."])
def test_a_link_in_a_folder_that_another_job_makes_is_of_an_earlier_run(joblot, job_input):
    (joblot.path / "parts/a").mkdir(parents=True)
    (joblot.path / "parts/a/link").symlink_to("../../out/mid.txt")
    parts = "name: parts, run: 'mkdir -p parts/a', outputs: [parts/a]"
    job = f"name: use, run: 'true', input: {job_input}"
    joblot.write("joblot.yaml", batch(MAKE, parts, job))
    assert joblot("plan").code == 0


@pytest.mark.parametrize("what", ["", ", input: '${{ item }}'"])
@pytest.mark.parametrize("pattern", ["in/*.txt", "in/**/*.txt", "i*/?.txt"])
def test_a_link_that_foreach_finds_is_followed(joblot, pattern, what):
    (joblot.path / "in").mkdir()
    joblot.write("in/r.txt", "r")
    (joblot.path / "in/l.txt").symlink_to("../out/mid.txt")
    use = f"name: 'use-${{{{ item.stem }}}}', run: ['cat', '${{{{ item }}}}'], foreach: '{pattern}'{what}"
    joblot.write("joblot.yaml", batch(MAKE, use))
    done = joblot("run")
    assert (done.code, reads("in/l.txt")[0].replace("use", "use-l") in done.err) == (2, True)
    joblot.write("joblot.yaml", batch(MAKE, f"{use}, needs: [make]"))
    assert joblot("plan").code == 0


def test_input_is_still_matched_when_a_folder_has_many_names(joblot):
    """More than are asked one by one."""
    (joblot.path / "read").mkdir()
    for number in range(70):
        (joblot.path / f"read/{number}").mkdir()
    (joblot.path / "read/69/link").symlink_to("../../out/mid.txt")
    use = f"name: 'use-${{{{ item }}}}', run: 'true', input: 'read/${{{{ item }}}}', foreach: {list(range(70))}"
    joblot.write("joblot.yaml", batch(MAKE, use))
    assert inside("read/69/link")[0].replace("`use`", "`use-69`") in joblot("run").err
