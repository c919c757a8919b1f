"""The site's accounts: one works, the others have what must not disturb it.

Every run has an account whose key is wrong. The preset ``--accounts`` adds one with a hard budget,
at a sandbox of its own, and one whose server never responds.
"""

from typing import Any

API_KEY = "chaos"
GOOD_ACCOUNT = "default"
# The good account's documents in progress, few enough that their limit is reached before the CPU's.
MAX_IN_FLIGHT = 15
LOCKED_ACCOUNT = "locked"
LIMITED_ACCOUNT, LIMITED_KEY = "limited", "limited"
HANGING_ACCOUNT = "hanging"
# Documents of the locked account: they wait, and the others must not wait with them.
LOCKED_JOBS = 3


def get_api_key(account: str) -> str:
    """Return the key of an account."""
    return "unknown" if account == LOCKED_ACCOUNT else API_KEY


def locked_name(number: int) -> str:
    """Return the name of a document of the locked account."""
    return f"locked-{number}.pdf"


def several_accounts(limited_url: str, hanging_url: str, budget: int) -> dict[str, Any]:
    """Return ``ACCOUNTS`` of the preset.

    Args:
        limited_url: of the sandbox of the account with a budget.
        hanging_url: of a server that never responds.
        budget: documents a month, so that no run sees two days.
    """
    limited = {"API_KEY": LIMITED_KEY, "BASE_URL": limited_url, "BUDGET": {"month": budget}}
    return {
        GOOD_ACCOUNT: {"API_KEY": API_KEY, "MAX_IN_FLIGHT": MAX_IN_FLIGHT},
        LOCKED_ACCOUNT: {"API_KEY": "unknown"},
        LIMITED_ACCOUNT: limited,
        HANGING_ACCOUNT: {"API_KEY": "hanging", "BASE_URL": hanging_url},
    }
