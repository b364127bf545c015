"""Schedules over years in a moment: files and a journal as they are, a clock that the test moves, and runs that are rows in the journal."""

import os
from contextlib import closing

import pytest

from joblot.errors import StateError
from joblot.journal.folder import StateFolder
from joblot.journal.schedules import Schedules, take_lock
from joblot.runner.schedule import Files, Scheduler
from torture.schedule_kill import BAD, findings, lay_out, look, simulate

NOON = 1_795_003_200.0  # 2026-11-18 12:00 UTC
MINUTE, HOUR, DAY = 60, 3600, 86_400


class World:
    """A folder with batch files, the time, and what schedulers have told of them."""

    def __init__(self, folder):
        self.folder, self.now, self.told = folder, NOON, []
        self.state = folder / ".joblot"
        self.running = {}

    def write(self, name="nightly", cron="0 * * * *", zone="UTC", more="", **options):
        words = "".join(f", {word}: {value}" for word, value in options.items())
        text = f"timezone: {zone}\nschedule: {{cron: '{cron}'{words}}}\n{more}\njobs: [{{name: a, run: 'true'}}]\n"
        (self.folder / f"{name}.yaml").write_text(text)
        return str(self.folder / f"{name}.yaml")

    def scheduler(self):
        return Scheduler(
            Files(str(self.folder)), self.state, lambda level, text: self.told.append(text), wall=lambda: self.now
        )

    def look(self, *, after=0, by=None, ends=True):
        """A look after so many seconds; runs that it starts begin, and end at once or go on. Returns the names and due times."""
        self.now += after
        found = []
        for start in (by or self.scheduler()).look():
            self.begin(start.run, start.planned.source)
            found.append((start.planned.name, start.at))
            if ends:
                self.end(start, by)
            else:
                self.running[start.planned.name] = start
        return found

    def begin(self, run, source):
        with closing(StateFolder(self.state)) as folder:
            folder.journal.create(run, batch="b", source=source, jobs=1, plan=b"{}", at=self.now)

    def end(self, start, by=None):
        os.close(start.lock)
        (by or self.scheduler()).settled(start, 0)

    def rows(self, source):
        with closing(StateFolder(self.state, read_only=True)) as folder:
            return Schedules(folder.journal, read_only=True).last_rows(source, 1000)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def test_what_was_due_before_a_schedule_was_known_is_nobodys(world):
    world.write(missed="all")
    assert world.look() == []
    assert world.look(after=HOUR) == [("nightly", NOON + HOUR)]


def test_two_who_look_at_once_start_one_run(world):
    world.write()
    world.look()
    first, second = world.scheduler(), world.scheduler()
    assert len(world.look(after=HOUR, by=first)) == 1
    assert world.look(by=second) == []


def test_who_has_an_older_clock_decides_nothing_again(world):
    """Two look at once, and the one whose clock was read first comes second."""
    source = world.write()
    world.look()
    first, second = world.now + 5 * HOUR + 90, world.now + 6 * HOUR + 5
    slow = Scheduler(Files(str(world.folder)), world.state, lambda *_: None, wall=lambda: first)
    kept = Schedules.look

    def looked(self, folder, now):
        before = kept(self, folder, now)
        if now == first:
            world.now = second
            Schedules.look = kept
            world.look()
        return before

    Schedules.look = looked
    try:
        assert slow.look() == []
    finally:
        Schedules.look = kept
    assert [(row.fate, row.count) for row in world.rows(source)] == [("started", 1), ("merged", 5)]


def test_a_run_that_did_not_begin_is_begun_by_the_next_who_looks(world):
    """Whoever was to start it was killed between the record and the start; the id is the same, so it begins once."""
    source = world.write()
    world.look()
    world.now += HOUR
    (start,) = world.scheduler().look()
    assert world.scheduler().look() == []  # it is about to be started: the lock says so
    os.close(start.lock)
    (again,) = world.scheduler().look()
    assert (again.at, again.run) == (start.at, start.run)
    world.begin(again.run, source)
    os.close(again.lock)
    assert world.look(after=MINUTE) == []
    assert [(row.at, row.fate, row.run) for row in world.rows(source)] == [(start.at, "started", start.run)]


def test_a_run_that_is_killed_before_it_begins_is_given_up_at_last(world):
    source = world.write()
    world.look()
    world.now += HOUR
    for _ in range(5):
        scheduler = world.scheduler()
        (start,) = scheduler.look()
        os.close(start.lock)
        assert scheduler.settled(start, -9) == ""
    assert world.scheduler().look() == []
    assert world.rows(source)[0].why == "killed 5 times before it began"
    assert world.told[-1] == "nightly: due 2026-11-18 13:00 +00:00: refused: killed 5 times before it began"


def test_a_run_that_still_runs_leaves_the_next_one_out(world):
    source = world.write()
    world.look()
    world.look(after=HOUR, ends=False)
    run = world.running["nightly"].run
    assert world.look(after=HOUR) == []
    assert [(row.fate, row.why) for row in world.rows(source)] == [
        ("skipped", f"run `{run}` still runs"),
        ("claimed", ""),
    ]
    assert world.told[-1] == f"nightly: due 2026-11-18 14:00 +00:00: skipped: run `{run}` still runs"
    world.end(world.running["nightly"])
    assert world.look(after=HOUR) == [("nightly", NOON + 3 * HOUR)]


def test_a_run_that_waits_is_decided_when_the_other_has_ended(world):
    source = world.write(more="concurrency: {on_conflict: wait}")
    world.look()
    world.look(after=HOUR, ends=False)
    for _ in range(3):
        assert world.look(after=HOUR) == []
    world.end(world.running["nightly"])
    assert world.look(after=HOUR / 2) == [("nightly", NOON + 4 * HOUR)]
    assert [(row.fate, row.count) for row in world.rows(source)] == [("started", 1), ("merged", 2), ("started", 1)]


def test_all_that_were_missed_run_one_after_the_other(world):
    world.write(missed="all")
    scheduler = world.scheduler()
    world.look(by=scheduler)
    assert world.look(after=3 * HOUR + 90, by=scheduler, ends=False) == [("nightly", NOON + HOUR)]
    assert world.look(after=HOUR, by=scheduler) == []
    world.end(world.running["nightly"], scheduler)
    assert [world.look(by=scheduler) for _ in range(4)] == [
        [("nightly", NOON + hours * HOUR)] for hours in (2, 3, 4)
    ] + [[]]


GONE = "nothing looked at the schedule from 2026-11-18 12:00 to 2026-11-18 13:01"


@pytest.mark.parametrize(("after", "started"), [(59, 1), (61, 0)])
def test_a_clock_that_jumps_goes_the_way_of_what_was_missed(world, after, started):
    source = world.write(missed="skip")
    world.look()
    assert len(world.look(after=HOUR + after)) == started
    (row,) = world.rows(source)
    assert (row.fate, row.why) == (("started", "interrupted") if started else ("missed", GONE))


def test_ten_years_off_are_one_line(world):
    source = world.write(cron="* * * * *")
    world.look()
    world.told.clear()
    assert len(world.look(after=3653 * DAY)) == 1
    assert [row.fate for row in world.rows(source)] == ["started", "merged", "missed"]
    assert world.told == [
        "nightly: more than 1,000 due times from 2026-11-18 12:01 +00:00 to 2036-11-17 11:59 +00:00: missed: nothing looked at the schedule from 2026-11-18 12:00 to 2036-11-18 12:00"
    ]


def test_a_clock_that_is_set_back_runs_nothing_twice(world):
    world.write()
    world.look()
    assert world.look(after=HOUR) == [("nightly", NOON + HOUR)]
    assert world.look(after=-2 * HOUR) == []
    assert world.look(after=HOUR) == [("nightly", NOON)]
    assert world.look(after=HOUR) == []
    assert world.look(after=HOUR) == [("nightly", NOON + 2 * HOUR)]


def test_a_clock_that_was_years_ahead_for_a_while_leaves_nothing_out(world):
    source = world.write(cron="* * * * *")
    scheduler = world.scheduler()
    world.look(by=scheduler)
    world.look(after=3653 * DAY, by=scheduler)
    assert world.look(after=-3653 * DAY, by=scheduler) == []
    assert world.look(after=MINUTE, by=scheduler) == [("nightly", NOON + MINUTE)]
    assert world.look(after=2 * MINUTE) == [("nightly", NOON + 3 * MINUTE)]
    assert {row.fate for row in world.rows(source)} == {"started", "merged"}


def test_another_schedule_is_due_from_now_on(world):
    source = world.write(cron="0 2 * * *")
    world.look()
    world.look(after=DAY)
    world.write(cron="0 9 * * *")
    assert world.look(after=60) == []  # nine o'clock is past, and was not asked for
    assert world.look(after=21 * HOUR) == [("nightly", NOON + DAY + 21 * HOUR)]
    assert [row.fate for row in world.rows(source)] == ["started", "started"]


def test_what_was_due_by_the_schedule_before_is_missed(world):
    source = world.write(cron="0 * * * *")
    world.look()
    world.write(cron="30 2 * * *")
    world.look(after=3 * HOUR + 90)
    (row,) = world.rows(source)
    assert (row.fate, row.count, row.why) == ("missed", 3, "the schedule was changed")


def test_a_schedule_that_was_away_begins_anew(world):
    source = world.write(missed="all")
    world.look()
    os.rename(source, f"{source}.away")
    world.look(after=MINUTE)
    os.rename(f"{source}.away", source)
    assert world.look(after=5 * HOUR) == []


@pytest.mark.parametrize("text", ["jobs: [", "schedule: 30 2 * *\njobs: []\n"])
def test_a_broken_file_is_told_once_and_stops_no_other(world, text):
    """When it is mended, what was due meanwhile was missed."""
    world.write("other")
    source = world.write("broken")
    scheduler = world.scheduler()
    world.look(by=scheduler)
    (world.folder / "broken.yaml").write_text(f"# schedule\n{text}")
    world.told.clear()
    assert world.look(after=HOUR, by=scheduler) == [("other", NOON + HOUR)]
    assert world.look(after=HOUR) == [("other", NOON + 2 * HOUR)]
    assert len(world.told) == 1
    assert world.told[0].startswith(f"{source}:")
    world.write("broken", missed="skip")
    assert world.look(after=MINUTE, by=scheduler) == []
    assert world.rows(source)[0].why == "the batch file could not be read"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("compose.yaml", "services: {a: {schedule: x}}"),
        ("renovate.json", '{"schedule": ["before 4am"]}'),
        ("workflow.yml", "on: {schedule: [{cron: '1 * * * *'}]}\njobs: {}"),
        ("chart.yaml", "{{ broken }}: ["),
        ("notes.txt", "schedule: 1 * * * *\njobs: []"),
        (".hidden.yaml", "schedule: 1 * * * *\njobs: []"),
        ("pipe.yaml", None),
    ],
)
def test_what_is_no_batch_with_a_schedule_is_passed_over(world, name, text):
    if text is None:
        os.mkfifo(world.folder / name)
    else:
        (world.folder / name).write_text(text)
    assert world.look() == []
    assert world.told == []


def test_a_schedule_is_read_without_commands_and_imports(world):
    """Nor are files of variables wanted, or values of variables."""
    source = world.write(
        more="imports: [./acts.py]\nenv_file: missing.env\nsecrets: [TOKEN]\nvars: {day: {required: true}}\nname: '${{ vars.day }}'"
    )
    (world.folder / "acts.py").write_text("open('imported', 'w')")
    text = (world.folder / "nightly.yaml").read_text()
    (world.folder / "nightly.yaml").write_text(
        text.replace("jobs: [", "jobs: [{name: b, run: x, foreach: {command: touch ran}}, ")
    )
    world.look()
    assert world.look(after=HOUR) == [("nightly", NOON + HOUR)]
    assert sorted(path.name for path in world.folder.iterdir()) == [".joblot", "acts.py", os.path.basename(source)]


def test_changed_files_are_read_and_others_are_not(world, monkeypatch):
    for number in range(3):
        world.write(f"b{number}")
    scheduler, read = world.scheduler(), []
    from joblot.runner import schedule

    kept = schedule.timing_of
    monkeypatch.setattr(schedule, "timing_of", lambda path: read.append(os.path.basename(path)) or kept(path))
    world.look(by=scheduler)
    world.write("b1", cron="5 * * * *")
    world.look(after=MINUTE, by=scheduler)
    world.look(after=MINUTE, by=scheduler)
    assert read == ["b0.yaml", "b1.yaml", "b2.yaml", "b1.yaml"]
    assert scheduler.next_at == NOON + 5 * MINUTE


def test_runs_begin_within_jitter_and_always_as_late(world):
    world.write(jitter="10m")
    world.look()
    world.now += HOUR
    (start,) = world.scheduler().look()
    assert 0 < start.delay_s < 600
    assert start.planned.delay_s == pytest.approx(start.delay_s)
    os.close(start.lock)
    world.now += start.delay_s / 2
    (again,) = world.scheduler().look()
    assert again.delay_s == pytest.approx(start.delay_s / 2)
    os.close(again.lock)
    world.now += start.delay_s
    (late,) = world.scheduler().look()
    assert late.delay_s == 0
    os.close(late.lock)


def test_the_lock_of_a_batch_file_goes_with_its_descriptors(world):
    first = take_lock(world.state, "a") if world.state.mkdir(0o700) is None else -1
    assert take_lock(world.state, "a") in (-1, first)
    os.close(first)
    again = take_lock(world.state, "a")
    assert again >= 0
    os.close(again)


def test_a_folder_that_is_gone_is_one_error(world):
    with pytest.raises(StateError, match=r"cannot look at `.*gone`: no such file or directory"):
        Scheduler(Files(str(world.folder / "gone")), world.state, print).look()


def test_looks_that_are_killed_leave_one_run_for_each_due_time(tmp_path):
    """The campaign kills ten thousand times."""
    lay_out(tmp_path)
    look(tmp_path, NOON, 0, True)
    for minute in range(1, 20):
        look(tmp_path, NOON + minute * 60, 0, True)
    found = findings(tmp_path, NOON, NOON + 19 * 60, "*/2 * * * *")
    assert {word: count for word, count in found.items() if count} == {"due times": 27, "runs": 27}


def test_some_weeks_with_sleeps_jumps_and_kills(tmp_path):
    """No due time has two runs, none has neither a run nor a reason; the campaign takes a year."""
    found = simulate(tmp_path, 25, 4)
    assert found["due times"] > 150
    assert found["runs"] > 50
    assert {word: found[word] for word in BAD if found[word]} == {}
