"""Limits of memory and time for untrusted files. Sizes are read from headers first.

No single file may take more than MEMORY_BYTES of memory or TIME_S seconds to load; the limits below follow from that.
Readers check them before they load anything, and refuse with one sentence.
"""

from __future__ import annotations

import math

MEMORY_BYTES = 2 * 2**30
TIME_S = 60.0

# Images and clips. 64 megapixels are 192 MB as RGB; some conversions hold several copies at once.
MAX_PIXELS = 64_000_000
MAX_IMAGE_BYTES = 256 * 2**20  # of an imported file; 64 megapixels of 32 bits, uncompressed
MAX_PIXEL_BYTES = 16  # of a decoded TIFF: RGB and alpha of 32 bits
MAX_META_BYTES = 8 * 2**20  # of a colour profile, or of its container
MAX_CHUNKS = 1000  # of an image, searched for its colours
MAX_JPEG_SCANS = 500  # passes over the image, 60 ms each at 64 megapixels; encoders write about ten
MAX_CLIP_BOXES = 1_000_000  # of an MP4: hours of fragments of one frame
MAX_CLIP_HEADER_BYTES = 64 * 2**20  # of an MP4's compressed index
MAX_CLIP_PIXELS = 8192 * 4320  # 8K: a decoder keeps up to sixteen frames
MAX_AHEAD_BYTES = 64_000_000  # of packets buffered to analyse a clip's clock

# Outputs: an encoder holds several frames. 8.8 megapixels is 4096 x 2160, the largest 4K.
MAX_CANVAS_PIXELS = 4096 * 2160

# Networks. The published models have 60 million weights, 240 MB in float32.
MAX_WEIGHT_BYTES = 768 * 2**20  # of one model's weights in float32, and of one ONNX file
MAX_WHOLE_BYTES = 2**30  # of a checkpoint that can only be read as a whole (torch before 1.6)
MAX_OUTLINE_BYTES = 2 * 2**20  # of the list of a checkpoint's tensors: a pickle or a header; the longest known: 0.3 MB
MAX_FACE_NETWORK_BYTES = 64 * 2**20  # of each of the face tracker's networks; the largest has 3 MB
MAX_CHANNELS = 8192  # of a layer; the published ones stay below 3073
MAX_BLOCKS = 64  # of a network, of one kind
MAX_DIRECTORY_BYTES = 2 * 2**20  # of a zip's list of members
MAX_ACTIVATION_BYTES = 256 * 2**20  # of the largest intermediate result for one image; published: 17 MB
MAX_MULTIPLICATIONS = 2 * 10**12  # for one image, seconds of work on two cores; published: 6 * 10**10

# Motion templates: 50 minutes at 30 fps, 516 MB once unpacked.
MAX_TEMPLATE_BYTES = 256 * 2**20
MAX_TEMPLATE_HEADER_BYTES = 64 * 1024

# Text files that users edit.
MAX_TEXT_BYTES = 1_000_000  # of our TOML and JSON; settings with every key changed have 10 kB
MAX_DOTS_SQUARED = 16_000_000  # sum over the lines; limits a parser's memory for dotted keys, here to 64 MB
MAX_YAML_BYTES = 256 * 1024  # the published configs have 3 kB
MAX_NESTING = 50  # levels; ours have three. Some thousand levels cannot even be printed
MAX_YAML_VALUES = 100_000  # with all aliases expanded

# Downloads whose size is not known beforehand.
MAX_PREPARED_BYTES = 256 * 2**20  # of a prepared portrait; at 1080p: 60 MB
MAX_DOWNLOAD_BYTES = 2 * 2**30

# Leftovers of killed jobs: temporary files, partial imports, abandoned downloads.
STALE_S = 24 * 3600.0  # since the last write


def megabytes(count: int) -> str:
    """Format a size, such as "768 MB"; rounded up, so that a size over a limit does not look equal to it."""
    return f"{math.ceil(count / 2**20):,} MB"
