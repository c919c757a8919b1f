"""Stylesheets in one piece: fonts, images and imports are embedded, within limits."""

from collections.abc import Callable

import pytest

from django_docraptor.assets import stylesheet_html
from tests.support.assets import Write, asset_error, data_uri, make_budget, png_image


def make_css(name: str, **changes: int) -> str:
    """Return the embedded stylesheet without its element."""
    return (
        stylesheet_html(name, make_budget(**changes))
        .removeprefix("<style>\n")
        .removesuffix("\n</style>")
    )


@pytest.mark.parametrize(
    "url",
    [
        "../../secret.txt",
        "%2e%2e/%2e%2e/secret.txt",
        "..%2f..%2fsecret.txt",
        "\\2e\\2e/\\2e\\2e/secret.txt",
        "/etc/passwd",
        "/static/../../secret.txt",
        "/static/%2e%2e/secret.txt",
        "file:///etc/passwd",
        "FiLe:///etc/passwd",
        "\\66ile:///etc/passwd",
        "a%00.png",
        "..%5c..%5csecret.txt",
        "C:/secret.txt",
        "http:[/a.png",
        "/static///[x",
        "a.png\\0",
        "ftp://host/a.png",
    ],
)
def test_url_out_of_the_static_directories_is_refused(write_static: Write, url: str) -> None:
    """Neither url() nor @import leads out of the static directories, in any spelling."""
    for rule in (f"p {{ background: url('{url}') }}", f'@import "{url}";', f"@import url({url});"):
        write_static("css/a.css", rule)
        assert "in 'css/a.css'" in asset_error(make_css, "css/a.css")


def test_import_bomb_is_limited(write_static: Write) -> None:
    """Ten imports of ten imports and so on end at the limit."""
    for depth in range(9):
        write_static(f"{depth}.css", f'@import "{depth + 1}.css";' * 10)
    write_static("9.css", "")
    assert "exceeds the total size" in asset_error(lambda: make_css("0.css", remaining_bytes=2**19))


# Stylesheets.


def test_fonts_and_images_are_embedded(write_static: Write) -> None:
    """URLs are relative to the stylesheet, quoted or not, with a query or a fragment."""
    write_static("img/a.png", png_image())
    write_static("fonts/a.woff2", b"wOF2...")
    write_static("fonts/a.ttf", b"\x00\x01\x00\x00...")
    write_static(
        "css/a.css",
        "p { background: url(../img/a.png) }\n"
        "@font-face { src: url('../fonts/a.woff2?v=1') format('woff2'), "
        'URL( "../fonts/a.ttf?#iefix" ) }',
    )
    image, font = data_uri("image/png", png_image()), data_uri("font/woff2", b"wOF2...")
    old_font = data_uri("font/ttf", b"\x00\x01\x00\x00...")
    assert make_css("css/a.css") == (
        f'p {{ background: url("{image}") }}\n'
        f"@font-face {{ src: url(\"{font}\") format('woff2'), "
        f'url("{old_font}") }}'
    )


def test_css_escapes_are_resolved(write_static: Write) -> None:
    """A URL is read as CSS defines it, with an escaped line end ignored."""
    write_static("a b(1).png", png_image())
    for url in ("a\\ b\\(1\\).png", "'a\\20 b(1)\\\n.png'", '"a%20b(1).png"'):
        write_static("a.css", f"p {{ background: url({url}) }}")
        assert (
            make_css("a.css") == f'p {{ background: url("{data_uri("image/png", png_image())}") }}'
        )


def test_svg_fragment_is_kept(write_static: Write) -> None:
    """The fragment of an SVG chooses what is shown."""
    write_static("a.svg", "<svg/>")
    write_static("a.css", "p { background: url(a.svg#icon) }")
    assert f'url("{data_uri("image/svg+xml", b"<svg/>")}#icon")' in make_css("a.css")


def test_urls_of_other_hosts_and_data_are_kept(write_static: Write) -> None:
    """Nothing is fetched, so other URLs are not changed."""
    text = (
        "p { fill: url(#x); background: url(data:image/gif;base64,AA==), "
        "url('https://cdn.example/a.png'), url(//cdn.example/a.png) }"
    )
    write_static("a.css", text)
    assert make_css("a.css") == text


def test_comments_and_strings_are_kept(write_static: Write) -> None:
    """Text that only looks like a URL is not changed."""
    text = "/* url(no.png) @import 'no.css'; */ p::before { content: 'url(no.png)' }"
    write_static("a.css", text)
    assert make_css("a.css") == text


def test_imports_are_embedded_recursively(write_static: Write) -> None:
    """Each import is relative to the file that contains it, and keeps its media query."""
    write_static("a.css", '@charset "utf-8";\n@import url("sub/b.css") print;\nh1 { color: red }')
    write_static("sub/b.css", "\ufeff@import '../c.css';\nh2 { color: blue }")
    write_static("c.css", "h3 { color: green }")
    flat = " ".join(make_css("a.css").split())
    assert flat == ("@media print { h3 { color: green } h2 { color: blue } } h1 { color: red }")


def test_imports_of_other_hosts_come_first(write_static: Write) -> None:
    """CSS ignores an @import below a rule, so these are moved to the top."""
    write_static("a.css", "@import 'b.css';")
    write_static("b.css", "@import url(https://fonts.example/x?a=1;2) screen;\nh2 { color: blue }")
    assert make_css("a.css").startswith('@import url("https://fonts.example/x?a=1;2") screen;\n')


def test_import_cycle_is_embedded_once(write_static: Write) -> None:
    """A file that imports itself, directly or indirectly, is embedded once."""
    write_static("a.css", "@import 'a.css'; @import 'b.css'; h1 { color: red }")
    write_static("b.css", "@import 'a.css'; h2 { color: blue }")
    assert " ".join(make_css("a.css").split()) == "h2 { color: blue } h1 { color: red }"


def test_import_depth_is_limited(write_static: Write) -> None:
    """A chain of imports has a maximum depth."""
    for depth in range(20):
        write_static(f"{depth}.css", f"@import '{depth + 1}.css';")
    assert "more than 10 levels deep" in asset_error(make_css, "0.css")


def test_missing_file_is_named_with_its_stylesheet(write_static: Write) -> None:
    """The error has the file, the stylesheet and the remedy."""
    write_static("css/a.css", "@import 'b.css';")
    write_static("css/b.css", "p { background: url(no.png) }")
    message = asset_error(make_css, "css/a.css")
    assert "in 'css/b.css': static file 'css/no.png' does not exist" in message
    assert "collectstatic" in message


def test_import_layers_are_refused(write_static: Write) -> None:
    """A layer cannot be kept, so it is refused instead of being dropped."""
    write_static("a.css", "@import 'b.css' layer(base);")
    assert "layer(base): layer and supports() conditions are not supported" in asset_error(
        make_css, "a.css"
    )


def test_stylesheet_must_be_utf_8(write_static: Write) -> None:
    """Bytes that are not UTF-8 are refused."""
    write_static("a.css", b"p { content: '\xe9' }")
    assert "'a.css' is not UTF-8" in asset_error(make_css, "a.css")


def test_stylesheet_cannot_close_its_element(write_static: Write) -> None:
    """A `</style>` in the CSS does not end the element."""
    write_static("a.css", "p::before { content: '</style><script>' }")
    assert "</style>" not in make_css("a.css")
    assert "<\\/style><script>" in make_css("a.css")


def test_hashed_names_are_found(write_static: Write, collect_static: Callable[[], None]) -> None:
    """URLs that collectstatic has rewritten to hashed names are found."""
    write_static("img/a.png", png_image())
    write_static("css/b.css", "h2 { color: blue }")
    write_static("css/a.css", "@import 'b.css';\np { background: url(../img/a.png) }")
    collect_static()
    assert data_uri("image/png", png_image()) in make_css("css/a.css")
    assert "h2 { color: blue }" in make_css("css/a.css")
