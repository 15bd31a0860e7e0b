#!/usr/bin/env bash
# ONNX Runtime's ReduceMax of numbers with one NaN among them is often neither NaN nor the greatest number: of 0, 1, 2 .. 15
# with a NaN in place of the 1 it is 14. Only a NaN in the first place comes out as NaN. ReduceMin loses a NaN likewise, while
# MaxPool over the same window, ReduceSum and ReduceMean keep it.
# Why it matters: the largest value tells whether a network's output is sound, or scales it; NumPy, PyTorch and ONNX's own
# reference return NaN, so a check that worked there passes here, and what it is scaled by is a number too small.
# Seen with onnxruntime 1.31.1 (CPU, x86-64: the maximum is taken in lanes of a vector register, and a lane that has met a NaN
# takes the number that comes after it), onnx 1.23.2. The ONNX standard leaves NaN in ReduceMax open.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check onnxruntime==1.31.1 onnx==1.23.2 numpy==2.4.6
cd "$folder"
cat >maximum.py <<'PYTHON'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator


def both(kind, values, **attributes):
    """Return what the reference and ONNX Runtime make of values, as numbers."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "y")]
    ends[0] = helper.make_tensor_value_info("x", TensorProto.FLOAT, values.shape)
    graph = helper.make_graph([helper.make_node(kind, ["x"], ["y"], **attributes)], kind, ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    expected = ReferenceEvaluator(model).run(None, {"x": values})[0]
    runtime = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return float(np.ravel(expected)[0]), float(np.ravel(runtime.run(None, {"x": values})[0])[0])


onnxruntime.set_default_logger_severity(3)
nan_kept, too_small, rest = [], [], []
for position in range(16):
    values = np.arange(16, dtype=np.float32)
    values[position] = np.nan
    expected, seen = both("ReduceMax", values)
    assert np.isnan(expected)
    largest = np.nanmax(values)
    (nan_kept if np.isnan(seen) else too_small if seen < largest else rest).append(position)
print(f"0..15 with NaN in place of one: NaN for {nan_kept}, too small for {too_small}, the greatest number for {rest}")
square = np.ones((1, 1, 2, 2), np.float32)
square[0, 0, 1, 1] = np.nan
seen = {kind: both(kind, square)[1] for kind in ("ReduceMin", "ReduceSum", "ReduceMean")}
seen["MaxPool"] = both("MaxPool", square, kernel_shape=[2, 2])[1]
print("Ones and a NaN:", seen)
assert nan_kept == [0] and too_small and rest
assert seen["ReduceMin"] == 1
assert all(np.isnan(seen[kind]) for kind in ("ReduceSum", "ReduceMean", "MaxPool"))
PYTHON
echo "Most expect: NaN each time, or each time the greatest of the numbers."
venv/bin/python maximum.py
echo "Seen: by the place of the NaN one, the other, or a number below the greatest"
