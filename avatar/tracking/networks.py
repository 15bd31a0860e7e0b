"""The three networks of Google's face_landmarker.task, and the two runtimes that can run them.

The file is a plain zip of TensorFlow Lite models. Its members are loaded from memory, so nothing is unpacked to disk.
LiteRT is the faster of the two; OpenCV's dnn module serves machines without a LiteRT wheel.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from avatar.errors import WeightsError
from avatar.frames import FloatArray
from avatar.system.foreign_text import first_line
from avatar.system.limits import MAX_FACE_NETWORK_BYTES, megabytes
from avatar.system.message import Message
from avatar.tracking.quiet import without_notes
from avatar.tracking.slopes import with_slopes_by_row

DETECTOR_SIZE = 128  # side of the detector's input, pixels
MESH_SIZE = 256  # side of the landmark network's input, pixels

DETECTOR = "face_detector.tflite"
MESH = "face_landmarks_detector.tflite"
BLENDSHAPES = "face_blendshapes.tflite"

OUTPUTS = {
    DETECTOR: ("regressors", "classificators"),  # (896, 16) pixels, (896, 1) logits
    MESH: ("Identity", "Identity_1"),  # 478 x 3 in crop pixels, presence logit
    BLENDSHAPES: ("StatefulPartitionedCall:0",),  # (52,) in [0, 1]
}
_INPUTS = {DETECTOR: (1, DETECTOR_SIZE, DETECTOR_SIZE, 3), MESH: (1, MESH_SIZE, MESH_SIZE, 3), BLENDSHAPES: (1, 146, 2)}
_NUMBERS = {DETECTOR: (896 * 16, 896), MESH: (478 * 3, 1), BLENDSHAPES: (52,)}  # element counts of OUTPUTS


class Network(Protocol):
    """One network on one runtime; used from one thread at a time."""

    def run(self, values: FloatArray) -> list[FloatArray]:
        """Compute the float32 outputs named in OUTPUTS, in that order.

        Args:
            values: float32 input, (1, 128, 128, 3), (1, 256, 256, 3) or (1, 146, 2): see `FaceNetworks`.
        """
        ...


class LiteRtNetwork:
    """A network on ai-edge-litert."""

    def __init__(self, model: bytes, outputs: tuple[str, ...], threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        with without_notes():
            self._interpreter: Any = Interpreter(model_content=with_slopes_by_row(model), num_threads=threads)
            self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        index_of = {detail["name"]: detail["index"] for detail in self._interpreter.get_output_details()}
        self._outputs = [index_of[name] for name in outputs]

    def run(self, values: FloatArray) -> list[FloatArray]:
        """Compute the outputs for one input, see `Network.run`."""
        self._interpreter.set_tensor(self._input, values)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs]


class OpenCvNetwork:
    """A network on OpenCV's dnn module, which wants images as (1, 3, H, W)."""

    def __init__(self, model: bytes, outputs: tuple[str, ...], threads: int) -> None:
        from avatar.cv import cv2

        del threads  # OpenCV has one thread pool per process, which the program sets
        buffer = np.frombuffer(model, np.uint8)
        # OpenCV 5's new engine loses all outputs but the first of these files.
        classic = getattr(cv2.dnn, "ENGINE_CLASSIC", None)
        self._net: Any = cv2.dnn.readNetFromTFLite(buffer, *(() if classic is None else (classic,)))
        self._outputs = outputs

    def run(self, values: FloatArray) -> list[FloatArray]:
        """Compute the outputs for one input, see `Network.run`."""
        is_image = values.ndim == 4
        self._net.setInput(np.ascontiguousarray(values.transpose(0, 3, 1, 2)) if is_image else values)
        return [np.asarray(output, np.float32) for output in self._net.forward(self._outputs)]


RUNTIMES: dict[str, Callable[[bytes, tuple[str, ...], int], Network]] = {
    "litert": LiteRtNetwork,
    "opencv": OpenCvNetwork,
}


@dataclass(frozen=True)
class FaceNetworks:
    """The networks of one face_landmarker.task, ready to run."""

    detector: Network  # (1, 128, 128, 3) in [-1, 1]
    mesh: Network  # (1, 256, 256, 3) in [0, 1]
    blendshapes: Network  # (1, 146, 2) in pixels
    runtime: str  # "litert" or "opencv"


def open_networks(task: Path, *, threads: int = 2, runtime: str | None = None) -> FaceNetworks:
    """Load the three networks of a face_landmarker.task.

    Args:
        task: the file, a zip of .tflite members.
        threads: threads per network, where the runtime supports it.
        runtime: "litert" or "opencv"; None takes LiteRT where it is installed.
    Raises:
        WeightsError: the file is missing, is not such a zip, or its members cannot be loaded.
    """
    members = _read_members(task)
    runtime = runtime or ("litert" if _has_litert() else "opencv")
    kind = RUNTIMES[runtime]
    try:
        networks = {name: kind(members[name], OUTPUTS[name], threads) for name in OUTPUTS}
        for name, network in networks.items():
            _try(name, network)
    except Exception as error:  # both runtimes raise bare RuntimeError, ValueError or cv2.error
        what = Message("The face networks in {task} cannot be loaded: {why}.", task=task, why=first_line(error))
        raise WeightsError(what, remedy=_PULL_AGAIN) from error
    return FaceNetworks(networks[DETECTOR], networks[MESH], networks[BLENDSHAPES], runtime)


_PULL_AGAIN = "Fetch the file again: python run.py models pull face-landmarker"


def _try(name: str, network: Network) -> None:
    """Run a network once, since a valid file may hold another network, or one that cannot run.

    Raises:
        ValueError and others: it does not run, or its outputs have the wrong size or are not finite.
    """
    count = math.prod(_INPUTS[name])
    outputs = network.run(np.linspace(0, 1, count, dtype=np.float32).reshape(_INPUTS[name]))
    if tuple(output.size for output in outputs) != _NUMBERS[name] or not all(np.isfinite(x).all() for x in outputs):
        raise ValueError(f"{name} is another network, or damaged")


def _read_members(task: Path) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(task) as archive:
            if any(archive.getinfo(name).file_size > MAX_FACE_NETWORK_BYTES for name in OUTPUTS):
                limit = megabytes(MAX_FACE_NETWORK_BYTES)
                raise WeightsError(
                    Message("The face model {task} holds more than {limit}.", task=task, limit=limit),
                    remedy=_PULL_AGAIN,
                )
            return {name: archive.read(name) for name in OUTPUTS}
    except FileNotFoundError as error:
        raise WeightsError(Message("The face model {task} is missing.", task=task), remedy=_PULL_AGAIN) from error
    # RuntimeError: encrypted members, and NotImplementedError among them
    except (OSError, zipfile.BadZipFile, KeyError, RuntimeError, ValueError, EOFError, zlib.error) as error:
        raise WeightsError(
            Message("The face model {task} is damaged or of the wrong kind.", task=task), remedy=_PULL_AGAIN
        ) from error


def _has_litert() -> bool:
    try:
        import ai_edge_litert.interpreter  # noqa: F401
    except (ImportError, OSError):  # OSError: the wheel is there, a shared library it needs is not
        return False
    return True
