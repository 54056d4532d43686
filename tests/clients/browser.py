"""Chromium for tests: a build that needs the C library alone and comes by npm, so that nothing has to be installed for it."""

import io
import pathlib
import tarfile

import brotli

import node

PACKAGE = "@sparticuz/chromium@153.0.0"


def chromium():
    """Its program, and the environment in which it finds its libraries and fonts."""
    home = node.modules(PACKAGE).parent / "unpacked"
    if not (home / "finished").exists():
        packed = node.modules(PACKAGE) / "@sparticuz" / "chromium" / "bin"
        home.mkdir(parents=True, exist_ok=True)
        for archive in ("al2023.tar.br", "fonts.tar.br"):
            with tarfile.open(fileobj=io.BytesIO(unpacked(packed / archive))) as files:
                files.extractall(home / archive.split(".")[0])
        (home / "chromium").write_bytes(unpacked(packed / "chromium.br"))
        (home / "chromium").chmod(0o755)
        (home / "finished").touch()
    places = {"LD_LIBRARY_PATH": str(home / "al2023" / "lib"), "FONTCONFIG_PATH": str(home / "fonts")}
    return str(home / "chromium"), node.environment(**places)


def unpacked(path: pathlib.Path):
    return brotli.decompress(path.read_bytes())
