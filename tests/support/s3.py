"""A real S3 service, Ceph's, for what a stand-in would get wrong: signatures, and when they end.

One monitor, one store in memory, one gateway, all on loopback under one folder. Debian's `radosgw`, `ceph-mon` and
`ceph-osd` must be installed; nothing is installed here.
"""

from __future__ import annotations

import base64
import contextlib
import email.utils
import hmac
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from support.cluster import free_port

PROGRAMS = ("radosgw", "radosgw-admin", "ceph", "ceph-mon", "ceph-osd", "ceph-authtool", "monmaptool")
#: One of three starts fails for no reason that is ours.
ATTEMPTS = 5

_CONFIGURATION = """\
[global]
fsid = {fsid}
mon_host = [v2:127.0.0.1:{monitor}]
mon_initial_members = a
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
keyring = {folder}/keyring
osd_objectstore = memstore
memstore_device_bytes = 1073741824
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
mon_data = {folder}/mon
osd_data = {folder}/osd
run_dir = {folder}
admin_socket = {folder}/$name.asok
log_file = {folder}/$name.log
rgw_data = {folder}/rgw
rgw_frontends = beast endpoint=127.0.0.1:{gateway}
rgw_enable_apis = s3
"""


def missing() -> list[str]:
    """Programs that are not installed."""
    return [program for program in PROGRAMS if shutil.which(program) is None]


@dataclass(frozen=True)
class Bucket:
    """A bucket, and the keys of who owns it."""

    endpoint: str
    name: str
    access: str
    secret: str


@contextlib.contextmanager
def bucket(folder: Path) -> Iterator[Bucket]:
    """A running service with an empty bucket. The folder's name must be short: sockets lie in it."""
    processes: list[subprocess.Popen[bytes]] = []
    try:
        yield _again(lambda: _start(folder / uuid.uuid4().hex[:6], processes), processes)
    finally:
        _stop(processes)


def _start(folder: Path, processes: list[subprocess.Popen[bytes]]) -> Bucket:
    for name in ("", "mon", "osd", "rgw"):
        (folder / name).mkdir()
    fsid, osd, monitor, gateway = str(uuid.uuid4()), str(uuid.uuid4()), free_port(), free_port()
    configuration = folder / "ceph.conf"
    configuration.write_text(
        _CONFIGURATION.format(folder=folder, fsid=fsid, monitor=monitor, gateway=gateway), encoding="utf-8"
    )

    def run(program: str, *arguments: str) -> None:
        subprocess.run([program, "-c", configuration, *arguments], check=True, capture_output=True, timeout=30)

    def start(program: str, *arguments: str) -> None:
        with (folder / f"{program}.out").open("w") as out:
            command = [program, "-c", configuration, "-f", *arguments]
            processes.append(subprocess.Popen(command, stdout=out, stderr=out))

    keyring = str(folder / "keyring")
    for name, mon in (("mon.", "*"), ("client.admin", "*"), ("client.rgw", "*"), ("osd.0", "profile osd")):
        new = [] if (folder / "keyring").exists() else ["--create-keyring"]
        caps = ("--cap", "mon", f"allow {mon}", "--cap", "osd", "allow *")
        run("ceph-authtool", keyring, *new, "--gen-key", "-n", name, *caps)
    address = f"[v2:127.0.0.1:{monitor}]"
    run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", address, str(folder / "monmap"))
    run("ceph-mon", "--mkfs", "-i", "a", "--monmap", str(folder / "monmap"), "--keyring", keyring)
    start("ceph-mon", "-i", "a")
    run("ceph", "--connect-timeout", "20", "osd", "new", osd, "0")
    run("ceph-osd", "--mkfs", "-i", "0", "--osd-uuid", osd)
    start("ceph-osd", "-i", "0")
    start("radosgw", "-n", "client.rgw")
    endpoint = f"http://127.0.0.1:{gateway}"
    _wait(endpoint, processes)
    made = Bucket(endpoint, "almagest-test", "access", "secret-of-the-bucket")
    keys = ("--access-key", made.access, "--secret-key", made.secret)
    run("radosgw-admin", "user", "create", "--uid", "test", "--display-name", "test", *keys)
    # By the old way to sign, which is short and good enough to make a bucket.
    date = email.utils.formatdate(usegmt=True)
    digest = hmac.digest(made.secret.encode(), f"PUT\n\n\n{date}\n/{made.name}".encode(), "sha1")
    headers = {"Date": date, "Authorization": f"AWS {made.access}:{base64.b64encode(digest).decode()}"}
    httpx.put(f"{endpoint}/{made.name}", headers=headers, trust_env=False, timeout=30).raise_for_status()
    return made


def _again(make: Callable[[], Bucket], processes: list[subprocess.Popen[bytes]]) -> Bucket:
    for attempt in range(ATTEMPTS):
        try:
            return make()
        except (subprocess.SubprocessError, TimeoutError, httpx.HTTPError):
            _stop(processes)
            if attempt == ATTEMPTS - 1:
                raise
    raise AssertionError


def _wait(endpoint: str, processes: list[subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + 40
    while all(process.poll() is None for process in processes) and time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            httpx.get(endpoint, trust_env=False)
            return
        time.sleep(0.1)
    raise TimeoutError("the gateway does not answer")


def _stop(processes: list[subprocess.Popen[bytes]]) -> None:
    while processes:
        process = processes.pop()
        process.kill()  # nothing in it is to be kept
        process.wait(20)
