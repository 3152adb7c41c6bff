"""How the documentation is built, by ``tox -e docs``: pages in Markdown, the reference from the docstrings.

The pages are written to be read in the repository too, so they link to examples and the README as files. In
the built site these are pages of their own: `link_to_pages` leads there. Drawings become part of the page, so
that they follow its light or dark theme.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes

import syncws
from syncws._misspellings import Hint

if TYPE_CHECKING:
    from sphinx.application import Sphinx

HERE = Path(__file__).resolve().parent

project = "syncws"
author = "the syncws authors"
copyright = "the syncws authors"
release = version = syncws.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "index"
exclude_patterns = ["README.md", "_build"]
suppress_warnings: list[str] = []

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# A name in single backticks of a docstring is one of the package's own, and is linked where it is found.
default_role = "py:obj"
add_module_names = False
autodoc_member_order = "groupwise"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
maximum_signature_line_length = 88
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"syncws {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "_static/favicon.svg"
html_copy_source = False
html_show_sphinx = False
pygments_style = "friendly"
pygments_dark_style = "monokai"


# What is typed into the search by people who do not know our words yet. The search lists pages that merely
# hold a word by their titles, so the page that is about it would stand behind the changelog.
SEARCH_WORDS = {
    "backpressure": "slow consumer; queue full",
    "closing": "Ctrl-C; KeyboardInterrupt; SIGTERM; 1006; close code; close code 1006",
    "guis-and-event-loops": "asyncio; async; await; Tk; tkinter; Qt; PyQt",
    "har": "HAR; record and replay",
    "headers-and-auth": "cookies; cookie; token; bearer; login; authorization; password; Origin",
    "keepalive": "timeout; ping; pong; heartbeat; latency",
    "logging": "log; debug",
    "metrics": "stats; statistics; Prometheus",
    "proxies-and-networks": "SOCKS; proxy password; proxy authentication; DNS; IPv6; Unix socket; redirect",
    "reconnecting": "reconnect; retry; retries; backoff; Retry-After",
    "testing": "pytest; unittest; mock; fixture; replay",
    "threads-and-processes": "thread safe; thread-safe; thread safety; threading; fork; multiprocessing",
    "tls": "ssl; certificate; certificates; verify; self-signed; CA; wss",
    "web-workers": "Flask; Django; gunicorn; uWSGI; waitress; WSGI",
}


def add_search_words(app: Sphinx, page: str, source: list[str]) -> None:
    """Make index entries of them, which the search ranks above the words of the text."""
    for word in SEARCH_WORDS.get(page, "").split("; "):
        if word:
            source[0] = f"```{{index}} ! {word}\n```\n{source[0]}"


def link_to_pages(app: Sphinx, page: str, source: list[str]) -> None:
    """Let links to files of the repository lead to the pages that show them."""
    up = "../" * page.count("/")
    text = source[0]
    text = re.sub(
        r"\]\(\.\./examples/([\w/]+)\.py\)", lambda m: f"]({up}examples.md#{heading_of(m[1])})", text
    )
    text = text.replace("](../examples)", f"]({up}examples.md)").replace(
        "](../README.md)", f"]({up}index.md)"
    )
    # How to read the table stands beside what makes it, which is no page of the site.
    text = text.replace("[README](../bench/README.md)", "`bench/README.md`")
    source[0] = re.sub(r"\]\(\.\./(CHANGELOG|SECURITY)\.md\)", lambda m: f"]({up}{m[1].lower()}.md)", text)


def heading_of(example: str) -> str:
    """The anchor of an example's heading, which is its path."""
    return f"{example}.py".lower().replace("/", "").replace(".", "")


def prepare_docstring(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Turn what our docstrings do beyond Google's style into what Sphinx reads.

    A list of names may go on in the next line, and an indented paragraph outside of a section is code.
    """
    text = "\n".join(lines)
    text = re.sub(r"^( +[\w, ]+,)\n +(?=[\w, ]+[,:])", r"\1 ", text, flags=re.M)
    text = re.sub(r"^( +[\w, ]+,)\n +(?=[\w, ]+:)", r"\1 ", text, flags=re.M)
    text = re.sub(r"(?<=[.:\w]\n\n)(?=    +\S)(?! +[-*\d])", ".. code-block:: python\n\n", text)
    lines[:] = text.split("\n")


def skip_misspellings(
    app: Sphinx, what: str, name: str, obj: object, skip: bool, options: object
) -> bool | None:
    """Leave out the names that exist only to be refused."""
    return isinstance(obj, Hint) or None


def put_drawings_in(app: Sphinx, doctree: nodes.document) -> None:
    """Replace the images that are drawings by the drawings themselves."""
    for image in list(doctree.findall(nodes.image)):
        path = Path(app.srcdir, image["uri"])
        if path.suffix == ".svg":
            drawing = f'<figure class="drawing">{path.read_text("utf-8")}</figure>'
            image.replace_self(nodes.raw("", drawing, format="html"))


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("source-read", link_to_pages)
    app.connect("source-read", add_search_words)
    app.connect(
        "autodoc-process-docstring", prepare_docstring, priority=400
    )  # before the one for Google's style
    app.connect("autodoc-skip-member", skip_misspellings)
    app.connect("doctree-read", put_drawings_in)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
