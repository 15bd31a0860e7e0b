"""A virtual machine with the kernel modules that a container or a CI runner cannot load: v4l2loopback and vivid.

Debian's kernel, unpacked and not installed, under QEMU in software emulation; the host's root is its root, read-only
over 9p, so that the environment which runs the tests runs there too, at the same paths.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGES = "qemu-system-x86 busybox-static gcc make linux-headers-amd64"
TIMEOUT_S = 900
# Without KVM the emulation of AVX is slower than none, and libraries choose by what the processor offers.
CPU = "max,avx2=off,avx=off,fma=off,f16c=off"
_FOLDERS = ("fs", "net/9p", "drivers/virtio", "drivers/media")  # of kernel modules that may be needed
_ROOT_MODULES = ("virtio_pci", "9pnet_virtio", "9p")

INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm
mount -t tmpfs shm /dev/shm
for module in {boot}; do insmod /modules/$module.ko || echo "insmod $module failed"; done
mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=262144 host /host || echo "9p failed"
mount -t tmpfs run /host/run
cp -r /modules /host/run/modules
mkdir -p /host/run/tmp /host/run/home
for folder in proc sys dev; do mount --move /$folder /host/$folder; done
ip link set lo up
chroot /host /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/run/home TMPDIR=/run/tmp \\
  XDG_RUNTIME_DIR=/run/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONPATH={path} QT_QPA_PLATFORM=offscreen LANG=C.UTF-8 {command}
poweroff -f
"""


class RigError(Exception):
    """A missing requirement of the host, with its remedy."""


def kernel_release() -> str:
    """Find the newest Debian kernel whose headers are installed and whose image can be downloaded. Raises: RigError."""
    for build in sorted(Path("/lib/modules").glob("*-amd64/build"), reverse=True):
        package = f"linux-image-{build.parent.name}"
        shown = subprocess.run(["apt-cache", "show", package], capture_output=True, text=True, check=False)
        if shown.returncode == 0 and shown.stdout.strip():
            return build.parent.name
    raise RigError(f"There are no kernel headers with a kernel to them. Type: apt-get install {PACKAGES}")


def unpack_kernel(work: Path, release: str) -> Path:
    """Download Debian's kernel and unpack the needed parts; returns the folder that holds boot/ and lib/."""
    folder = work / release
    if not (folder / "boot" / f"vmlinuz-{release}").exists():
        package = download(work, f"linux-image-{release}")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        inside = [f"./lib/modules/{release}/kernel/{name}" for name in _FOLDERS]
        tar = subprocess.run(["dpkg", "--fsys-tarfile", str(package)], capture_output=True, check=True)
        subprocess.run(["tar", "-x", "-C", str(folder), "./boot", *inside], input=tar.stdout, check=True)
        package.unlink()
    return folder


def debian_source(work: Path) -> Path:
    """Return the source folder of this Debian's v4l2loopback."""
    package = download(work, "v4l2loopback-dkms")
    folder = work / package.stem
    subprocess.run(["dpkg", "-x", str(package), str(folder)], check=True)
    return next(folder.glob("usr/src/v4l2loopback-*"))


def download(work: Path, name: str) -> Path:
    """Fetch a Debian package, and return its file."""
    if not list(work.glob(f"{name}_*.deb")):
        work.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", name], cwd=work, check=True, stdout=subprocess.DEVNULL)
    return sorted(work.glob(f"{name}_*.deb"))[-1]


def build_module(work: Path, source: Path, release: str) -> Path:
    """Compile v4l2loopback.ko from a source folder without changing it."""
    folder = work / f"build-{source.name}"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns(".git"))
    done = subprocess.run(
        ["make", "-s", "-C", f"/lib/modules/{release}/build", f"M={folder}", "modules"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if not (built := folder / "v4l2loopback.ko").exists():
        raise RigError(f"{source} does not compile against {release}:\n{done.stderr[-2000:]}")
    return built


def make_initramfs(work: Path, kernel: Path, loopback: Path, path: str, command: list[str]) -> Path:
    """Create an initramfs that mounts the host's root and runs a command there.

    Modules are listed in the order in which they have to be loaded: /run/modules/videodev.order and so on.
    """
    folder = work / "initramfs"
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("bin", "proc", "sys", "dev", "host", "modules"):
        (folder / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", folder / "bin" / "busybox")
    found = {path.stem.replace("-", "_"): path for path in kernel.rglob("*.ko")} | {"v4l2loopback": loopback}
    for name in (*_ROOT_MODULES, "vivid", "v4l2loopback"):
        order = list(dict.fromkeys(_in_loading_order(name, found)))
        (folder / "modules" / f"{name}.order").write_text("\n".join(order))
        for each in order:
            shutil.copy(found[each], folder / "modules" / f"{each}.ko")
    boot = dict.fromkeys(each for name in _ROOT_MODULES for each in _in_loading_order(name, found))
    init = folder / "init"
    init.write_text(INIT.format(boot=" ".join(boot), path=path, command=shlex.join(command)))
    init.chmod(0o755)
    packed = work / "initramfs.cpio"
    names = "\n".join(str(path.relative_to(folder)) for path in sorted(folder.rglob("*")))
    with packed.open("wb") as file:
        subprocess.run(
            ["busybox", "cpio", "-o", "-H", "newc"], cwd=folder, input=names.encode(), stdout=file, check=True,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
    return packed


def _in_loading_order(name: str, found: dict[str, Path]) -> Iterator[str]:
    """Yield a module after its dependencies; built-in modules are not files."""
    if name not in found:
        return
    told = re.search(rb"\0depends=([^\0]*)\0", found[name].read_bytes())
    for needed in told[1].decode().split(",") if told else ():
        yield from _in_loading_order(needed.replace("-", "_"), found)
    yield name


def boot(kernel: Path, initramfs: Path, *, memory_mb: int = 3072, log: Path | None = None) -> Iterator[str]:
    """Run the machine until it shuts down; yields the lines of its console. Raises RigError."""
    if shutil.which("qemu-system-x86_64") is None:
        raise RigError(f"QEMU is missing. Type: apt-get install {PACKAGES}")
    command = [
        "qemu-system-x86_64", "-cpu", CPU, "-smp", "2", "-m", str(memory_mb), "-nographic", "-no-reboot",
        "-nic", "none",
        "-kernel", str(next(kernel.glob("boot/vmlinuz-*"))), "-initrd", str(initramfs),
        "-append", "console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off",
        "-fsdev", "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap",
        "-device", "virtio-9p-pci,fsdev=host,mount_tag=host",
    ]  # fmt: skip
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(log.open("w")) if log is not None else sys.stderr
        machine = stack.enter_context(
            subprocess.Popen(
                ["timeout", str(TIMEOUT_S), *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, errors="replace",
            )
        )  # fmt: skip
        stack.callback(machine.terminate)
        assert machine.stdout is not None
        for line in machine.stdout:
            file.write(line)
            file.flush()
            yield line.rstrip("\r\n")
    if machine.returncode == 124:
        raise RigError(f"The machine did not come to an end within {TIMEOUT_S} s.")
