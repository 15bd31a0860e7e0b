"""Test the virtual camera on real kernel modules: `python tools/real_v4l2 [FOLDER ...]`, about five minutes a module.

Each FOLDER holds the source of one v4l2loopback (a checkout, or what v4l2loopback-dkms puts into /usr/src); without one
it is Debian's. Needs Debian and the PACKAGES of machine.py; no KVM, and nothing is loaded or installed here.
Not part of CI, which tests against the stand-in tests/support/v4l2_shim.c.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from machine import RigError, boot, build_module, debian_source, kernel_release, make_initramfs, unpack_kernel

HERE = Path(__file__).resolve().parent


def main() -> int:
    """Boot once for each module; returns 1 if a case failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="*", type=Path, metavar="FOLDER", help="source of a v4l2loopback")
    parser.add_argument("--tree", type=Path, default=HERE.parent.parent, help="the checkout to try")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "masque-real-v4l2")
    parser.add_argument("--only", default="", help="run the cases whose names hold this")
    args = parser.parse_args()
    try:
        release = kernel_release()
        work: Path = args.work.resolve()
        kernel = unpack_kernel(work, release)
        sources = [source.resolve() for source in args.sources] or [debian_source(work)]
        failed = [_try(work, kernel, release, source, args.tree.resolve(), args.only) for source in sources]
    except RigError as error:
        print(error, file=sys.stderr)
        return 1
    return int(any(failed))


def _try(work: Path, kernel: Path, release: str, source: Path, tree: Path, only: str) -> bool:
    """Test one module; returns whether a case failed, or none ran."""
    began_s = time.monotonic()
    command = [sys.executable, str(HERE / "cases.py"), "--only", only]
    # our own stand-ins too: the tree that is tried may be older than they are
    path = ":".join(str(each) for each in (tree, tree / "tests" / "support", HERE.parent.parent / "tests" / "support"))
    image = make_initramfs(work, kernel, build_module(work, source, release), path, command)
    print(f"{source.name}, kernel {release}, {tree}", flush=True)
    ran = failed = 0
    for line in boot(kernel, image, log=work / f"{source.name}.log"):
        if line.startswith("CASE "):
            case = json.loads(line.removeprefix("CASE "))
            ran, failed = ran + 1, failed + (not case["ok"])
            print(f"  {'ok    ' if case['ok'] else 'FAILED'} {case['name']}: {case['saw']}", flush=True)
    print(f"  {ran - failed} of {ran} in {time.monotonic() - began_s:.0f} s; console: {work / source.name}.log")
    return failed > 0 or ran == 0


if __name__ == "__main__":
    sys.exit(main())
