"""The command `prepare`: all problems at once, nothing done twice, nothing half-written, and no worker is missed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from training_cases import volume, write, write_msd

from sam3dseg_training.cli import main
from sam3dseg_training.configs.prepare import PrepareConfig
from sam3dseg_training.data import building, running
from sam3dseg_training.data.cache import open_cache, read_index
from sam3dseg_training.data.prepare import prepare

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def data(tmp_path):
    return write_msd(tmp_path / "toy")


def run(tmp_path, data, **settings):
    return prepare(PrepareConfig(data=[str(data)], out=str(tmp_path / "cache"), **{"jobs": 1, **settings}))


def command_line(tmp_path, data, *words) -> int:
    return main(["prepare", f"data={data}", f"out={tmp_path / 'cache'}", "jobs=1", *words])


def entries(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Time and content of every entry."""
    paths = sorted((folder / "cases").rglob("*.npz"))
    return {path.stem: (path.stat().st_mtime_ns, path.read_bytes()) for path in paths}


def left_overs(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob(".*")]


class TestAgain:
    def test_a_second_run_keeps_everything(self, tmp_path, data):
        first = run(tmp_path, data)
        before = entries(tmp_path / "cache")
        second = run(tmp_path, data)
        assert (first.cases, first.kept, second.cases, second.kept) == (3, 0, 3, 3)
        assert entries(tmp_path / "cache") == before and len(before) == 3

    @pytest.mark.parametrize("extra", [{}, {"sdf": True}, {"surfaces": "stl"}, {"slices": True}])
    def test_only_what_is_damaged_or_changed_is_built(self, tmp_path, data, extra):
        run(tmp_path, data, **extra)
        before = entries(tmp_path / "cache")
        folder = {"sdf": "sdf", "surfaces": "surfaces", "slices": "slices"}.get(*extra or [""], "cases")
        damaged = next(path for path in sorted((tmp_path / "cache" / folder).rglob("*case_001*/*")) + sorted(
            (tmp_path / "cache" / folder).rglob("case_001.npz")))  # fmt: skip
        content = damaged.read_bytes()
        damaged.write_bytes(b"")
        image, _ = volume(9)
        write(data / "imagesTr/case_002.nii.gz", image)
        assert run(tmp_path, data, **extra).kept == 1
        after = entries(tmp_path / "cache")
        assert after["case_000"] == before["case_000"] and after["case_002"][1] != before["case_002"][1]
        assert len(damaged.read_bytes()) == len(content)
        np.testing.assert_array_equal(open_cache(tmp_path / "cache").read("toy/case_002").image, image)

    def test_files_that_were_only_touched_or_moved_are_kept(self, tmp_path, data):
        run(tmp_path, data)
        os.utime(data / "imagesTr/case_000.nii.gz")
        data.rename(tmp_path / "elsewhere")
        (tmp_path / "other").mkdir()
        (tmp_path / "elsewhere").rename(tmp_path / "other/toy")
        assert run(tmp_path, tmp_path / "other/toy").kept == 3

    def test_label_names_that_changed_are_taken_up(self, tmp_path, data):
        run(tmp_path, data)
        path = data / "dataset.json"
        path.write_text(path.read_text(encoding="utf-8").replace("Front", "Ventral"))
        assert run(tmp_path, data).kept == 0
        assert open_cache(tmp_path / "cache").structure_names == ("Ventral", "Back")

    def test_other_settings_are_refused_by_name_until_rebuild(self, tmp_path, data, capsys):
        run(tmp_path, data)
        before = entries(tmp_path / "cache")
        assert command_line(tmp_path, data, "small=20") == 2
        error = capsys.readouterr().err.strip()
        assert error.endswith(
            "prepared with small=1, received small=20; give another out=, the same small, or rebuild=true"
        )
        assert "\n" not in error and entries(tmp_path / "cache") == before
        assert command_line(tmp_path, write_msd(tmp_path / "another")) == 2
        assert 'prepared with data=["toy"], received data=["another"]' in capsys.readouterr().err
        assert command_line(tmp_path, data, "small=20", "rebuild=true") == 0
        assert command_line(tmp_path, data, "small=20") == 0

    def test_a_rebuild_that_was_stopped_leaves_no_old_entry(self, tmp_path, data, monkeypatch):
        run(tmp_path, data)
        with monkeypatch.context() as patch:
            patch.setattr(running, "build_case", stopping_after(1))
            with pytest.raises(KeyboardInterrupt):
                run(tmp_path, data, sdf=True, rebuild=True)
        assert run(tmp_path, data, sdf=True, rebuild=True).kept == 0
        assert len(open_cache(tmp_path / "cache").distances("toy/case_002")) == 2

    def test_a_stopped_run_goes_on(self, tmp_path, data, monkeypatch):
        with monkeypatch.context() as patch:
            patch.setattr(running, "build_case", stopping_after(2))
            with pytest.raises(KeyboardInterrupt):
                run(tmp_path, data)
        with pytest.raises(ValueError, match="is not complete"):
            open_cache(tmp_path / "cache")
        assert run(tmp_path, data).kept == 2
        assert len(open_cache(tmp_path / "cache").keys) == 3


def stopping_after(count: int):
    left = iter(range(count))

    def build(job):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return building.build_case(job)

    return build


class TestBadInput:
    @pytest.fixture
    def bad(self, data):
        """Seven cases, of which one is good and one worth a warning."""
        image, labels = volume()
        cases = {
            "empty": (image, 0 * labels),
            "good": (image, labels),
            "moved": (image, labels),
            "nan": (np.where(labels == 1, np.nan, image).astype(np.float32), labels),
            "orphan": (image, None),
            "shape": (image, labels[:-2]),
            "unknown": (image, labels * 3),
        }
        for name, (values, mask) in cases.items():
            write(data / f"imagesTr/{name}.nii.gz", values)
            if mask is not None:
                origin = (0.0, 4.0, 0.0) if name == "moved" else (0.0, 0.0, 0.0)
                write(data / f"labelsTr/{name}.nii.gz", mask, origin=origin)
        (data / "imagesTr/cut.nii.gz").write_bytes((data / "imagesTr/good.nii.gz").read_bytes()[:500])
        write(data / "labelsTr/cut.nii.gz", labels)
        names = [*cases, "cut"]
        pairs = [{"image": f"imagesTr/{name}.nii.gz", "label": f"labelsTr/{name}.nii.gz"} for name in [*names, "good"]]
        described = {"labels": {"0": "background", "1": "Front", "2": "Back"}, "training": pairs[:-1]}
        (data / "dataset.json").write_text(json.dumps(described))
        return data

    def test_all_problems_of_all_cases_are_said_at_once(self, tmp_path, bad, capsys):
        assert command_line(tmp_path, bad) == 2
        lines = capsys.readouterr().err.splitlines()
        start = next(index for index, line in enumerate(lines) if "6 of 8 cases cannot be used" in line)
        told = [line.strip().partition(":")[::2] for line in lines[start + 1 : -1]]
        assert [case for case, _ in told] == [
            f"toy/{n}" for n in ("cut", "empty", "moved", "orphan", "shape", "unknown")
        ]
        expected = ("cut.nii.gz is", "label map is empty", "same shape, but lie", "missing label map", "received (20",
                    "unknown label 3, 6")  # fmt: skip
        for (_, text), part in zip(told, expected, strict=True):
            assert part in text
        assert lines[-1] == "repair them, or leave them out with skip_bad=true"

    def test_good_cases_are_kept_for_the_next_run(self, tmp_path, bad):
        with pytest.raises(ValueError, match="6 of 8 cases cannot be used"):
            run(tmp_path, bad)
        summary = run(tmp_path, bad, skip_bad=True)
        assert (summary.cases, summary.kept) == (2, 2)
        assert open_cache(tmp_path / "cache").keys == ("toy/good", "toy/nan")
        texts = [problem.text for problem in summary.problems if not problem.is_fatal]
        count = np.count_nonzero(volume()[1] == 1)
        # Said again although the case was kept.
        assert len(texts) == 1 and f"{count} NaN or infinite voxels" in texts[0]
        assert np.isfinite(open_cache(tmp_path / "cache").read("toy/nan").image).all()

    def test_duplicate_names(self, tmp_path, data):
        image, labels = volume()
        for name in ("a.nii.gz", "a.nrrd"):
            write(tmp_path / "pairs/images" / name, image)
        write(tmp_path / "pairs/labels/a.nii.gz", labels)
        with pytest.raises(ValueError, match="duplicate name: 2 cases have it"):
            run(tmp_path, tmp_path / "pairs")

    def test_one_voxel_objects_are_left_out(self, tmp_path, data):
        _, labels = volume()
        labels = np.where(labels == 2, 0, labels)
        labels[20, 15, 12] = 2
        write(data / "labelsTr/case_000.nii.gz", labels)
        summary = run(tmp_path, data)
        assert [problem.text for problem in summary.problems] == [
            "label 2 has only 1 voxel: too small to train on, left out"
        ]
        assert set(open_cache(tmp_path / "cache").records[0].structures) == {"Front"}
        write(data / "labelsTr/case_000.nii.gz", (labels == 2).astype(np.uint8))
        with pytest.raises(ValueError, match="no object to train on: expected one of more than small=1 voxels"):
            run(tmp_path, data)

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["crop=[8,8]"], "crop is the size of 2D slices: add slices=true"),
            (["crop=[8]", "slices=true"], "crop must be the height and width"),
            (["labels=[a,a]"], "labels must be different names"),
            (["layout=bids"], "layout must be one of auto, msd"),
            (["scheduler=nowhere"], "no Dask scheduler at nowhere: expected an address like tcp://host:8786"),
        ],
    )
    def test_settings_that_make_no_sense(self, tmp_path, data, capsys, words, message):
        assert command_line(tmp_path, data, *words) == 2
        assert message in capsys.readouterr().err.splitlines()[-1]


class TestFullDisk:
    LIMITED = """
import resource, sys
from sam3dseg_training.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, resource.RLIM_INFINITY))
sys.exit(main(sys.argv[1:]))
"""

    @pytest.mark.parametrize("jobs", [1, 2])
    def test_one_line_and_nothing_half_written(self, tmp_path, data, jobs):
        """A limit on the size of files fails like a full disk: in the middle of a write."""
        words = ["prepare", f"data={data}", f"out={tmp_path / 'cache'}", f"jobs={jobs}", "sdf=true"]
        path = os.pathsep.join([str(ROOT / "SAM3DSegment"), str(ROOT / "Training")])
        done = subprocess.run([sys.executable, "-c", self.LIMITED, *words], capture_output=True, text=True,
                              env={**os.environ, "PYTHONPATH": path})  # fmt: skip
        assert done.returncode == 2
        last = done.stderr.splitlines()[-1]
        assert last.startswith("sam3dseg-train: cannot write ") and last.endswith("nothing was changed")
        assert "Traceback" not in done.stderr
        assert entries(tmp_path / "cache") == {} and left_overs(tmp_path / "cache") == []
        assert run(tmp_path, data, sdf=True).cases == 3


class TestExtras:
    def test_surfaces_are_where_the_object_is(self, tmp_path, data):
        import trimesh

        run(tmp_path, data, surfaces="stl")
        mesh = trimesh.load(tmp_path / "cache/surfaces/toy/case_000/Front.stl")
        case = open_cache(tmp_path / "cache").read("toy/case_000")
        low, high = np.array(case.structures["Front"].low) - 0.5, np.array(case.structures["Front"].high) + 0.5
        corners = np.array([case.affine_ras[:3, :3] @ c + case.affine_ras[:3, 3] for c in (low, high)]) * [-1, -1, 1]
        np.testing.assert_allclose(mesh.bounds, np.sort(corners, axis=0), atol=1.0)

    def test_labels_can_be_named(self, tmp_path, data):
        run(tmp_path, data, labels=["one", "two"])
        assert open_cache(tmp_path / "cache").structure_names == ("one", "two")

    def test_unnamed_labels_have_numbers(self, tmp_path, data):
        (data / "dataset.json").unlink()
        run(tmp_path, data)
        assert open_cache(tmp_path / "cache").structure_names == ("label 1", "label 2")

    def test_a_union_keeps_the_names_of_each(self, tmp_path, data):
        other = write_msd(tmp_path / "other", 1)
        path = other / "dataset.json"
        path.write_text(path.read_text(encoding="utf-8").replace("Back", "Rear"))
        prepare(PrepareConfig(data=[str(data), str(other)], out=str(tmp_path / "cache"), jobs=1))
        cache = open_cache(tmp_path / "cache")
        assert cache.keys == ("other/case_000", "toy/case_000", "toy/case_001", "toy/case_002")
        assert set(cache.records[0].structures) == {"Front", "Rear"}
        assert cache.structures["toy"]["Back"] == (2,)


def killing(job):
    """Stands in for build_case: kills its process once, at the second case."""
    mark = job.folder / "killed"
    if job.files.name == "case_001" and not mark.exists():
        mark.touch()
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)
    return building.build_case(job)


class TestProcesses:
    def test_as_many_processes_as_wanted_give_the_same(self, tmp_path, data):
        run(tmp_path, data)
        alone = {key: content for key, (_, content) in entries(tmp_path / "cache").items()}
        prepare(PrepareConfig(data=[str(data)], out=str(tmp_path / "parallel"), jobs=2))
        assert {key: len(content) for key, (_, content) in entries(tmp_path / "parallel").items()} == {
            key: len(content) for key, content in alone.items()
        }
        first, second = (open_cache(tmp_path / name) for name in ("cache", "parallel"))
        assert first.records == second.records

    def test_a_killed_process_loses_nothing(self, tmp_path, data, monkeypatch, caplog):
        monkeypatch.setattr(running, "build_case", killing)
        summary = run(tmp_path, data, jobs=2)
        assert summary.cases == 3 and (tmp_path / "cache/killed").exists()
        assert "a process was killed, probably for want of memory: going on with 1" in caplog.text


@pytest.fixture
def cluster():
    distributed = pytest.importorskip("distributed")
    path = os.pathsep.join([str(ROOT / "SAM3DSegment"), str(ROOT / "Training"), str(ROOT / "Testing/Python")])
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = path
    try:
        with distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as local:
            yield local
    finally:
        os.environ.pop("PYTHONPATH")
        if before is not None:
            os.environ["PYTHONPATH"] = before


def counting(job):
    """Stands in for build_case: notes what was really built, and takes its time."""
    outcome = building.build_case(job)
    if not outcome.is_kept:
        with (job.folder / "built.txt").open("a") as notes:
            notes.write(f"{job.files.key}\n")
    time.sleep(0.2)
    return outcome


class TestCluster:
    def test_a_worker_killed_on_the_way_loses_nothing_and_nothing_is_done_twice(self, tmp_path, cluster, monkeypatch):
        data, folder = write_msd(tmp_path / "toy", 24), tmp_path / "cache"
        monkeypatch.setattr(running, "build_case", counting)
        killer = threading.Thread(target=kill_a_worker, args=(cluster, folder), daemon=True)
        killer.start()
        summary = run(tmp_path, data, scheduler=cluster.scheduler_address)
        killer.join()
        assert (folder / "killed").exists(), "the run was over before a worker was killed"
        keys = tuple(f"toy/case_{index:03d}" for index in range(24))
        cache = open_cache(folder)
        assert summary.cases == 24 and cache.keys == keys
        built = (folder / "built.txt").read_text(encoding="utf-8").split()
        assert len(built) == len(set(built)) and set(built) <= set(keys)
        assert len(entries(folder)) == 24 and all(cache.read(key).key == key for key in keys)

    def test_a_second_run_keeps_everything(self, tmp_path, data, cluster):
        assert run(tmp_path, data, scheduler=cluster.scheduler_address).kept == 0
        before = entries(tmp_path / "cache")
        assert run(tmp_path, data, scheduler=cluster.scheduler_address).kept == 3
        assert entries(tmp_path / "cache") == before

    def test_bad_cases_are_reported_alike(self, tmp_path, data, cluster, capsys):
        image, labels = volume()
        write(data / "labelsTr/case_001.nii.gz", labels[:-1])
        assert command_line(tmp_path, data, f"scheduler={cluster.scheduler_address}") == 2
        assert "toy/case_001: geometry mismatch" in capsys.readouterr().err
        assert read_index(tmp_path / "cache")["complete"] is False

    def test_a_scheduler_without_workers_is_named(self, tmp_path, data, cluster, monkeypatch):
        monkeypatch.setattr(running, "WORKER_SECONDS", 0.5)
        cluster.scale(0)
        while cluster.scheduler.workers:
            time.sleep(0.05)
        with pytest.raises(ValueError, match="has no workers: start some with `dask worker tcp://"):
            run(tmp_path, data, scheduler=cluster.scheduler_address)


def kill_a_worker(cluster, folder: Path) -> None:
    """Kill one of the workers after a few cases, and note that it happened before the last."""
    notes = folder / "built.txt"
    count, until = 0, time.monotonic() + 60
    while count < 4 and time.monotonic() < until:
        time.sleep(0.01)
        count = len(notes.read_text(encoding="utf-8").split()) if notes.exists() else 0
    os.kill(next(iter(cluster.workers.values())).process.pid, signal.SIGKILL)
    if 4 <= count < 20:
        (folder / "killed").touch()
