"""Sizes of modules, classes and functions, and what lies at the root of the runtime."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRODUCT = ("deploy", "export", "graphs", "runtime")
MEASURED = (*PRODUCT, "benchmarks")

MAX_MODULE_LINES = 230
MAX_FUNCTION_LINES = 40  # of the body, without the docstring
MAX_CLASS_LINES = 220
MAX_ROOT_MODULES = 5  # of runtime/, beside its packages
# 16,497 once; training, protection from abuse, the conformance kit, clusters and GPUs came since.
MAX_PRODUCT_LINES = 31_500


@dataclass(frozen=True)
class Size:
    """A module, class or function and its number of lines."""

    name: str
    lines: int


def modules(folders: tuple[str, ...] = MEASURED) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def sizes_of_modules() -> list[Size]:
    return [Size(name_of(path), len(path.read_text("utf-8").splitlines())) for path in modules()]


def nodes(*kinds: type[ast.AST]) -> Iterator[tuple[Path, ast.AST]]:
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, kinds):
                yield path, node


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from the first statement after the docstring to the last one."""
    statements = function.body[1:] if ast.get_docstring(function) is not None else function.body
    if not statements:
        return 0
    return (statements[-1].end_lineno or 0) - statements[0].lineno + 1


def sizes_of_functions() -> list[Size]:
    return [
        Size(f"{name_of(path)}:{node.name}", body_lines(node))
        for path, node in nodes(ast.FunctionDef, ast.AsyncFunctionDef)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def sizes_of_classes() -> list[Size]:
    return [
        Size(f"{name_of(path)}:{node.name}", (node.end_lineno or 0) - node.lineno + 1)
        for path, node in nodes(ast.ClassDef)
        if isinstance(node, ast.ClassDef)
    ]


@pytest.mark.parametrize(
    ("what", "sizes", "limit"),
    [
        ("modules", sizes_of_modules(), MAX_MODULE_LINES),
        ("functions", sizes_of_functions(), MAX_FUNCTION_LINES),
        ("classes", sizes_of_classes(), MAX_CLASS_LINES),
    ],
    ids=["modules", "functions", "classes"],
)
def test_nothing_is_longer_than_its_limit(
    what: str, sizes: list[Size], limit: int, record_property
) -> None:
    longest = max(sizes, key=lambda size: size.lines)
    count = f"{len(sizes)} {what}, the longest {longest.lines} of at most {limit} lines"
    record_property("layout", f"{count} ({longest.name})")
    assert [size for size in sizes if size.lines > limit] == []


def test_the_root_of_the_runtime_holds_few_modules(record_property) -> None:
    names = sorted(path.name for path in (ROOT / "runtime").glob("*.py"))
    record_property("layout", f"root of runtime/: {', '.join(names)}")
    assert len(names) <= MAX_ROOT_MODULES


def test_the_product_stays_small(record_property) -> None:
    lines = sum(len(path.read_text("utf-8").splitlines()) for path in modules(PRODUCT))
    record_property("layout", f"{lines} lines in {', '.join(PRODUCT)}, at most {MAX_PRODUCT_LINES}")
    assert lines <= MAX_PRODUCT_LINES


def test_a_function_is_measured_without_its_docstring() -> None:
    (function,) = ast.parse(
        'def f():\n    """One.\n\n    Two.\n    """\n    a = 1\n\n    b = 2\n'
    ).body
    assert isinstance(function, ast.FunctionDef)
    assert body_lines(function) == 3
