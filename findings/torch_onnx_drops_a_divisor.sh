#!/usr/bin/env bash
# torch.onnx.export writes average pooling with divisor_override as plain average pooling: no warning, no error, and another result.
# avg_pool2d(x, 2, divisor_override=1), which sums each window, comes out of the exported model four times too small.
# Why it matters: the override is how a network counts or sums over windows (masks, sums of squares for a local norm). Other
# operators that ONNX cannot express (a cumulative product, the median) are refused with an error, so a silent loss is not expected.
# Seen with torch 2.13.0 (dynamo=True, the usual exporter), onnxscript 0.7.2, onnx 1.23.2, onnxruntime 1.31.1. ONNX's AveragePool
# knows no divisor; the same model exported as average times area over divisor is right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 onnxscript==0.7.2 onnx==1.23.2 \
  onnxruntime==1.31.1 numpy==2.4.6
cd "$folder"
cat >pooling.py <<'PYTHON'
import contextlib
import io
import warnings

import onnxruntime
import torch


class Sums(torch.nn.Module):
    def forward(self, x):
        return torch.nn.functional.avg_pool2d(x, 2, divisor_override=1)


class Median(torch.nn.Module):
    def forward(self, x):
        return torch.median(x, -1).values


def exported(module, x, said):
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        program = torch.onnx.export(module.eval(), (x,), dynamo=True, verbose=False)
        program.save("model.onnx")
    runtime = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
    result = runtime.run(None, {runtime.get_inputs()[0].name: x.numpy()})[0]
    return result, [warning for warning in caught if "divisor" in str(warning.message)]


x, said = torch.arange(16.0).reshape(1, 1, 4, 4), io.StringIO()
right, (seen, warned) = Sums()(x).numpy(), exported(Sums(), x, said)
print("torch:", right.ravel().tolist(), "exported:", seen.ravel().tolist(), "warnings:", len(warned))
assert not warned and "divisor" not in said.getvalue()
assert (seen * 4 == right).all() and (seen != right).all()
try:
    exported(Median(), x, said)
except torch.onnx.OnnxExporterError as error:
    print("A median is refused:", type(error).__name__)
else:
    raise SystemExit("a median is not refused")
PYTHON
echo "Most expect: the same sums, or a refusal."
venv/bin/python pooling.py
echo "Seen: averages instead of sums, in silence"
