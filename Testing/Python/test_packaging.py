"""What Slicer and pip package is complete and consistent."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "SAM3DSegment"
STUB = Path(__file__).parent / "slicer_stub"
PACKAGES = {MODULE: ("SAM3DSegmentLib", "sam3dseg"), ROOT / "Training": ("sam3dseg_training",)}
CONSTRAINTS = (ROOT / "constraints.txt").read_text(encoding="utf-8")


def read_pyproject() -> dict:
    tomllib = pytest.importorskip("tomllib", reason="needs Python 3.11")
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def listed(folder: Path, kind: str) -> set[str]:
    """File names in `set(..._PYTHON_<kind> ...)` of the folder's CMakeLists.txt."""
    text = (folder / "CMakeLists.txt").read_text(encoding="utf-8")
    (names,) = re.findall(rf"set\(\w+_PYTHON_{kind}\n(.*?)\)\n", text.replace("${MODULE_NAME}", MODULE.name), re.DOTALL)
    return set(names.split())


def python_files(folder: Path, packages: tuple[str, ...]) -> set[str]:
    return {path.relative_to(folder).as_posix() for name in packages for path in (folder / name).rglob("*.py")}


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda folder: folder.name)
def test_cmake_lists_every_python_file(folder):
    scripts = {name for name in listed(folder, "SCRIPTS") if "/" in name}
    found = python_files(folder, PACKAGES[folder])
    missing = "\n".join(f"  {name}" for name in sorted(found - scripts))
    assert not missing, f"not in {folder.name}/CMakeLists.txt, so not in the package; add:\n{missing}"
    assert not scripts - found, "listed in CMakeLists.txt, but no longer there"


def test_the_module_folder_holds_one_python_file():
    assert [path.name for path in MODULE.glob("*.py")] == ["SAM3DSegment.py"]


def test_cmake_lists_every_resource():
    resources = listed(MODULE, "RESOURCES")
    found = [*(MODULE / "Resources").rglob("*"), *(MODULE / "SAM3DSegmentLib").rglob("*.png")]
    assert resources == {path.relative_to(MODULE).as_posix() for path in found if path.is_file()}


@pytest.mark.parametrize("icon", [ROOT / "Resources/SAM3DSegment.png", MODULE / "Resources/Icons/SAM3DSegment.png"])
def test_icons_are_square_png(icon):
    data = icon.read_bytes()
    assert data.startswith(b"\x89PNG")
    assert (int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")) == (128, 128)


@pytest.mark.skipif(not (shutil.which("cmake") and shutil.which("c++")), reason="needs cmake and a C++ compiler")
def test_a_slicer_build_accepts_the_extension_and_packages_it_whole(tmp_path):
    command = ["cmake", "-S", ROOT, "-B", tmp_path, f"-DSlicer_DIR={STUB}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    packaged = tmp_path / "lib/qt-scripted-modules"
    for folder, packages in PACKAGES.items():
        assert python_files(folder, packages) <= python_files(packaged, packages)
    code = "import sam3dseg, sam3dseg.session, sam3dseg_training; print(sam3dseg.__file__)"
    env = {"PYTHONPATH": str(packaged)}
    where = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True, cwd="/")
    assert where.stdout.startswith(str(packaged))


def test_extension_metadata():
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    metadata = dict(re.findall(r'set\(EXTENSION_(\w+) "([^"]+)"\)', text))
    assert set(metadata) == {
        "HOMEPAGE",
        "CATEGORY",
        "CONTRIBUTORS",
        "DESCRIPTION",
        "ICONURL",
        "SCREENSHOTURLS",
        "DEPENDS",
    }
    assert metadata["DEPENDS"] == "PyTorch"
    assert metadata["CATEGORY"] == "Segmentation"
    assert len(metadata["SCREENSHOTURLS"].split()) == 2
    for url in [metadata["ICONURL"], *metadata["SCREENSHOTURLS"].split()]:
        branch, path = url.removeprefix("https://raw.githubusercontent.com/").split("/", 3)[2:]
        assert branch == "main"
        assert path.endswith(".png")
        assert (ROOT / path).is_file(), f"the extension's description shows {path}, which is not in the repository"


def test_pip_packages_every_file_of_the_viewer():
    viewer = ROOT / "Viewer/sam3dseg_viewer"
    found = {p for p in viewer.rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc")}
    patterns = read_pyproject()["tool"]["setuptools"]["package-data"]["sam3dseg_viewer"]
    assert found and found == {p for pattern in patterns for p in viewer.glob(pattern) if p.is_file()}


def test_console_scripts_resolve():
    for target in read_pyproject()["project"]["scripts"].values():
        module, function = target.split(":")
        spec = find_spec(module)
        assert spec, f"no module {module}"
        tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
        assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_version_is_the_same_everywhere():
    import sam3dseg

    assert read_pyproject()["project"]["version"] == sam3dseg.__version__
    assert f"version: {sam3dseg.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_constraints_cover_every_requirement():
    from packaging.requirements import Requirement

    pinned = {
        line.name.lower(): line.specifier
        for line in map(Requirement, re.findall(r"^[^#\n].*$", CONSTRAINTS, re.MULTILINE))
    }
    project = read_pyproject()["project"]
    wanted = [*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)]
    for requirement in map(Requirement, wanted):
        if requirement.name == project["name"]:
            continue
        assert requirement.name.lower() in pinned, f"{requirement.name} has no version in constraints.txt"
        (pin,) = pinned[requirement.name.lower()]
        assert requirement.specifier.contains(pin.version), f"constraints.txt: {pin} does not satisfy {requirement}"


def test_self_referring_extras_exist():
    project = read_pyproject()["project"]
    extras = project["optional-dependencies"]
    for requirement in (r for extra in extras.values() for r in extra if r.startswith(f"{project['name']}[")):
        assert set(requirement.split("[")[1].rstrip("]").split(",")) <= set(extras)


def test_licence_is_apache():
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


# The properties of Slicer's slicer-extension-catalog-entry-schema-v1.0.2.json, which allows no others.
INDEX_ENTRY = {
    "$schema": str,
    "build_dependencies": list,
    "build_subdirectory": str,
    "category": str,
    "dicom_support_rule": str,
    "enabled": bool,
    "scm_revision": str,
    "scm_type": str,
    "scm_url": str,
    "tier": int,
}


def test_the_extensions_index_entry_follows_its_schema_and_agrees_with_cmake():
    entry = json.loads((ROOT / "Resources/SAM3DSegment.json").read_text(encoding="utf-8"))
    assert {"$schema", "category", "scm_url"} <= set(entry) <= set(INDEX_ENTRY)
    for key, value in entry.items():
        assert type(value) is INDEX_ENTRY[key], key
    assert entry["$schema"].endswith("/slicer-extension-catalog-entry-schema-v1.0.2.json#")
    assert 1 <= entry["tier"] <= 5
    assert entry["scm_type"] == "git"
    cmake = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    said = dict(re.findall(r'set\(EXTENSION_(\w+) "([^"]*)"\)', cmake))
    assert said["DEPENDS"].split() == entry["build_dependencies"]
    assert said["CATEGORY"] == entry["category"]
    assert said["HOMEPAGE"] + ".git" == entry["scm_url"]
    prefix = said["HOMEPAGE"].replace("github.com", "raw.githubusercontent.com") + f"/{entry['scm_revision']}/"
    pictures = [said["ICONURL"], *said["SCREENSHOTURLS"].split()]
    for url in pictures:
        assert url.startswith(prefix) and url.endswith(".png"), url
        assert (ROOT / url.removeprefix(prefix)).is_file(), url
