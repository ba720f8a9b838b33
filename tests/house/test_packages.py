import ast
import statistics
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

PACKAGES = Path("src/chexpert")


def modules(tracked: list[Path]) -> list[Path]:
    return [path for path in tracked if path.is_relative_to(PACKAGES) and path.suffix == ".py"]


def lines(problems: Mapping[Path | str, str]) -> str:
    return "\n".join(f"{place}: {problem}" for place, problem in problems.items())


def test_no_file_is_longer_than_400_lines_and_the_median_is_under_120(root: Path, tracked: list[Path]) -> None:
    """A file stays a thing that one can read at once."""
    lengths = {path: len((root / path).read_text().splitlines()) for path in modules(tracked)}
    assert {path: length for path, length in lengths.items() if length > 400} == {}
    assert statistics.median(lengths.values()) < 120


def test_nothing_is_called_utils(tracked: list[Path]) -> None:
    """A name says what is inside."""
    empty_words = {"utils.py", "util.py", "helpers.py", "misc.py", "common.py", "utils", "helpers"}
    assert [path for path in tracked if empty_words & set(path.parts)] == []


def public_names(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if is_annotated(node) else []
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            names: list[str] = ast.literal_eval(node.value)
            return names
    return None


def is_annotated(node: ast.stmt) -> bool:
    return isinstance(node, ast.AnnAssign)


def test_every_package_opens_with_a_charter_that_names_its_modules(root: Path, tracked: list[Path]) -> None:
    """An `__init__` says what the package is, lists exactly its modules and packages, and holds nothing else."""
    found = modules(tracked)
    inits = [path for path in found if path.name == "__init__.py" and path.parent != PACKAGES]
    folders = {path.parent for path in found}
    assert folders - {path.parent for path in inits} - {PACKAGES} == set()
    problems = {}
    for path in inits:
        tree = ast.parse((root / path).read_text())
        inside = {p.stem for p in found if p.parent == path.parent} - {"__init__"}
        inside |= {folder.name for folder in folders if folder.parent == path.parent}
        charter, names = ast.get_docstring(tree) or "", public_names(tree)
        if len(charter.split()) < 10:
            problems[path] = "no charter"
        elif names is None or set(names) != inside or len(names) != len(set(names)):
            problems[path] = f"__all__ differs from the modules by {set(names or ()) ^ inside}"
        elif len(tree.body) != 2:
            problems[path] = "more than a charter and __all__"
    assert not problems, lines(problems)


def test_every_module_says_what_it_is_and_what_is_public(root: Path, tracked: list[Path]) -> None:
    """A docstring and an `__all__` whose names exist."""
    problems = {}
    for path in modules(tracked):
        if path.name in {"__init__.py", "__main__.py"} or "migrations" in path.parts:
            continue
        tree = ast.parse((root / path).read_text())
        names = public_names(tree)
        if not ast.get_docstring(tree):
            problems[path] = "no docstring"
        elif names is None:
            problems[path] = "no __all__"
        elif missing := set(names) - defined(tree):
            problems[path] = f"__all__ names {missing}, which are not there"
    assert not problems, lines(problems)


def defined(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
    return names


COMMANDS = PACKAGES / "cli"
"""Where a module may also add commands to a group: typer knows no other way."""


MAIN = "__name__ == '__main__'"


def test_nothing_runs_on_import(root: Path, tracked: list[Path]) -> None:
    """At the top of a module stand imports, definitions and constants; no call for its effect, no loop, no `with`."""
    quiet = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
    loud = {}
    for path in modules(tracked):
        if path.name == "__main__.py":
            continue
        allowed = (*quiet, ast.Expr, ast.For) if path.is_relative_to(COMMANDS) else quiet
        for node in ast.parse((root / path).read_text()).body:
            is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            is_elsewhere = isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", MAIN}
            if not (isinstance(node, allowed) or is_text or is_elsewhere):
                loud[f"{path}:{node.lineno}"] = ast.unparse(node)[:60]
    assert not loud, lines(loud)


@pytest.mark.parametrize(
    ("package", "heavy"),
    [
        ("chexpert.domain", ("numpy", "pyarrow", "httpx")),
        ("chexpert.imaging", ("torch", "pyarrow", "httpx", "onnxruntime")),
        ("chexpert.simulator", ("torch", "kserve", "mlflow", "fastapi", "sqlalchemy")),
        ("chexpert.cli", ("torch", "kserve", "mlflow", "pyarrow", "fastapi", "evidently", "lightning")),
    ],
)
def test_importing_a_package_starts_nothing_and_loads_no_heavy_part(package: str, heavy: tuple[str, ...]) -> None:
    """All its modules together leave one thread, no child process and none of what it must not need."""
    code = f"""
import importlib, pkgutil, sys, threading
package = importlib.import_module({package!r})
for module in pkgutil.walk_packages(package.__path__, {package!r} + "."):
    importlib.import_module(module.name)
loaded = [name for name in {heavy!r} if name in sys.modules]
print(len(threading.enumerate()), *loaded)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["1"]


def test_every_test_says_its_property(root: Path, tracked: list[Path]) -> None:
    """The docstring of a test is what holds, so that a failure reads as what no longer holds."""
    silent = []
    for path in tracked:
        if not (path.is_relative_to("tests") and path.name.startswith("test_") and path.suffix == ".py"):
            continue
        for node in ast.walk(ast.parse((root / path).read_text())):
            is_test = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
            if is_test and not ast.get_docstring(node):
                silent.append(f"{path}:{node.lineno} {node.name}")
    assert not silent, "\n".join(silent)
