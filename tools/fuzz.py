"""Fuzzer for all file loaders: `python tools/fuzz.py --minutes 10 --seed 1 -o FOLDER`.

Small valid inputs are generated and corrupted at random: bit flips, truncation, splices, wrong lengths, deep nesting.
Each is passed to the program's loader in a child process with memory and time limits. A loader may accept it or refuse
it with an AvatarError. Anything else is a finding: another exception, a crash, a hang, too much memory, a message with
control characters or of excessive length. Findings are saved in FOLDER with the seed that reproduces them, and the
exit code is 1. FOLDER must not be part of the repository: some inputs crash other software.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import pickle
import pickletools
import queue
import random
import re
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

MEMORY_BYTES = 2 * 2**30  # more than the child has once everything is imported
TIME_S = 60.0
LONGEST_MESSAGE = 4000  # characters
RECYCLE_AFTER = 400  # inputs a child tries before a fresh one takes over, so that nobody's leak becomes a finding
INTERESTING = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)

Sample = Callable[[Path, random.Random], dict[str, bytes]]  # files by name; the first is the one that is loaded
Load = Callable[[Path], object]


# Valid inputs


def _image(folder: Path, rng: random.Random) -> dict[str, bytes]:
    from PIL import Image

    kind = rng.choice(["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "JPEG2000", "PPM", "MPO"])
    mode = rng.choice(["RGB", "L", "RGBA", "P", "I;16", "CMYK", "1", "LA"])
    image = Image.frombytes("RGB", (24, 16), rng.randbytes(24 * 16 * 3))
    stream, extra = io.BytesIO(), {}
    if rng.random() < 0.3:
        exif = Image.Exif()
        exif[0x0112], exif[0x010E] = rng.randrange(10), "a note"
        extra["exif"] = exif.tobytes()
    if rng.random() < 0.2:
        from PIL import ImageCms

        extra["icc_profile"] = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for mode_now in (mode, "RGB"):  # not every format takes every mode
        try:
            image.convert(mode_now).save(stream, kind, **extra)
            break
        except (OSError, ValueError, KeyError):
            stream = io.BytesIO()
    suffix = {"JPEG": "jpg", "JPEG2000": "jp2", "MPO": "jpg", "PPM": "ppm"}.get(kind, kind.lower())
    return {f"picture.{suffix}": stream.getvalue()}


def _clip(folder: Path, rng: random.Random) -> dict[str, bytes]:
    import av
    import numpy as np

    kinds = {
        "mp4": ("libx264", "yuv420p"), "mkv": ("libx264", "yuv420p"), "avi": ("mpeg4", "yuv420p"),
        "gif": ("gif", "rgb8"),
        "webm": ("libvpx-vp9", "yuv420p"), "mov": ("mjpeg", "yuvj420p"), "ts": ("mpeg2video", "yuv420p"),
    }  # fmt: skip
    suffix = rng.choice([*kinds])
    codec, pix_fmt = kinds[suffix]
    path = folder / f"clip.{suffix}"
    muxer, options = {"mkv": "matroska", "ts": "mpegts"}.get(suffix), {"fflags": "+bitexact"}
    with av.open(str(path), "w", format=muxer, container_options=options) as output:
        video: Any = output.add_stream(codec, rate=25)
        video.width, video.height, video.pix_fmt = 48, 32, pix_fmt
        for _ in range(4):
            pixels = np.frombuffer(rng.randbytes(32 * 48 * 3), np.uint8).reshape(32, 48, 3)
            output.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=pix_fmt)))
        output.mux(video.encode(None))
    data = path.read_bytes()
    path.unlink()
    return {path.name: data}


def _template(folder: Path, rng: random.Random) -> dict[str, bytes]:
    import numpy as np
    from safetensors.numpy import save

    count = rng.randrange(1, 6)
    tensors = {
        "landmarks": np.frombuffer(rng.randbytes(count * 478 * 6), "<i2").reshape(count, 478, 3),
        "blendshapes": np.zeros((count, 52), "<u2"),
        "presence": np.full(count, 60000, "<u2"), "times_s": np.arange(count) / 30,
    }  # fmt: skip
    facts = {"format": "masque-motion", "version": 1, "frames": count, "steps": 16384}
    facts |= {"width_px": 512, "height_px": 512}
    return {"motion.masque": _ordered(save(tensors, metadata={key: str(value) for key, value in facts.items()}))}


def _checkpoint(folder: Path, rng: random.Random) -> dict[str, bytes]:
    import torch

    from avatar.fomm import FirstOrderModel
    from avatar.fomm.config import HourglassConfig, ModelConfig
    from avatar.fomm.convert import save_model

    tiny = ModelConfig(
        HourglassConfig(1, 2, 1, 0.25), HourglassConfig(1, 2, 1, 0.25), block_expansion=1, max_features=2,
        num_down_blocks=1, num_bottleneck_blocks=1, num_kp=2,
    )  # fmt: skip
    torch.manual_seed(rng.randrange(2**31))
    model = FirstOrderModel(tiny)
    kind = rng.choice(["zip", "legacy", "safetensors"])
    if kind == "safetensors":
        save_model(model, folder / "net.safetensors")
        data = (folder / "net.safetensors").read_bytes()
        (folder / "net.safetensors").unlink()
        return {"net.safetensors": _ordered(data)}
    stream = io.BytesIO()
    parts = {"generator": model.generator.state_dict(), "kp_detector": model.kp_detector.state_dict()}
    state: dict[str, Any] = {name: _without_counters(part) for name, part in parts.items()} | {"epoch": 1}
    torch.save(state, stream, _use_new_zipfile_serialization=kind == "zip")
    return {"net.pth.tar": stream.getvalue() if kind == "zip" else _renumbered(stream.getvalue())}


def _without_counters(weights: Mapping[str, Any]) -> dict[str, Any]:
    return {name: x for name, x in weights.items() if x.is_floating_point()}


def _ordered(data: bytes) -> bytes:
    """Sort the header of a safetensors file, which the library writes in a different order every time."""
    length = int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8 : 8 + length]), sort_keys=True).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


def _renumbered(data: bytes) -> bytes:
    """Rename the storages of a legacy checkpoint to 0, 1, 2 and sort them: torch names them by memory address.

    Works for checkpoints that hold float32 only.
    """
    numbers: dict[bytes, int] = {}

    def renamed(found: re.Match[bytes]) -> bytes:
        number = b"%d" % numbers.setdefault(found[1], len(numbers))
        return b"X" + len(number).to_bytes(4, "little") + number

    stream, ends = io.BytesIO(data), []
    for _ in range(5):
        list(pickletools.genops(stream))
        ends.append(stream.tell())
    pattern = re.compile(rb"X[\x0a-\x14]\0\0\0(\d{10,20})")
    head = pattern.sub(renamed, data[: ends[3]])
    blocks, at = {}, ends[4]
    for key in pattern.findall(data[ends[3] : ends[4]]):
        length = 8 + 4 * int.from_bytes(data[at : at + 8], "little")
        blocks[numbers[key]] = data[at : at + length]
        at += length
    keys = pickle.dumps([str(number) for number in sorted(blocks)], protocol=2)
    return head + keys + b"".join(blocks[number] for number in sorted(blocks))


def _config(folder: Path, rng: random.Random) -> dict[str, bytes]:
    import yaml

    from avatar.fomm.config import VOX
    from avatar.fomm.layout import to_layout

    return {"net.yaml": yaml.safe_dump(to_layout(VOX)).encode()}


def _record(folder: Path, rng: random.Random) -> dict[str, bytes]:
    """Create a library of two avatars; one of its files is to be damaged."""
    import numpy as np
    from safetensors.numpy import save

    places = np.frombuffer(rng.randbytes(478 * 3), np.uint8).reshape(478, 3)
    marks = {"landmarks": places.astype(np.float32), "blendshapes": np.zeros(52, np.float32)}
    marks["presence"] = np.ones(1, np.float32)
    record = b'picture = "picture.png"\nsha256 = "00"\nsource = "mine"\nlicence = "CC0"\ncreated = "2026-01-01"\n'
    record += b'confirmed = "2026-01-01"\ncrop = [0, 0, 10, 10]\n\n[marks]\nleft_eye = [1.0, 2.0]\n'
    files = {"Mona/avatar.toml": record, "order.toml": b'order = ["Mona", "astronaut"]\n'}
    files["Mona/face.safetensors"] = _ordered(save(marks))
    first = rng.choice([*files])
    return {first: files.pop(first), **files, "Mona/picture.png": b"\x89PNG"}


def _settings(folder: Path, rng: random.Random) -> dict[str, bytes]:
    from avatar.settings import Settings, save_settings

    save_settings(Settings(keys={"quit": "Ctrl+Q"}), folder / "settings.toml")
    return {"settings.toml": (folder / "settings.toml").read_bytes()}


def _onnx(folder: Path, rng: random.Random) -> dict[str, bytes]:
    """Create three small ONNX files with the names of an export, by hand, because onnx may not be installed."""
    node = _field(1, b"x") + _field(2, b"y") + _field(4, b"Identity")
    dims = b"".join(_field(1, bytes([0x08, side])) for side in (1, 3))
    ends = [_field(1, name) + _field(2, _field(1, b"\x08\x01" + _field(2, dims))) for name in (b"x", b"y")]
    graph = _field(1, node) + _field(2, b"net") + _field(11, ends[0]) + _field(12, ends[1])
    model = b"\x08\x09" + _field(8, _field(1, b"") + b"\x10\x12") + _field(7, graph)
    model += _field(14, _field(1, b"config") + _field(2, b"{}"))
    first, *others = rng.sample(["encoder.onnx", "detector.onnx", "generator.onnx"], 3)
    return {first: model, **dict.fromkeys(others, model)}


def _field(number: int, content: bytes) -> bytes:
    """Encode a length-delimited protobuf field with at most 16383 bytes."""
    size = len(content)
    length = bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])
    return bytes([number << 3 | 2]) + length + content


# What the program does with them


def _load_image(path: Path) -> object:
    from avatar.images.load import load_image

    return load_image(path)


def _load_clip(path: Path) -> object:
    from avatar.sources.video import open_driving

    with open_driving(path) as clip:
        return sum(1 for _ in clip)


def _load_template(path: Path) -> object:
    from avatar.motion.template import load_template

    return load_template(path)


def _load_checkpoint(path: Path) -> object:
    from avatar.fomm import load_checkpoint

    return load_checkpoint(path)


def _load_config(path: Path) -> object:
    from avatar.fomm.layout import read_layout

    return read_layout(path)


def _load_record(path: Path) -> object:
    from avatar.library.library import Library

    library = Library(next(parent for parent in path.parents if (parent / "order.toml").exists()))
    avatars = library.avatars()
    if len([avatar for avatar in avatars if avatar.builtin]) < 2 or "Mona" not in [avatar.name for avatar in avatars]:
        raise AssertionError("one odd record took others with it")
    return [library.face(avatar) for avatar in avatars if not avatar.builtin]


def _load_settings(path: Path) -> object:
    from avatar.settings import load_settings

    return load_settings(path)


def _load_onnx(path: Path) -> object:
    from avatar.fomm.onnx_stream import OnnxStream

    return OnnxStream(path.parent, device="cpu")


KINDS: dict[str, tuple[Sample, Load]] = {
    "pictures": (_image, _load_image),
    "clips": (_clip, _load_clip),
    "templates": (_template, _load_template),
    "checkpoints": (_checkpoint, _load_checkpoint),
    "configs": (_config, _load_config),
    "records": (_record, _load_record),
    "settings": (_settings, _load_settings),
    "onnx": (_onnx, _load_onnx),
}
SHARES = {"onnx": 1}  # of the inputs, where others have 8: each of them starts a process


# Damage


def damage(data: bytes, rng: random.Random) -> bytes:
    """Change valid bytes in one to four ways."""
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 3, 4])):
        if not changed:
            break
        rng.choice(_WAYS)(changed, rng)
    return bytes(changed)


def _flip(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice([1, 1, 2, 8])):
        data[_place(data, rng)] ^= 1 << rng.randrange(8)


def _cut(data: bytearray, rng: random.Random) -> None:
    del data[_place(data, rng) :]


def _remove(data: bytearray, rng: random.Random) -> None:
    start = _place(data, rng)
    del data[start : start + rng.choice([1, 2, 4, 16, 100])]


def _double(data: bytearray, rng: random.Random) -> None:
    start, length, at = _place(data, rng), rng.choice([1, 4, 16, 100, 1000]), _place(data, rng)
    data[at:at] = data[start : start + length]


def _insert(data: bytearray, rng: random.Random) -> None:
    at = _place(data, rng)
    data[at:at] = rng.randbytes(rng.choice([1, 2, 4, 16]))


def _number(data: bytearray, rng: random.Random) -> None:
    """Overwrite a binary length, count or offset."""
    code = rng.choice(["<H", ">H", "<I", ">I", "<Q", ">Q", "B"])
    at = _place(data, rng)
    value = rng.choice(INTERESTING) & (1 << 8 * struct.calcsize(code)) - 1
    data[at : at + struct.calcsize(code)] = struct.pack(code, value)


def _digits(data: bytearray, rng: random.Random) -> None:
    """Replace a number in text by another number or word."""
    spans = list(_spans(data))
    if spans:
        start, end = rng.choice(spans)
        words = [
            b"0", b"-1", b"1e999", b"nan", b"9" * 30, b"9" * 5000, b"null", b"true", b"[]", b"{}", b'""', b"0x10",
            b"[" * 2000, b"{'a':" * 500, b'"\\u001b[2J"', b"*a", b"1979-05-27", b"0.5", b'"\x1b[31m"', b"\xff\xfe",
        ]  # fmt: skip
        data[start:end] = rng.choice(words)


def _spans(data: bytearray) -> Iterator[tuple[int, int]]:
    """Yield the spans of digits in the first kilobytes."""
    start = None
    for at, value in enumerate(data[:4096]):
        if 48 <= value <= 57:
            start = at if start is None else start
        elif start is not None:
            yield start, at
            start = None


def _fill(data: bytearray, rng: random.Random) -> None:
    start = _place(data, rng)
    length = min(len(data) - start, rng.choice([4, 16, 64, 512]))
    data[start : start + length] = bytes([rng.choice([0, 0xFF, 0x80])]) * length


def _place(data: bytearray, rng: random.Random) -> int:
    """Choose a random position, with a bias to the beginning, because headers matter most."""
    return rng.randrange(min(len(data), rng.choice([32, 256, 2048, len(data)]))) if data else 0


_WAYS = [_flip, _flip, _flip, _cut, _remove, _double, _insert, _number, _number, _digits, _digits, _fill]


def make(kind: str, seed: int, folder: Path) -> Path:
    """Write the input for a seed into an empty folder; returns the file to load."""
    rng = random.Random(f"{kind} {seed}")
    folder.mkdir(parents=True, exist_ok=True)
    files = KINDS[kind][0](folder, rng)
    first, content = next(iter(files.items()))
    if kind == "checkpoints" and first.endswith(".tar") and content[:2] == b"PK" and rng.random() < 0.6:
        files[first] = _inside_zip(content, rng)
    else:
        files[first] = damage(content, rng)
    for name, data in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    return folder / first


def _inside_zip(data: bytes, rng: random.Random) -> bytes:
    """Damage a member of a zip and rebuild the archive: otherwise most attempts fail at a checksum."""
    with zipfile.ZipFile(io.BytesIO(data)) as old:
        members = {member.filename: old.read(member) for member in old.infolist()}
    name = rng.choice([name for name in members if name.endswith("data.pkl")] * 8 + list(members))
    members[name] = damage(members[name], rng)
    stream = io.BytesIO()
    how = rng.choice([zipfile.ZIP_STORED] * 9 + [zipfile.ZIP_DEFLATED])
    with zipfile.ZipFile(stream, "w") as new:
        for member, content in members.items():
            new.writestr(zipfile.ZipInfo(member), content, how)  # dated 1980, not now
    return stream.getvalue()


# The child process, which tries inputs one after the other


def attempt(load: Load, path: Path) -> tuple[str, str]:
    """Load one input; returns "accepted", "refused" or the finding, and the message."""
    from avatar.errors import AvatarError

    try:
        load(path)
        return "accepted", ""
    except AvatarError as error:
        return _judged(error.what, error.remedy)
    except Exception as error:  # everything that is no AvatarError is what is looked for
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{type(error).__name__}: {str(error)[:500]} ({Path(where.filename).name}:{where.lineno})"
        return "out of memory" if isinstance(error, MemoryError) else "foreign exception", text


def _judged(what: str, remedy: str) -> tuple[str, str]:
    message = f"{what} {remedy}"
    if any(ord(character) < 32 or 127 <= ord(character) < 160 for character in message.replace("\n", "")):
        return "control characters", ascii(message[:500])
    if len(message) > LONGEST_MESSAGE:
        return "message too long", ascii(message[:500])
    return ("refused", "") if remedy else ("no remedy", message[:500])


def child() -> int:
    """Read lines "kind seed" from standard input and answer each with a line of JSON, until the input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print does not get between the answers
    _import_all()
    _limit_memory()
    for line in sys.stdin:
        kind, seed = line.split()
        with tempfile.TemporaryDirectory(prefix="masque-fuzz-") as folder:
            path = make(kind, int(seed), Path(folder) / "in")
            print(json.dumps({"begun": True}), file=answers, flush=True)
            before = _peak_reset()
            outcome, message = attempt(KINDS[kind][1], path)
            grown = _peak_bytes() - before
            if grown > MEMORY_BYTES:
                outcome, message = "too much memory", f"{grown / 2**20:.0f} MB"
        print(json.dumps({"outcome": outcome, "message": message, "grown": grown}), file=answers, flush=True)
    return 0


def _import_all() -> None:
    """Import everything that the loaders need, so that it does not count towards their memory."""
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(Exception):
        for kind in KINDS:
            if kind != "onnx":
                files = KINDS[kind][0](Path(folder), random.Random(0))
                for name, data in files.items():
                    (Path(folder) / name).parent.mkdir(exist_ok=True)
                    (Path(folder) / name).write_bytes(data)
                with contextlib.suppress(Exception):
                    KINDS[kind][1](Path(folder) / next(iter(files)))


def _limit_memory() -> None:
    """Limit the address space to twice the budget, above which measured memory is a finding anyway."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        most = pages * resource.getpagesize() + 2 * MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _peak_reset() -> int:
    """Reset the peak memory, where the system supports it (Linux); returns the resident bytes."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _peak_bytes()


def _peak_bytes() -> int:
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return 0


# The parent


class Child:
    """A child process that tries inputs, restarted when it dies."""

    def __init__(self, time_s: float) -> None:
        self._time_s, self._tried = time_s, 0
        self._process: subprocess.Popen[str] | None = None

    def ask(self, kind: str, seed: int) -> dict[str, Any]:
        """Try one input; a child that dies or hangs is a result too."""
        if self._process is None or self._tried >= RECYCLE_AFTER:
            self.close()
            self._process = subprocess.Popen(
                [sys.executable, __file__, "--child"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, text=True, encoding="utf-8",
            )  # fmt: skip
            self._answers: queue.Queue[str] = queue.Queue()
            stdout = self._process.stdout
            assert stdout is not None
            threading.Thread(target=_pass_on, args=(stdout, self._answers), daemon=True).start()
            self._tried = 0
        self._tried += 1
        assert self._process.stdin is not None
        try:
            print(f"{kind} {seed}", file=self._process.stdin, flush=True)
            begun = self._answers.get(timeout=5 * self._time_s)  # a fresh child imports everything first
            answer = self._answers.get(timeout=self._time_s) if begun else ""
        except queue.Empty:
            self._process.kill()
            self.close()
            return {"outcome": "hang", "message": f"no answer within {self._time_s:.0f} s", "grown": 0}
        except BrokenPipeError:
            answer = ""
        if not answer:
            code = self._process.wait()
            self.close()
            name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            return {"outcome": "crash", "message": name, "grown": 0}
        found: dict[str, Any] = json.loads(answer)
        return found

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            assert self._process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process = None


def _pass_on(stdout: IO[str], answers: queue.Queue[str]) -> None:
    """Forward lines to a queue, so that waiting for one can time out; an empty line marks the end."""
    for line in stdout:
        answers.put(line)
    answers.put("")


@dataclass
class Tally:
    """Results for the inputs of one kind."""

    tried: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    most_bytes: int = 0

    def line(self, kind: str) -> str:
        """Format the results as a line of text."""
        findings = self.tried - self.outcomes["accepted"] - self.outcomes["refused"]
        return (
            f"{kind:<12} {self.tried:>7} tried {self.outcomes['accepted']:>7} accepted "
            f"{self.outcomes['refused']:>7} refused {findings:>4} findings, at most {self.most_bytes / 2**20:.0f} MB"
        )


def run(kinds: list[str], seed: int, minutes: float, count: int | None, keep: Path | None) -> int:
    """Try inputs until the time or the count is reached; returns the number of findings."""
    tallies, findings = {kind: Tally() for kind in kinds}, 0
    turn = [kind for kind in kinds for _ in range(SHARES.get(kind, 8))]
    one, ends_s, number = Child(TIME_S), time.monotonic() + 60 * minutes, 0
    try:
        while time.monotonic() < ends_s and (count is None or number < count):
            kind, now = turn[number % len(turn)], seed * 10_000_000 + number
            answer = one.ask(kind, now)
            tally = tallies[kind]
            tally.tried += 1
            tally.outcomes[answer["outcome"]] += 1
            tally.most_bytes = max(tally.most_bytes, answer["grown"])
            if answer["outcome"] not in ("accepted", "refused"):
                findings += 1
                print(f"{kind} {now}: {answer['outcome']}: {answer['message']}", flush=True)
                if keep is not None:
                    make(kind, now, keep / f"{kind}-{now}")
                    (keep / f"{kind}-{now}.json").write_text(json.dumps(answer, indent=1), encoding="utf-8")
            number += 1
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
    finally:
        one.close()
    for kind, tally in tallies.items():
        print(tally.line(kind))
    return findings


def main() -> int:
    """Run the command line; returns 1 if there were findings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--count", type=int, help="stop after so many inputs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=[*KINDS], metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER", help="keep what was found there")
    parser.add_argument("--make", nargs=2, metavar=("KIND", "SEED"), help="only write that input into FOLDER")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        return child()
    keep: Path | None = args.output
    if keep is not None and ROOT in (keep.resolve(), *keep.resolve().parents):
        parser.error(f"{keep} is in the repository: some inputs crash other software and must not get in")
    if args.make:
        print(make(args.make[0], int(args.make[1]), keep or Path(tempfile.mkdtemp(prefix="masque-fuzz-"))))
        return 0
    return 1 if run(args.kinds, args.seed, args.minutes, args.count, keep) else 0


if __name__ == "__main__":
    sys.exit(main())
