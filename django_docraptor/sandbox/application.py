"""DocRaptor's calls: from a request to the answer the service would give.

Knows the protocol: routes, keys, status codes, limits. Sockets are `server`'s business, the
making of documents is `press`'s.
"""

import threading
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from django_docraptor.sandbox import fault_bodies, fault_responses, responses
from django_docraptor.sandbox.callbacks import Postman
from django_docraptor.sandbox.canned import canned_pdf, canned_xlsx
from django_docraptor.sandbox.documents import COMPLETED, Document, Store
from django_docraptor.sandbox.faults import ANSWER, Fault, FaultList
from django_docraptor.sandbox.listing import doc_logs, docs
from django_docraptor.sandbox.options import Options, invalid_reasons
from django_docraptor.sandbox.output import Output
from django_docraptor.sandbox.render_queue import Press
from django_docraptor.sandbox.request_parsing import key_of, options_of, recorded
from django_docraptor.sandbox.responses import RefusalError
from django_docraptor.sandbox.settings import Settings

Listing = Callable[[list[Document], Mapping[str, str]], object]

PUBLIC_KEY = "YOUR_API_KEY_HERE"

ROUTES = Map(
    [
        Rule("/docs", methods=["POST"], endpoint="create"),
        Rule("/async_docs", methods=["POST"], endpoint="create_async"),
        Rule("/hosted_docs", methods=["POST"], endpoint="create_hosted"),
        Rule("/hosted_async_docs", methods=["POST"], endpoint="create_hosted_async"),
        Rule("/status/<an_id>", methods=["GET"], endpoint="status"),
        Rule("/download/<an_id>", methods=["GET"], endpoint="download"),
        Rule("/hosted/<an_id>", methods=["GET"], endpoint="hosted"),
        Rule("/expire/<an_id>", methods=["PATCH"], endpoint="expire"),
        Rule("/docs.json", methods=["GET"], endpoint="docs"),
        Rule("/doc_logs.json", methods=["GET"], endpoint="doc_logs"),
    ]
)


class Application:
    """Answers DocRaptor's calls for one sandbox."""

    def __init__(self, settings: Settings, store: Store, faults: FaultList) -> None:
        self.settings = settings
        self.store = store
        self.faults = faults
        # Set when the sandbox stops; whatever waits, waits on this too.
        self.stopping = threading.Event()
        self.postman = Postman(settings, store, faults)
        self.press = Press(settings, store, faults, self.postman)

    def answer(self, request: Request) -> Response:
        """Return the answer to a request; raise `DropError` where a fault ends the connection."""
        began = time.monotonic()
        self.store.record(recorded(request))
        try:
            response = self._dispatch(request)
        except RefusalError as refusal:
            response = responses.xml_errors(refusal.status, refusal.reasons)
        except HTTPException as error:
            response = responses.xml_errors(error.code or 500, [error.name])
        response.headers.setdefault("X-Request-Id", str(uuid.uuid4()))
        response.headers.setdefault("X-Runtime", f"{time.monotonic() - began:.6f}")
        return response

    def _dispatch(self, request: Request) -> Response:
        endpoint, values = ROUTES.bind_to_environ(request.environ).match()
        views: dict[str, Callable[..., Response]] = {
            "create": self._create,
            "create_async": lambda request: self._create(request, asynchronous=True),
            "create_hosted": lambda request: self._create(request, hosted=True),
            "create_hosted_async": lambda request: self._create(
                request, asynchronous=True, hosted=True
            ),
            "status": self._status,
            "download": self._download,
            "hosted": self._hosted,
            "expire": self._expire,
            "docs": self._docs,
            "doc_logs": self._doc_logs,
        }
        return views[endpoint](request, **values)

    # Keys

    def _authenticate(self, request: Request, *, test: bool = False) -> str:
        """Return the key if it is good; the public key is good for test documents."""
        key = key_of(request)
        wanted = self.settings.api_key
        if not key or not (wanted in (None, key) or (key == PUBLIC_KEY and test)):
            raise RefusalError(401, "Unauthorized: the API key is missing or wrong")
        return key

    def _find(self, request: Request, an_id: str) -> Document | None:
        document = self.store.find(an_id)
        self._authenticate(request, test=document is not None and document.options.test)
        return document

    # Creates

    def _create(
        self, request: Request, *, asynchronous: bool = False, hosted: bool = False
    ) -> Response:
        self.store.count("create_calls")
        options = options_of(request)
        self._authenticate(request, test=options.test)
        document = Document(
            options=options,
            asynchronous=asynchronous or options.asynchronous,
            hosted=hosted,
            base_url=request.host_url.rstrip("/"),
        )
        fault = self._fault("create", document)
        if fault is not None and not fault.takes_effect:
            return self._spoil(
                fault, lambda: responses.json_answer({"status_id": str(uuid.uuid4())})
            )
        self._accept(document)
        if fault is not None and fault.action == "callback_first":
            self.press.rush(document)
        else:
            self.press.put(document)
        return self._spoil(fault, lambda: self._created(document))

    def _accept(self, document: Document) -> None:
        reasons = [] if document.asynchronous else invalid_reasons(document.options)
        if reasons:
            self.store.refuse(document, reasons)
            raise RefusalError(422, *reasons)
        if not self.store.accept(document, self.settings.max_concurrent):
            raise RefusalError(403, "Too many simultaneous documents. Please try again later.")

    def _created(self, document: Document) -> Response:
        if document.asynchronous:
            return responses.json_answer({"status_id": document.status_id})
        document.finished.wait()
        if document.finished_at is None:
            # The sandbox stops, or was reset: nobody will finish this document.
            raise fault_bodies.DropError
        if document.output is None:
            raise RefusalError(422, *document.reasons)
        if document.hosted:
            return responses.json_answer(responses.hosted_object(document))
        response = responses.document_bytes(document.output, document.options.name)
        if document.pages is not None:
            response.headers["X-DocRaptor-Num-Pages"] = str(document.pages)
        return response

    def _spoil(self, fault: Fault | None, proper: Callable[[], Response]) -> Response:
        return proper() if fault is None else fault_responses.play(fault, proper, self.stopping)

    def _fault(self, on: str, document: Document | None) -> Fault | None:
        return self.faults.trigger(on, *_labels([document] if document else []))

    # Status and download

    def _status(self, request: Request, an_id: str) -> Response:
        self.store.count("status_calls")
        document = self._find(request, an_id)
        return self._spoil(self._fault("status", document), lambda: _status_answer(document, an_id))

    def _download(self, request: Request, an_id: str) -> Response:
        # Without credentials the id itself is the permission: it is the `download_url`.
        if key_of(request):
            self._find(request, an_id)
        return self._bytes(an_id, 400)

    def _hosted(self, request: Request, an_id: str) -> Response:
        document = self.store.find(an_id)
        if document is None or not document.hosted:
            raise RefusalError(404, "Document not found")
        return self._bytes(an_id, 404)

    def _bytes(self, an_id: str, refusal: int) -> Response:
        self.store.count("download_calls")
        document = self.store.find(an_id)
        fault = self._fault("download", document)
        if fault is not None and not fault.takes_effect:
            return self._spoil(fault, lambda: Response(b""))
        if document is None or document.download_id != an_id:
            raise RefusalError(refusal, "Invalid download id")
        # Taken first: an answer that gets lost has been counted all the same.
        taken = self._taken(document, fault, refusal)
        return self._spoil(fault, lambda: taken)

    def _taken(self, document: Document, fault: Fault | None, refusal: int) -> Response:
        if document.state != COMPLETED:
            raise RefusalError(refusal, "The document is not finished")
        output = self.store.take_download(document, self._download_limit(document))
        if output is None:
            raise RefusalError(refusal, "The document cannot be downloaded any more")
        if fault is not None and fault.action == "wrong_type":
            output = _other_type(document.options, output)
        return responses.document_bytes(output, document.options.name)

    def _download_limit(self, document: Document) -> int:
        options = document.options
        if not document.hosted:
            return self.settings.download_limit
        if options.hosted_expires_at and options.hosted_expires_at <= datetime.now(UTC):
            return 0
        return 1 << 62 if options.hosted_download_limit is None else options.hosted_download_limit

    def _expire(self, request: Request, an_id: str) -> Response:
        document = self._find(request, an_id)
        if document is None or not document.hosted or document.download_id != an_id:
            raise RefusalError(400, "Invalid download id")
        self.store.expire(document)
        return responses.json_answer({"status": "expired"})

    # Listings

    def _docs(self, request: Request) -> Response:
        return self._listed(request, docs)

    def _doc_logs(self, request: Request) -> Response:
        return self._listed(request, doc_logs)

    def _listed(self, request: Request, listing: Listing) -> Response:
        key = self._authenticate(request, test=True)
        public = key == PUBLIC_KEY != self.settings.api_key and self.settings.api_key is not None
        # Everybody knows the public key, so it must not show what others have made.
        seen = [one for one in self.store.latest_first() if one.options.test or not public]
        seen = [one for one in seen if one.finished_at or self.settings.list_unfinished]
        seen = self._without_omitted(seen)
        fault = self.faults.trigger("logs", *_labels(seen), actions=ANSWER)
        return self._spoil(fault, lambda: responses.json_answer(listing(seen, request.args)))

    def _without_omitted(self, documents: list[Document]) -> list[Document]:
        fault = self.faults.trigger("logs", *_labels(documents), actions={"omit"})
        return [one for one in documents if fault is None or not fault.matches(*_labels([one]))]


def _labels(documents: list[Document]) -> list[str]:
    """Return what a fault can match."""
    return [text for one in documents for text in (one.options.tag, one.options.name)]


def _status_answer(document: Document | None, an_id: str) -> Response:
    if document is None or document.status_id != an_id or not document.asynchronous:
        raise RefusalError(404, "Invalid status id")
    return responses.json_answer(responses.status_of(document))


def _other_type(options: Options, output: Output) -> Output:
    """Return a document of the type that was not asked for."""
    return canned_xlsx(options) if output.document_type == "pdf" else canned_pdf(options)
