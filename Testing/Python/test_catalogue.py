from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sam3dseg import catalogue

PACKAGE_ROOT = Path(__file__).resolve().parents[2] / "SAM3DSegment"
NAME = "sam-med3d-turbo"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv(catalogue.FOLDER_VARIABLE, str(tmp_path))
    return tmp_path


def test_every_entry_says_what_one_must_know():
    assert len({entry.name for entry in catalogue.ENTRIES}) == len({e.file_name for e in catalogue.ENTRIES})
    for entry in catalogue.ENTRIES:
        assert entry.url.startswith("https://") and entry.file_name.endswith((".pth", ".safetensors"))
        assert entry.purpose and entry.licence and entry.citation
        assert entry.sha256 is None or len(entry.sha256) == 64


def test_unknown_model_names_the_known_ones():
    with pytest.raises(ValueError, match="no model named 'sam': expected one of embedded, sam-med3d-turbo"):
        catalogue.local_path("sam")


def test_missing_model_says_how_to_get_it_with_and_without_network(folder):
    with pytest.raises(ValueError) as caught:
        catalogue.local_path(NAME)
    message = str(caught.value)
    assert f"sam3dseg models download {NAME}" in message
    assert "save https://huggingface.co/" in message and str(folder / "sam_med3d_turbo.pth") in message


def test_a_file_placed_by_hand_is_used(folder):
    (folder / "sam_med3d_turbo.pth").write_bytes(b"weights")
    assert catalogue.local_path(NAME) == folder / "sam_med3d_turbo.pth"


def test_a_file_of_another_size_than_downloaded_is_refused(folder):
    path = folder / "sam_med3d_turbo.pth"
    path.write_bytes(b"weights")
    (folder / "sam_med3d_turbo.pth.json").write_text(json.dumps({"bytes": 9}))
    with pytest.raises(ValueError, match="expected 9 bytes, received 7; run `sam3dseg models remove"):
        catalogue.local_path(NAME)


def test_remove_deletes_all_traces(folder):
    for end in ("", ".json", ".part", ".part.json"):
        (folder / f"sam_med3d_turbo.pth{end}").write_text("{}")
    (folder / "other").touch()
    assert len(catalogue.remove(NAME)) == 4
    assert [p.name for p in folder.iterdir()] == ["other"]
    with pytest.raises(ValueError, match="is not installed: nothing to remove"):
        catalogue.remove(NAME)


@pytest.mark.parametrize(
    ("platform", "end"),
    [("linux", ".cache/sam3dseg/models"), ("darwin", "Library/Caches/sam3dseg/models"),
     ("win32", "AppData/Local/sam3dseg/models")],
)  # fmt: skip
def test_the_folder_follows_the_platform(monkeypatch, platform, end):
    for variable in (catalogue.FOLDER_VARIABLE, "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(sys, "platform", platform)
    assert catalogue.models_folder() == Path.home() / end


def test_the_catalogue_needs_neither_torch_nor_network():
    code = "import sys, sam3dseg.catalogue; print(' '.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], cwd=PACKAGE_ROOT, capture_output=True, text=True, check=True)
    assert not set(run.stdout.split()) & {"torch", "numpy", "urllib.request", "http.client"}


def test_the_embedded_model_is_not_one_of_the_catalogue():
    with pytest.raises(ValueError, match="'embedded' is part of the software: .* reinstall the software if it is"):
        catalogue.entry_of("embedded")
