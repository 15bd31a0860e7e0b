"""Colours of clips: unusual matrices, HDR from phones, wide gamut."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from colour_samples import apart, as_pq, light_of

from avatar.frames import RgbImage
from avatar.sources.pixels import RgbConverter
from avatar.sources.video import VideoFile

SIDE = 64
TO_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
LUMA_2020 = np.array([0.2627, 0.6780, 0.0593])


def picture() -> RgbImage:
    """Colours darker than 80 cd/m2 of 203, where the tone curve changes nothing."""
    y, x = np.mgrid[:SIDE, :SIDE]
    return np.stack([60 + x * 1.5, 50 + y * 1.5, 70 + (x + y) / 2], axis=-1).astype(np.uint8)


def as_hlg(light: np.ndarray) -> np.ndarray:
    shown = light * 203 / 1000
    scene = shown * (np.maximum(shown @ LUMA_2020, 1e-9) ** (1 / 1.2 - 1))[..., None]
    curve = 0.17883277 * np.log(np.maximum(12 * scene, 1) - 0.28466892) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), curve)


def frame_of(signal: np.ndarray, transfer: int, primaries: int = 9, matrix: int = 9) -> av.VideoFrame:
    """10 bits, 4:4:4, narrow range, by the matrix of BT.2020."""
    luma = signal @ LUMA_2020
    blue, red = (signal[..., 2] - luma) / 1.8814, (signal[..., 0] - luma) / 1.4746
    frame = av.VideoFrame(SIDE, SIDE, "yuv444p10le")
    for plane, values in zip(frame.planes, (luma * 876 + 64, blue * 896 + 512, red * 896 + 512), strict=True):
        padded = np.zeros((SIDE, plane.line_size // 2), np.uint16)
        padded[:, :SIDE] = np.rint(values)
        plane.update(padded.tobytes())
    frame.colorspace, frame.color_range = matrix, 1
    frame.color_trc, frame.color_primaries = transfer, primaries
    return frame


@pytest.mark.parametrize(("transfer", "code", "kind"), [
    (16, lambda light: as_pq(light * 203), "PQ"), (18, as_hlg, "HLG")
])  # fmt: skip
@pytest.mark.parametrize("primaries", [9, 2])
def test_hdr(transfer: int, code: Callable[[np.ndarray], np.ndarray], kind: str, primaries: int) -> None:
    frame = frame_of(code(light_of(picture()) @ TO_2020.T), transfer, primaries)
    converter = RgbConverter(frame)
    assert apart(converter.convert(frame), picture()) <= 3
    (note,) = converter.notes
    assert f"HDR ({kind})" in note and "203" in note


def test_bt2020_of_sdr() -> None:
    light = light_of(picture()) @ TO_2020.T
    signal = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    frame = frame_of(signal, transfer=14)
    converter = RgbConverter(frame)
    assert apart(converter.convert(frame), picture()) <= 3
    assert not converter.notes


@pytest.mark.parametrize(("matrix", "name"), [(8, "YCgCo"), (14, "ICtCp"), (10, "constant luminance"), (13, "13")])
def test_matrices_that_are_not_converted(tmp_path: Path, matrix: int, name: str) -> None:
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "1", "preset": "ultrafast"})
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv444p"
        stream.codec_context.colorspace = matrix
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(picture(), format="rgb24").reformat(
                format="yuv444p", dst_colorspace="ITU601"
            )
            frame.colorspace = matrix
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with VideoFile(path) as clip:
        frames = [frame.rgb for frame in clip]
        notes = clip.notes
    assert len(frames) == 3 and any(name in note for note in notes)
    assert float(np.abs(frames[0].astype(int) - picture()).mean()) < (20 if matrix == 10 else 3)


def test_usual_clips_need_no_note() -> None:
    frame = av.VideoFrame.from_ndarray(picture(), format="rgb24").reformat(format="yuv420p")
    assert RgbConverter(frame).notes == ()
