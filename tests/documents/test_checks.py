"""System checks of document classes: each mistake gives its own check ID, with a hint."""

import gc
import importlib
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.checks import run_checks

from django_docraptor import registry
from django_docraptor.documents import Document
from django_docraptor.documents.checks import check_document, check_documents
from django_docraptor.signals import delivery_due, document_completed
from tests.apps.shop.models import Invoice

Declare = Callable[..., type[Document[Any]]]


@pytest.fixture
def declare_document() -> Iterator[Declare]:
    """Return a function that declares a document with some attributes."""
    documents: list[type[Document[Any]]] = []

    def make(**attributes: Any) -> type[Document[Any]]:
        body = {"model": Invoice, "template_name": "shop/invoice.html", **attributes}
        document: type[Document[Any]] = type("Checked", (Document,), body)
        documents.append(document)
        return document

    yield make
    for document in documents:
        registry.unregister(document.label)
        document.label = "gone"  # the class stays until it is garbage-collected
    for signal in (document_completed, delivery_due):  # connected by `deliver_to`
        signal.disconnect(dispatch_uid="django_docraptor.delivery")


@pytest.mark.check("E009", "E010", "E011", "E012", "E013", "E014", "E018", "E019", "W005")
@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, []),
        ({"model": None}, []),
        ({"template_name": "shop/nothing.html"}, ["E009"]),
        ({"template_name": "shop/"}, ["E009"]),
        ({"template_name": ["shop/invoice.html"]}, ["E009"]),
        ({"template_name": "shop/nothing.html", "render": lambda self: "x"}, []),
        ({"document_type": "docx"}, ["E010"]),
        ({"document_type": None}, ["E010"]),
        ({"options": {"javascript": "yes"}}, ["E011"]),
        ({"options": {"prince_options": {"css_dpi": "many"}}}, ["E011"]),
        ({"options": {"name": "mine"}}, ["E011"]),
        ({"options": ["javascript"]}, ["E011"]),
        ({"options": {"callback_url": "https://shop.example/ready"}}, ["E011"]),
        ({"options": {"tag": "t" * 162}}, ["E011"]),
        ({"options": {"tag": "t" * 161}}, []),
        ({"options": {"javascrpt": True}}, ["E011"]),
        ({"options": {"prince_options": {"medai": "print"}}}, ["E011"]),
        ({"options": {"brand_new": 1}}, ["W005"]),
        ({"model": "shop.Invoice"}, ["E012"]),
        ({"model": AbstractBaseUser}, ["E012"]),
        ({"deliver_to": "pdf"}, []),
        ({"deliver_to": "number"}, ["E013"]),
        ({"deliver_to": "nothing"}, ["E013"]),
        ({"deliver_to": "pdf", "model": None}, ["E013"]),
        ({"language": "klingon"}, ["E014"]),
        ({"time_zone": "Mars/Olympus"}, ["E014"]),
        ({"language": "de", "time_zone": "Europe/Vienna", "test": False, "priority": -1}, []),
        ({"test": "no"}, ["E014"]),
        ({"priority": 99_999}, ["E014"]),
        ({"preflight_ignore": {"relative-url", "private-host"}}, []),
        ({"preflight_ignore": {"relative_url"}}, ["E014"]),
        ({"preflight_ignore": "relative-url"}, ["E014"]),
        ({"priority": "high"}, ["E014"]),
        ({"account": ""}, ["E014"]),
        ({"account": 5}, ["E014"]),
        ({"account": "acme"}, []),
        ({"changed_at_field": "number"}, []),
        ({"changed_at_field": ""}, []),
        ({"changed_at_field": "saved"}, ["E014"]),
        ({"changed_at_field": 5}, ["E014"]),
        ({"document_type": "docx", "priority": True}, ["E010", "E014"]),
        ({"hosted": "yes"}, ["E014"]),
        ({"hosted": True, "hosted_lifetime": 30}, ["E014"]),
        ({"hosted": True, "hosted_lifetime": timedelta(0)}, ["E014"]),
        ({"hosted": True, "hosted_download_limit": 0}, ["E014"]),
        ({"hosted": True, "hosted_lifetime": timedelta(days=1), "hosted_download_limit": 1}, []),
        ({"hosted": True, "deliver_to": "pdf"}, ["E018"]),
        ({"storage": "default"}, []),
        ({"storage": "nowhere"}, ["E019"]),
        ({"storage": "staticfiles"}, ["E019"]),
    ],
)
def test_each_mistake_has_its_check_id(
    declare_document: Declare, attributes: dict[str, Any], expected: list[str]
) -> None:
    """A mistake is reported with its ID, its class and a hint."""
    messages = check_document(declare_document(**attributes))
    assert [str(message.id) for message in messages] == [
        f"django_docraptor.{number}" for number in expected
    ]
    assert all(message.hint and message.msg.startswith("Checked.") for message in messages)


@pytest.fixture
def write_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Return a function that writes modules of a package and imports them."""
    monkeypatch.syspath_prepend(tmp_path)
    labels = set(registry.all_documents())

    def write(name: str, code: str) -> Any:
        path = tmp_path / "warehouse" / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(f"from django_docraptor import Document\n{code}")
        return importlib.import_module(f"warehouse.{name}")

    yield write
    for label in set(registry.all_documents()) - labels:
        registry.unregister(label)
    for name in [name for name in sys.modules if name.partition(".")[0] == "warehouse"]:
        del sys.modules[name]
    gc.collect()  # what is not registered is found by Document.__subclasses__()


LISTING = "class Listing(Document):\n    template_name = 'shop/invoice.html'\n"


@pytest.mark.check("E024")
@pytest.mark.parametrize("first", ["documents", "reports"])
def test_two_classes_of_one_label_are_reported(
    write_module: Callable[..., Any], first: str
) -> None:
    """Two classes of one name in two modules are an error, which names both and the one in use."""
    second = {"documents": "reports", "reports": "documents"}[first]
    for name in (first, second):
        write_module(name, LISTING)
    (message,) = check_documents(None)
    assert message.id == "django_docraptor.E024"
    assert f"warehouse.{first}.Listing and warehouse.{second}.Listing" in message.msg
    assert message.msg.endswith(f"with warehouse.{second}.Listing.")
    registry.unregister("warehouse.Listing")
    assert check_documents(None) == []


@pytest.mark.check("E024")
def test_two_nested_classes_of_one_label_are_reported(write_module: Callable[..., Any]) -> None:
    """Two classes of one name in one module have one label, too."""
    nested = "".join(f"    {line}\n" for line in LISTING.splitlines())
    write_module("documents", f"class A:\n{nested}\nclass B:\n{nested}")
    (message,) = check_documents(None)
    assert "warehouse.documents.A.Listing and warehouse.documents.B.Listing" in message.msg


def test_reloaded_class_is_not_reported(write_module: Callable[..., Any]) -> None:
    """A reload declares the same class again, and so does a class of another app."""
    module = write_module("documents", LISTING)
    importlib.reload(module)
    write_module("reports", LISTING.replace("Listing", "Other"))
    assert check_documents(None) == []
    assert registry.origins("warehouse.Listing") == ["warehouse.documents.Listing"]


@pytest.mark.check("W008")
@pytest.mark.parametrize(
    ("attributes", "name", "right"),
    [
        ({"template_name": "", "template": "shop/invoice.html"}, "template", "template_name"),
        ({"template_name": "", "tempalte_name": "a.html"}, "tempalte_name", "template_name"),
        ({"filename": "a.pdf"}, "filename", "get_name()"),
        ({"get_filename": lambda self: "a.pdf"}, "get_filename", "get_name()"),
        ({"get_context_data": lambda self: {}}, "get_context_data", "get_context()"),
        ({"get_contxt": lambda self: {}}, "get_contxt", "get_context()"),
        ({"option": {}}, "option", "options"),
        ({"get_html": lambda self: "<p>"}, "get_html", "render()"),
        ({"get_nam": lambda self: "a.pdf"}, "get_nam", "get_name()"),
        ({"model_class": Invoice, "model": None}, "model_class", "model"),
        ({"template_names": ["a.html"], "template_name": ""}, "template_names", "template_name"),
        ({"prince_options": {"media": "print"}}, "prince_options", "options"),
        ({"idempotency_key": "a"}, "idempotency_key", "get_idempotency_key()"),
        ({"on_success": lambda self, job: None}, "on_success", "on_completed()"),
        ({"on_complete": lambda self, job: None}, "on_complete", "on_completed()"),
        ({"can_download": classmethod(lambda *a: True)}, "can_download", "may_download()"),
    ],
)
def test_attribute_that_nothing_reads_is_reported(
    declare_document: Declare, attributes: dict[str, Any], name: str, right: str
) -> None:
    """An attribute that has another name here is reported with that name."""
    document = declare_document(**attributes)
    messages = check_documents(None) if not document.label else check_document(document)
    assert [(message.id, message.obj) for message in messages] == [
        ("django_docraptor.W008", document)
    ]
    assert messages[0].msg == f"Checked.{name} is not an attribute that documents use."
    assert messages[0].hint == f"Did you mean {right}?"


@pytest.mark.parametrize(
    "attributes",
    [
        {"template": "a.html"},  # beside template_name
        {"get_context": lambda self: {}, "get_context_data": lambda self: {}},
        {"get_name": lambda self: "a.pdf", "filename": "a.pdf"},
        {"queryset": Invoice.objects.none()},  # a report's, which this is not
        {"languages": ["de", "en"], "document_types": ["pdf"], "currency": "EUR", "_optoins": {}},
    ],
)
def test_own_attributes_are_not_reported(
    declare_document: Declare, attributes: dict[str, Any]
) -> None:
    """An attribute beside the right one is the class's own, and so is one of another name."""
    assert check_document(declare_document(**attributes)) == []


@pytest.mark.check("W008")
def test_inherited_mistake_is_reported_once(declare_document: Declare) -> None:
    """The attribute of a base class is reported for that class alone."""
    base = declare_document(filename="a.pdf")
    derived: type[Document[Any]] = type("Checked", (base,), {})
    assert [message.id for message in check_document(base)] == ["django_docraptor.W008"]
    assert check_document(derived) == []


@pytest.mark.check("W005")
def test_unknown_option_suggests_a_similar_one(declare_document: Declare) -> None:
    """An option that may be meant is named."""
    options = {"prince_options": {"all_media": "x"}}
    (message,) = check_document(declare_document(options=options))
    assert message.hint == "Did you mean 'media'?"


@pytest.mark.django_db
def test_checks_of_documents_are_registered(declare_document: Declare) -> None:
    """The check is registered with Django and covers all registered classes."""
    declare_document(document_type="docx")
    assert "django_docraptor.E010" in {message.id for message in run_checks()}


def test_check_of_one_app_covers_its_documents_only(declare_document: Declare) -> None:
    """``manage.py check shop`` checks the documents of that app only."""
    declare_document(document_type="docx")
    assert check_documents([apps.get_app_config("shop")]) == []
    assert len(check_documents(None)) == 1


@pytest.mark.check("W014")
@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("class Listing(Document):\n    document_type = 'docx'\n", ["W014"]),
        ("class Listing(Document):\n    tempalte_name = 'a.html'\n", ["W008"]),
        ("class BaseListing(Document):\n    pass\n", []),
        ("class ListingMixin(Document):\n    pass\n", []),
        ("class Own(Document):\n    pass\nclass Listing(Own):\n    pass\n", ["W014"]),
        ("S = TypeVar('S')\nclass Own(Document[S]):\n    pass\n", []),
    ],
)
def test_class_without_content_is_reported(
    write_module: Callable[..., Any], settings: Any, code: str, found: list[str]
) -> None:
    """A class of an app that cannot be enqueued is named, unless it is there to be extended."""
    write_module("__init__", "")
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "warehouse"]
    write_module("documents", f"from typing import TypeVar\n{code}")
    messages = check_documents([apps.get_app_config("warehouse")])
    assert [message.id for message in messages] == [f"django_docraptor.{name}" for name in found]


def test_class_outside_of_apps_is_not_reported(declare_document: Declare) -> None:
    """A class without a template that no app's module holds is not a project's document."""
    declare_document(template_name="", document_type="docx")
    assert check_documents(None) == []


@pytest.mark.check("E014")
def test_unknown_account_of_a_document(declare_document: Declare, settings: Any) -> None:
    """An account that is misspelt is found before the first document; a provider is not asked."""
    document = declare_document(account="acne")
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"ACCOUNTS": {"acme": {}}}
    (message,) = check_document(document)
    assert message.id == "django_docraptor.E014"
    assert "Did you mean 'acme'" in message.msg
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"ACCOUNTS": "shop.accounts.Tenants"}
    assert check_document(document) == []
