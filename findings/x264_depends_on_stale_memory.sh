#!/usr/bin/env bash
# x264's packets depend on what lay in memory before, where a row of the image is no multiple of 128 pixels.
# The same frames, the same options, one thread: other bytes, by what malloc left in the memory it handed out. It is the
# macroblock tree (mbtree, part of every preset from veryfast to placebo) together with the vector code of x86 processors;
# mbtree=0, or rc-lookahead=0, or a width such as 512 or 1280 gives the same bytes each time, and so does the C code (asm=0).
# Within one process of little memory it hardly shows; in a long one, once in some hundred clips, a group of pictures
# comes out a few bytes longer, with differences of 1 to 3 levels.
# Why it matters: x264 is known as deterministic, and people rely on it: they compare hashes of results, cache by them, or
# encode segments on several machines and expect what one machine would have written.
# Seen with av 18.1.0 (FFmpeg 8, x264 core 165) on x86-64 with AVX2. glibc's MALLOC_PERTURB_ fills fresh memory with a
# byte of one's choice, which makes certain what otherwise happens by chance.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 numpy==2.4.6
cd "$folder"
cat >encode.py <<'PYTHON'
import hashlib
import sys
from fractions import Fraction

import av
import numpy as np

width, options = int(sys.argv[1]), dict(word.split("=", 1) for word in sys.argv[2:])
y, x = np.mgrid[:240, :width]
context = av.CodecContext.create("libx264", "w")
context.width, context.height, context.pix_fmt = width, 240, "yuv420p"
context.framerate, context.time_base = Fraction(25), Fraction(1, 25)
context.options = {"crf": "20", "threads": "1"} | options
digest = hashlib.sha256()
for number in range(8):
    waves = 128 + 50 * np.sin((x + 3 * number) / 9) * np.cos((y - 2 * number) / 7) + 40 * np.sin(x * y / 900)
    frame = av.VideoFrame.from_ndarray(np.repeat(waves.clip(0, 255).astype(np.uint8)[..., None], 3, 2), "rgb24")
    frame = frame.reformat(format="yuv420p", threads=1)
    frame.pts = number
    for packet in context.encode(frame):
        digest.update(bytes(packet))
for packet in context.encode(None):
    digest.update(bytes(packet))
print(digest.hexdigest()[:12])
PYTHON
several() {
  for fill in 1 2 85 170; do MALLOC_PERTURB_=$fill venv/bin/python encode.py "$@"; done | sort -u | wc -l
}
venv/bin/python -c "import av; print('av', av.__version__)"
echo "Most expect: one result, whatever memory held before."
wide=$(several 400) even=$(several 512) plain=$(several 400 x264-params=mbtree=0)
echo "Seen: $wide different results at 400 pixels, $even at 512, $plain at 400 without the macroblock tree"
[ "$wide" -gt 1 ] && [ "$even" = 1 ] && [ "$plain" = 1 ]
