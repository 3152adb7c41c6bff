"""The built documentation: every link leads somewhere, and a browser shows it without an error."""

from __future__ import annotations

import html.parser
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote_plus, unquote, urlsplit

import pytest

from tests.support.chromium import Page, browser, find_chromium

ROOT = Path(__file__).resolve().parents[2]
PHONE, DESK = (390, 844), (1280, 900)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built site."""
    for needed in ("sphinx", "furo", "myst_parser"):
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-E", "-W", "--keep-going", "-q", "-b", "html"]
    done = subprocess.run(
        [*command, "-d", str(folder / "doctrees"), "docs", str(folder / "html")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "html"


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """Where the site is served."""
    command = [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "0"]
    with subprocess.Popen(
        command, cwd=site, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            match = re.search(r"port (\d+)", process.stdout.readline())
            assert match is not None
            yield f"http://127.0.0.1:{match[1]}"
        finally:
            process.kill()


@pytest.fixture(scope="module")
def page(address: str) -> Iterator[Page]:
    if (program := find_chromium()) is None:
        pytest.skip("no Chromium is installed")
    with browser(program) as page:
        yield page


class Links(html.parser.HTMLParser):
    """What a page links to and what can be linked to in it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        self.anchors |= {found.get("id") or "", found.get("name") or ""}
        self.targets += [found[name] or "" for name in ("href", "src") if name in found]


def pages(site: Path) -> list[Path]:
    return sorted(path for path in site.rglob("*.html") if "_static" not in path.parts)


def test_every_link_of_the_site_leads_to_a_file_and_an_anchor(site: Path) -> None:
    parsed = {path: Links(path) for path in pages(site)}
    assert len(parsed) > 20
    for path, links in parsed.items():
        for target in links.targets:
            parts = urlsplit(target)
            if parts.scheme in ("http", "https", "data", "mailto"):
                continue
            there = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert there.is_file(), f"{path.name}: {target}"
            if parts.fragment and there in parsed:
                assert unquote(parts.fragment) in parsed[there].anchors, f"{path.name}: {target}"


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    for path in pages(site):
        for target in Links(path).targets:
            if target.startswith(("http:", "https:", "//")):
                # Links that a reader may follow: to the theme and its tool, at the foot of each page.
                assert urlsplit(target).path.strip("/") in ("", "pradyunsg/furo", "@pradyunsg"), target


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    import syncws
    import syncws.testing

    anchors = set().union(*(Links(path).anchors for path in (site / "reference").glob("*.html")))
    wanted = {f"syncws.{name}" for name in syncws.__all__ if not name.startswith("__")}
    wanted |= {f"syncws.testing.{name}" for name in syncws.testing.__all__}
    assert sorted(wanted - anchors) == []


def test_the_reference_has_no_names_that_exist_only_to_be_refused(site: Path) -> None:
    anchors = set().union(*(Links(path).anchors for path in (site / "reference").glob("*.html")))
    assert "syncws.WebSocket.onmessage" in anchors
    assert [name for name in anchors if re.search(r"\.on(?!open$|message$|error$|close$)", name, re.I)] == []


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_no_page_has_an_error_or_is_wider_than_the_screen(
    site: Path, address: str, page: Page, size: tuple[int, int]
) -> None:
    page.resize(*size)
    for path in pages(site):
        page.open(f"{address}/{path.relative_to(site)}")
        assert not page.problems, (path.name, page.problems)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= size[0], f"{path.name} is {width} pixels wide"


def test_the_search_finds_a_page_by_a_word_in_it(address: str, page: Page) -> None:
    page.resize(*DESK)
    page.open(f"{address}/search.html?q=backpressure")
    page.wait_until("document.querySelectorAll('#search-results li').length > 0")
    found = page.evaluate("[...document.querySelectorAll('#search-results a')].map(a => a.href).join(' ')")
    assert "backpressure.html" in found
    assert not page.problems


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("timeout", "keepalive"),
        ("headers", "headers-and-auth"),
        ("cookies", "headers-and-auth"),
        ("ssl", "tls"),
        ("proxy password", "proxies-and-networks"),
        ("close code 1006", "closing"),
        ("thread safe", "threads-and-processes"),
        ("asyncio", "guis-and-event-loops"),
        ("pytest", "testing"),
        ("gevent", "gevent-and-eventlet"),
        ("memory", "memory"),
        ("reconnect", "reconnecting"),
        ("Ctrl-C", "closing"),
        ("slow consumer", "backpressure"),
    ],
)
def test_what_a_newcomer_types_finds_its_page_among_the_first_three(
    address: str, page: Page, typed: str, wanted: str
) -> None:
    page.resize(*DESK)
    page.open(f"{address}/search.html?q={quote_plus(typed)}")
    page.wait_until("document.querySelectorAll('#search-results li').length >= 3")
    found = page.evaluate(
        "[...document.querySelectorAll('#search-results li > a')].map(a => a.href).join(' ')"
    )
    firsts = [Path(urlsplit(url).path).stem for url in found.split()[:3]]
    assert wanted in firsts


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_drawings_are_shown_in_the_colours_of_the_theme_and_their_words_fit(
    address: str, page: Page, theme: str
) -> None:
    page.resize(*PHONE)
    page.open(f"{address}/how-it-works.html")
    page.evaluate(f"document.body.dataset.theme = '{theme}'")
    drawings = page.evaluate(
        """[...document.querySelectorAll('figure.drawing svg')].map(svg => {
            const box = svg.getBoundingClientRect();
            const texts = [...svg.querySelectorAll('text')];
            const outside = texts.filter(text => {
                const its = text.getBoundingClientRect();
                return its.left < box.left || its.right > box.right || its.bottom > box.bottom;
            }).map(text => text.textContent);
            const sizes = texts.map(text => text.getBoundingClientRect().height);
            return {width: box.width, height: box.height, outside, smallest: Math.min(...sizes),
                    title: !!svg.querySelector('title'), ink: getComputedStyle(texts[0]).fill,
                    paper: getComputedStyle(document.body).backgroundColor};
        })"""
    )
    assert len(drawings) == 4
    for drawing in drawings:
        assert drawing["width"] > 250
        assert drawing["height"] > 100
        assert drawing["title"]
        assert not drawing["outside"]
        assert drawing["smallest"] > 10
        assert contrast(drawing["ink"], drawing["paper"]) > 4.5  # WCAG 2.2, 1.4.3


def contrast(first: str, second: str) -> float:
    """The contrast ratio of two colours, as WCAG 2.2 defines it."""

    def luminance(colour: str) -> float:
        values = [int(part) / 255 for part in colour.strip("rgba()").split(",")[:3]]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    lighter, darker = sorted((luminance(first), luminance(second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)
