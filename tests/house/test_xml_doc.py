"""docs/xml.md names whatever the parsers of descriptions know: each name and word that the sources read or refuse, and each
element and attribute of the golden descriptions."""
import re
import xml.etree.ElementTree as xml

import pytest

from house import TREE

DOCUMENT = (TREE / "docs/xml.md").read_text()
NAMED = {word for code in re.findall(r"`([^`\n]+)`", DOCUMENT) for word in re.split(r"[^\w-]+", code)}
DOMAIN = TREE / "src/driver/domain"
SOURCES = sorted(path for path in DOMAIN.rglob("*.cc") if not path.stem.endswith(("_test", "_fuzz")))
GOLDEN = sorted(TREE.glob("tests/data/domain/*.out.xml"))
READ = re.compile(r'(?:child|children|attribute|attribute_of)\("([\w-]+)"\)|'
                  r'(?:required|required_child|read_\w+)\(\*?\w+(?:\[0\])?(?:\.\w+\(\))?, "([\w-]+)"')
TABLE = re.compile(r"Name<[^;]*?> \w+\[\] = \{(.*?)\};|constexpr (?:Limit|Event|Suspend|Row) \w+\[\] = \{(.*?)\};", re.S)


def missing(names):
    return sorted(set(names) - NAMED)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_what_a_parser_reads_is_named(source):
    text = source.read_text()
    read = [name for pair in READ.findall(text) for name in pair if name]
    words = [word for pair in TABLE.findall(text) for table in pair for word in re.findall(r'[{,] *"([\w-]+)"', table)]
    assert missing(read + words) == []


def test_what_is_refused_by_name_is_named():
    text = (DOMAIN / "known_names.cc").read_text()
    table = text[text.index("refused{"):text.index("};")]
    words = [word.lstrip("@") for line in re.findall(r'"([^"]*)"', table) for word in re.split("[ /]", line) if word]
    assert len(words) > 200
    assert missing(words) == []


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.name.split(".")[0])
def test_what_is_shown_is_named(golden):
    elements = [element for element in xml.parse(golden).iter() if "}" not in element.tag]
    assert missing([element.tag for element in elements] + [name for element in elements for name in element.keys()]) == []


def test_the_names_are_found_where_they_are():
    assert {"iothreadpin", "suspend-to-mem", "host-passthrough", "on_crash", "total_iops_sec", "nvram"} <= NAMED
    found = {name for source in SOURCES for pair in READ.findall(source.read_text()) for name in pair if name}
    assert len(found) > 100
