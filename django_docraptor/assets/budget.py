"""Internal. The limit on asset bytes per render."""

from dataclasses import dataclass, field

from django_docraptor.assets.errors import AssetError
from django_docraptor.conf import conf

# Minimum cost of an asset, so that thousands of empty imports reach the limit, too.
MIN_ASSET_COST = 1024


def _max_asset_bytes() -> int:
    return conf.max_asset_bytes


def _max_total_bytes() -> int:
    return conf.max_assets_bytes


@dataclass(slots=True)
class Budget:
    """The remaining bytes of a render; the defaults come from the settings.

    Args:
        max_asset_bytes: maximum size of one asset.
        remaining_bytes: total size of all further assets.
    """

    max_asset_bytes: int = field(default_factory=_max_asset_bytes)
    remaining_bytes: int = field(default_factory=_max_total_bytes)

    def check(self, name: str, size: int) -> None:
        """Reject an asset that is too large.

        Raises:
            AssetError: it exceeds ``max_asset_bytes``.
        """
        if size > self.max_asset_bytes:
            raise AssetError(
                f"{name!r} exceeds the limit of {self.max_asset_bytes:,} bytes per asset: reduce "
                "its size, or raise DOCRAPTOR['MAX_ASSET_BYTES']."
            )

    def spend(self, name: str, size: int) -> None:
        """Count an asset.

        Raises:
            AssetError: it exceeds a limit.
        """
        self.check(name, size)
        self.remaining_bytes -= max(size, MIN_ASSET_COST)
        if self.remaining_bytes < 0:
            raise AssetError(
                f"{name!r} exceeds the total size allowed for the assets of one document: reduce "
                "their size, or raise DOCRAPTOR['MAX_ASSETS_BYTES']."
            )
