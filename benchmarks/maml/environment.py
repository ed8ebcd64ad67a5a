"""Build the peer's environment: learn2learn 0.2.0 beside the same torch, in a folder of its own.

    python benchmarks/maml/environment.py [FOLDER]        # .venv-learn2learn; needs a C compiler and Python's headers

The C files that learn2learn 0.2.0 carries do not compile on Python 3.11 and later, so Cython makes new ones
(``build_ext``, which only reaches its setup.py by way of PEP 517). Its dependencies stay out: only data sets and
environments need them, and systems.py imports MAML without them.
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parents[1] / ".venv-learn2learn"
LEARN2LEARN = "learn2learn==0.2.0"
AS_SOURCE = ["--no-deps", "--use-pep517", "--no-build-isolation", "--config-settings=--global-option=build_ext"]


def build(folder):
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [folder / "bin" / "python", "-m", "pip", "install", "-q"]
    subprocess.run([*pip, "-r", HERE / "requirements.txt"], check=True)
    subprocess.run([*pip, *AS_SOURCE, LEARN2LEARN], check=True)
    asked = "import sys; sys.path.insert(0, sys.argv[1]); import systems; print(systems.learn2learn_maml())"
    subprocess.run([folder / "bin" / "python", "-c", asked, HERE], check=True)


if __name__ == "__main__":
    build(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
