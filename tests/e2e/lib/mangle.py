"""Descriptions as careless producers write them: a good one with something repeated, split, emptied, dropped, moved or written otherwise."""

import pathlib
from xml.dom import Node, minidom

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "data/domain"
DECLARATIONS = [
    *(f"<?xml version='1.0' encoding='{encoding}'?>\n" for encoding in ("utf-8", "UTF-16", "latin1", "windows-1252", "us-ascii", "frob", "")),
    "<?xml version='1.1'?>",
    "<?xml version='1.0' standalone='yes'?>",
    "<?xml version='1.0' standalone='maybe'?>",
    "\ufeff",
    " \n",
    "<!-- by hand -->",
    "<?editor says this?>",
]
VALUES = ["", " ", "0", "1", "-1", "+1", "01", "0x1", "1.5", "1k", "99999999999999999999", "yes", "no", "on", "off", "default", "frob", "a b", "/", "ünï"]


def elements(document):
    found = [document.documentElement]
    for node in found:
        found += [child for child in node.childNodes if child.nodeType == Node.ELEMENT_NODE]
    return found


def texts(element):
    return [child for child in element.childNodes if child.nodeType == Node.TEXT_NODE and child.data.strip()]


def path(node):
    names = []
    while node is not None and node.nodeType == Node.ELEMENT_NODE:
        names.insert(0, node.tagName)
        node = node.parentNode
    return "/".join(names)


class Mangled:
    """One good description, mangled by `generator` a given number of times. `how` says what was done."""

    def __init__(self, text, generator, times):
        self.generator, self.how, self.head = generator, [], ""
        self.document = minidom.parseString(text.encode())
        for _ in range(times):
            self.mangle()

    @property
    def text(self):
        return self.head + self.document.documentElement.toxml()

    def mangle(self):
        ways = [getattr(self, name) for name in dir(type(self)) if name.startswith("way_")]
        while True:
            way, element = self.generator.choice(ways), self.generator.choice(elements(self.document))
            what = way(element)
            if what is not None:
                self.how.append(f"{way.__name__[4:]} {what}")
                return

    def is_root(self, element):
        return element is self.document.documentElement

    def attribute(self, element):
        names = [name for name in sorted(element.attributes.keys()) if ":" not in name and name != "xmlns"]
        return self.generator.choice(names) if names else None

    def put(self, node, parent):
        """Anywhere among the children."""
        parent.insertBefore(node, self.generator.choice([*parent.childNodes, None]))

    # What a mangling is called, and where it happened; None where there is nothing to do it to.

    def way_repeat(self, element):
        if self.is_root(element):
            return None
        self.put(element.cloneNode(True), element.parentNode)
        return path(element)

    def way_repeat_emptied(self, element):
        if self.is_root(element):
            return None
        self.put(self.document.createElement(element.tagName), element.parentNode)
        return path(element)

    def way_repeat_otherwise(self, element):
        """A second one with another value."""
        if self.is_root(element) or not (element.attributes.length or texts(element)):
            return None
        other = element.cloneNode(True)
        self.put(other, element.parentNode)
        self.set_value(other)
        return path(element)

    def way_split(self, element):
        inner = [child for child in element.childNodes if child.nodeType == Node.ELEMENT_NODE]
        if self.is_root(element) or len(inner) < 2:
            return None
        other = self.document.createElement(element.tagName)
        for child in inner[self.generator.randrange(1, len(inner)) :]:
            other.appendChild(child)
        self.put(other, element.parentNode)
        return path(element)

    def way_split_attributes(self, element):
        name = self.attribute(element)
        if self.is_root(element) or name is None or element.attributes.length < 2:
            return None
        other = self.document.createElement(element.tagName)
        other.setAttribute(name, element.getAttribute(name))
        element.removeAttribute(name)
        self.put(other, element.parentNode)
        return f"{path(element)}@{name}"

    def way_empty(self, element):
        if self.is_root(element):
            return None
        while element.firstChild:
            element.removeChild(element.firstChild)
        for attribute in list(element.attributes.values()):
            element.removeAttributeNode(attribute)
        return path(element)

    def way_drop(self, element):
        if self.is_root(element):
            return None
        where = path(element)
        element.parentNode.removeChild(element)
        return where

    def way_drop_attribute(self, element):
        name = self.attribute(element)
        if name is None:
            return None
        element.removeAttribute(name)
        return f"{path(element)}@{name}"

    def way_move(self, element):
        """To another place among its siblings."""
        if self.is_root(element):
            return None
        parent = element.parentNode
        parent.removeChild(element)
        self.put(element, parent)
        return path(element)

    def set_value(self, element):
        name = self.attribute(element)
        if name is not None and (self.generator.random() < 0.7 or not texts(element)):
            value = self.generator.choice(VALUES)
            element.setAttribute(name, value)
            return f"{path(element)}@{name} to {value!r}"
        for text in texts(element)[:1]:
            text.data = self.generator.choice(VALUES)
            return f"{path(element)} to {text.data!r}"
        return None

    def way_set(self, element):
        return None if self.is_root(element) and not element.attributes.length else self.set_value(element)

    def way_empty_attribute(self, element):
        name = self.attribute(element)
        if name is None:
            return None
        element.setAttribute(name, "")
        return f"{path(element)}@{name}"

    def way_empty_text(self, element):
        for text in texts(element)[:1]:
            text.data = self.generator.choice(["", " ", "\n  "])
            return path(element)
        return None

    def way_pad(self, element):
        pad = self.generator.choice([" ", "\n", "\t"])
        for text in texts(element)[:1]:
            text.data = self.generator.choice([pad + text.data, text.data + pad, pad + text.data + pad])
            return path(element)
        name = self.attribute(element)
        if name is None:
            return None
        value = element.getAttribute(name)
        element.setAttribute(name, self.generator.choice([pad + value, value + pad]))
        return f"{path(element)}@{name}"

    def way_upper(self, element):
        name = self.attribute(element)
        if name is None:
            return None
        element.setAttribute(name, element.getAttribute(name).upper())
        return f"{path(element)}@{name}"

    def way_comment(self, element):
        """Within its text, or among its elements."""
        for text in texts(element)[:1]:
            rest = text.splitText(self.generator.randrange(len(text.data)))
            element.insertBefore(self.document.createComment(" note "), rest)
            return path(element)
        self.put(self.document.createComment(" note "), element)
        return path(element)

    def way_cdata(self, element):
        for text in texts(element)[:1]:
            if "]]>" not in text.data:
                element.replaceChild(self.document.createCDATASection(text.data), text)
                return path(element)
        return None

    def way_stray_text(self, element):
        self.put(self.document.createTextNode(self.generator.choice(["stray", "ünï", "1"])), element)
        return path(element)

    def way_unknown_element(self, element):
        self.put(self.document.createElement("frob"), element)
        return path(element)

    def way_unknown_attribute(self, element):
        element.setAttribute("frob", "x")
        return path(element)

    def way_foreign(self, element):
        """The element is another's, of a namespace."""
        if self.is_root(element) or ":" in element.tagName:
            return None
        other = self.document.createElement("x:" + element.tagName)
        other.setAttribute("xmlns:x", "urn:other")
        for name in list(element.attributes.keys()):
            other.setAttribute(name, element.getAttribute(name))
        while element.firstChild:
            other.appendChild(element.firstChild)
        element.parentNode.replaceChild(other, element)
        return path(other.parentNode) + "/" + element.tagName

    def way_foreign_attribute(self, element):
        name = self.attribute(element)
        if name is None:
            return None
        value = element.getAttribute(name)
        element.removeAttribute(name)
        element.setAttribute("xmlns:y", "urn:other")
        element.setAttributeNS("urn:other", "y:" + name, value)
        return f"{path(element)}@{name}"

    def way_declare(self, element):
        if not self.is_root(element) or self.head:
            return None
        self.head = self.generator.choice(DECLARATIONS)
        return repr(self.head)


def facts(text):
    """A description as lines, "path@attribute=value" and "path=text": a device under its name, the rest by its place."""
    lines = set()

    def key(element, number):
        name = element.tagName
        mac, target = element.getElementsByTagName("mac"), element.getElementsByTagName("target")
        if name == "disk" and target:
            return f"disk[{target[0].getAttribute('dev')}]"
        if name == "interface" and mac:
            return "interface" + (f"[{number}]" if number else "")
        if name == "controller":
            return f"controller[{element.getAttribute('type')} {element.getAttribute('index')}]"
        return name + (f"[{number}]" if number else "")

    def walk(element, where):
        for name, value in element.attributes.items():
            lines.add(f"{where}@{name}={value}")
        inner = [child for child in element.childNodes if child.nodeType == Node.ELEMENT_NODE]
        if not inner:
            said = "".join(child.data for child in element.childNodes if child.nodeType in (Node.TEXT_NODE, Node.CDATA_SECTION_NODE))
            if said.strip() or not element.attributes.length:
                lines.add(f"{where}={said}")
        counts = {}
        for child in inner:
            number = counts[child.tagName] = counts.get(child.tagName, -1) + 1
            walk(child, f"{where}/{key(child, number)}")

    walk(minidom.parseString(text.encode()).documentElement, "domain")
    return lines
