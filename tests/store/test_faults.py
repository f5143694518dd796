"""FAULTS §3.2, row by row: what a disk, an operating system or a user may do to a run that is being recorded."""

from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from headwater.records import InputError
from headwater.store import Recording, Writer
from headwater.store import writer as writer_module
from headwater.store.columns import SITES as SITE_COLUMNS
from headwater.store.layout import LOG_SUFFIX, START_FILE, start_name
from headwater.store.ring import Ring
from tests.store.recording import (
    FaultyDisk,
    assert_right,
    begun,
    kill,
    no_thread,
    record,
    small_logs,
    steps_of,
    tables,
)

WRITES = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from tests.store.recording import begun, tables, small_logs
    with small_logs(int(sys.argv[3])):
        writer = begun(Path(sys.argv[1]))
        step = 0
        while True:
            if writer.step(step, tables(step)):
                sys.stdout.write(f"{step}\\n")
                sys.stdout.flush()
            step += 1
    """
)
"""Says each step once it is acknowledged; the pipe keeps what was said after the writer is dead."""


def killed(path: Path, after_s: float, log_steps: int = 64) -> list[int]:
    """Let a process record until it is killed; gives what it had acknowledged."""
    command = [sys.executable, "-c", WRITES, str(path), "", str(log_steps)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        said = [process.stdout.readline()]
        reader = threading.Thread(target=lambda: said.extend(process.stdout))  # or the pipe would fill and block it
        reader.start()
        time.sleep(after_s)
        process.send_signal(signal.SIGKILL)
        reader.join()
    return [int(line) for line in said if line.endswith("\n")]


# 1: kill -9


def check_kills(tmp_path: Path, times: int) -> None:
    random = np.random.default_rng(0)
    for number in range(times):
        path = tmp_path / f"run{number}"
        acknowledged = killed(path, float(random.uniform(0.0, 0.4)), int(random.choice([8, 64, 4096])))
        assert acknowledged
        run = Recording(path)
        assert_right(run, acknowledged)
        assert len(steps_of(run)) <= len(acknowledged) + 1  # one may have been written and not said
        assert run.state.name == "broken"
        assert run.state.heartbeat == pytest.approx(time.time(), abs=30)


def test_row_1_kill_loses_no_acknowledged_step(tmp_path: Path) -> None:
    check_kills(tmp_path, 20)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_row_1_two_hundred_kills(tmp_path: Path) -> None:
    check_kills(tmp_path, 200)


def test_row_1_after_a_kill_another_start_goes_on(tmp_path: Path) -> None:
    writer = begun(tmp_path / "a")
    record(writer, range(10))
    kill(writer)
    again = begun(tmp_path / "a")
    record(again, range(7, 15))
    again.close()
    run = Recording(tmp_path / "a")
    assert steps_of(run) == [*range(10), *range(7, 15)]
    assert_right(run, list(range(15)))
    assert run.state.name == "ended"
    assert [start.end is not None for start in run.starts] == [False, True]


# 2: power loss


@pytest.mark.parametrize("tail", [b"\x89HWf" + b"\x07" * 40, bytes(range(256)) * 3], ids=["head", "any"])
@pytest.mark.parametrize("zeros", [0, 4096])
def test_row_2_a_torn_tail_is_cut_at_the_last_valid_frame(tmp_path: Path, tail: bytes, zeros: int) -> None:
    with no_thread():
        writer = begun(tmp_path / "a")
        record(writer, range(5))
    kill(writer)
    log, end = writer._log.path, writer._log.length
    with log.open("ab") as file:
        file.write(tail + b"\0" * zeros)
    run = Recording(tmp_path / "a")
    assert steps_of(run) == list(range(5))
    assert run.state.name == "broken"
    assert [(d.file, d.start, d.stop) for d in run.damage] == [(f"{log.parent.name}/{log.name}", end, end + len(tail))]


def test_row_2_zeros_behind_the_last_frame_are_room_that_was_laid_ahead(tmp_path: Path) -> None:
    with no_thread():
        writer = begun(tmp_path / "a")
        record(writer, range(5))
        writer._keeper.turn()
        end = writer._log.length
        assert writer._log.path.stat().st_size >= end + 4 * end
        acknowledged = record(writer, range(5, 9))
        assert writer._log.path.stat().st_size > writer._log.length > end, "they lie where room was made for them"
    kill(writer)
    run = Recording(tmp_path / "a")
    assert acknowledged == [5, 6, 7, 8]
    assert_right(run, list(range(9)))
    assert not run.damage


def test_row_2_zeros_are_never_laid_over_a_frame(tmp_path: Path) -> None:
    """The keeper lays them while the training's thread has written on beyond where they end."""
    disk = FaultyDisk()
    with no_thread():
        writer = begun(tmp_path / "a", disk=disk)
        record(writer, range(2))
        written = disk.write

        def late(descriptor: int, data: bytes) -> int:
            disk.write = written  # type: ignore[method-assign]
            record(writer, range(2, 6))
            return written(descriptor, data)

        disk.write = late  # type: ignore[method-assign]
        writer._log.lay_ahead()
        assert record(writer, range(6, 600)) == list(range(6, 600)), "beyond what was laid"
        assert_right(Recording(tmp_path / "a"), list(range(600)))
        writer.close()


def test_row_3_where_nothing_can_be_laid_ahead_steps_are_written_all_the_same(tmp_path: Path) -> None:
    disk = FaultyDisk()
    disk.fails = lambda name: name == "open_end"
    with no_thread():
        writer = begun(tmp_path / "a", disk=disk)
        record(writer, range(3))
        writer._keeper.turn()
        assert "open_end" in disk.calls
        assert record(writer, range(3, 40)) == list(range(3, 40))
        writer._keeper.turn()
        assert disk.calls.count("open_end") == 1, "in this log it is not tried again"
        writer.close()
    assert steps_of(Recording(tmp_path / "a")) == list(range(40))


def test_row_2_half_a_frame_is_no_step(tmp_path: Path) -> None:
    writer = begun(tmp_path / "a")
    record(writer, range(4))
    before = writer._log.length
    record(writer, range(4, 5))
    kill(writer)
    os.truncate(writer._log.path, (before + writer._log.length) // 2)
    assert steps_of(Recording(tmp_path / "a")) == [0, 1, 2, 3]


def test_row_2_the_log_is_synced_every_second(tmp_path: Path) -> None:
    disk = FaultyDisk()
    with no_thread():
        writer = begun(tmp_path / "a", disk=disk)
        writer._keeper._beaten = time.monotonic() - 1.0
        before = disk.calls.count("sync")
        writer._keeper.turn()
        assert disk.calls.count("sync") == before + 1
        writer._keeper.turn()
        assert disk.calls.count("sync") == before + 1, "not more often than once a second"
        writer.close()


# 3 and 4: a disk that does not take it


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE])
def test_rows_3_and_4_recording_waits_and_resumes_alone(tmp_path: Path, error: int) -> None:
    disk = FaultyDisk(error=error)
    told: list[str] = []
    with no_thread():
        writer = begun(tmp_path / "a", disk=disk)
        writer.on_trouble = told.append
        acknowledged = record(writer, range(5))
        disk.fails = lambda name: name == "write"
        assert record(writer, range(5, 12)) == []
        assert writer.trouble == errno.errorcode[error]
        assert steps_of(Recording(tmp_path / "a")) == acknowledged
        disk.fails = lambda name: False
        writer._retry_at = 0.0
        assert record(writer, range(12, 13)) == [12]
        assert writer.trouble == ""
        writer.close()
    run = Recording(tmp_path / "a")
    assert steps_of(run) == list(range(13)), "what waited in memory is there, in order"
    assert_right(run, list(range(13)))
    assert told == [os.strerror(error), ""]


@pytest.mark.parametrize("k", [0, 1, 23, 24, 100, 800])
def test_row_3_disk_full_at_byte_k_leaves_whole_frames(tmp_path: Path, k: int) -> None:
    with no_thread():
        disk = FaultyDisk()
        writer = begun(tmp_path / "a", disk=disk)
        acknowledged = record(writer, range(3))
        disk.room = k
        acknowledged += record(writer, range(3, 6))
        assert writer._log.path.stat().st_size == writer._log.length, "the file ends with a whole frame"
        run = Recording(tmp_path / "a")
        assert_right(run, acknowledged)
        assert not run.damage
        disk.room = None
        writer.close()
    assert steps_of(Recording(tmp_path / "a")) == list(range(6))


def test_row_3_what_no_memory_held_is_a_gap_with_counts(tmp_path: Path) -> None:
    with no_thread():
        disk = FaultyDisk()
        writer = begun(tmp_path / "a", disk=disk)
        record(writer, range(1))
        size = writer._step_frames._length
        writer._ring = Ring(capacity=4 * size)
        record(writer, range(1, 2))
        disk.room = 0
        record(writer, range(2, 50))
        writer.event(50, "event.nonfinite", {"elements": 1}, is_alarm=True)
        disk.room = None
        writer._retry_at = 0.0
        writer.close()
    run = Recording(tmp_path / "a")
    gap = next(event for event in run.events() if event.message.id == "event.gap")
    found = steps_of(run)
    assert gap.message.values["steps"] == 50 - len(found) > 0
    assert gap.message.values["first_step"] == 2
    assert gap.message.values["last_step"] == min(step for step in found if step > 2) - 1
    assert gap.message.values["why"] == "ENOSPC"
    assert [event.step for event in run.alarms()] == [50], "what happened is never given up for steps"
    assert_right(run, found)


def test_row_3_a_short_write_is_cut_off(tmp_path: Path) -> None:
    with no_thread():
        disk = FaultyDisk()
        writer = begun(tmp_path / "a", disk=disk)
        record(writer, range(2))
        disk.short = 100
        assert not writer.step(2, tables(2))
        assert "truncate" in disk.calls
        assert_right(Recording(tmp_path / "a"), [0, 1])
        writer.close()
    assert steps_of(Recording(tmp_path / "a")) == [0, 1, 2]


def test_row_4_a_tail_that_cannot_be_cut_off_is_left_behind_in_its_log(tmp_path: Path) -> None:
    with no_thread():
        disk = FaultyDisk()
        writer = begun(tmp_path / "a", disk=disk)
        acknowledged = record(writer, range(3))
        disk.short = 50
        disk.fails = lambda name: name == "truncate"
        assert record(writer, range(3, 4)) == []
        writer._retry_at = 0.0
        acknowledged += record(writer, range(4, 6))
        assert writer._log.number == 2
        assert_right(Recording(tmp_path / "a"), acknowledged)
        writer.close()
    run = Recording(tmp_path / "a")
    assert steps_of(run) == list(range(6))
    assert len(list(writer.folder.glob("quarantine/*"))) == 1, "the bytes that are no frame are kept"


def test_row_4_a_disk_that_hangs_stalls_the_training_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = threading.Event()

    class HangingDisk(FaultyDisk):
        def write(self, descriptor: int, data: bytes | bytearray | memoryview) -> int:
            if hangs.is_set():
                time.sleep(0.4)
            return super().write(descriptor, data)

    writer = begun(tmp_path / "a", disk=HangingDisk())
    record(writer, range(3))
    hangs.set()
    record(writer, range(3, 4))
    started = time.perf_counter()
    record(writer, range(4, 24))
    assert time.perf_counter() - started < 0.4, "a thread of ours waits for the disk from then on"
    hangs.clear()
    writer.close()
    assert steps_of(Recording(tmp_path / "a")) == list(range(24))


def test_row_4_a_disk_that_is_quick_again_is_written_to_in_the_trainings_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with no_thread():
        writer = begun(tmp_path / "a")
        writer._note_time(time.monotonic() - 1.0)
        assert record(writer, range(3)) == [], "it takes long: a thread of ours does it"
        writer._keeper.turn()
        assert record(writer, range(3, 4)) == []
        monkeypatch.setattr(writer_module, "_DISTRUST_S", 0.0)
        writer._keeper.turn()
        assert record(writer, range(4, 9)) == [4, 5, 6, 7, 8]
        writer.close()
    assert_right(Recording(tmp_path / "a"), list(range(9)))


def scenario(path: Path, disk: FaultyDisk) -> list[int] | None:
    """A run over two logs with everything in it; ``None`` where it could not begin, which is said."""
    try:
        writer = begun(path, disk=disk)
    except InputError:
        return None
    acknowledged: list[int] = []
    for step in range(12):
        acknowledged += record(writer, range(step, step + 1))
        writer._retry_at = 0.0
        if step == 3:
            writer.event(step, "event.nonfinite", {"elements": 1}, is_alarm=True)
            writer.scalars(step, {"val_loss": 0.5})
        if step % 6 == 5:
            writer._keeper._beaten = 0.0
            writer._keeper.turn()
    writer.close()
    return acknowledged


def check_every_call(tmp_path: Path, stride: int) -> None:
    with no_thread(), small_logs(5):
        clean = FaultyDisk()
        assert scenario(tmp_path / "clean", clean) == list(range(12))
        assert len(clean.calls) > 100
        for k in range(1, len(clean.calls) + 1, stride):
            acknowledged = scenario(tmp_path / f"run{k}", FaultyDisk(fail_at=k))
            if acknowledged is not None:
                run = Recording(tmp_path / f"run{k}")
                assert_right(run, acknowledged)
                assert steps_of(run) == list(range(12)), f"call {k} ({clean.calls[k - 1]}) failed once"
                assert [event.step for event in run.alarms()] == [3]
            shutil.rmtree(tmp_path / f"run{k}", ignore_errors=True)


def test_rows_3_and_4_any_call_may_fail_once(tmp_path: Path) -> None:
    check_every_call(tmp_path, stride=11)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_rows_3_and_4_every_single_call_may_fail_once(tmp_path: Path) -> None:
    check_every_call(tmp_path, stride=1)


def test_row_3_a_disk_full_from_the_beginning_is_said_before_the_training(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no run can be recorded in .*No space left.*run=None"):
        begun(tmp_path / "a", disk=FaultyDisk(room=0))


# 6: two processes


def test_row_6_two_processes_record_side_by_side(tmp_path: Path) -> None:
    one, two = begun(tmp_path / "a"), begun(tmp_path / "a")
    other = begun(tmp_path / "a", rank=1)
    assert [w.folder.name for w in (one, two, other)] == ["start-0001.rank-0", "start-0002.rank-0", "start-0001.rank-1"]
    for writer, steps in ((one, range(5)), (two, range(5, 8)), (other, range(3))):
        record(writer, steps)
        writer.close()
    assert steps_of(Recording(tmp_path / "a")) == list(range(8))
    assert steps_of(Recording(tmp_path / "a", rank=1)) == [0, 1, 2]


def test_row_6_a_start_that_is_taken_is_refused_by_name(tmp_path: Path) -> None:
    writer = begun(tmp_path / "a", start=7)
    with pytest.raises(InputError, match=rf"start 7 of rank 0 is being written by pid {os.getpid()} on host \S+\.$"):
        Writer(tmp_path / "a", start=7)
    writer.close()


# 8: fork, spawn


def test_row_8_a_forked_child_writes_nothing(tmp_path: Path) -> None:
    writer = begun(tmp_path / "a")
    record(writer, range(3))
    frames = writer._log.path.read_bytes().rstrip(b"\0")
    with writer._lock:  # the worst moment: held by the thread that forks
        pid = os.fork()
        if not pid:
            done = not writer.step(3, tables(3)) and not writer.event(3, "event.nonfinite", {}) and not writer.is_ours
            writer.scalars(3, {"x": 1.0})
            writer.close()
            os._exit(0 if done and threading.active_count() == 1 else 1)
        assert os.waitpid(pid, 0)[1] == 0
    assert writer._log.path.read_bytes().rstrip(b"\0") == frames
    record(writer, range(3, 5))
    writer.close()
    run = Recording(tmp_path / "a")
    assert steps_of(run) == list(range(5))
    assert sum(event.message.id == "event.end" for event in run.events()) == 1


def test_row_8_a_child_that_ends_as_python_does_says_no_end(tmp_path: Path) -> None:
    code = f"""
import os, sys
from pathlib import Path
from tests.store.recording import begun, record
writer = begun(Path({str(tmp_path / "a")!r}))
record(writer, range(2))
pid = os.fork()
if not pid:
    sys.exit(0)  # atexit and finalizers run in the child
os.waitpid(pid, 0)
assert writer._log.path.exists(), "the child has sealed its parent's log"
record(writer, range(2, 4))
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    run = Recording(tmp_path / "a")
    assert steps_of(run) == list(range(4))
    assert (run.state.name, run.state.reason) == ("ended", "interpreter_exit")


def _step_elsewhere(writer: object, answers: object) -> None:
    answers.put((type(writer).__name__, writer.step(9, {}), str(writer.path)))  # type: ignore[attr-defined]


def test_row_8_a_spawned_process_gets_a_handle(tmp_path: Path) -> None:
    writer = begun(tmp_path / "a")
    handle = pickle.loads(pickle.dumps(writer))
    assert (type(handle).__name__, handle.is_ours, handle.step(1, {})) == ("Handle", False, False)
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    process = context.Process(target=_step_elsewhere, args=(writer, answers))
    process.start()
    assert answers.get(timeout=60) == ("Handle", False, str(tmp_path / "a"))
    process.join()
    writer.close()
    assert steps_of(Recording(tmp_path / "a")) == []


# 9: the end


def test_row_9_close_may_be_called_again_and_nothing_follows_it(tmp_path: Path) -> None:
    writer = begun(tmp_path / "a")
    record(writer, range(2))
    writer.close("KeyboardInterrupt")
    writer.close()
    assert not writer.step(2, tables(2))
    run = Recording(tmp_path / "a")
    assert (run.state.name, run.state.reason) == ("ended", "KeyboardInterrupt")
    assert not writer._keeper._thread.is_alive()


# 10: clocks and steps


def test_row_10_order_is_that_of_recording_whatever_clock_and_steps_say(tmp_path: Path) -> None:
    clock = iter([5e8, 1e9, 1e9, 9e8, 8e8, 2e9, *[2e9] * 50])
    with no_thread():
        writer = begun(tmp_path / "a", clock=lambda: next(clock))
        for step in (10, 11, 11, 5, 6):
            assert writer.step(step, tables(step))
        for _ in range(2):  # from the log, then from Parquet
            run = Recording(tmp_path / "a")
            assert [int(step) for step in run.read(COLUMN_OF_TEST)[0]] == [10, 11, 11, 5, 6]
            assert run.read(COLUMN_OF_TEST, axis="seq")[0].tolist() == [0, 1, 2, 3, 4]
            times = run.read(COLUMN_OF_TEST, axis="time")[0]
            assert (np.diff(times) < 0).any(), "time is shown as it was, jumps and all"
            writer.close()


COLUMN_OF_TEST = SITE_COLUMNS[0]


# 11: too large


def test_row_11_too_many_sites_are_refused_with_their_number_and_a_way_out(tmp_path: Path) -> None:
    writer = begun(tmp_path / "a")
    with pytest.raises(InputError, match=r'100,000 sites and 64 MiB per step, and this model has 100,004.*sites="enc'):
        writer.add_rows("sites", [{"name": str(n)} for n in range(100_001)])
    writer.close()


def test_row_11_a_schema_of_many_sites_comes_in_parts(tmp_path: Path) -> None:
    names = [f"layer.{n}." + "x" * 200 for n in range(20_000)]
    writer = Writer(tmp_path / "a")
    writer.add_rows("sites", [{"name": name, "order": n} for n, name in enumerate(names)])
    found = Recording(tmp_path / "a")
    assert found.site_names == names
    kill(writer)


# 12: the folder goes away


def test_row_12_a_folder_that_is_deleted_is_begun_anew(tmp_path: Path) -> None:
    with no_thread():
        writer = begun(tmp_path / "a")
        record(writer, range(3))
        shutil.rmtree(tmp_path / "a")
        assert record(writer, range(3, 4)) == [3], "the descriptor is still valid"
        writer._keeper._beaten = 0.0
        writer._keeper.turn()
        record(writer, range(4, 7))
        writer.close()
    run = Recording(tmp_path / "a")
    assert steps_of(run) == [4, 5, 6]
    assert_right(run, [4, 5, 6])
    assert [event.message.id for event in run.events()].count("event.run_moved") == 1


def test_row_12_a_folder_that_is_moved_keeps_its_steps(tmp_path: Path) -> None:
    with no_thread():
        writer = begun(tmp_path / "a")
        record(writer, range(3))
        (tmp_path / "a").rename(tmp_path / "moved")
        writer._keeper._beaten = 0.0
        writer._keeper.turn()
        record(writer, range(3, 5))
        writer.close()
    assert steps_of(Recording(tmp_path / "moved")) == [0, 1, 2]
    assert steps_of(Recording(tmp_path / "a")) == [3, 4]


def test_start_says_who_writes_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S14: no environment, no command line, no path of this machine is in any byte of a run."""
    secret = "s3cr3t-t0ken-of-mine"
    monkeypatch.setenv("API_TOKEN", secret)
    monkeypatch.setattr(sys, "argv", ["train.py", f"--key={secret}"])
    writer = begun(tmp_path / "a")
    record(writer, range(3))
    for closed in (False, True):
        for file in (tmp_path / "a").rglob("*"):
            if file.is_file():
                data = file.read_bytes()
                assert secret.encode() not in data, file
                assert str(tmp_path).encode() not in data, file
                assert b"train.py" not in data, file
        if not closed:
            writer.close()
    assert (tmp_path / "a" / start_name(1, 0) / START_FILE).is_file()


@pytest.mark.parametrize(
    ("umask", "folder", "file"), [(0o022, 0o700, 0o600), (0o077, 0o700, 0o600), (0o002, 0o775, 0o664)]
)
def test_only_the_user_may_read_unless_the_group_shares(tmp_path: Path, umask: int, folder: int, file: int) -> None:
    """S11."""
    before = os.umask(umask)
    try:
        writer = begun(tmp_path / "a")
        record(writer, range(3))
        modes = {path: path.stat().st_mode & 0o777 for path in (tmp_path / "a").rglob("*")}
        assert any(path.suffix == LOG_SUFFIX for path in modes)
        writer.close()
        modes |= {path: path.stat().st_mode & 0o777 for path in (tmp_path / "a").rglob("*")}
    finally:
        os.umask(before)
    modes[tmp_path / "a"] = (tmp_path / "a").stat().st_mode & 0o777
    for path, mode in modes.items():
        if path.exists():
            assert mode == (folder if path.is_dir() else file), path


def test_a_folder_of_ours_that_somebody_else_has_made_is_not_used(tmp_path: Path) -> None:
    """S11: in a folder that all may write to, a link in the place of a start, and whatever else was put there."""
    victim = tmp_path / "victim"
    victim.mkdir()
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    (shared / start_name(1, 0)).symlink_to(victim)
    (shared / start_name(2, 0)).mkdir(mode=0o777)
    writer = begun(shared)
    record(writer, range(3))
    writer.close()
    assert writer.folder.name == start_name(3, 0)
    assert writer.folder.stat().st_mode & 0o777 == 0o700
    assert list(victim.iterdir()) == []
    assert list((shared / start_name(2, 0)).iterdir()) == []
    assert steps_of(Recording(shared)) == [0, 1, 2]


def test_a_temporary_file_that_lies_there_already_is_not_written_through(tmp_path: Path) -> None:
    """S11: somebody else's link in the place of ours leads nowhere."""
    (tmp_path / "a").mkdir()
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "a" / f".run.json.{os.getpid()}.tmp").symlink_to(victim)
    writer = begun(tmp_path / "a")
    writer.close()
    assert victim.read_text() == "mine"
