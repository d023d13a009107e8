"""Where the tree is, and how these tests run its tools."""
import pathlib
import subprocess

TREE = pathlib.Path(__file__).resolve().parents[2]


def run(*command, **options):
    """The finished process, its output and errors in one text."""
    return subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, **options
    )


def write(folder, files):
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
