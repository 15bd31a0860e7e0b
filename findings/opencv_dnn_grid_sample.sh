#!/usr/bin/env bash
# OpenCV 5.0.0 runs networks of newer ONNX opsets, but computes some operators as if their attributes were not there.
# GridSample: opset 20 renamed the mode "bicubic" to "cubic". OpenCV knows the old name only and samples bilinearly.
# Resize: "antialias" (opset 18) has no effect, and "half_pixel_symmetric" (opset 19) is taken for "asymmetric".
# Nothing is refused, and nothing is logged: the network loads and returns images of the right size.
# Why it matters: warping a portrait by a motion field is one GridSample, shrinking a camera's frame one Resize. The
# same file is sharp in one program and soft, jagged or half a pixel off in the next.
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


def model(operator, opset, image, out, inputs, constants, **attributes):
    node = helper.make_node(operator, inputs, ["y"], **attributes)
    given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, image.shape)]
    wanted = [helper.make_tensor_value_info("y", TensorProto.FLOAT, out)]
    stored = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph([node], "graph", given, wanted, stored)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    onnx.checker.check_model(made, full_check=True)
    return made.SerializeToString()


def opencv(data, image):
    network = cv2.dnn.readNetFromONNX(np.frombuffer(data, np.uint8))
    network.setInput(image)
    return network.forward()


def runtime(data, image):
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": image})[0]


def close(one, other):
    return one.shape == other.shape and bool(np.allclose(one, other, atol=1e-3))


random = np.random.default_rng(0)
image = random.normal(size=(1, 1, 8, 8)).astype(np.float32)
grid = random.uniform(-0.4, 0.4, (1, 5, 5, 2)).astype(np.float32)


def sampled(mode, opset):
    return model("GridSample", opset, image, (1, 1, 5, 5), ["x", "grid"], {"grid": grid}, mode=mode)


def resized(**attributes):
    scales = {"scales": np.array([1, 1, 0.5, 0.5], np.float32)}
    return model("Resize", 19, image, (1, 1, 4, 4), ["x", "", "scales"], scales, mode="linear", **attributes)


def halves(**attributes):
    return opencv(resized(**attributes), image), runtime(resized(**attributes), image)


old, new, linear = (opencv(sampled(*which), image) for which in (("bicubic", 16), ("cubic", 20), ("linear", 20)))
plain, plain_right = halves()
smooth, smooth_right = halves(antialias=1)
symmetric, symmetric_right = halves(coordinate_transformation_mode="half_pixel_symmetric")
asymmetric, asymmetric_right = halves(coordinate_transformation_mode="asymmetric")

print("Most expect: what OpenCV cannot compute, it refuses to load; what it loads, it computes.")
seen = {
    "GridSample bicubic of opset 16 agrees with onnxruntime": close(old, runtime(sampled("bicubic", 16), image)),
    "onnxruntime gives the same for its new name, cubic, of opset 20": close(
        runtime(sampled("bicubic", 16), image), runtime(sampled("cubic", 20), image)
    ),
    "OpenCV's GridSample cubic of opset 20 is its linear, to the bit": bool(np.array_equal(new, linear)),
    "and is far from cubic": not close(new, old),
    "Resize without antialias agrees with onnxruntime": close(plain, plain_right),
    "Resize with antialias is the one without, to the bit": bool(np.array_equal(smooth, plain)),
    "and is far from the right one": not close(smooth, smooth_right),
    "Resize asymmetric agrees with onnxruntime": close(asymmetric, asymmetric_right),
    "Resize half_pixel_symmetric is asymmetric, to the bit": bool(np.array_equal(symmetric, asymmetric)),
    "and is far from the right one, which here is half_pixel": close(symmetric_right, plain_right)
    and not close(symmetric, symmetric_right),
}
for what, is_so in seen.items():
    print(f"Seen: {what}: {'yes' if is_so else 'NO LONGER'}")
print(f"Largest difference: cubic {abs(new - old).max():.3f}, antialias {abs(smooth - smooth_right).max():.3f}")
sys.exit(0 if all(seen.values()) else 1)
PYTHON
