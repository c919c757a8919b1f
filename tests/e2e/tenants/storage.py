"""The site's storage for documents."""

import os

from django_tenants.files.storage import TenantFileSystemStorage


class DocumentStorage(TenantFileSystemStorage):
    """A directory for each schema."""

    relative_media_root = f"{os.environ['TEST_SCRATCH']}/documents/%s"
