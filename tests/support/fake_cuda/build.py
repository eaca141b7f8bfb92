"""Builds the libraries of the fake runtime, with what a CUDA provider needs of each.

`python -m tests.support.fake_cuda.build FOLDER` builds them for the installed onnxruntime-gpu.
"""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

_HERE = Path(__file__).parent


class Library(NamedTuple):
    """A library of CUDA: its name for the loader, its source, and the prefixes of its symbols."""

    soname: str
    source: str | None
    prefixes: tuple[str, ...]
    is_versioned: bool = True


LIBRARIES = (
    Library("libcudart.so.13", "cudart.c", ("cuda", "__cuda")),
    Library("libcublasLt.so.13", "blas.c", ("cublasLt",)),
    Library("libcublas.so.13", "blas.c", ("cublas",)),
    Library("libcudnn.so.9", "cudnn.c", ("cudnn",), is_versioned=False),  # opened by name
    Library("libcurand.so.10", None, ("curand",), is_versioned=False),
    Library("libcuda.so.1", None, ("cu",), is_versioned=False),  # last: all others begin so
)


def build_fake_cuda(provider: Path, folder: Path) -> None:
    """Compile the libraries into `folder`.

    A symbol that the provider needs and the sources lack succeeds without doing anything.

    Args:
        provider: libonnxruntime_providers_cuda.so.
        folder: Folder for LD_LIBRARY_PATH.
    """
    folder.mkdir(parents=True, exist_ok=True)
    by_name = re.findall(rb"\b(cudnn[A-Z]\w+)\0", provider.read_bytes())
    missing = _symbols(provider, "--undefined-only") | {name.decode() for name in by_name}
    for library in LIBRARIES:
        owned = {name for name in missing if name.startswith(library.prefixes)}
        missing -= owned
        _build(library, owned, folder)


def _build(library: Library, needed: set[str], folder: Path) -> None:
    name = library.soname.partition(".")[0]
    objects = []
    if library.source is not None:
        objects.append(folder / f"{name}.o")
        _run("gcc", "-c", "-fPIC", "-O1", "-Wall", "-o", objects[0], _HERE / library.source)
    defined = _symbols(objects[0], "--defined-only") if objects else set()
    stubs = folder / f"{name}_stubs.c"
    functions = [f"int {each}(void) {{ return 0; }}\n" for each in sorted(needed - defined)]
    stubs.write_text("".join(functions) or "int fake_cuda_is_empty;\n")
    names = " ".join(f"{each};" for each in sorted(needed | defined))
    script = folder / f"{name}.map"
    tag = library.soname if library.is_versioned else ""
    script.write_text(f"{tag} {{ global: {names or 'fake_cuda_is_empty;'} local: *; }};\n")
    others = [folder / "libcudart.so.13"] if library.source not in (None, "cudart.c") else []
    options = ["-shared", "-fPIC", f"-Wl,-soname,{library.soname}"]
    options += [f"-Wl,--version-script={script}", "-o", str(folder / library.soname)]
    _run("gcc", *options, *objects, stubs, *others)


def _symbols(path: Path, which: str) -> set[str]:
    """Names of a library's symbols or of an object's, without their versions."""
    dynamic = [] if path.suffix == ".o" else ["-D"]
    listed = _run("nm", *dynamic, which, path).stdout.splitlines()
    wanted = {"U", "w"} if which == "--undefined-only" else {"T"}
    fields = [line.split() for line in listed]
    return {field[-1].partition("@")[0] for field in fields if field[-2] in wanted}


def _run(*command: object) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in command]
    return subprocess.run(words, check=True, capture_output=True, text=True)


def _provider() -> Path:
    """The CUDA provider of the installed onnxruntime-gpu."""
    found = find_spec("onnxruntime")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "capi" / "libonnxruntime_providers_cuda.so"


if __name__ == "__main__":
    build_fake_cuda(_provider(), Path(sys.argv[1]))
