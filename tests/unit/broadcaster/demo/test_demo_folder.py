"""One demo a folder, and nothing left behind."""

import fcntl
import os
import tempfile

import pytest

from broadcaster.demo.folder import PREFIX, FolderInUse, demo_folder, remove_abandoned


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_temporary_folder_is_removed(temporary):
    with demo_folder(None) as folder:
        (folder / "postgres").mkdir()
        assert folder.parent == temporary
    assert not list(temporary.iterdir())


def test_a_given_folder_stays_and_is_made_with_its_parents(tmp_path):
    given = tmp_path / "a" / "b"
    with demo_folder(given) as folder:
        assert folder == given
        (folder / "data").touch()
    assert (given / "data").exists()


def test_a_folder_serves_one_demo_at_a_time(tmp_path):
    with demo_folder(tmp_path), pytest.raises(FolderInUse, match="--data-dir"), demo_folder(tmp_path):
        pass
    with demo_folder(tmp_path):
        pass


def test_what_killed_demos_left_is_removed_and_what_runs_is_not(temporary):
    abandoned = temporary / f"{PREFIX}abandoned"
    (abandoned / "postgres" / "pgdata").mkdir(parents=True)
    (abandoned / "lock").touch()
    with demo_folder(None) as running:
        assert not abandoned.exists()
        remove_abandoned(temporary)
        assert running.exists()


@pytest.mark.parametrize("name", [f"{PREFIX}unlocked", "somebody-elses"])
def test_a_folder_that_is_no_demo_of_ours_stays(temporary, name):
    other = temporary / name
    other.mkdir()
    (other / "file").touch()
    remove_abandoned(temporary)
    assert (other / "file").exists()


def test_a_lock_that_is_a_link_is_not_followed(temporary):
    victim = temporary / "victim"
    victim.touch()
    trap = temporary / f"{PREFIX}trap"
    trap.mkdir()
    (trap / "lock").symlink_to(victim)
    remove_abandoned(temporary)
    assert trap.exists()


def test_a_new_folder_that_another_demo_takes_for_abandoned_is_not_used(temporary, monkeypatch):
    real, taken = os.open, []

    def open_and_lose_once(path, flags, mode=0o777, **options):
        file = real(path, flags, mode, **options)
        if not taken:
            taken.append(real(path, os.O_RDWR))
            fcntl.flock(taken[0], fcntl.LOCK_EX)
        return file

    monkeypatch.setattr("broadcaster.demo.folder.os.open", open_and_lose_once)
    with demo_folder(None) as folder:
        assert len(list(temporary.iterdir())) == 2
    os.close(taken[0])
    assert not folder.exists()
