"""Root never runs the stack: it makes the folders, then becomes the unprivileged user for good.

The home itself stays root's, and so do the Python environment and the browser in it: the user whom the services run as
must not be able to change what root will start next time. Only the folders in `state.OWNED` are given away, through
descriptors, so that a link planted there leads nowhere.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
import sys
from pathlib import Path

from almagest.cli.stack import state
from almagest.core.errors import ConfigurationError
from almagest.core.settings import Settings


def step_down(settings: Settings, *, create: bool = False) -> None:
    """Become the user whom everything runs as, and see to it that the state is his.

    Args:
        settings: name the user and the home.
        create: make what is missing; otherwise a home without state is left alone.

    Raises:
        ConfigurationError: there is no such user, or the state belongs to somebody else.
    """
    home = settings.site.home
    state.pin(settings)
    owner = _owner(home)
    if os.geteuid() != 0:
        if owner is not None and owner.pw_uid != os.geteuid():
            raise ConfigurationError(
                f"The state in {home} belongs to the user {owner.pw_name}: run this as {owner.pw_name} or as root."
            )
        if create:
            _make_folders(settings, os.geteuid(), os.getegid())
        return
    user = _wanted_user(settings) if create or owner is None else owner
    if owner is not None and owner.pw_uid != user.pw_uid:
        raise ConfigurationError(
            f"The state in {home} belongs to the user {owner.pw_name}, not to {user.pw_name}:"
            f" set ALMAGEST_USER={owner.pw_name}, or run this as {owner.pw_name}."
        )
    if create:
        _make_folders(settings, user.pw_uid, user.pw_gid)
    _become(user, home)
    if create:
        _check_reach(user, home)


def readable_copy(settings: Settings, sample: Path) -> Path:
    """As root: the folder itself where the unprivileged user can read all of it, else a copy in the home.

    Raises:
        ConfigurationError: the copy fails.
    """
    if os.geteuid() != 0:
        return sample
    user = _wanted_user(settings)
    probe = subprocess.run(  # noqa: S603
        ["/usr/bin/find", str(sample), "!", "-type", "l", "!", "-readable", "-print", "-quit"],
        user=user.pw_uid,
        group=user.pw_gid,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        check=False,
    )
    if probe.returncode == 0 and not probe.stdout:
        return sample
    target = settings.site.home / "sample"
    try:
        settings.site.home.mkdir(parents=True, exist_ok=True, mode=0o755)
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(sample, target, ignore_dangling_symlinks=True)
    except (OSError, shutil.Error) as error:
        raise ConfigurationError(
            f"{sample} cannot be copied to {target} for the user {user.pw_name}: {error}"
        ) from None
    for path in (target, *target.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)
    return target


def _owner(home: Path) -> pwd.struct_passwd | None:
    try:
        owner = pwd.getpwuid((home / "state").stat().st_uid)
    except FileNotFoundError:
        return None
    except PermissionError:
        raise ConfigurationError(
            f"{home} cannot be read by {pwd.getpwuid(os.geteuid()).pw_name}: run this as root."
        ) from None
    # What root made and has not given away yet belongs to nobody.
    return None if owner.pw_uid == os.geteuid() == 0 else owner


def _wanted_user(settings: Settings) -> pwd.struct_passwd:
    name = settings.site.user
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        raise ConfigurationError(
            f"ALMAGEST_USER: there is no user {name!r}; `make up` makes one, or `useradd --system --user-group {name}`."
        ) from None
    if user.pw_uid == 0:
        raise ConfigurationError("ALMAGEST_USER must not be root: PostgreSQL refuses to run as root, and so do we.")
    return user


def _make_folders(settings: Settings, uid: int, gid: int) -> None:
    home = settings.site.home
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o755)
        top = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for name, mode in state.OWNED.items():
                _own_folder(top, name, mode, uid, gid)
        finally:
            os.close(top)
        if settings.run.parent != home:
            _own_run(settings.run, uid, gid)
    except OSError as error:
        raise ConfigurationError(
            f"{error.filename or home} cannot be made: {error.strerror} (ALMAGEST_HOME)."
        ) from None


def _own_folder(top: int, name: str, mode: int, uid: int, gid: int) -> None:
    try:
        os.mkdir(name, mode, dir_fd=top)
    except FileExistsError:
        created = False
    else:
        created = True
    try:
        folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=top)
    except NotADirectoryError:
        return  # a link that an operator made, to another disk say: his to look after
    try:
        if os.geteuid() == 0 and os.fstat(folder).st_uid == 0:
            os.fchown(folder, uid, gid)
        if created or name == "secrets":
            os.fchmod(folder, mode)
        if os.geteuid() == 0 and name in {"secrets", "state"}:
            _own_files(folder, uid, gid)
    finally:
        os.close(folder)


def _own_files(folder: int, uid: int, gid: int) -> None:
    # Root may have made a file here by a command of its own (a new password, say): it would be unreadable to us.
    for name in os.listdir(folder):
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        try:
            found = os.fstat(file)
            if stat.S_ISREG(found.st_mode) and found.st_uid == 0 and found.st_nlink == 1:
                os.fchown(file, uid, gid)
        finally:
            os.close(file)


def _own_run(run: Path, uid: int, gid: int) -> None:
    # It stands in /tmp under a name that anyone can guess: somebody else's folder must not be taken for ours.
    try:
        run.mkdir(mode=0o700)
        os.chown(run, uid, gid, follow_symlinks=False)
    except FileExistsError:
        found = run.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid or found.st_mode & 0o077:
            raise ConfigurationError(
                f"{run} is not a private folder of ours: remove it, or set ALMAGEST_HOME to a shorter path."
            ) from None


def _become(user: pwd.struct_passwd, home: Path) -> None:
    os.initgroups(user.pw_name, user.pw_gid)
    os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
    os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
    for name in [name for name in os.environ if name.startswith(("SUDO_", "XDG_"))]:
        del os.environ[name]
    os.environ.update(HOME=str(home), USER=user.pw_name, LOGNAME=user.pw_name)
    os.umask(0o027)
    # The folder root was in may be closed to this user; every child would stumble over it.
    os.chdir(home if os.access(home, os.X_OK) else "/")


def _check_reach(user: pwd.struct_passwd, home: Path) -> None:
    if not os.access(home / "state", os.W_OK | os.X_OK):
        raise ConfigurationError(f"The user {user.pw_name} cannot reach {home}: set ALMAGEST_HOME, or use `make up`.")
    # argv[0] of `python -m` and scripts alike is a file that will be started again by the supervisor.
    for needed in (Path(sys.executable), Path(__file__)):
        if not os.access(needed, os.R_OK):
            raise ConfigurationError(f"The user {user.pw_name} cannot read {needed}: use `make up`, which copies it.")
