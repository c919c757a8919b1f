"""DocRaptor's API: routes, keys, status codes and limits.

Turns a request into the response that DocRaptor would give. `server` handles sockets;
`render_queue` renders documents.
"""

import threading
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta

from werkzeug.exceptions import HTTPException
from werkzeug.http import http_date
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from django_docraptor.sandbox import fault_responses, recorded, responses
from django_docraptor.sandbox.callbacks import CallbackSender
from django_docraptor.sandbox.canned import canned_pdf, canned_xlsx
from django_docraptor.sandbox.documents import COMPLETED, Document, DocumentStore
from django_docraptor.sandbox.fault_bodies import DropConnectionError
from django_docraptor.sandbox.faults import LOG_ACTIONS, RESPONSE_ACTIONS, Fault, FaultList
from django_docraptor.sandbox.listing import list_doc_logs, list_docs
from django_docraptor.sandbox.log_faults import LogView, distort, labels
from django_docraptor.sandbox.options import Options, validation_errors
from django_docraptor.sandbox.output import Output
from django_docraptor.sandbox.render_queue import RenderQueue
from django_docraptor.sandbox.request_parsing import get_api_key, parse_options, to_api_call
from django_docraptor.sandbox.responses import ApiError
from django_docraptor.sandbox.settings import Settings

Listing = Callable[[LogView, Mapping[str, str], Settings], object]

# DocRaptor's documentation and its clients' examples use this key.
SHARED_TEST_KEY = "YOUR_API_KEY_HERE"
UNLIMITED = 1 << 62
# Functions that make a status ID, by `status_id_form`.
STATUS_IDS: dict[str, Callable[[], str]] = {
    "uuid": lambda: str(uuid.uuid4()),
    "hex": lambda: uuid.uuid4().hex,
    "digits": lambda: str(uuid.uuid4().int)[:20],
    "long": lambda: "".join(uuid.uuid4().hex for _ in range(4)),
}
# Whatever the call allows.
HOSTED_TEST_DOWNLOADS = 5

ROUTES = Map(
    [
        Rule("/docs", methods=["POST"], endpoint="create"),
        Rule("/async_docs", methods=["POST"], endpoint="create_async"),
        Rule("/hosted_docs", methods=["POST"], endpoint="create_hosted"),
        Rule("/hosted_async_docs", methods=["POST"], endpoint="create_hosted_async"),
        Rule("/status/<status_id>", methods=["GET"], endpoint="status"),
        Rule("/download/<download_id>", methods=["GET"], endpoint="download"),
        Rule("/hosted/<download_id>", methods=["GET"], endpoint="hosted_download"),
        Rule("/expire/<download_id>", methods=["PATCH"], endpoint="expire"),
        Rule("/docs.json", methods=["GET"], endpoint="docs"),
        Rule("/doc_logs.json", methods=["GET"], endpoint="doc_logs"),
    ]
)


class Application:
    """Handle DocRaptor's API calls for one sandbox."""

    def __init__(self, settings: Settings, store: DocumentStore, faults: FaultList) -> None:
        """Share the sandbox's settings, documents and faults."""
        self.settings = settings
        self.store = store
        self.faults = faults
        # Set when the sandbox stops. Everything that waits must also wait for this.
        self.stopping = threading.Event()
        self.callback_sender = CallbackSender(settings, store, faults)
        self.render_queue = RenderQueue(settings, store, faults, self.callback_sender)

    def handle(self, request: Request) -> Response:
        """Return the response to a request.

        Raises:
            DropConnectionError: a fault ends the connection.
        """
        started = time.monotonic()
        self.store.record_call(to_api_call(request))
        try:
            response = self._dispatch(request)
        except ApiError as error:
            response = responses.xml_error_response(error.status, error.reasons)
        except HTTPException:
            # Not the API but the web site answers other paths and methods, whatever the key.
            response = responses.marketing_page()
        response.headers.setdefault("X-Request-Id", str(uuid.uuid4()))
        response.headers.setdefault("X-Runtime", f"{time.monotonic() - started:.6f}")
        response.headers.setdefault("Date", http_date(self.settings.now()))
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
            "hosted_download": self._hosted_download,
            "expire": self._expire,
            "docs": self._docs,
            "doc_logs": self._doc_logs,
        }
        return views[endpoint](request, **values)

    # Keys

    def _authenticate(self, request: Request, *, test: bool = False) -> str:
        """Return the API key if it is valid.

        DocRaptor's shared test key is valid for test documents.
        """
        key = get_api_key(request)
        required_key = self.settings.api_key
        is_valid = required_key in (None, key) or (key == SHARED_TEST_KEY and test)
        if not key or not is_valid:
            raise ApiError(401, recorded.BAD_KEY)
        return key

    def _get_document(self, request: Request, document_id: str) -> Document | None:
        """Return the document if it exists and belongs to the account of the request's key."""
        key = self._authenticate(request, test=True)
        document = self.store.find(document_id)
        return document if document is not None and self._owns(key, document) else None

    def _owns(self, key: str, document: Document) -> bool:
        """Return whether a key and the document belong to one account.

        If any key is valid, each is an account. Otherwise, there are two: the one with the valid
        key, which may have had others before, and the one that the world shares.
        """
        if self.settings.api_key is None:
            return key == document.api_key
        return (key == SHARED_TEST_KEY) == (document.api_key == SHARED_TEST_KEY)

    # Create calls

    def _create(
        self, request: Request, *, asynchronous: bool = False, hosted: bool = False
    ) -> Response:
        self.store.increment("create_calls")
        document = self._make_document(request, asynchronous, hosted)
        fault = self._trigger_fault("create", document)
        if fault is not None and not fault.takes_effect:
            data = {"status_id": str(uuid.uuid4())}
            return self._with_fault(fault, lambda: responses.json_response(data))
        self._accept(document)
        if fault is not None and fault.action == "callback_first":
            self.render_queue.render_now(document)
        else:
            self.render_queue.add(document)
        if fault is not None and fault.action == "same_id" and document.asynchronous:
            other = self.store.status_id_before(document) or document.status_id
            return responses.json_response({"status_id": other})
        return self._with_fault(fault, lambda: self._create_response(document))

    def _make_document(self, request: Request, asynchronous: bool, hosted: bool) -> Document:
        """Return the document that a request asks for, before it is accepted."""
        try:
            options = parse_options(request)
        except ApiError:
            # A wrong key is refused before a wrong body.
            self._authenticate(request, test=True)
            raise
        key = self._authenticate(request, test=options.test)
        return Document(
            options=options,
            asynchronous=asynchronous or options.asynchronous,
            hosted=hosted or options.hosted,
            base_url=self.settings.download_url_base or request.host_url.rstrip("/"),
            ip_address=request.remote_addr or "",
            api_key=key,
            status_id=STATUS_IDS[self.settings.status_id_form](),
            clock_offset=timedelta(seconds=self.settings.clock_offset),
        )

    def _accept(self, document: Document) -> None:
        reasons = [] if document.asynchronous else validation_errors(document.options)
        if reasons:
            self.store.add_rejected(document, reasons)
            raise ApiError(422, *reasons)
        if not self.store.accept(document, self.settings.max_concurrent):
            raise ApiError(403, recorded.TOO_MANY_REQUESTS)

    def _create_response(self, document: Document) -> Response:
        if document.asynchronous:
            return responses.json_response({"status_id": document.status_id})
        document.finished_event.wait()
        if document.finished_at is None:
            # The sandbox is stopping or was reset, so this document will not be finished.
            raise DropConnectionError
        if document.output is None:
            raise ApiError(422, *document.reasons)
        if document.hosted:
            return responses.json_response(responses.download_data(document))
        response = responses.file_response(document.output, document.options.name)
        if document.pages is not None:
            response.headers["X-DocRaptor-Num-Pages"] = str(document.pages)
        return response

    def _with_fault(self, fault: Fault | None, make_response: Callable[[], Response]) -> Response:
        if fault is None:
            return make_response()
        return fault_responses.apply(fault, make_response, self.stopping)

    def _trigger_fault(
        self, on: str, *documents: Document | None, actions: Collection[str] = ()
    ) -> Fault | None:
        texts = [text for document in documents if document for text in labels(document)]

        def concerns(fault: Fault) -> bool:
            return fault.action != "not_yet" or self._is_fresh(documents[0], fault.delay)

        return self.faults.trigger(on, *texts, actions=actions, concerns=concerns)

    def _is_fresh(self, document: Document | None, seconds: float) -> bool:
        """Return whether the document was completed less than `seconds` ago."""
        if document is None or document.state != COMPLETED or document.finished_at is None:
            return False
        age = self.settings.now() - document.finished_at - document.clock_offset
        return age < timedelta(seconds=seconds)

    # Status and download

    def _status(self, request: Request, status_id: str) -> Response:
        self.store.increment("status_calls")
        document = self._get_document(request, status_id)
        fault = self._trigger_fault("status", document)

        def respond() -> Response:
            if document is None or document.status_id != status_id or not document.asynchronous:
                raise ApiError(403, recorded.FOREIGN_STATUS)
            return responses.json_response(responses.status_data(document))

        return self._with_fault(fault, respond)

    def _download(self, request: Request, download_id: str) -> Response:
        # Without credentials, this is the `download_url`; its ID is the permission.
        if get_api_key(request):
            self._authenticate(request, test=True)
        return self._download_response(download_id, 400)

    def _hosted_download(self, request: Request, download_id: str) -> Response:
        document = self.store.find(download_id)
        if document is None or not document.hosted:
            raise ApiError(404, "Document not found")
        return self._download_response(download_id, 404)

    def _download_response(self, download_id: str, error_status: int) -> Response:
        self.store.increment("download_calls")
        document = self.store.find(download_id)
        fault = self._trigger_fault("download", document)
        if fault is not None and not fault.takes_effect:
            return self._with_fault(fault, lambda: Response(b""))
        if document is None or document.download_id != download_id:
            raise ApiError(error_status, recorded.BAD_DOWNLOAD_KEY)
        # Count the download first: a response that gets lost counts, too.
        response = self._take_download(document, fault, error_status)
        return self._with_fault(fault, lambda: response)

    def _take_download(
        self, document: Document, fault: Fault | None, error_status: int
    ) -> Response:
        if document.state != COMPLETED:
            raise ApiError(error_status, "The requested document has not completed.")
        output = self.store.take_download(document, self._download_limit(document))
        if output is None:
            raise ApiError(error_status, recorded.BAD_DOWNLOAD_KEY)
        if fault is not None and fault.action == "wrong_type":
            output = _output_of_other_type(document.options, output)
        return responses.file_response(output, document.options.name)

    def _download_limit(self, document: Document) -> int:
        options = document.options
        if not document.hosted:
            return self.settings.download_limit
        if options.hosted_expires_at and options.hosted_expires_at <= self.settings.now():
            return 0
        if options.test:
            return HOSTED_TEST_DOWNLOADS
        limit = options.hosted_download_limit
        return UNLIMITED if limit is None else limit

    def _expire(self, request: Request, download_id: str) -> Response:
        document = self._get_document(request, download_id)
        fault = self._trigger_fault("expire", document)
        if fault is not None and not fault.takes_effect:
            return self._with_fault(fault, lambda: Response(b""))
        if document is None or not document.hosted or document.download_id != download_id:
            raise ApiError(400, recorded.BAD_DOWNLOAD_KEY)
        self.store.expire(document)
        return self._with_fault(fault, lambda: responses.json_response({"status": "expired"}))

    # Lists

    def _docs(self, request: Request) -> Response:
        return self._list_response(request, list_docs)

    def _doc_logs(self, request: Request) -> Response:
        return self._list_response(request, list_doc_logs)

    def _list_response(self, request: Request, listing: Listing) -> Response:
        key = self._authenticate(request, test=True)
        visible = [
            document
            for document in self.store.latest_first()
            if self._owns(key, document) and (document.finished_at or self.settings.list_unfinished)
        ]
        view = distort(visible, self._log_faults(visible), self.settings.now())
        fault = self._trigger_fault("logs", *view.documents, actions=RESPONSE_ACTIONS)
        return self._with_fault(
            fault, lambda: responses.json_response(listing(view, request.args, self.settings))
        )

    def _log_faults(self, documents: list[Document]) -> list[Fault]:
        """Return the faults of content that this read triggers, at most one of each action."""
        found = (
            self._trigger_fault("logs", *documents, actions={action})
            for action in sorted(LOG_ACTIONS)
        )
        return [fault for fault in found if fault is not None]


def _output_of_other_type(options: Options, output: Output) -> Output:
    """Return a document of another type than the requested one."""
    return canned_xlsx(options) if output.document_type == "pdf" else canned_pdf(options)
