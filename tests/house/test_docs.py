"""What the documents tell a reader to type, open or look up is there."""
import re
import subprocess

import pytest

from house import TREE

DOCUMENTS = sorted([*TREE.glob("*.md"), *TREE.glob("docs/*.md")])
READMES = [TREE / "README.md", TREE / "README.zh.md"]
each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


def code(document):
    """Every line of a block and every span of code."""
    text = document.read_text()
    without_xml = re.sub(r"```.*?```", "", text, flags=re.S)
    return re.findall(r"^ {4}(\S.*)$", without_xml, re.M) + re.findall(r"`([^`]+)`", without_xml)


@each_document
def test_targets_of_make_exist(document):
    targets = {name for line in re.findall(r"^([a-z][a-z0-9 -]+):", (TREE / "Makefile").read_text(), re.M) for name in line.split()}
    used = {word for line in code(document) for words in re.findall(r"\bmake((?: [a-z][a-z0-9-]+)+)", line) for word in words.split()}
    assert used - targets == set()


@each_document
def test_links_and_paths_lead_somewhere(document):
    text = document.read_text()
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert [link for link in links if link and not (document.parent / link).exists()] == []
    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.*)$", text, re.M)}
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= anchors
    paths = [path for span in code(document) for path in re.findall(r"(?:^| )((?:docs|packaging|src|tests|tools)/[\w./-]+)", span)]
    patterns = re.compile(r"NAME|/x\b|x_|/$|src/vmm")
    assert [path for path in paths if not patterns.search(path) and not (TREE / path).exists()] == []


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.name)
def test_commands_of_virsh_exist(readme):
    known = set(re.findall(r"^    ([a-z][\w-]+) ", subprocess.run(["virsh", "help"], capture_output=True, text=True).stdout, re.M))
    assert "domstats" in known
    table = [re.findall(r"`([a-z][a-z-]+)`", line.split("|")[2]) for line in readme.read_text().splitlines() if line.count("|") == 4]
    typed = [words.split() for words in re.findall(r"^ {4}virsh -c stratovirt:///system (.*)$", readme.read_text(), re.M)]
    used = {name for row in table for name in row} | {words[0] for words in typed}
    assert len(used) > 50
    assert used - known == set()


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.name)
def test_the_machine_of_the_readme_is_valid(readme, tmp_path):
    machine = tmp_path / "machine.xml"
    machine.write_text(re.search(r"```xml\n(.*?)```", readme.read_text(), re.S)[1])
    checked = subprocess.run(["xmllint", "--noout", "--relaxng", "/usr/share/libvirt/schemas/domain.rng", machine], capture_output=True,
                             text=True)
    assert checked.returncode == 0, checked.stderr


def test_both_readmes_say_the_same():
    def typed(readme):
        return [re.sub(r" +#.*", "", line) for line in re.findall(r"^ {4}(?! |-)(.*)$", readme.read_text(), re.M)]

    def tables(readme):
        return [re.findall(r"`[^`]+`", line) for line in readme.read_text().splitlines() if line.startswith("|")]

    english, chinese = READMES
    assert typed(english) == typed(chinese)
    assert tables(english) == tables(chinese)
    assert len(english.read_text().splitlines()) < 200
