"""The package as installed: names, docstrings, import, panics, the audit of `unsafe` (P1, M6).

The public names have NumPy-style docstrings whose examples run. An import is silent, starts no
thread and loads nothing but NumPy and the standard library. A panic in the core is an ordinary
exception. `unsafe` occurs in three places of the sources only, and every occurrence says why it is
sound.
"""

from __future__ import annotations

import contextlib
import doctest
import inspect
import io
import os
import re
import warnings
from importlib import import_module
from pathlib import Path

import pytest

import ironprop
from processes import run_python

ROOT = Path(__file__).parents[1]

# Names and docstrings -----------------------------------------------------------------------------


# Those that users see, and those that hold the layers of `Network`.
MODULES = [
    ironprop,
    *(ironprop.callbacks, ironprop.history, ironprop.losses, ironprop.metrics, ironprop.network),
    *(ironprop.notebook, ironprop.optimizers, ironprop.schedules),
]
LAYERS = [import_module(f"ironprop.{name}") for name in ("_model", "_passes", "_training")]


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.__name__)
def test_all_public_names_exist_once(module):
    assert len(set(module.__all__)) == len(module.__all__)
    for name in module.__all__:
        assert hasattr(module, name), name


def test_the_names_of_the_notebook_are_there():
    assert set(ironprop.notebook.__all__) == {
        *("forward_pass", "backward_pass", "sig", "dsig", "mse", "dmse", "train", "initialize"),
    }
    for name in ("forward_pass", "backward_pass", "train"):
        assert getattr(ironprop, name) is getattr(ironprop.notebook, name)
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", ironprop.__version__)


FUNCTIONS = [getattr(ironprop.notebook, name) for name in ironprop.notebook.__all__]


FUNCTIONS += [getattr(ironprop.metrics, name) for name in ironprop.metrics.__all__]
METHODS = [
    method
    for name, method in inspect.getmembers(ironprop.Network, inspect.isfunction)
    if not name.startswith("_")
]
METHODS += [ironprop.History.plot, ironprop.History.to_dict]
NOTHING = [ironprop.notebook.backward_pass, ironprop.Network.apply_gradients]  # returned


@pytest.mark.parametrize(
    "function", [*FUNCTIONS, *METHODS, ironprop.show_config], ids=lambda f: f.__qualname__
)
def test_every_function_has_a_docstring_with_all_its_parameters(function):
    text = inspect.getdoc(function)
    assert text
    assert text.splitlines()[0].endswith(".")
    sections = re.findall(r"^(\w+)\n-+$", text, flags=re.MULTILINE)
    parameters = [name for name in inspect.signature(function).parameters if name != "self"]
    if parameters:
        assert "Parameters" in sections
        body = re.split(r"^Parameters\n-+$", text, flags=re.MULTILINE)[1]
        for name in parameters:
            # with its type, or as for another function
            assert re.search(rf"^(\w+, )*{name}(, \w+)*( : |$)", body, flags=re.MULTILINE), name
    if function not in NOTHING:
        assert "Returns" in sections
    assert "Examples" in sections
    assert "Raises" in sections or not parameters


CLASSES = [
    ironprop.Network,
    ironprop.EarlyStopping,
    *(ironprop.losses.Huber, ironprop.losses.Quantile),
    *(getattr(ironprop.optimizers, name) for name in ironprop.optimizers.__all__),
    *(getattr(ironprop.schedules, n) for n in ironprop.schedules.__all__ if n != "Schedule"),
]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__qualname__)
def test_every_class_has_a_docstring_with_all_its_parameters(cls):
    text = inspect.getdoc(cls)
    sections = re.findall(r"^(\w+)\n-+$", text, flags=re.MULTILINE)
    assert {"Parameters", "Raises", "Examples"} <= set(sections)
    body = re.split(r"^Parameters\n-+$", text, flags=re.MULTILINE)[1]
    for name in inspect.signature(cls).parameters:
        assert re.search(rf"^(\w+, )*{name}(, \w+)*( : |$)", body, flags=re.MULTILINE), name
    for name, value in inspect.getmembers(cls, lambda value: isinstance(value, property)):
        assert name.startswith("_") or value.__doc__, name


@pytest.mark.parametrize("module", [*MODULES, *LAYERS], ids=lambda m: m.__name__)
def test_the_examples_of_the_docstrings_run(module):
    finder = doctest.DocTestFinder(exclude_empty=True)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    report = io.StringIO()
    with contextlib.redirect_stdout(report):
        for example in finder.find(module, module.__name__):
            runner.run(example)
    results = runner.summarize(verbose=False)
    assert results.failed == 0, report.getvalue()
    if module is ironprop.notebook:
        assert results.attempted >= 15


def test_the_example_of_show_config_runs():
    example = doctest.DocTestParser().get_doctest(
        ironprop.show_config.__doc__, {}, "show_config", None, 0
    )
    assert example.examples
    report = io.StringIO()
    results = doctest.DocTestRunner().run(example, out=report.write)
    assert results.failed == 0, report.getvalue()


def test_the_package_is_typed():
    folder = Path(ironprop.__file__).parent
    assert (folder / "py.typed").exists()
    assert (folder / "_core.pyi").exists()


def test_show_config_says_what_runs():
    config = ironprop.show_config()
    assert set(config) == {"version", "profile", "level", "levels", "threads"}
    assert config["version"] == ironprop.__version__
    assert config["profile"] in {"release", "debug"}
    assert config["level"] in config["levels"]
    assert config["levels"][0] == "portable"
    assert set(config["levels"]) <= {"portable", "avx2", "avx512", "neon"}
    assert isinstance(config["threads"], int)
    assert config["threads"] >= 1
    config["levels"].append("changed")
    assert "changed" not in ironprop.show_config()["levels"]


# Import -------------------------------------------------------------------------------------------

IMPORT = """
import os, sys, threading
import numpy
before, tasks = set(sys.modules), len(os.listdir("/proc/self/task"))
import ironprop
names = sorted({name.partition(".")[0] for name in set(sys.modules) - before})
print([n for n in names if n not in {"ironprop", "numpy"} and n not in sys.stdlib_module_names])
print(len(os.listdir("/proc/self/task")) - tasks, threading.active_count())
"""


def test_an_import_loads_nothing_foreign_starts_no_thread_and_prints_nothing():
    assert run_python(IMPORT).splitlines() == ["[]", "0 1"]


LAZY = """
import sys
import numpy
import ironprop
from ironprop.notebook import train
print([name for name in sys.modules if name.startswith("ironprop.")])
print(set(ironprop.__all__) <= set(dir(ironprop)), hasattr(ironprop, "nothing"))
print(ironprop.Network is ironprop.network.Network, ironprop.optimizers.Adam().learning_rate)
from ironprop import *
print(EarlyStopping is callbacks.EarlyStopping, Network is ironprop.Network)
"""


def test_an_import_loads_the_networks_only_when_they_are_asked_for():
    loaded, *rest = run_python(LAZY).splitlines()
    assert loaded == "['ironprop._lazy', 'ironprop._core', 'ironprop.notebook']"
    assert rest == ["True False", "True 0.001", "True True"]


FORKED = """
import os, sys, threading, time
import ironprop

class Slow:
    # a finder that takes its time, so that the fork comes in the middle of an import
    def find_spec(self, name, *_):
        if name == "ironprop.schedules":
            begun.set()
            time.sleep(0.2)

sys.meta_path.insert(0, Slow())
begun = threading.Event()
thread = threading.Thread(target=lambda: ironprop.Network)
thread.start()
begun.wait()
child = os.fork()
if child == 0:
    os._exit(ironprop.Network([1, 1]).n_parameters)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
thread.join()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_fork_waits_for_what_is_being_loaded():
    assert run_python(FORKED, timeout=20, PYTHONWARNINGS="ignore") == "2\n"


def test_an_import_with_warnings_as_errors_is_silent():
    assert run_python("import warnings; warnings.simplefilter('error'); import ironprop") == ""
    assert run_python("import ironprop", PYTHONWARNINGS="error", PYTHONDEVMODE="1") == ""


def test_the_first_call_runs_no_python_code():
    # Where Python code runs, Ctrl-C can come: inside of what the core prepares for itself it would be
    # a panic. So all of that has to happen in the import.
    program = """
import sys
import numpy as np
from ironprop import _core
x, seen = np.zeros((1, 1)), []
W, B = [x.copy()], [x.copy()]

def profile(frame, event, argument):
    if event == "call":
        seen.append(frame.f_code.co_qualname if hasattr(frame.f_code, "co_qualname") else "?")

sys.setprofile(profile)
if sys.argv[1] == "forward_pass":
    _core.forward_pass(x, W, B, "tanh")
elif sys.argv[1] == "sig":
    _core.sig(x)
else:
    _core.train(x, x, W, B, 1, 0.5, "exact", "tanh", None, False, None, None, None, None)
sys.setprofile(None)
print(seen)
"""
    for function in ("forward_pass", "sig", "train"):
        assert run_python(program, function) == "[]\n", function


def test_a_small_training_starts_no_thread():
    program = """
import os
import ironprop.notebook as notebook
before = len(os.listdir("/proc/self/task"))
W, B = notebook.initialize([2, 2, 1], seed=1)
notebook.train([[0.6, 0.4]], 0.875, W, B, epochs=100)
print(len(os.listdir("/proc/self/task")) - before)
"""
    assert run_python(program) == "0\n"


# Panics (P1) --------------------------------------------------------------------------------------


def test_an_internal_error_is_an_ordinary_exception():
    assert issubclass(ironprop.InternalError, Exception)
    assert ironprop.InternalError.__doc__
    assert ironprop.InternalError.__module__ == "ironprop"


def test_a_panic_is_an_internal_error_and_the_process_goes_on():
    if os.environ.get("IRONPROP_TEST_HOOKS") != "1" and not hasattr(ironprop._core, "_panic"):
        pytest.skip("this build has no test hooks (IRONPROP_TEST_HOOKS=1 makes that a failure)")
    for _ in range(3):
        with pytest.raises(ironprop.InternalError, match="defect of ironprop"):
            ironprop._core._panic()
    assert ironprop.notebook.sig([0.0]).tolist() == [0.5]
    assert ironprop.show_config()["version"]


def test_a_panic_is_caught_as_any_exception_is():
    if os.environ.get("IRONPROP_TEST_HOOKS") != "1" and not hasattr(ironprop._core, "_panic"):
        pytest.skip("this build has no test hooks (IRONPROP_TEST_HOOKS=1 makes that a failure)")
    caught = None
    try:
        ironprop._core._panic()
    except Exception as error:
        caught = error
    assert type(caught) is ironprop.InternalError


# The audit of unsafe (M6) -------------------------------------------------------------------------

SAFE_PLACES = ("src/kernels/", "src/parallel.rs", "src/parallel/", "src/bindings/")
LINES_BEFORE = 12


def without_comments_and_strings(source):
    """Blank out comments, strings and characters of Rust, keeping the lines."""
    token = re.compile(
        r"""
        //[^\\n]*                             # a comment to the end of the line
        | /\\*.*?\\*/                          # a block comment
        | b?r(\\#*)".*?"\\1                     # a raw string
        | b?"(?:\\\\.|[^"\\\\])*"               # a string
        | b?'(?:\\\\(?:u\\{[^}]*\\}|x..|.)|[^'\\\\])'  # a character, not a lifetime
        """.replace("\\\\", "\\"),
        re.VERBOSE | re.DOTALL,
    )
    return token.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), source)


def faults_of(path, source):
    """Return the lines with `unsafe` in a wrong place or without an explanation."""
    lines = source.splitlines()
    faults = []
    for number, line in enumerate(without_comments_and_strings(source).splitlines()):
        if not re.search(r"\bunsafe\b", line):
            continue
        where = f"{path}:{number + 1}"
        if not path.startswith(SAFE_PLACES):
            faults.append(f"{where}: unsafe outside of {', '.join(SAFE_PLACES)}")
        # What a function or a trait asks of its callers is clippy's matter (missing_safety_doc).
        declares = re.search(r"\bunsafe\s+(extern\s+)?(fn|trait)\b", line)
        before = "\n".join(lines[max(0, number - LINES_BEFORE) : number + 1])
        if not declares and "SAFETY:" not in before:
            faults.append(f"{where}: no SAFETY comment before: {line.strip()}")
    return faults


def rust_files():
    return sorted((ROOT / "src").rglob("*.rs"))


def test_unsafe_is_only_where_it_may_be_and_always_explained():
    files = rust_files()
    assert len(files) > 10
    faults = [
        fault
        for file in files
        for fault in faults_of(file.relative_to(ROOT).as_posix(), file.read_text())
    ]
    assert not faults, "\n".join(faults)
    assert any(re.search(r"\bunsafe \{", file.read_text()) for file in files)


@pytest.mark.parametrize(
    ("path", "source", "faults"),
    [
        ("src/network/dense.rs", "fn f() {\n    // SAFETY: never\n    unsafe { g() }\n}", 1),
        ("src/lib.rs", "unsafe impl Send for A {}", 2),
        ("src/kernels/tile.rs", "fn f() {\n    unsafe { g() }\n}", 1),
        ("src/kernels/tile.rs", "/// # Safety\n///\n/// none\nunsafe fn f() {}", 0),
        ("src/network/dense.rs", "/// # Safety\n///\n/// none\nunsafe fn f() {}", 1),
        ("src/kernels/tile.rs", "unsafe impl Send for A {}", 1),
        ("src/kernels/tile.rs", "// SAFETY: sizes are checked\nunsafe { g() }", 0),
        ("src/kernels/tile.rs", "// SAFETY: far away" + "\n" * 20 + "unsafe { g() }", 1),
        ("src/kernels/tile.rs", 'let s = "SAFETY"; unsafe { g() }', 1),
        ("src/network/dense.rs", '// unsafe is not used here\nlet s = "unsafe { }";', 0),
        ("src/network/dense.rs", "/* unsafe\nunsafe */ let c = 'u'; let r = r#\"unsafe\"#;", 0),
        ("src/network/dense.rs", "fn f<'a>(x: &'a str) { unsafe { g(x, 'b') } }", 2),
        ("src/network/dense.rs", "#![deny(unsafe_code)]", 0),
    ],
)
def test_the_audit_sees_what_it_should(path, source, faults):
    assert len(faults_of(path, source)) == faults, faults_of(path, source)


def test_doctests_do_not_leave_warnings_to_errors():
    # A deprecated call in an example would only show as a warning: here they are errors.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = doctest.testmod(ironprop.notebook)
    assert results.failed == 0
