"""Expression transfer: closed stays closed, openings are proportional, and any input gives a face."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from motion_samples import close_eyes, make_face, open_mouth

from avatar.frames import FloatArray
from avatar.motion.expression import (
    LIP_OVERLAP,
    Expression,
    PartStrengths,
    as_expressing,
    expression_basis,
    lid_opening,
    lip_gap,
    transfer,
)
from avatar.tracking import canonical_face, pose_of
from avatar.tracking.face import BLENDSHAPES, LANDMARKS, Face
from avatar.tracking.regions import (
    CHIN,
    EYES,
    LEFT_EYE,
    LEFT_MOUTH_CORNER,
    LOWER_LIP,
    LOWER_LIP_POINTS,
    RIGHT_EYE,
    RIGHT_MOUTH_CORNER,
    UPPER_LIP,
    EyeRegion,
)

NEUTRAL = Expression.of(make_face())
POSES = st.fixed_dictionaries(
    {"yaw": st.floats(-35, 35), "pitch": st.floats(-20, 20), "roll": st.floats(-30, 30), "scale": st.floats(30, 250)}
)


def expressing(share: float = 1.0, **shapes: float) -> Expression:
    """The mean face with an expression, as the shipped basis draws it."""
    values = np.zeros(len(BLENDSHAPES), np.float32)
    for name, value in shapes.items():
        sides = [name] if name in BLENDSHAPES else [f"{name}Left", f"{name}Right"]
        values[[BLENDSHAPES.index(side) for side in sides]] = value * share
    return Expression(NEUTRAL.shape + np.tensordot(values, expression_basis(), axes=1), values)


def with_eyes(share: float) -> Expression:
    """A face whose eyes are open `share` times as far as the mean face's."""
    shape = NEUTRAL.shape.copy()
    for eye in EYES:
        shape[eye.upper] = shape[eye.lower] + share * (shape[eye.upper] - shape[eye.lower])
    return replace(NEUTRAL, shape=shape)


def blinking(share: float = 1.0, *, of: Expression = NEUTRAL, eyes: tuple[EyeRegion, ...] = EYES) -> Expression:
    """The face with its lids closed by `share`; fully closed is what the tracker reports of closed eyes."""
    shape, values = of.shape.copy(), of.blendshapes.copy()
    for eye in eyes:
        shape[eye.upper] += share * (shape[eye.lower] - shape[eye.upper])
        values[BLENDSHAPES.index("eyeBlinkRight" if eye is RIGHT_EYE else "eyeBlinkLeft")] = 0.8 * share
    return Expression(shape, values)


def speaking(gap: float, *, of: Expression = NEUTRAL) -> Expression:
    """The face with its lower lip `gap` head units lower, and the jaw with it."""
    shape = of.shape.copy()
    shape[[*LOWER_LIP_POINTS, CHIN], 1] += gap
    return replace(of, shape=shape)


def apertures(shape: FloatArray, eye: EyeRegion) -> FloatArray:
    """(7,) gaps between the lids over the eye's width; below 0 they overlap."""
    return (shape[eye.lower, 1] - shape[eye.upper, 1]) / np.linalg.norm(shape[eye.outer] - shape[eye.inner])


def inner_gaps(shape: FloatArray) -> FloatArray:
    """(9,) gaps between the inner lips over the mouth's width."""
    width = np.linalg.norm(shape[RIGHT_MOUTH_CORNER] - shape[LEFT_MOUTH_CORNER])
    return (shape[LOWER_LIP[3], 1] - shape[UPPER_LIP[3], 1]) / width


def looking(across: float, down: float) -> Expression:
    """Both irises moved, in head units."""
    shape = NEUTRAL.shape.copy()
    for eye in EYES:
        shape[[eye.iris, *eye.iris_rim], :2] += (across, down)
    return replace(NEUTRAL, shape=shape)


def mirrored(expression: Expression) -> Expression:
    swapped = [
        BLENDSHAPES.index(name.replace("Left", "?").replace("Right", "Left").replace("?", "Right"))
        for name in BLENDSHAPES
    ]
    flipped = expression.shape[canonical_face().mirror] * np.array([-1, 1, 1], np.float32)
    return Expression(flipped, expression.blendshapes[swapped])


@given(pose=POSES)
def test_the_pose_is_taken_out(pose: dict[str, float]) -> None:
    np.testing.assert_allclose(Expression.of(make_face(**pose, centre=(100, 300))).shape, NEUTRAL.shape, atol=2e-4)


SAMPLES = {
    "neutral": NEUTRAL,
    "grin": expressing(mouthSmile=0.9, cheekSquint=0.5),
    "speech": speaking(0.15, of=expressing(jawOpen=0.5)),
    "pucker": expressing(mouthPucker=0.9),
    "wide eyes": expressing(eyeWide=0.8, browInnerUp=0.8),
    "small eyes": with_eyes(0.45),
    "drooping lids": blinking(0.6),
    "pressed lips": speaking(-0.01),  # the tracker's inner lips overlap a little in two portraits out of five
}


@pytest.mark.parametrize("source", SAMPLES.values(), ids=SAMPLES)
@pytest.mark.parametrize("reference", SAMPLES.values(), ids=SAMPLES)
def test_the_reference_frame_gives_the_portraits_own_expression(source: Expression, reference: Expression) -> None:
    """Relative motion of a clip against itself is the identity at the reference, whatever the driver does there."""
    np.testing.assert_allclose(transfer(source, reference, reference), source.shape, atol=1e-5)


@pytest.mark.parametrize("driving", SAMPLES.values(), ids=SAMPLES)
def test_without_strength_the_portrait_keeps_its_own_expression(driving: Expression) -> None:
    source = expressing(mouthSmile=0.5, eyeSquint=0.3)
    np.testing.assert_allclose(transfer(source, NEUTRAL, driving, strength=0), source.shape, atol=1e-5)


def test_each_part_has_a_strength_of_its_own() -> None:
    driving = blinking(0.8, of=speaking(0.15, of=expressing(browInnerUp=0.9, jawOpen=0.4)))
    whole = transfer(NEUTRAL, NEUTRAL, driving)

    def seen(shape: FloatArray) -> dict[str, float]:
        brows = np.mean([shape[eye.brow, 1].mean() - shape[eye.corners, 1].mean() for eye in (RIGHT_EYE, LEFT_EYE)])
        return {"mouth": lip_gap(shape), "eyes": lid_opening(shape, RIGHT_EYE), "brows": -float(brows)}

    at_rest, moved = seen(NEUTRAL.shape), seen(whole)
    for part in at_rest:
        shape = seen(transfer(NEUTRAL, NEUTRAL, driving, parts=PartStrengths(**{part: 0.0})))
        for each, value in shape.items():
            travelled = (value - at_rest[each]) / (moved[each] - at_rest[each])
            assert abs(travelled) < 0.25 if each == part else abs(travelled - 1) < 0.25, (part, each, travelled)


@pytest.mark.parametrize("driving", [expressing(browInnerUp=0.8, browOuterUp=0.8), expressing(browDown=0.8)])
def test_brows_travel_further_than_the_drivers_to_be_seen_as_far(driving: Expression) -> None:
    moved, drivers = (shape - NEUTRAL.shape for shape in (transfer(NEUTRAL, NEUTRAL, driving), driving.shape))
    for eye in EYES:
        travelled = np.linalg.norm(moved[eye.brow], axis=1) / np.linalg.norm(drivers[eye.brow], axis=1)
        assert 1.2 < float(np.median(travelled)) < 1.6


def test_strengths_of_parts_change_evenly_over_the_face() -> None:
    heights = NEUTRAL.shape[:, 1]
    over = PartStrengths(mouth=2.0, eyes=0.5, brows=0.0).over(NEUTRAL.shape)[:, 0][np.argsort(heights)]
    assert np.all(np.diff(over) >= 0) and (over[0], over[-1]) == (0.0, 2.0)
    assert float(np.diff(over).max()) < 0.25, "neighbours would be torn apart"


@pytest.mark.parametrize("own", [0.45, 0.7, 1.0, 1.4])
@pytest.mark.parametrize("driver", [0.6, 1.0, 1.3])
def test_closed_means_closed_whatever_the_size_of_the_eyes(own: float, driver: float) -> None:
    shape = transfer(with_eyes(own), with_eyes(driver), blinking(of=with_eyes(driver)))
    for eye in EYES:
        assert apertures(shape, eye).max() <= 0
        assert apertures(shape, eye).min() > -0.3  # but the lid does not hang over the cheek


@pytest.mark.parametrize("own", [2.0, 2.7])
def test_the_skin_goes_along_with_the_lid_of_a_large_eye(own: float) -> None:
    source = with_eyes(own)
    shape = transfer(source, NEUTRAL, blinking())  # a driver whose lids alone are moved
    for eye in EYES:
        lid, skin = (shape[points, 1] - source.shape[points, 1] for points in (eye.upper, eye.upper_rings[0]))
        assert (skin[1:-1] > 0.7 * lid[1:-1]).all(), "a thick lash line would be stretched"
        assert (shape[eye.brow] == source.shape[eye.brow]).all()


@pytest.mark.parametrize("own", [0.45, 1.0, 1.4])
def test_the_eye_closes_steadily(own: float) -> None:
    source = with_eyes(own)
    openness = [
        lid_opening(transfer(source, NEUTRAL, blinking(share)), RIGHT_EYE) / lid_opening(source.shape, RIGHT_EYE)
        for share in np.linspace(0, 1, 21)
    ]
    assert np.all(np.diff(openness) < 1e-6)
    assert 0.1 < openness[10] < 0.75 and openness[0] == pytest.approx(1, abs=1e-4)


def test_the_skin_of_a_large_eyes_lid_goes_along_further() -> None:
    lags = []
    for own in (0.9, 2.0, 3.0):
        source = with_eyes(own)
        moved = transfer(source, NEUTRAL, blinking()) - source.shape
        edge, skin = moved[RIGHT_EYE.upper, 1], moved[RIGHT_EYE.upper_rings[0], 1]
        lags.append(float(((edge - skin) / edge).mean()))
        assert np.all(np.diff([moved[159, 1], *(moved[ring[3], 1] for ring in RIGHT_EYE.upper_rings)]) < 0)
    assert lags[0] > lags[1] > lags[2]


@pytest.mark.parametrize("winking", EYES, ids=["right", "left"])
def test_one_eye_can_wink(winking: EyeRegion) -> None:
    open_eye = LEFT_EYE if winking is RIGHT_EYE else RIGHT_EYE
    shape = transfer(with_eyes(0.8), NEUTRAL, blinking(eyes=(winking,)))
    assert apertures(shape, winking).max() <= 0
    assert lid_opening(shape, open_eye) > 0.85 * lid_opening(with_eyes(0.8).shape, open_eye)


def test_eyes_open_wider_but_not_without_end() -> None:
    own = lid_opening(NEUTRAL.shape, RIGHT_EYE)
    resting = replace(NEUTRAL, blendshapes=expressing(eyeBlink=0.15).blendshapes)
    little, much, far = (lid_opening(transfer(NEUTRAL, resting, with_eyes(by)), RIGHT_EYE) for by in (1.2, 1.6, 5.0))
    assert own * 1.05 < little <= much <= far < 1.8 * own


def test_the_blink_of_a_driver_who_squints_in_the_reference_frame_still_closes() -> None:
    shape = transfer(NEUTRAL, with_eyes(0.5), blinking(of=with_eyes(0.5)))
    assert max(apertures(shape, eye).max() for eye in EYES) <= 0


@pytest.mark.parametrize("source", [NEUTRAL, expressing(mouthSmile=0.6), speaking(0.1)])
def test_the_mouth_opens_in_proportion(source: Expression) -> None:
    gaps = [lip_gap(transfer(source, NEUTRAL, speaking(gap))) for gap in (0.0, 0.06, 0.12, 0.18)]
    rises = np.diff(gaps)
    assert rises.min() > 0.04 and rises.max() < 1.35 * rises.min()
    driver = lip_gap(speaking(0.18).shape) - lip_gap(NEUTRAL.shape)
    assert gaps[-1] - gaps[0] == pytest.approx(driver, rel=0.35)


@example(own=0.0, reference=0.25, now=0.0, strength=2.0)
@given(own=st.floats(0, 0.3), reference=st.floats(0, 0.3), now=st.floats(-0.05, 0.5), strength=st.floats(0, 2))
def test_lips_never_cross_further_than_they_press(own: float, reference: float, now: float, strength: float) -> None:
    shape = transfer(speaking(own), speaking(reference), speaking(now), strength=strength)
    assert inner_gaps(shape).min() > -LIP_OVERLAP - 1e-4
    assert inner_gaps(shape).max() < 1.3


@pytest.mark.parametrize("gap", [0.05, 0.15, 0.3])
def test_an_open_mouthed_portrait_closes_with_its_driver(gap: float) -> None:
    shape = transfer(speaking(gap), speaking(0.8 * gap), NEUTRAL)
    assert inner_gaps(shape).max() < 0.005
    assert inner_gaps(shape)[4] < -0.7 * LIP_OVERLAP * min(gap / 0.1, 1)  # pressed, so that nothing shows between
    assert shape[CHIN, 1] < speaking(gap).shape[CHIN, 1] - 0.5 * gap  # the jaw comes up with the lip


@pytest.mark.parametrize("gap", [0.1, 0.2])
def test_lips_that_close_are_as_thick_as_the_drivers(gap: float) -> None:
    shape = transfer(speaking(gap), speaking(gap), NEUTRAL)
    for outer in (UPPER_LIP[0], LOWER_LIP[0]):
        np.testing.assert_allclose(shape[outer, 1], NEUTRAL.shape[outer, 1], atol=0.003)


def test_a_portrait_keeps_its_open_mouth_while_the_drivers_stays_shut() -> None:
    shape = transfer(speaking(0.2), NEUTRAL, expressing(browInnerUp=0.5))
    assert lip_gap(shape) == pytest.approx(lip_gap(speaking(0.2).shape), rel=0.15)


def test_lips_keep_their_thickness() -> None:
    thick = NEUTRAL.shape.copy()
    thick[UPPER_LIP[0], 1] -= 0.03
    source = replace(NEUTRAL, shape=thick)
    for driving in (speaking(0.2), speaking(0.05)):
        shape = transfer(source, NEUTRAL, driving)
        before, after = (lips[UPPER_LIP[3], 1] - lips[UPPER_LIP[0], 1] for lips in (thick, shape))
        np.testing.assert_allclose(after, before, atol=0.012)


@pytest.mark.parametrize(("across", "down"), [(0.03, 0), (-0.03, 0), (0, 0.02), (0, -0.02), (0.02, 0.01)])
def test_irises_follow_the_gaze_and_stay_round(across: float, down: float) -> None:
    shape = transfer(NEUTRAL, NEUTRAL, looking(across, down))
    for eye in EYES:
        moved = (shape - NEUTRAL.shape)[[eye.iris, *eye.iris_rim]]
        np.testing.assert_allclose(moved[:, :2], np.tile([across, down], (5, 1)), atol=2e-3)


def test_a_portrait_that_looks_aside_looks_further_or_back() -> None:
    aside = looking(0.03, 0)
    there, back = (transfer(aside, NEUTRAL, looking(by, 0)) for by in (0.02, -0.03))
    for eye in EYES:
        assert there[eye.iris, 0] > aside.shape[eye.iris, 0] + 0.01
        assert back[eye.iris, 0] == pytest.approx(NEUTRAL.shape[eye.iris, 0], abs=3e-3)


@settings(deadline=None, max_examples=25)
@given(
    values=st.dictionaries(st.sampled_from(["jawOpen", "mouthSmileLeft", "browDownRight", "mouthLeft", "mouthPucker",
                                            "eyeBlinkLeft", "browInnerUp", "jawRight"]), st.floats(0, 0.8)),
    own=st.sampled_from(["mouthSmile", "mouthPucker", "browDown"]), by=st.floats(0, 0.7), strength=st.floats(0, 1.5),
)  # fmt: skip
def test_a_mirrored_driver_gives_the_mirrored_expression(
    values: dict[str, float], own: str, by: float, strength: float
) -> None:
    source, driving = expressing(**{own: by}), expressing(**values)
    straight = transfer(source, NEUTRAL, driving, strength=strength)
    flipped = transfer(mirrored(source), mirrored(NEUTRAL), mirrored(driving), strength=strength)
    expected = straight[canonical_face().mirror] * np.array([-1, 1, 1], np.float32)
    np.testing.assert_allclose(flipped, expected, atol=3e-3)


@settings(deadline=None, max_examples=80)
@given(
    seed=st.integers(0, 100_000), wildness=st.floats(0, 5), strength=st.floats(0, 2),
    wild=st.sampled_from(["driving", "reference", "source", "all"]),
)  # fmt: skip
def test_whatever_the_tracker_says_the_result_is_finite(seed: int, wildness: float, strength: float, wild: str) -> None:
    random = np.random.default_rng(seed)

    def torn() -> Expression:
        noise = random.standard_normal((LANDMARKS, 3)) * wildness
        return Expression((NEUTRAL.shape + noise).astype(np.float32), random.uniform(0, 1, 52).astype(np.float32))

    faces = [torn() if wild in (name, "all") else NEUTRAL for name in ("source", "reference", "driving")]
    shape = transfer(*faces, strength=strength)
    assert shape.shape == (LANDMARKS, 3) and np.isfinite(shape).all()


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 100_000), wildness=st.floats(0.05, 3))
def test_a_driver_gone_wild_does_not_tear_the_portrait_apart(seed: int, wildness: float) -> None:
    noise = np.random.default_rng(seed).standard_normal((LANDMARKS, 3)) * wildness
    driving = replace(NEUTRAL, shape=(NEUTRAL.shape + noise).astype(np.float32))
    moved = np.linalg.norm(transfer(NEUTRAL, NEUTRAL, driving) - NEUTRAL.shape, axis=1)
    irises = np.concatenate([[eye.iris, *eye.iris_rim] for eye in EYES])
    assert np.delete(moved, irises).max() < 1.3  # units: outer eye corners; a face is 1.5 wide
    assert moved[irises].max() < 1.3


@pytest.mark.parametrize("what", ["reference", "driving"])
def test_a_face_that_has_collapsed_into_a_point_does_no_harm(what: str) -> None:
    """A template from a stranger may hold anything; so may a tracker that looks at a hand."""
    point = Expression(np.zeros((LANDMARKS, 3), np.float32), NEUTRAL.blendshapes)
    shape = transfer(NEUTRAL, *((point, NEUTRAL) if what == "reference" else (NEUTRAL, point)))
    assert np.isfinite(shape).all()


def test_absolute_motion_keeps_a_portrait_whose_driver_expresses_the_same() -> None:
    source = replace(expressing(mouthSmile=0.6, browInnerUp=0.4), shape=expressing(mouthSmile=0.6).shape)
    driver = expressing(mouthSmile=0.6, browInnerUp=0.4)
    for reference in (NEUTRAL, expressing(jawOpen=0.4), expressing(mouthPucker=0.6)):
        shape = transfer(source, as_expressing(reference, source, expression_basis()), driver)
        assert np.abs(shape - source.shape).mean() < 0.012
        assert np.abs(shape - source.shape).max() < 0.08


@pytest.mark.parametrize("reference", [NEUTRAL, blinking(), expressing(eyeBlink=0.9)])
def test_absolute_motion_closes_the_eyes_even_if_the_reference_frame_had_them_closed(reference: Expression) -> None:
    as_source = as_expressing(reference, NEUTRAL, expression_basis())
    shape = transfer(NEUTRAL, as_source, blinking())
    for eye in EYES:
        assert lid_opening(shape, eye) < 0.15 * lid_opening(NEUTRAL.shape, eye)


def test_the_basis_moves_what_its_names_say() -> None:
    jaw, smile, blink = (expressing(**{name: 1.0}).shape for name in ("jawOpen", "mouthSmile", "eyeBlink"))
    assert lip_gap(jaw) > lip_gap(NEUTRAL.shape) + 0.1 and jaw[CHIN, 1] > NEUTRAL.shape[CHIN, 1] + 0.05
    corners = [RIGHT_MOUTH_CORNER, LEFT_MOUTH_CORNER]
    assert np.ptp(smile[corners, 0]) > np.ptp(NEUTRAL.shape[corners, 0]) + 0.03
    assert smile[corners, 1].mean() < NEUTRAL.shape[corners, 1].mean()
    assert max(lid_opening(blink, eye) for eye in EYES) < 0.6 * lid_opening(NEUTRAL.shape, RIGHT_EYE)


def test_apertures_are_ratios_of_the_faces_own_widths() -> None:
    small, large = (Expression.of(face) for face in (make_face(scale=40), make_face(scale=200)))
    assert lid_opening(small.shape, RIGHT_EYE) == pytest.approx(lid_opening(large.shape, RIGHT_EYE), abs=1e-4)
    shut = Expression.of(close_eyes(make_face()))
    assert lid_opening(shut.shape, LEFT_EYE) == pytest.approx(0, abs=1e-4)
    assert lip_gap(Expression.of(_tracked(open_mouth(make_face(), 0.2))).shape) > 0.2


def _tracked(face: Face) -> Face:
    return replace(face, pose=pose_of(face.landmarks))
