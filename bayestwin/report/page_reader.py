"""A finished page as its checks read it: every text with its place, tags, addresses, ids.

The standard parser is used, so that the checks hold whatever the templates do.
"""

import re
from html.parser import HTMLParser

FORBIDDEN_TAGS = {
    "script",
    "iframe",
    "object",
    "embed",
    "link",
    "base",
    "form",
    "input",
    "img",
    "audio",
    "video",
    "foreignobject",
    "animate",
    "set",
    "image",
}
ADDRESS = {"href", "src", "srcset", "xlink:href", "action", "data", "poster", "formaction", "background", "ping"}
VOID = {"meta", "br", "hr", "col", "wbr"}


class Page(HTMLParser):
    """One pass over a page: text with its place, tags, addresses, ids."""

    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.stack: list[tuple[str, int | None, bool]] = []  # tag, element with the nearest data-path, quoted
        self.texts: list[tuple[str, str | None, bool, str]] = []  # text, data-path, verbatim, enclosing tag
        self.elements: list[tuple[str, list[str]]] = []  # data-path, pieces of text directly under it
        self.problems: list[str] = []
        self.ids: list[str] = []
        self.tags: dict[str, int] = {}
        self.svgs: list[dict[str, str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        given = {name: value or "" for name, value in attrs}
        self.tags[tag] = self.tags.get(tag, 0) + 1
        if tag in FORBIDDEN_TAGS:
            self.problems.append(f"tag <{tag}>")
        for name, value in given.items():
            if name.startswith("on"):
                self.problems.append(f"attribute {name}")
            if name in ADDRESS and not value.startswith("#"):
                self.problems.append(f"address in {name}")
            if name == "style" and re.search(r"url\((?!#|&quot;#|\"#)|@import|expression", value):
                self.problems.append("address in style")
        if "id" in given:
            self.ids.append(given["id"])
        if tag == "svg" and given.get("role") == "img":
            self.svgs.append({**given, "text": ""})
        above = self.stack[-1] if self.stack else ("", None, False)
        if "data-path" in given:
            self.elements.append((given["data-path"], []))
        if tag not in VOID:
            self.stack.append(
                (
                    tag,
                    len(self.elements) - 1 if "data-path" in given else above[1],
                    "data-verbatim" in given or above[2],
                )
            )

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.stack.pop()

    def handle_endtag(self, tag):
        if tag not in VOID and any(item[0] == tag for item in self.stack):
            while self.stack.pop()[0] != tag:
                pass

    def handle_data(self, data):
        tag, element, verbatim = self.stack[-1] if self.stack else ("", None, False)
        if tag in ("style", "script"):
            if re.search(r"@import|url\(|expression|javascript:", data):
                self.problems.append("address in style sheet")
            return
        if data.strip():
            drawn = any(item[0] == "svg" for item in self.stack)
            self.texts.append((data, None if element is None else self.elements[element][0], verbatim, tag))
            if element is not None and not drawn:
                self.elements[element][1].append(data)
            if tag in ("title", "desc") and self.svgs and drawn:
                self.svgs[-1]["text"] += data

    def text(self, *, verbatim: bool = False) -> str:
        """The page's text, without or with what is quoted from the record."""
        return " | ".join(data for data, _, quoted, tag in self.texts if verbatim or not quoted)
