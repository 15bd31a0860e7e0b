"""Trial opening of one media file in a separate process, which reports how far it came.

Run by `avatar.sources.probe` as a script; imports PyAV only, because its caller waits for it. Each printed line is a
completed step. Errors raised by PyAV are ignored, because the program meets and reports the same ones.
"""

from __future__ import annotations

import os
import sys
from typing import Any

FRAMES = 3  # number of frames decoded from each video stream
PACKETS = 100  # maximum number of packets read


def main(path: str, formats: str, max_pixels: str) -> None:
    """Try the operations that can crash: video first, then sound, each on a newly opened file."""
    sound = decode_first(path, formats, max_pixels, "video", FRAMES)
    print("video", flush=True)
    if sound:
        decode_first(path, formats, max_pixels, "audio", 1)
    print("sound", flush=True)


def decode_first(path: str, formats: str, max_pixels: str, kind: str, count: int) -> bool:
    """Decode the first frames of every stream of a kind; return whether the file has sound."""
    import av

    options = {"protocol_whitelist": "file", "format_whitelist": formats, "max_pixels": max_pixels}
    with av.open(f"file:{path}", options=options) as file:
        streams: Any = [stream for stream in file.streams if stream.type == kind and stream.codec_context is not None]
        missing = {stream.index: count for stream in streams}
        for stream in streams if kind == "video" else ():
            stream.codec_context.options = {"max_pixels": max_pixels}
        if kind == "audio":
            for stream in streams:
                _ = stream.codec_context.layout.nb_channels
        for number, packet in enumerate(file.demux(streams) if streams else (), 1):
            missing[packet.stream_index] -= len(decoded(packet))
            if number >= PACKETS or max(missing.values()) <= 0:
                break
        return bool(file.streams.audio)


def decoded(packet: Any) -> list[Any]:
    """Decode a packet and read the attributes that the program uses; empty if it cannot be decoded."""
    import av

    try:
        frames = packet.decode()
    except (av.error.FFmpegError, ValueError):
        return []
    for frame in frames:
        _ = frame.rotation if isinstance(frame, av.VideoFrame) else frame.layout.nb_channels
    return list(frames)


if __name__ == "__main__":
    if os.name == "nt":
        import ctypes

        ctypes.windll.kernel32.SetErrorMode(0x0001 | 0x0002)  # type: ignore[attr-defined,unused-ignore]  # no dialog
    else:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # type: ignore[attr-defined,unused-ignore]  # nor a core dump
    try:
        main(*sys.argv[1:4])
    except Exception:  # outermost frame: the program will meet and report it
        sys.exit(0)
