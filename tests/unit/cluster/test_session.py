"""What a run's folder keeps of its life on clusters."""

import json

from joblot.cluster.session import FILE, Session, read


def test_a_run_has_one_token_and_each_process_a_higher_number(tmp_path):
    first = Session(tmp_path, "tls://a:1")
    one = first.begin()
    first.end()
    second = Session(tmp_path, "tls://a:1")
    two = second.begin()
    assert (one.token, one.epoch, two.epoch) == (two.token, 1, 2)
    assert one.session != two.session


def test_to_look_writes_nothing(tmp_path):
    Session(tmp_path, "dask").end()
    assert list(tmp_path.iterdir()) == []


def test_whether_something_may_be_left_is_known(tmp_path):
    session = Session(tmp_path, "dask")
    session.begin()
    assert (read(tmp_path).open, read(tmp_path).on) == (True, "dask")
    session.end()
    assert not read(tmp_path).open


def test_who_began_before_another_finds_a_higher_number_than_its_own(tmp_path):
    first, second = Session(tmp_path, "dask"), Session(tmp_path, "dask")
    assert (first.begin().epoch, second.begin().epoch) == (1, 2)


def test_a_damaged_file_is_as_none(tmp_path):
    (tmp_path / FILE).write_text("{")
    assert read(tmp_path) is None
    assert Session(tmp_path, "dask").begin().epoch == 1
    assert json.loads((tmp_path / FILE).read_text())["epoch"] == 1


def test_a_run_that_keeps_nothing_has_no_file():
    session = Session(None, "dask")
    assert session.begin().epoch == 1
    session.end()
    assert read(None) is None
