"""The README's examples run, with a stand-in for the network; its links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def snippets(kind: str) -> list[str]:
    """The code blocks that follow `<!-- test: kind -->`."""
    found = re.findall(rf"<!-- test: {kind} -->\n```\w+\n(.*?)```", README, re.DOTALL)
    assert found, f"the README has no block marked with <!-- test: {kind} -->"
    return found


@pytest.fixture
def ct(tmp_path, monkeypatch, make_ellipsoid):
    """A volume `ct.nii.gz` with a bright structure, in the current folder."""
    sitk = pytest.importorskip("SimpleITK")
    shape = (48, 40, 32)
    values = np.where(make_ellipsoid(shape, (24, 20, 16), (9, 7, 7)), 300, -100)
    noise = np.random.default_rng(0).normal(0, 10, shape)
    image = sitk.GetImageFromArray((values + noise).astype(np.int16).T)
    image.SetSpacing((0.8, 0.8, 1.5))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAM3DSEG_MODELS", str(tmp_path / "models"))
    sitk.WriteImage(image, "ct.nii.gz")


def test_shell_examples_run(ct, make_segmenter, capsys):
    from sam3dseg.cli import main

    for line in "\n".join(snippets("shell")).splitlines():
        program, *arguments = shlex.split(line)
        assert program == "sam3dseg"
        code = main(arguments, load_segmenter=lambda name, **options: make_segmenter())
        assert code == 0, f"{line}\n{capsys.readouterr().err}"
        for name in re.findall(r"(?:-o|--surface|--preview) (\S+)", line):
            assert Path(name).stat().st_size, f"{line}: {name} is empty"


def test_python_examples_run(ct, make_segmenter, monkeypatch, capsys):
    import sam3dseg

    monkeypatch.setitem(vars(sam3dseg), "load_segmenter", lambda name: make_segmenter())
    for code in snippets("python"):
        names: dict = {}
        exec(compile(code, "README.md", "exec"), names)
        assert names["mask"].any()
        assert names["mask"].shape == (48, 40, 32)
    assert Path("mask.nii.gz").is_file()


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "Training/README.md"])
def test_links_lead_to_files(document):
    path = ROOT / document
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (path.parent / target).exists(), f"{document} links to {target}, which is not there"


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"`?make ([a-z-]+)`?", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"the README names `make {target}`"


def test_named_files_exist():
    table = README.split("## Which file to change")[1].split("\n## ")[0]
    engine = ROOT / "SAM3DSegment" / "sam3dseg"
    for name in re.findall(r"`([\w./]+(?:\.py|/))`", table):
        assert (ROOT / name).exists() or (engine / name).exists(), f"{name} is not there"
