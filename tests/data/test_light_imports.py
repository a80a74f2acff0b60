import subprocess
import sys


def test_no_module_imports_tensorflow_before_it_is_used() -> None:
    program = """
import importlib, pkgutil, sys, data
for module in pkgutil.walk_packages(data.__path__, "data."):
    importlib.import_module(module.name)
print(sorted({"tensorflow", "tensorflow_datasets", "keras"} & sys.modules.keys()))
"""
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert answer.stdout.strip() == "[]"
