"""Stands for `python -m venv`: makes an environment whose pip does as FAKE_PIP says, in a tenth of a second.

FAKE_PIP is a JSON object: "say" is printed, "code" is the exit code, "wait_for" names a file that is waited for after
printing. Each run of that pip appends its arguments to the file FAKE_PIP_CALLS.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

PIP = '''
import json, os, pathlib, sys, time
with open(os.environ["FAKE_PIP_CALLS"], "a") as calls:
    calls.write(" ".join(sys.argv[1:]) + "\\n")
order = json.loads(os.environ.get("FAKE_PIP", "{}"))
print(order.get("say", ""), flush=True)
while "wait_for" in order and not pathlib.Path(order["wait_for"]).exists():
    time.sleep(0.01)
sys.exit(order.get("code", 0))
'''


def main(folder: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    (packages / "pip").mkdir(parents=True)
    (packages / "pip" / "__init__.py").touch()
    (packages / "pip" / "__main__.py").write_text(PIP)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
