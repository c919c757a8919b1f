"""Stylesheets are written out in one: fonts, images and imports are embedded, and bounded."""

from collections.abc import Callable

import pytest

from django_docraptor.assets import stylesheet_html
from tests.support.assets import Write, budget, png, refusal, uri


def css(name: str, **changes: int) -> str:
    """A stylesheet written out, without its element."""
    return (
        stylesheet_html(name, budget(**changes))
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
def test_stylesheet_refuses(write: Write, url: str) -> None:
    """Neither url() nor @import leads out of the static directories, in whichever spelling."""
    for rule in (f"p {{ background: url('{url}') }}", f'@import "{url}";', f"@import url({url});"):
        write("css/a.css", rule)
        assert "in 'css/a.css'" in refusal(css, "css/a.css")


def test_stylesheet_bounds_a_bomb_of_imports(write: Write) -> None:
    """Ten imports of ten imports of ten: a thousand million reads end at the budget."""
    for depth in range(9):
        write(f"{depth}.css", f'@import "{depth + 1}.css";' * 10)
    write("9.css", "")
    assert "exceeds the total size" in refusal(css, "0.css")


# Stylesheets.


def test_stylesheet_embeds_fonts_and_images(write: Write) -> None:
    """Relative to the stylesheet, quoted or not, with a query or a fragment."""
    write("img/a.png", png())
    write("fonts/a.woff2", b"wOF2...")
    write("fonts/a.ttf", b"\x00\x01\x00\x00...")
    write(
        "css/a.css",
        "p { background: url(../img/a.png) }\n"
        "@font-face { src: url('../fonts/a.woff2?v=1') format('woff2'), "
        'URL( "../fonts/a.ttf?#iefix" ) }',
    )
    image, font = uri("image/png", png()), uri("font/woff2", b"wOF2...")
    old_font = uri("font/ttf", b"\x00\x01\x00\x00...")
    assert css("css/a.css") == (
        f'p {{ background: url("{image}") }}\n'
        f"@font-face {{ src: url(\"{font}\") format('woff2'), "
        f'url("{old_font}") }}'
    )


def test_stylesheet_resolves_escapes(write: Write) -> None:
    """An address means what CSS says that it means; the escaped end of a line means nothing."""
    write("a b(1).png", png())
    for url in ("a\\ b\\(1\\).png", "'a\\20 b(1)\\\n.png'", '"a%20b(1).png"'):
        write("a.css", f"p {{ background: url({url}) }}")
        assert css("a.css") == f'p {{ background: url("{uri("image/png", png())}") }}'


def test_stylesheet_keeps_the_part_of_a_sprite(write: Write) -> None:
    """An SVG's fragment chooses what is shown."""
    write("a.svg", "<svg/>")
    write("a.css", "p { background: url(a.svg#icon) }")
    assert f'url("{uri("image/svg+xml", b"<svg/>")}#icon")' in css("a.css")


def test_stylesheet_leaves_other_hosts_and_data(write: Write) -> None:
    """Nothing is fetched: what is elsewhere stays as it is written."""
    text = (
        "p { fill: url(#x); background: url(data:image/gif;base64,AA==), "
        "url('https://cdn.example/a.png'), url(//cdn.example/a.png) }"
    )
    write("a.css", text)
    assert css("a.css") == text


def test_stylesheet_leaves_comments_and_strings(write: Write) -> None:
    """What only looks like an address is not looked up."""
    text = "/* url(no.png) @import 'no.css'; */ p::before { content: 'url(no.png)' }"
    write("a.css", text)
    assert css("a.css") == text


def test_stylesheet_writes_imports_out(write: Write) -> None:
    """Each relative to the file in which it stands, with its media, to the end."""
    write("a.css", '@charset "utf-8";\n@import url("sub/b.css") print;\nh1 { color: red }')
    write("sub/b.css", "\ufeff@import '../c.css';\nh2 { color: blue }")
    write("c.css", "h3 { color: green }")
    flat = " ".join(css("a.css").split())
    assert flat == ("@media print { h3 { color: green } h2 { color: blue } } h1 { color: red }")


def test_stylesheet_puts_imports_of_other_hosts_first(write: Write) -> None:
    """CSS ignores an @import that stands below a rule."""
    write("a.css", "@import 'b.css';")
    write("b.css", "@import url(https://fonts.example/x?a=1;2) screen;\nh2 { color: blue }")
    assert css("a.css").startswith('@import url("https://fonts.example/x?a=1;2") screen;\n')


def test_stylesheet_ends_cycles(write: Write) -> None:
    """A file that imports itself, or one that imports it, is written once."""
    write("a.css", "@import 'a.css'; @import 'b.css'; h1 { color: red }")
    write("b.css", "@import 'a.css'; h2 { color: blue }")
    assert " ".join(css("a.css").split()) == "h2 { color: blue } h1 { color: red }"


def test_stylesheet_bounds_the_depth(write: Write) -> None:
    """A chain of imports ends somewhere."""
    for depth in range(20):
        write(f"{depth}.css", f"@import '{depth + 1}.css';")
    assert "more than 10 levels deep" in refusal(css, "0.css")


def test_stylesheet_names_what_is_missing(write: Write) -> None:
    """The file, the stylesheet and the remedy."""
    write("css/a.css", "@import 'b.css';")
    write("css/b.css", "p { background: url(no.png) }")
    message = refusal(css, "css/a.css")
    assert "in 'css/b.css': static file 'css/no.png' does not exist" in message
    assert "collectstatic" in message


def test_stylesheet_refuses_layers(write: Write) -> None:
    """What cannot be kept is not dropped in silence."""
    write("a.css", "@import 'b.css' layer(base);")
    assert "layer(base): layer and supports() conditions are not supported" in refusal(css, "a.css")


def test_stylesheet_refuses_another_encoding(write: Write) -> None:
    """Bytes that are not UTF-8 are no stylesheet."""
    write("a.css", b"p { content: '\xe9' }")
    assert "'a.css' is not UTF-8" in refusal(css, "a.css")


def test_stylesheet_cannot_end_its_element(write: Write) -> None:
    """CSS with </style> in it stays CSS."""
    write("a.css", "p::before { content: '</style><script>' }")
    assert "</style>" not in css("a.css")
    assert "<\\/style><script>" in css("a.css")


def test_stylesheet_with_hashed_names(write: Write, collect: Callable[[], None]) -> None:
    """collectstatic has rewritten the addresses to hashed names; the files are found."""
    write("img/a.png", png())
    write("css/b.css", "h2 { color: blue }")
    write("css/a.css", "@import 'b.css';\np { background: url(../img/a.png) }")
    collect()
    assert uri("image/png", png()) in css("css/a.css")
    assert "h2 { color: blue }" in css("css/a.css")
