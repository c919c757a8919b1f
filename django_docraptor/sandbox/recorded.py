"""DocRaptor's own error texts, as its users have recorded them. No logic here.

Tests can give them to faults: `Fault(on="render", action="fail", reason=recorded.OVER_LIMIT)`.
"""

# Of HTTP errors.
BAD_KEY = "Please provide a valid API key."
BAD_DOWNLOAD_KEY = "[Download Key Error] The supplied download key is not valid."
FOREIGN_STATUS = (
    "[Authentication Error] You do not have permission to view the status of this document."
)
QUEUEING_ERROR = "[Document Queueing Error] There was an error queueing your document."
TOO_MANY_REQUESTS = "Too many simultaneous document requests"

# Of documents that have failed, or of a 422.
NAME_BLANK = "Name can't be blank"
NAME_TOO_LONG = "Name is too long (maximum is 200 characters)"
TAG_TOO_LONG = "Tag is too long (maximum is 200 characters)"
TYPE_BLANK = "Document type can't be blank"
TYPE_UNKNOWN = "Document type is not included in the list"
OVER_LIMIT = "Over document limit. Please upgrade your account."
ACCOUNT_CANCELED = "Account canceled. Please update payment details or contact DocRaptor support."
ACCOUNT_SUSPENDED = (
    "Account suspended. Please update payment details (reactivation may take a few minutes)"
)
UNKNOWN_REASONS = "Document creation failed due to unknown reasons."
FILE_ACCESS = "File system access is not allowed"
SOURCE_ERROR = "Error downloading document content from supplied url."
# DocRaptor documents the limit, not its text.
HOSTED_TOO_LARGE = "Hosted documents can be at most 100 MB."
# One fault, two texts.
JAVASCRIPT_ERROR = (
    "[Javascript Error] ReferenceError: Can't find variable: herp\n[Javascript Error] document:642"
)


def timeout(document_type: str) -> str:
    """Return the text of a document that was killed at its time limit."""
    return f"Timeout trying to create {document_type or 'pdf'} from document content."


def malformed(problem: str) -> str:
    """Return the text of a document that strict validation refuses."""
    return f"Document Malformed: {problem}"
