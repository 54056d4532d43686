"""Programs in JavaScript. Node comes with the Python packages; what it needs of npm is installed beside them."""

import os
import pathlib
import subprocess
import sys

PROGRAMS = pathlib.Path(sys.executable).parent


def modules(*packages):
    """The folder of packages like `name@1.2.3`, made beside the Python packages if it is not there."""
    name = "+".join(package.strip("@").replace("/", "-") for package in packages)
    home = pathlib.Path(sys.prefix) / "node" / name
    if not (home / "finished").exists():
        home.mkdir(parents=True, exist_ok=True)
        install = [str(PROGRAMS / "npm"), "install", "--prefix", str(home), "--no-audit", "--no-fund", *packages]
        done = subprocess.run(install, env=environment(), capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"npm cannot install {packages}:\n{done.stdout}{done.stderr}")
        (home / "finished").touch()
    return home / "node_modules"


def environment(**more):
    return {**os.environ, "PATH": os.pathsep.join([str(PROGRAMS), os.environ.get("PATH", "")]), **more}


def started(script, argument, *packages):
    """A process that runs a script with an argument."""
    command = [str(PROGRAMS / "node"), str(script), argument]
    settings = environment(NODE_PATH=str(modules(*packages)))
    return subprocess.Popen(
        command, env=settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
