"""Fixtures: a viewer on a free port, a headless Chromium, and pages whose errors fail the test.

SAM3DSEG_SCREENSHOTS=folder keeps a picture of the page at the end of every test.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from headless_chromium import headless_chromium
from numpy.typing import NDArray
from phantom_volume import PHANTOM, write_phantom
from playwright.sync_api import Browser
from viewer_page import ViewerPage
from viewer_process import COMMAND, GATE, PAUSABLE, ViewerProcess

WINDOW = {"width": 1280, "height": 720}


@pytest.fixture(scope="session", autouse=True)
def own_models_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Neither the models nor the checked precisions of whoever runs the tests; inherited by the viewer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAM3DSEG_MODELS", str(tmp_path_factory.mktemp("models")))
        yield


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with headless_chromium() as browser:
        yield browser


@dataclass(frozen=True)
class Service:
    """One viewer for many tests. gate: the model encodes while this file is there."""

    url: str
    image: Path
    gate: Path

    def tidy(self) -> None:
        """As it was before the first test, but for what is open."""
        self.gate.touch()
        for path in self.image.parent.iterdir():
            if path != self.image:
                path.unlink()


@pytest.fixture(scope="session")
def shared_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    place = tmp_path_factory.mktemp("service")
    folder, gate = place / "images", place / "gate"
    folder.mkdir()
    image = write_phantom(folder / "phantom.nii.gz")
    viewer = ViewerProcess(place / "viewer.txt", [image], command=PAUSABLE, env={GATE: str(gate)})
    yield Service(viewer.url, image, gate)
    viewer.stop()
    assert "Traceback" not in viewer.said, viewer.said


@pytest.fixture
def service(shared_service: Service) -> Iterator[Service]:
    """The viewer that runs already, with the model at work and only the image in its folder."""
    shared_service.tidy()
    yield shared_service
    shared_service.tidy()


@pytest.fixture
def image(service: Service) -> Path:
    """The phantom, in the folder where the viewer saves too."""
    return service.image


@pytest.fixture
def folder(image: Path) -> Path:
    return image.parent


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    """Starts another viewer, with these words; it is stopped after the test."""
    started: list[ViewerProcess] = []

    def call(*words: object, command: tuple[str, ...] = COMMAND, **env: str) -> ViewerProcess:
        output = tmp_path / f"viewer-{len(started)}.txt"
        started.append(ViewerProcess(output, [str(word) for word in words], command=command, env=env))
        return started[-1]

    yield call
    for viewer in started:
        viewer.stop()
    said = "\n".join(viewer.said for viewer in started)
    assert "Traceback" not in said, said


@pytest.fixture
def open_page(chromium: Browser, folder: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Opens a page, each in a browser profile of its own, and fails the test when one reports an error."""
    opened: list[ViewerPage] = []
    errors: list[str] = []

    def call(url: str | None, **options: Any) -> ViewerPage:
        page = chromium.new_context(**{"viewport": WINDOW, **options}).new_page()
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        opened.append(ViewerPage(page, folder, volume=PHANTOM, errors=errors))
        if url is not None:
            opened[-1].open(url)
        return opened[-1]

    yield call
    kept = os.environ.get("SAM3DSEG_SCREENSHOTS")
    for number, viewer in enumerate(opened):
        if kept:
            viewer.page.screenshot(path=Path(kept) / f"{request.node.name}-{number}.png")
        viewer.page.context.close()
    assert not errors, errors


@pytest.fixture
def viewer(open_page: Any, service: Service) -> ViewerPage:
    """The page with the phantom opened anew."""
    page = open_page(service.url)
    page.open_file(service.image.name)
    page.wait_for_segments([("Segment 1", 0)])
    if page.element("sign").get_attribute("aria-pressed") == "true":
        page.element("sign").click()
    page.fit()
    return page


@pytest.fixture
def segmented(image: Path, tmp_path: Path) -> Any:
    """The mask (I, J, K) that `sam3dseg segment` makes of clicks such as "28,30,26" and "9,9,9-"."""
    from sam3dseg.cli import main
    from sam3dseg.imageio import read_image, read_mask

    def call(*clicks: str) -> NDArray[np.bool_]:
        out = tmp_path / "by-command.nii.gz"
        words = [word for click in clicks for word in ("--click", click)]
        assert main(["segment", str(image), *words, "-o", str(out)]) == 0
        return read_mask(out, read_image(image))

    return call
