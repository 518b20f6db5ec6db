"""What was clicked in a session, or in Slicer, gives the same mask again through the command line."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from command_line import refused, write_image

from sam3dseg.imageio import Image, read_mask
from sam3dseg.outputs import Outputs
from sam3dseg.promptfiles import read_recording, requests_as_json
from sam3dseg.prompts import Box, Click, Request
from sam3dseg.session import Session

SHAPE = (40, 44, 36)
BEFORE, TOGETHER = Click((18, 22, 16)), (Click((20, 30, 18), False), Click((30, 8, 8)), Box((6, 8, 6), (36, 36, 26)))
LAST = Click((18, 12, 16))


@pytest.fixture
def image(make_ellipsoid) -> Image:
    organ, other = make_ellipsoid(SHAPE, (18, 22, 16), (9, 11, 8)), make_ellipsoid(SHAPE, (30, 8, 8), (4, 4, 4))
    noise = np.random.default_rng(0).normal(0, 8, SHAPE)
    array = (100 * organ + 60 * other + noise).astype(np.float32)
    return Image(array, (0.8, 0.8, 1.6), np.diag([-1.0, -1, 1]), np.array([12.0, 30, -8]), "organ.nrrd")


@pytest.fixture
def file(tmp_path, image):
    return write_image(tmp_path / "organ.nrrd", image.array_ijk, image)


def session_of(image: Image, load) -> Session:
    session = Session(load())
    session.set_image(image.array_ijk, spacing_mm=image.spacing_mm, direction=image.direction_ras)
    return session


def saved(session: Session, path, image: Image, **more):
    requests = [Request(prompts) for prompts in session.requests]
    Outputs((path,)).write(image, session.mask, requests=requests, **more)
    return path


@pytest.mark.parametrize("kind", ["m.seg.nrrd", "c.json"])
def test_a_session_is_replayed_in_its_requests(run, file, tmp_path, image, make_segmenter, kind):
    session = session_of(image, make_segmenter)
    for prompts in ((BEFORE,), TOGETHER, (LAST,)):
        session.add_many(prompts)
    if kind == "m.seg.nrrd":
        saved(session, tmp_path / kind, image)
    else:
        (tmp_path / kind).write_text(requests_as_json([Request(p) for p in session.requests], image))
    assert run("segment", file, "--clicks", tmp_path / kind, "-o", tmp_path / "again.seg.nrrd")[0] == 0
    np.testing.assert_array_equal(read_mask(tmp_path / "again.seg.nrrd", image), session.mask)
    again = read_recording(tmp_path / "again.seg.nrrd", image).requests
    assert [set(request.prompts) for request in again] == [{BEFORE}, set(TOGETHER), {LAST}]


def test_what_was_given_together_is_asked_together(run, file, tmp_path, image, monkeypatch):
    sent = []
    add_many = Session.add_many
    monkeypatch.setattr(Session, "add_many", lambda self, p: (sent.append(len(p)), add_many(self, p))[1])
    requests = [Request((BEFORE,)), Request(TOGETHER), Request((LAST,))]
    (tmp_path / "c.json").write_text(requests_as_json(requests, image))
    assert run("segment", file, "--clicks", tmp_path / "c.json", "-o", tmp_path / "m.nrrd")[0] == 0
    assert sent == [1, 3, 1]


def test_the_candidate_that_was_chosen_is_chosen_again(run, file, tmp_path, image, make_segmenter):
    session = session_of(image, make_segmenter)
    session.add(BEFORE)
    session.choose(2)
    mask = session.add(LAST)
    requests = [Request((BEFORE,), chosen=2), Request((LAST,))]
    (tmp_path / "c.json").write_text(requests_as_json(requests, image))
    assert run("segment", file, "--clicks", tmp_path / "c.json", "-o", tmp_path / "m.nrrd")[0] == 0
    np.testing.assert_array_equal(read_mask(tmp_path / "m.nrrd", image), mask)
    requests[0] = Request((BEFORE,), chosen=9)
    (tmp_path / "c.json").write_text(requests_as_json(requests, image))
    code, _, err, _ = run("segment", file, "--clicks", tmp_path / "c.json", "-o", tmp_path / "m.nrrd")
    assert code == 2 and "candidate must be 0 to 3, got 9" in err


def test_the_mask_it_started_from_is_kept_in_the_segmentation(run, file, tmp_path, image, make_segmenter, caplog):
    session = session_of(image, make_segmenter)
    start = image.array_ijk > 50
    start[:, 24:] = False
    session.set_mask(start)
    mask = session.add(Click((18, 15, 16), False))
    saved(session, tmp_path / "m.seg.nrrd", image, initial=start, initial_name="start.nii.gz")
    with caplog.at_level(logging.WARNING):
        assert run("segment", file, "--clicks", tmp_path / "m.seg.nrrd", "-o", tmp_path / "again.seg.nrrd")[0] == 0
    np.testing.assert_array_equal(read_mask(tmp_path / "again.seg.nrrd", image), mask)
    assert not caplog.text  # nothing is missing
    found = read_recording(tmp_path / "again.seg.nrrd", image)
    assert found.initial_name == "start.nii.gz" and (found.initial == start).all()


def test_clicks_without_the_mask_they_started_from_say_so(run, file, tmp_path, image, caplog):
    (tmp_path / "c.json").write_text(requests_as_json([Request((BEFORE,))], image, initial_mask="start.nii.gz"))
    words = ("segment", file, "--clicks", tmp_path / "c.json", "-o", tmp_path / "m.seg.nrrd")
    assert run(*words)[0] == 0
    assert "once started from the mask start.nii.gz: give it with --init-mask" in caplog.text
    caplog.clear()
    assert run(*words, "--init-mask", tmp_path / "m.seg.nrrd")[:1] == (2,)  # the output would overwrite it
    assert run(*words[:-1], tmp_path / "n.seg.nrrd", "--init-mask", tmp_path / "m.seg.nrrd")[0] == 0
    assert not caplog.text


def test_numbers_on_some_prompts_only_are_refused(run, file, tmp_path):
    clicks = '{"space": "ijk", "clicks": [{"position": [1, 2, 3], "request": 0}, {"position": [1, 2, 3]}]}'
    (tmp_path / "c.json").write_text(clicks)
    result = run("segment", file, "--clicks", tmp_path / "c.json", "-o", tmp_path / "m.nrrd")
    refused(result, "expected an integer request with every prompt or with none, received None")


def test_slicer_s_tags_are_replayed(run, file, tmp_path, image, make_segmenter):
    pytest.importorskip("vtk", reason="needs VTK, as Slicer has it")
    from sam3dseg.imageio import write_mask
    from sam3dseg.masks import CroppedMask
    from sam3dseg.promptfiles import segment_metadata
    from SAM3DSegmentLib.Editor.EditorData import Answerer, Group, PlacedBox, PlacedClick, Step
    from SAM3DSegmentLib.Editor.PromptStore import Kept, asText, fromText

    def placed(prompt):
        if isinstance(prompt, Click):
            return PlacedClick(tuple(image.ras_of(prompt.ijk).tolist()), prompt.is_foreground)
        corners = (prompt.lower_ijk, prompt.upper_ijk)
        return PlacedBox(*(tuple(image.ras_of(corner).tolist()) for corner in corners))

    start = image.array_ijk > 80
    session = session_of(image, make_segmenter)
    session.set_mask(start)
    session.add(BEFORE)
    session.choose(1)
    mask = session.add_many(TOGETHER)
    groups = (Group((placed(BEFORE),), 1), Group(tuple(placed(prompt) for prompt in TOGETHER)))
    kept = Kept(Step("a", groups, CroppedMask.from_crop(start, (0, 0, 0)), answer="b"), "c", "d", Answerer("embedded"))
    text = asText(kept)
    metadata = segment_metadata(mask, name="S", prompts=text, initial=start)
    write_mask(tmp_path / "slicer.seg.nrrd", mask, image, metadata=metadata)
    assert run("segment", file, "--clicks", tmp_path / "slicer.seg.nrrd", "-o", tmp_path / "m.seg.nrrd")[0] == 0
    np.testing.assert_array_equal(read_mask(tmp_path / "m.seg.nrrd", image), mask)
    back = fromText(text, kept.step.initial.as_text())
    assert [(set(g.prompts), g.chosen) for g in back.step.groups] == [(set(g.prompts), g.chosen) for g in groups]
    assert back.step.initial == kept.step.initial
    assert (back.content, back.image, back.model) == ("c", "d", kept.model)
