"""Assets are found, embedded and bounded; nothing outside of the declared roots is ever read."""

import base64
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.exceptions import SuspiciousOperation
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, InMemoryStorage, default_storage
from django.core.management import call_command

from django_docraptor.assets import AssetError, Budget, asset_url, image_url, stylesheet
from django_docraptor.assets.mime import type_of
from django_docraptor.assets.sources import static_file, stored_file
from django_docraptor.exceptions import ConfigurationError, DocRaptorError

Write = Callable[..., Path]
MANIFEST = "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"
SECRET = b"top secret"


def png() -> bytes:
    """The smallest red picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + header
        + chunk(b"IDAT", zlib.compress(b"\0\xff\0\0"))
        + chunk(b"IEND", b"")
    )


@pytest.fixture
def write(settings: Any, tmp_path: Path) -> Write:
    """Write a static file; beside the static directory lies a secret."""
    source = tmp_path / "source"
    source.mkdir()
    (tmp_path / "secret.txt").write_bytes(SECRET)
    settings.STATICFILES_DIRS = [source]
    settings.STATIC_ROOT = str(tmp_path / "collected")

    def make(name: str, content: bytes | str = b"x") -> Path:
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return make


@pytest.fixture
def collect(settings: Any) -> Callable[[], None]:
    """Run collectstatic with hashed names, and forget the sources."""

    def run() -> None:
        settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": MANIFEST}}
        call_command("collectstatic", interactive=False, verbosity=0, ignore_patterns=["admin"])
        settings.STATICFILES_DIRS = []

    return run


def budget(**changes: int) -> Budget:
    """Enough for anything, unless said otherwise."""
    return Budget(**{"per_asset": 10**6, "left": 10**7} | changes)


def uri(kind: str, content: bytes) -> str:
    """The data: URI that is expected."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def css(name: str, **changes: int) -> str:
    """A stylesheet written out, without its element."""
    return stylesheet(name, budget(**changes)).removeprefix("<style>\n").removesuffix("\n</style>")


def refusal(make: Callable[..., object], *arguments: object) -> str:
    """The message of the AssetError that is raised."""
    with pytest.raises(AssetError) as caught:
        make(*arguments)
    return str(caught.value)


# Static files.


def test_asset_url_embeds_a_static_file(write: Write) -> None:
    """The bytes and the type of a file that the finders find."""
    write("shop/logo.png", png())
    assert asset_url("shop/logo.png", budget()) == uri("image/png", png())


@pytest.mark.parametrize("name", ["a.png", "a%2e.png", "a b é.png", "..a/b..png"])
def test_asset_url_takes_any_name_below_the_root(write: Write, name: str) -> None:
    """A template names a file, not an address: nothing is decoded."""
    write(name, png())
    assert asset_url(name, budget()) == uri("image/png", png())


def test_asset_url_of_a_hashed_file(
    write: Write, collect: Callable[[], None], settings: Any
) -> None:
    """In production the collected file is read, by its plain name or by its hashed one."""
    write("a.png", png())
    collect()
    (hashed,) = Path(settings.STATIC_ROOT).glob("a.*.png")
    hashed.write_bytes(png() + b"collected")
    expected = uri("image/png", png() + b"collected")
    assert asset_url("a.png", budget()) == expected
    assert asset_url(hashed.name, budget()) == expected


def test_static_file_prefers_the_source_in_debug(write: Write, settings: Any) -> None:
    """What was collected last week is stale while somebody writes CSS."""
    write("a.txt", b"new")
    (Path(settings.STATIC_ROOT)).mkdir()
    (Path(settings.STATIC_ROOT) / "a.txt").write_bytes(b"old")
    assert static_file("a.txt").read(budget()) == b"old"
    settings.DEBUG = True
    assert static_file("a.txt").read(budget()) == b"new"


def test_static_file_without_static_root(write: Write, settings: Any) -> None:
    """A project that has never collected uses the finders."""
    write("a.txt", b"found")
    settings.STATIC_ROOT = None
    assert static_file("a.txt").read(budget()) == b"found"


def test_static_file_of_another_storage(settings: Any) -> None:
    """A storage that is not on this machine is asked where the finders find nothing."""
    backend = "django.core.files.storage.InMemoryStorage"
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": backend}}
    staticfiles_storage.save("a.txt", ContentFile(b"remote"))
    assert static_file("a.txt").read(budget()) == b"remote"
    assert "'b.txt' is not among the static files" in refusal(static_file, "b.txt")


@pytest.mark.parametrize("debug", [True, False])
def test_static_file_that_changes(write: Write, settings: Any, debug: bool) -> None:
    """What is kept in memory never outlives the file's time and size."""
    settings.DEBUG = debug
    path = write("a.txt", b"one")
    assert static_file("a.txt").read(budget()) == b"one"
    path.write_bytes(b"two")
    os.utime(path, ns=(1, 1))
    assert static_file("a.txt").read(budget()) == b"two"


# Hostile names.

HOSTILE = [
    "../secret.txt",
    "shop/../../secret.txt",
    "shop/..",
    "..",
    "..\\secret.txt",
    "/etc/passwd",
    "//etc/passwd",
    "\\\\host\\share",
    "C:\\secret.txt",
    "C:secret.txt",
    "file:///etc/passwd",
    "FILE:/etc/passwd",
    "http://127.0.0.1/a.png",
    "data:text/plain,x",
    "a.png\x00.txt",
    "\x00",
    "a\n.png",
    "a\ud800.png",
    "x" * 5000,
    "",
    " ",
    ".",
    "shop",
    "shop/",
    None,
    7,
    b"a.png",
    Path("a.png"),
]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("debug", [True, False])
def test_static_file_refuses(write: Write, settings: Any, name: object, debug: bool) -> None:
    """Whatever is no plain name of a file below a static directory is refused with a remedy."""
    settings.DEBUG = debug
    write("shop/a.png")
    assert refusal(static_file, name).endswith((".", "'."))


@pytest.mark.parametrize("name", [name for name in HOSTILE if isinstance(name, str)])
def test_stored_file_refuses(tmp_path: Path, name: str) -> None:
    """The same for the name that a row of a database gives."""
    (tmp_path / "secret.txt").write_bytes(SECRET)
    (tmp_path / "media" / "shop").mkdir(parents=True)
    storage = FileSystemStorage(location=tmp_path / "media")
    assert refusal(lambda: stored_file(storage, name).read(budget())).endswith((".", "'."))


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


def test_static_file_refuses_a_link_that_leads_out(write: Write) -> None:
    """A symbolic link to a file or a directory elsewhere is not followed; one within is."""
    inside = write("a.txt", b"inside")
    root = inside.parent
    (root / "out.txt").symlink_to(root.parent / "secret.txt")
    (root / "up").symlink_to(root.parent)
    (root / "in.txt").symlink_to(inside)
    assert "leads out of its root" in refusal(static_file, "out.txt")
    assert "leads out of its root" in refusal(static_file, "up/secret.txt")
    assert static_file("in.txt").read(budget()) == b"inside"


def test_static_file_takes_links_of_collectstatic(write: Write, settings: Any) -> None:
    """`collectstatic --link` links to the sources, which are static directories too."""
    write("a.txt", b"linked")
    call_command("collectstatic", "--link", interactive=False, verbosity=0)
    assert (Path(settings.STATIC_ROOT) / "a.txt").is_symlink()
    assert static_file("a.txt").read(budget()) == b"linked"


def test_stored_file_refuses_a_link_that_leads_out(tmp_path: Path) -> None:
    """A link in the media directory is no way out, either."""
    (tmp_path / "secret.txt").write_bytes(SECRET)
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "a.png").symlink_to(tmp_path / "secret.txt")
    file = stored_file(FileSystemStorage(location=tmp_path / "media"), "a.png")
    assert "leads out of its root" in refusal(file.read, budget())


def test_stored_file_refuses_a_loop_of_links(tmp_path: Path) -> None:
    """Links that lead to each other are an asset error."""
    (tmp_path / "a.png").symlink_to(tmp_path / "b.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    file = stored_file(FileSystemStorage(location=tmp_path), "a.png")
    assert "'a.png' cannot be read" in refusal(file.read, budget())


def test_static_file_refuses_what_is_no_file(write: Write) -> None:
    """A pipe would hold the worker for ever."""
    os.mkfifo(write("a.txt").parent / "pipe.txt")
    assert "'pipe.txt' is not among the static files" in refusal(static_file, "pipe.txt")


def test_static_file_that_cannot_be_read(write: Write) -> None:
    """What vanishes between the look and the read is an asset error, too."""
    path = write("a.txt")
    source = static_file("a.txt")
    path.unlink()
    assert "cannot be read (No such file or directory)" in refusal(source.read, budget())


# Bounds.


def test_budget_bounds_one_asset(write: Write) -> None:
    """The bound is in bytes and allowed itself; the message names the setting."""
    write("a.png", b"x" * 101)
    assert asset_url("a.png", budget(per_asset=101))
    message = refusal(asset_url, "a.png", budget(per_asset=100))
    assert "more than the 100 bytes" in message
    assert "MAX_ASSET_BYTES" in message


def test_budget_bounds_a_stored_asset() -> None:
    """A storage's file is read up to the bound, whatever size it says."""
    storage = InMemoryStorage()
    storage.save("a.png", ContentFile(b"x" * 101))
    file = stored_file(storage, "a.png")
    assert "more than the 100 bytes" in refusal(file.read, budget(per_asset=100))


def test_budget_bounds_all_assets(write: Write) -> None:
    """What is embedded twice counts twice."""
    write("a.png", b"x" * 5000)
    shared = budget(left=10_000)
    asset_url("a.png", shared)
    asset_url("a.png", shared)
    assert "MAX_ASSETS_BYTES" in refusal(asset_url, "a.png", shared)


def test_budget_by_the_settings(settings: Any) -> None:
    """Without arguments the settings' bounds hold."""
    sizes = {"MAX_ASSET_BYTES": 7, "MAX_ASSETS_BYTES": 9}
    settings.DOCRAPTOR = settings.DOCRAPTOR | sizes
    assert Budget() == Budget(per_asset=7, left=9)


def test_stylesheet_bounds_a_bomb_of_imports(write: Write) -> None:
    """Ten imports of ten imports of ten: a thousand million reads end at the budget."""
    for depth in range(9):
        write(f"{depth}.css", f'@import "{depth + 1}.css";' * 10)
    write("9.css", "")
    assert "one too many" in refusal(css, "0.css")


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
    assert "in 'css/b.css': 'css/no.png' is not among the static files" in message
    assert "collectstatic" in message


def test_stylesheet_refuses_layers(write: Write) -> None:
    """What cannot be kept is not dropped in silence."""
    write("a.css", "@import 'b.css' layer(base);")
    assert "layer(base): layers and supports() cannot be kept" in refusal(css, "a.css")


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


# Images of storages.


def test_image_url_of_a_private_storage() -> None:
    """A storage without addresses is read, not linked."""
    storage = InMemoryStorage()
    storage.save("a.png", ContentFile(png()))
    assert image_url(Stored("a.png", storage), budget()) == uri("image/png", png())


class Stored:
    """What the tags see of a FieldFile."""

    def __init__(self, name: str, storage: Any) -> None:
        self.name = name
        self.storage = storage


def test_image_url_of_the_default_storage(settings: Any, tmp_path: Path) -> None:
    """A string names a file of the default storage."""
    use_media(settings, tmp_path)
    default_storage.save("a.png", ContentFile(png()))
    assert image_url("a.png", budget()) == uri("image/png", png())


def use_media(settings: Any, location: Path) -> None:
    """Put the default storage into a directory of the test's own."""
    backend = "django.core.files.storage.FileSystemStorage"
    default = {"BACKEND": backend, "OPTIONS": {"location": location, "base_url": "/media/"}}
    settings.STORAGES = settings.STORAGES | {"default": default}


@pytest.mark.parametrize("file", [None, "", Stored("", None)])
def test_image_url_without_a_file(file: object) -> None:
    """An empty field says so, instead of an address that is none."""
    assert refusal(image_url, file, budget()).startswith(("there is no file", "there is no path"))


def test_image_url_of_a_missing_file() -> None:
    """The name is said."""
    message = refusal(image_url, Stored("no.png", InMemoryStorage()), budget())
    assert message == "'no.png' is not among its storage: correct the path."


def test_stored_file_that_the_storage_refuses(settings: Any) -> None:
    """What a storage says against a name is an asset error, in both modes."""
    file = Stored("a.png", Suspicious())
    assert "leads out of its root" in refusal(image_url, file, budget())
    absolute(settings)
    assert "'a.png' has no address: no such luck" in refusal(image_url, file, budget())


class Suspicious(InMemoryStorage):
    """A storage that takes every name for an attack."""

    def _open(self, name: str, mode: str = "rb") -> Any:
        raise SuspiciousOperation("no such luck")

    def url(self, name: str | None) -> str:
        raise SuspiciousOperation("no such luck")


def test_stored_file_of_a_storage_that_is_down() -> None:
    """The name and the reason, not a traceback."""
    message = refusal(image_url, Stored("a.png", Down()), budget())
    assert message.startswith("'a.png' cannot be read (ConnectionError)")


class Down(InMemoryStorage):
    """A storage that does not answer."""

    def _open(self, name: str, mode: str = "rb") -> Any:
        raise ConnectionError


def test_stored_file_that_is_a_directory(tmp_path: Path) -> None:
    """A directory in the media directory is no file."""
    (tmp_path / "a.png").mkdir()
    file = stored_file(FileSystemStorage(location=tmp_path), "a.png")
    assert "'a.png' is not among its storage" in refusal(file.read, budget())


def test_image_url_of_something_else() -> None:
    """A page that somebody uploaded as a logo is no image."""
    storage = InMemoryStorage()
    storage.save("a.html", ContentFile(b"<script>"))
    assert "'a.html' is no image" in refusal(image_url, Stored("a.html", storage), budget())


# Addresses.


def absolute(settings: Any, base: str = "https://shop.example") -> None:
    """Let the tags write addresses."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"ASSETS": "absolute", "ASSETS_BASE_URL": base}


def test_absolute_addresses(settings: Any, tmp_path: Path) -> None:
    """This site's address before what the storages give, escaped for HTML."""
    absolute(settings)
    use_media(settings, tmp_path)
    assert asset_url("a b.png", budget()) == "https://shop.example/static/a%20b.png"
    assert image_url("b.png", budget()) == "https://shop.example/media/b.png"
    link = '<link rel="stylesheet" href="https://shop.example/static/a.css">'
    assert stylesheet("a.css", budget()) == link


def test_absolute_addresses_of_a_storage(settings: Any) -> None:
    """A full address stays as it is, and needs no base."""
    absolute(settings, "")
    settings.STATIC_URL = "https://cdn.example/static/"
    assert asset_url("a.png", budget()) == "https://cdn.example/static/a.png"


def test_absolute_address_of_a_private_file(settings: Any) -> None:
    """A file that has no address is embedded."""
    absolute(settings)
    storage = Private()
    storage.save("a.png", ContentFile(png()))
    assert image_url(Stored("a.png", storage), budget()) == uri("image/png", png())


class Private(InMemoryStorage):
    """A storage without addresses."""

    def url(self, name: str | None) -> str:
        raise NotImplementedError


def test_absolute_address_of_a_file_without_media_url(settings: Any, tmp_path: Path) -> None:
    """Files on disk have an address only if something serves them."""
    absolute(settings)
    storage = FileSystemStorage(location=tmp_path)
    storage.save("a.png", ContentFile(png()))
    assert image_url(Stored("a.png", storage), budget()) == uri("image/png", png())
    settings.MEDIA_URL = "/media/"
    file = Stored("a.png", FileSystemStorage(location=tmp_path))
    assert image_url(file, budget()) == "https://shop.example/media/a.png"


def test_absolute_address_without_a_base(settings: Any) -> None:
    """The setting that is missing is named."""
    absolute(settings, "")
    with pytest.raises(ConfigurationError, match="ASSETS_BASE_URL"):
        asset_url("a.png", budget())


def test_absolute_address_of_an_unknown_hashed_file(
    settings: Any, write: Write, collect: Callable[[], None]
) -> None:
    """A name that is not in the manifest has no address."""
    write("a.png")
    collect()
    absolute(settings)
    assert asset_url("a.png", budget()).startswith("https://shop.example/static/a.")
    assert "'no.png' has no address" in refusal(asset_url, "no.png", budget())


@pytest.mark.parametrize("name", ["../a.png", "/etc/passwd", "file:///a", "a\x00", "//host/a"])
def test_absolute_address_refuses(settings: Any, name: str) -> None:
    """Hostile names get no address, either."""
    absolute(settings)
    assert "give a path below" in refusal(asset_url, name, budget())


# Types.


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.svg", b"<svg/>", "image/svg+xml"),
        ("A.JPG", b"", "image/jpeg"),
        ("a.woff2", b"", "font/woff2"),
        ("a.woff", b"", "font/woff"),
        ("a.ttf", b"", "font/ttf"),
        ("a.otf", b"OTTO", "font/otf"),
        ("a.css", b"", "text/css"),
        ("upload", b"\xff\xd8\xff\xe0", "image/jpeg"),
        ("a.png", b"GIF89a", "image/gif"),
        ("a.bin", b"RIFF....WEBPVP8 ", "image/webp"),
        ("a.html", b"<p>", "application/octet-stream"),
        ("a", b"", "application/octet-stream"),
    ],
)
def test_type_of(name: str, content: bytes, kind: str) -> None:
    """The bytes decide, then the extension; never the machine's own tables."""
    assert type_of(name, content) == kind


def test_asset_error_is_ours() -> None:
    """A project that catches this package's errors catches these."""
    assert issubclass(AssetError, DocRaptorError)
    assert not issubclass(AssetError, ConfigurationError)
