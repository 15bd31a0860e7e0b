#!/usr/bin/env bash
# ONNX Resize with antialias=1 on int8 images: onnxruntime's CPU provider turns every negative value into 0.
# int8 is allowed by the operator and by the provider; without antialias the same node keeps negative values.
# An image that is -100 everywhere comes out as 0 everywhere, of the same type, without a warning.
# Why it matters: quantised networks carry frames as int8 with a zero point of 0 or -128. Asking for a better filter
# then loses the darker half of the picture, or all of it, and the shapes and types give no hint.
# Seen with onnxruntime 1.31.1 (and 1.32.0).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check onnxruntime==1.31.1 onnx==1.23.2 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

print(f"onnxruntime {onnxruntime.__version__}")


def halve(image, **attributes):
    """Return what onnxruntime and the reference of ONNX make of a row at half its width."""
    tensor = helper.np_dtype_to_tensor_dtype(image.dtype)
    node = helper.make_node("Resize", ["x", "", "scales"], ["y"], mode="linear", **attributes)
    graph = helper.make_graph(
        [node],
        "graph",
        [helper.make_tensor_value_info("x", tensor, image.shape)],
        [helper.make_tensor_value_info("y", tensor, (1, 1, 1, image.shape[3] // 2))],
        [numpy_helper.from_array(np.array([1, 1, 1, 0.5], np.float32), "scales")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    by_runtime, by_reference = (run.run(None, {"x": image})[0] for run in (session, ReferenceEvaluator(model)))
    return by_runtime.ravel().tolist(), by_reference.ravel().tolist()


flat = np.full((1, 1, 1, 8), -100, np.int8)
ramp = np.array([-120, -120, -60, -60, 60, 60, 120, 120], np.int8).reshape(1, 1, 1, 8)
plain, _ = halve(flat)
smooth, reference = halve(flat, antialias=1)
smooth_float, _ = halve(flat.astype(np.float32), antialias=1)
ramp_smooth, ramp_reference = halve(ramp, antialias=1)
print("Most expect: a flat image stays what it is, whatever the filter.")
print(f"Seen: -100 everywhere, int8, without antialias: {plain}")
print(f"Seen: -100 everywhere, float, with antialias:   {smooth_float}")
print(f"Seen: -100 everywhere, int8, with antialias:    {smooth} (ONNX's reference: {reference})")
print(f"Seen: {ramp.ravel().tolist()} with antialias: {ramp_smooth} (reference: {ramp_reference})")
as_ever = (
    plain == [-100] * 4
    and np.allclose(smooth_float, -100)
    and smooth == [0] * 4
    and reference == [-100] * 4
    and min(ramp_smooth) == 0
    and max(ramp_smooth) > 100
    and min(ramp_reference) < -100
)
sys.exit(0 if as_ever else 1)
PYTHON
