"""Prose of docstrings, comments, messages, help and pages: words and forms that are not used."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("deploy", "export", "graphs", "runtime", "benchmarks")
PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "docs/*.md")

# Archaic words, human verbs for code, and cleft negations.
DENIED = re.compile(
    r"\b(shall|hears?|heard|told|tells?|nobody|somebody|whoever|anybody|everybody|"
    r"is no (?!longer|more|fewer)[a-z]+|are no (?!longer|more)[a-z]+|there is none|by now|"
    r"leaves? \w+ away)\b",
    re.IGNORECASE,
)
# The glossary's former words.
FORMER = re.compile(
    r"\b(recipes?|takes? of a|the floor|desks?|seats?|lobby|pieces?(?! of)|--cast|--together|"
    r"--takes|--stop-babble|max_rows|max-rows|babbl\w+)\b"
)
# An Args entry begins with a noun phrase.
DANGLING = re.compile(r"^\s+\*{0,2}\w+: (of|how|whose|likewise|by|that|what|as|to|in|on|at)\b")


class Prose(NamedTuple):
    """A piece of text and where it stands."""

    place: str
    text: str


def strings_of_users(tree: ast.AST) -> Iterator[ast.Constant]:
    """Strings in raised errors, warnings, and help texts."""
    for node in ast.walk(tree):
        is_raise = isinstance(node, ast.Raise) and node.exc is not None
        is_help = isinstance(node, ast.keyword) and node.arg in ("help", "description", "summary")
        name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        is_call = name.endswith(("Error", "warn", "echo"))
        if is_raise or is_help or is_call:
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part


def prose_of_code(path: Path) -> Iterator[Prose]:
    name, source = path.relative_to(ROOT).as_posix(), path.read_text("utf-8")
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node, clean=False)
            if text:
                line = getattr(node, "lineno", 1)
                yield Prose(f"{name}:{line}", text)
    for constant in strings_of_users(tree):
        yield Prose(f"{name}:{constant.lineno}", str(constant.value))
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield Prose(f"{name}:{token.start[0]}", token.string)


def prose_of_pages() -> Iterator[Prose]:
    for pattern in PAGES:
        for path in sorted(ROOT.glob(pattern)):
            for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
                yield Prose(f"{path.relative_to(ROOT).as_posix()}:{number}", line)


def code() -> list[Path]:
    return sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


def violations(texts: Iterator[Prose], pattern: re.Pattern[str]) -> list[str]:
    return sorted(
        {
            f"{prose.place}: {match.group().strip()}"
            for prose in texts
            for line in prose.text.splitlines()
            for match in pattern.finditer(line)
        }
    )


@pytest.mark.parametrize("pattern", [DENIED, FORMER], ids=["denied", "former"])
def test_code_uses_no_denied_words(pattern: re.Pattern[str]) -> None:
    assert [place for path in code() for place in violations(prose_of_code(path), pattern)] == []


@pytest.mark.parametrize("pattern", [DENIED, FORMER], ids=["denied", "former"])
def test_pages_use_no_denied_words(pattern: re.Pattern[str]) -> None:
    assert violations(prose_of_pages(), pattern) == []


def test_arguments_are_described_by_noun_phrases() -> None:
    assert [place for path in code() for place in violations(prose_of_code(path), DANGLING)] == []


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ('"""What shall be done."""', ["shall"]),
        ('raise ValueError(f"{x} is no bundle")', ["is no bundle"]),
        ('option("--x", help="Whoever speaks.")', ["Whoever"]),
        ("# tells the caller\nx = 1", ["tells"]),
        ('warnings.warn("nobody listens")', ["nobody"]),
    ],
)
def test_the_rule_finds_denied_words(source: str, words: list[str], tmp_path: Path) -> None:
    path = ROOT / "graphs" / "errors.py"
    found = []

    class Source(type(path)):  # type: ignore[misc]
        def read_text(self, *_: object, **__: object) -> str:
            return source

    found = violations(prose_of_code(Source(path)), DENIED)
    assert [place.rsplit(": ", 1)[1] for place in found] == words
