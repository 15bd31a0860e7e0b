"""Stands for `python -m venv`: makes an environment whose pip and uv do as FAKE_PIP says, in a tenth of a second.

FAKE_PIP is a JSON object: "say" is printed, "code" is the exit code, "wait_for" names a file that is waited for after
printing; "config" is what pip says of its configuration. The same fields under "uv" are uv's, which pip brings only if
they are there; "broken" is its exit code when it is asked for its version. Each run of either, but not the one that
brings uv, appends its name and arguments to the file FAKE_PIP_CALLS, after printing: from then on nothing is written to
a parent that a test may kill.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

PROGRAM = """
import json, os, pathlib, sys, time
orders, name = json.loads(os.environ.get("FAKE_PIP", "{{}}")), {name!r}
order = orders if name == "pip" else orders["uv"]
if sys.argv[1:] == ["--version"]:
    sys.exit(order.get("broken", 0))
if sys.argv[1:3] == ["config", "list"]:
    print(orders.get("config", ""))
    sys.exit(0)
if sys.argv[-1].startswith("uv=="):
    if "uv" not in orders:
        sys.exit("ERROR: No matching distribution found for uv")
    program = pathlib.Path(sys.executable).with_name("uv")
    program.write_text("#!" + sys.executable + {uv!r})
    program.chmod(0o755)
    sys.exit(0)
print(*(f"{{name}}={{value}}" for name, value in os.environ.items() if name.startswith(("UV_", "SSL_"))), sep="\\n")
print(order.get("say", ""), flush=True)
with open(os.environ["FAKE_PIP_CALLS"], "a") as calls:
    calls.write(" ".join([name, *sys.argv[1:]]) + "\\n")
while "wait_for" in order and not pathlib.Path(order["wait_for"]).exists():
    time.sleep(0.01)
sys.exit(order.get("code", 0))
"""


def main(folder: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    (packages / "pip").mkdir(parents=True)
    (packages / "pip" / "__init__.py").touch()
    uv = PROGRAM.format(name="uv", uv="")
    (packages / "pip" / "__main__.py").write_text(PROGRAM.format(name="pip", uv=uv))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
