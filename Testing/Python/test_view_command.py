"""`sam3dseg view` before it has anything to show."""

from __future__ import annotations

import importlib.util
import sys
from types import SimpleNamespace

import pytest

from sam3dseg import view_command
from sam3dseg.cli import main


@pytest.fixture
def served(monkeypatch):
    """What the viewer would have been started with."""
    asked = []
    server = SimpleNamespace(
        Options=lambda **options: SimpleNamespace(**options), serve=lambda options, report: asked.append(options)
    )
    monkeypatch.setattr(view_command, "find_spec", lambda name: object())
    monkeypatch.setattr(view_command, "import_module", lambda name: server)
    return asked


def test_it_listens_on_this_computer_only_and_on_any_free_port(served):
    assert main(["view"]) == 0
    (options,) = served
    assert (options.host, options.port, options.image, options.folders) == ("127.0.0.1", 0, None, ())
    assert options.max_upload == 2 * 2**30 and options.opens_browser and options.model == "embedded"


def test_its_options_arrive(served, tmp_path):
    words = ["--folder", str(tmp_path), "--folder", "x", "--port", "8080", "--host", "::1", "--max-upload", "0.5"]
    assert main(["view", "ct.nii.gz", *words, "--no-browser", "--model", "medsam", "--device", "cpu"]) == 0
    (options,) = served
    assert str(options.image) == "ct.nii.gz" and [str(path) for path in options.folders] == [str(tmp_path), "x"]
    assert (options.port, options.host, options.max_upload) == (8080, "::1", 2**29)
    assert (options.opens_browser, options.model, options.device) == (False, "medsam", "cpu")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--port", "70000"], "expected a port from 0 to 65535, received 70000"),
        (["--port", "-1"], "port"),
        (["--port", "http"], "expected a port from 0 to 65535, received http"),
        (["--max-upload", "0"], "expected a number of GiB above 0, received 0"),
        (["--max-upload", "inf"], "expected a number of GiB above 0, received inf"),
        (["--max-upload", "lots"], "expected a number of GiB above 0, received lots"),
    ],
)
def test_bad_options_are_one_line(served, capsys, words, message):
    assert main(["view", *words]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and served == []


def test_without_the_extra_it_says_how_to_get_it(monkeypatch, capsys):
    there = importlib.util.find_spec
    monkeypatch.setattr(view_command, "find_spec", lambda name: None if name == "trame_slicer" else there(name))
    assert main(["view"]) == 2
    error = capsys.readouterr().err
    assert "trame_slicer is not installed" in error and "sam3dseg[viewer]" in error and error.count("\n") == 1


def test_the_command_line_loads_no_viewer(command_modules):
    assert not {"sam3dseg_viewer", "trame", "slicer", "torch"} & command_modules


@pytest.fixture
def command_modules():
    """Names of the modules that the help loads."""
    import subprocess

    code = "import sys; from sam3dseg.cli import main; main(['view', '--help']); print('|'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split("|"))
