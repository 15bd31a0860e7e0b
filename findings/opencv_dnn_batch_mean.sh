#!/usr/bin/env bash
# OpenCV 5.0.0's network runner averages a batch wrongly once three or more axes are reduced that are not the last ones.
# Over (batch, height, width) only the first two images count: the second is read again in place of the third, the
# fourth and so on. Eight images of brightness 0 to 7 have a mean of 0.875, not 3.5. ReduceSum does the same.
# It is the plain operator, with its axes as attribute or as input; no fusing, threads or rounding are involved. Two
# images are right, two axes are right, and so are the last axes of any number of images.
# Why it matters: this is how normalisation over a batch or over groups looks when written out, as in ONNX's own expansion
# of MeanVarianceNormalization. With one image at a time, as live, nothing shows; a clip that is processed in batches
# comes out with other values, and OpenCV says nothing.
# Seen with opencv-python-headless 5.0.0.93 beside onnxruntime 1.31.1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    opencv-python-headless==5.0.0.93 onnxruntime==1.31.1 onnx==1.23.2 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import cv2
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

print(f"OpenCV {cv2.__version__}, onnxruntime {onnxruntime.__version__}")


def reduced(images, axes, operator="ReduceMean", opset=13):
    """Return the first value that OpenCV and onnxruntime compute."""
    shape = np.mean(images, axis=tuple(axes), keepdims=True).shape
    as_input = opset >= 18 or operator == "ReduceSum"
    inputs, more = (["x", "axes"], {}) if as_input else (["x"], {"axes": axes})
    graph = helper.make_graph(
        [helper.make_node(operator, inputs, ["y"], **more)],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, images.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.array(axes, np.int64), "axes")] if as_input else [],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    data = model.SerializeToString()
    network = cv2.dnn.readNetFromONNX(np.frombuffer(data, np.uint8))
    network.setInput(images)
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return float(network.forward().flat[0]), float(session.run(None, {"x": images})[0].flat[0])


def batch(count, channels=3, side=8):
    """Make images of one brightness each: 0, 1, 2 ..."""
    return np.tile(np.arange(count, dtype=np.float32)[:, None, None, None], (1, channels, side, side))


print("Most expect: images of brightness 0 to 7 have a mean of 3.5.")
results = {
    "8 images, mean over batch, height, width": reduced(batch(8), [0, 2, 3]),
    "the same, opset 18, axes as an input": reduced(batch(8), [0, 2, 3], opset=18),
    "the same, the sum over 512 pixels": reduced(batch(8), [0, 2, 3], "ReduceSum"),
    "4 images, mean over batch, height, width": reduced(batch(4), [0, 2, 3]),
    "2 images, mean over batch, height, width": reduced(batch(2), [0, 2, 3]),
    "8 images, mean over batch and height": reduced(batch(8), [0, 2]),
    "8 images, mean over height and width": reduced(batch(8), [2, 3]),
    "8 groups of one image, mean over groups, height, width": reduced(batch(8)[None], [1, 3, 4]),
}
for what, (by_opencv, by_runtime) in results.items():
    print(f"Seen: {what}: OpenCV {by_opencv:g}, onnxruntime {by_runtime:g}")
wanted = [(0.875, 3.5), (0.875, 3.5), (448, 1792), (0.75, 1.5), (0.5, 0.5), (3.5, 3.5), (0, 0), (0.875, 3.5)]
sys.exit(0 if np.allclose(list(results.values()), wanted) else 1)
PYTHON
