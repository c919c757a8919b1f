"""How many bytes of assets one render may take in."""

from dataclasses import dataclass, field

from django_docraptor.assets.errors import AssetError
from django_docraptor.conf import conf

# What the smallest asset counts: a stylesheet that imports thousands of empty ones ends, too.
SMALLEST = 1024


def _max_asset() -> int:
    return conf.max_asset_bytes


def _max_total() -> int:
    return conf.max_assets_bytes


@dataclass(slots=True)
class Budget:
    """Bytes that are left. By default what the settings allow for one render.

    Args:
        per_asset: the most bytes that one asset may have.
        left: the bytes that all further assets may have together.
    """

    per_asset: int = field(default_factory=_max_asset)
    left: int = field(default_factory=_max_total)

    def check(self, name: str, size: int) -> None:
        """Refuse an asset that is too large by itself. Raises AssetError."""
        if size > self.per_asset:
            raise AssetError(
                f"{name!r} has more than the {self.per_asset:,} bytes that one asset may have: "
                "make it smaller, or raise DOCRAPTOR['MAX_ASSET_BYTES']."
            )

    def spend(self, name: str, size: int) -> None:
        """Count an asset. Raises AssetError if it is too large, or one too many."""
        self.check(name, size)
        self.left -= max(size, SMALLEST)
        if self.left < 0:
            raise AssetError(
                f"{name!r} is one too many: the assets of this document have more bytes than are "
                "allowed together. Make them smaller, or raise DOCRAPTOR['MAX_ASSETS_BYTES']."
            )
