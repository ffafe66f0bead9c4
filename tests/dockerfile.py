"""A Dockerfile followed without a container engine: its RUN lines are executed, in a directory instead of at `/`.

Absolute paths of the image are rewritten to lie under that directory, in commands, in the environment and in
configuration files that are copied. Both stages share the directory, one after the other, so that what a stage builds
keeps the address it was built for. Understands what our Dockerfile uses, and refuses the rest.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

_OURS = re.compile(r"(?<![\w.])(?=/(?:opt|src|etc|var)\b)")


@dataclass
class Image:
    """What the last stage has come to."""

    root: Path
    environ: dict[str, str] = field(default_factory=dict)
    directory: str = "/"
    user: str = "root"
    volume: str = ""
    port: str = ""
    healthcheck: str = ""
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    """What has been copied from the build's context, by any stage."""

    def inside(self, path: str) -> Path:
        """Where an absolute path of the image really is."""
        return self.root / path.lstrip("/")

    def rewritten(self, text: str) -> str:
        """With the image's own absolute paths under `root`."""
        return _OURS.sub(str(self.root), text)


def follow(dockerfile: Path, directory: Path, environ: dict[str, str]) -> Image:
    """Build the image; `environ` is what the base image would give, `PATH` with a Python above all."""
    stages: dict[str, Path] = {}
    image = Image(directory / "root")
    name = ""
    for instruction, rest in _instructions(dockerfile):
        if instruction == "FROM":
            if name:
                stages[name] = image.root.rename(directory / name)
            image = Image(directory / "root", dict(environ), sources=image.sources)
            image.root.mkdir()
            name = rest.partition(" AS ")[2]
        elif instruction == "COPY":
            _copy(image, rest, dockerfile.parent, stages)
        elif instruction in {"RUN", "WORKDIR", "ENV"}:
            _build(image, instruction, rest)
        else:
            _describe(image, instruction, rest)
    return image


def _build(image: Image, instruction: str, rest: str) -> None:
    match instruction:
        case "RUN":
            cwd = image.inside(image.directory)
            subprocess.run(image.rewritten(rest), shell=True, check=True, cwd=cwd, env=image.environ)
        case "WORKDIR":
            image.directory = rest
            image.inside(rest).mkdir(parents=True, exist_ok=True)
        case "ENV":
            for pair in shlex.split(rest):
                key, _, value = pair.partition("=")
                image.environ[key] = image.rewritten(value).replace("$PATH", image.environ["PATH"])


def _describe(image: Image, instruction: str, rest: str) -> None:
    match instruction:
        case "USER":
            image.user = rest
        case "VOLUME":
            image.volume = rest
            assert image.inside(rest).is_dir()
        case "EXPOSE":
            image.port = rest
        case "HEALTHCHECK":
            image.healthcheck = rest.partition("CMD ")[2]
        case "ENTRYPOINT":
            program, *arguments = json.loads(rest)
            found = shutil.which(program, path=image.environ["PATH"])
            assert found is not None
            assert Path(found).is_relative_to(image.root)
            image.entrypoint = [found, *arguments]
        case "CMD":
            image.command = [image.rewritten(argument) for argument in json.loads(rest)]
        case _:
            assert (instruction, rest) == ("STOPSIGNAL", "SIGTERM"), f"{instruction} is not known here"


def _copy(image: Image, rest: str, context: Path, stages: dict[str, Path]) -> None:
    words = shlex.split(rest)
    options = dict(word.removeprefix("--").split("=") for word in words if word.startswith("--"))
    *sources, target = [word for word in words if not word.startswith("--")]
    source_root = stages[options["from"]] if "from" in options else context
    if "from" not in options:
        image.sources += sources
    for source in sources:
        found = source_root / source.lstrip("/")
        place = image.inside(f"{image.directory}/{target}" if target.startswith(".") else target)
        if found.is_dir():
            shutil.copytree(found, place, symlinks=True, dirs_exist_ok=True)
            continue
        if target.endswith("/"):
            place /= found.name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(found, place)
        if found.suffix == ".toml":
            place.write_text(image.rewritten(found.read_text(encoding="utf-8")), encoding="utf-8")


def _instructions(dockerfile: Path) -> list[tuple[str, str]]:
    lines = [line for line in dockerfile.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in joined.splitlines() if line.strip()]
