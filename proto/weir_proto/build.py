"""Makes the Python code of every .proto file of this package.

``python -m weir_proto.build`` writes the code beside its source; with ``--check`` it writes nothing and
exits 1 when the code there is not what the sources make. Needs grpcio-tools, a development dependency.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

PACKAGE: Final = Path(__file__).resolve().parent
_GENERATED: Final = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py")
_POOL_IMPORT: Final = "from google.protobuf import descriptor_pool as _descriptor_pool\n"
_OUR_POOL_IMPORT: Final = "from weir_proto.pool import POOL as _POOL\n"


class BuildError(Exception):
    """The code could not be made; the message says by whom and why."""


def generate(package: Path) -> dict[str, str]:
    """The text of every generated file, by file name.

    Args:
        package: Folder of the .proto files; its name is the package that the generated imports use.

    Raises:
        BuildError: protoc refused a source (its words are on stderr), or its output has changed shape.
    """
    with tempfile.TemporaryDirectory() as scratch:
        _run_protoc(package, scratch)
        made = sorted(Path(scratch, package.name).iterdir())
        return {file.name: _in_our_pool(file.name, file.read_text("utf-8")) for file in made}


def stale(package: Path, wanted: Mapping[str, str]) -> list[str]:
    """Names of generated files in the package that are missing, differ from ``wanted`` or have no source."""
    present = {file.name: file.read_text("utf-8") for glob in _GENERATED for file in package.glob(glob)}
    return sorted(name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name))


def write(package: Path, wanted: Mapping[str, str]) -> list[str]:
    """Bring the package's generated files to ``wanted``; returns the names written or removed."""
    names = stale(package, wanted)
    for name in names:
        if name in wanted:
            (package / name).write_text(wanted[name], "utf-8")
        else:
            (package / name).unlink()
    return names


def _run_protoc(package: Path, output: str) -> None:
    sources = sorted(str(file) for file in package.glob("*.proto"))
    into = [f"--{kind}_out={output}" for kind in ("python", "pyi", "grpc_python")]
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{package.parent}", *into, *sources]
    if subprocess.run(command, check=False).returncode != 0:  # noqa: S603 - a fixed command on our own files
        raise BuildError(f"protoc failed on the .proto files in {package}; its message is above")


def _in_our_pool(name: str, code: str) -> str:
    """Register a message module in ``weir_proto.pool``, where foreign modules cannot clash with it."""
    if not name.endswith("_pb2.py"):
        return code
    default = "_descriptor_pool.Default()"
    if code.count(_POOL_IMPORT) != 1 or code.count(default) != 1:
        raise BuildError(f"{name}: this grpcio-tools takes its descriptor pool otherwise; mend build.py")
    return code.replace(_POOL_IMPORT, _OUR_POOL_IMPORT).replace(default, "_POOL")


def main(arguments: Sequence[str] | None = None, package: Path = PACKAGE) -> int:
    """Run the command; returns its exit code: 0 current or made current, 1 not current or not made."""
    parser = argparse.ArgumentParser(prog="python -m weir_proto.build", description="Make the protocol code.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when not current")
    check = parser.parse_args(arguments).check
    try:
        wanted = generate(package)
    except BuildError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if not check:
        sys.stdout.writelines(f"wrote {name}\n" for name in write(package, wanted))
        return 0
    names = stale(package, wanted)
    sys.stderr.writelines(f"not current: {name}; run `python -m weir_proto.build`\n" for name in names)
    return 1 if names else 0


if __name__ == "__main__":
    sys.exit(main())
