"""Peers: installed into folders of their own, and imported side by side.

asgiref, asgire and this project's asgiref-meta all install a package named ``asgiref``. Each peer therefore
goes into its own folder, and is taken out of ``sys.modules`` again as soon as it is imported; it keeps
working, because its modules hold references to each other.
"""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from types import ModuleType


class Peer(NamedTuple):
    requirements: tuple[str, ...]
    modules: tuple[str, ...]
    stays: bool = False
    """It imports by name later on, so it stays importable. Not for one whose name another peer has, too."""


# name -> what to install, what to import. The first module is the one that load_peer() returns.
PEERS: dict[str, Peer] = {
    "asgiref": Peer(
        ("asgiref==3.13.0",),
        ("asgiref", "asgiref.local", "asgiref.sync", "asgiref.server", "asgiref.testing", "asgiref.wsgi"),
    ),
    "asgire": Peer(
        ("asgire==3.13.0",),
        ("asgiref", "asgiref.local", "asgiref.sync", "asgiref.server", "asgiref.testing", "asgiref.wsgi"),
    ),
    "werkzeug": Peer(("werkzeug==3.1.*",), ("werkzeug.local",)),
    "anyio": Peer(("anyio==4.*",), ("anyio", "anyio.to_thread", "anyio.from_thread"), stays=True),
    "a2wsgi": Peer(("a2wsgi==1.10.*",), ("a2wsgi",)),
    "starlette": Peer(("starlette==0.*",), ("starlette", "starlette.middleware.wsgi")),
    "uvicorn": Peer(("uvicorn==0.*",), ("uvicorn", "uvicorn.middleware.wsgi")),
    "hypercorn": Peer(("hypercorn==0.*",), ("hypercorn", "hypercorn.app_wrappers")),
    "uvloop": Peer(("uvloop==0.*",), ("uvloop",), stays=True),
}


def cache_folder() -> Path:
    """Return the folder for installed peers: in tox's environment, else beside the benchmarks."""
    inside = os.environ.get("TOX_ENV_DIR")
    root = Path(inside) if inside else Path(__file__).parents[1] / ".cache"
    return root / "peers" / f"{sys.implementation.cache_tag}{getattr(sys, 'abiflags', '')}"


def peer_folder(name: str) -> Path:
    """Return the folder that has *name* in it, once it is installed."""
    return cache_folder() / "-".join(PEERS[name].requirements).replace("*", "x").replace("==", "-")


def install_peer(name: str) -> Path:
    """Return the folder that has *name* in it; installs it if it is not there yet, downloads only then."""
    requirements = PEERS[name].requirements
    folder = peer_folder(name)
    if folder.is_dir():
        return folder
    # Installed beside and renamed: an interrupted installation leaves nothing that looks complete.
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    uv = shutil.which("uv")
    installer = (
        [uv, "pip", "install", "--python", sys.executable] if uv else [sys.executable, "-m", "pip", "install"]
    )
    # Nothing is built: what has no wheel for an interpreter is nothing that its users install.
    installer += ["--only-binary", ":all:"]
    subprocess.run([*installer, "--quiet", "--target", str(partial), *requirements], check=True)
    partial.rename(folder)
    return folder


def load_peer(name: str) -> ModuleType:
    """Import *name* from its own folder; its modules do not stay in ``sys.modules``, unless the peer needs it.

    The module carries its modules as attributes, as usual: ``load_peer("asgiref").sync.sync_to_async``.

    Raises:
        KeyError: no such peer; see ``PEERS``.
        subprocess.CalledProcessError: the peer could not be installed.
    """
    peer = PEERS[name]
    folder = str(install_peer(name))
    if peer.stays:
        if folder not in sys.path:
            sys.path.append(folder)
        for module in peer.modules:
            importlib.import_module(module)
        return sys.modules[peer.modules[0]]
    tops = {module.partition(".")[0] for module in peer.modules}
    ours = {key: module for key, module in sys.modules.items() if key.partition(".")[0] in tops}
    for key in ours:
        del sys.modules[key]
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    try:
        loaded = [importlib.import_module(module) for module in peer.modules]
    finally:
        sys.path.remove(folder)
        for key in [key for key in sys.modules if key.partition(".")[0] in tops]:
            del sys.modules[key]
        sys.modules.update(ours)
    if not (loaded[0].__file__ or "").startswith(folder):
        raise ImportError(f"{name} came from {loaded[0].__file__}, not from {folder}")
    return loaded[0]


def installed_version(name: str) -> str:
    """Return the version of a peer that is installed."""
    for metadata in install_peer(name).glob("*.dist-info/METADATA"):
        fields = dict(
            line.split(": ", 1)
            for line in metadata.read_text(encoding="utf-8").split("\n\n")[0].splitlines()
            if ": " in line
        )
        if fields["Name"].lower() == name:
            return fields["Version"]
    raise LookupError(f"{name} is not installed")
