"""The site's two accounts: one works, the other has a key that DocRaptor does not know."""

API_KEY = "chaos"
LOCKED_ACCOUNT = "locked"
# Documents of the locked account: they wait, and the others must not wait with them.
LOCKED_JOBS = 3


def get_api_key(account: str) -> str:
    """Return the key of an account."""
    return "unknown" if account == LOCKED_ACCOUNT else API_KEY


def locked_name(number: int) -> str:
    """Return the name of a document of the locked account."""
    return f"locked-{number}.pdf"
