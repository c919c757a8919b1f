"""Internal. The Content-Security-Policies of untrusted HTML that is shown to people."""

from typing import Final

# It may load images and styles, but not run scripts, submit forms or use the site's origin.
PREVIEW_POLICY: Final = (
    "sandbox; default-src 'none'; img-src https: http: data:; font-src https: http: data:; "
    "style-src https: http: 'unsafe-inline'; form-action 'none'; base-uri https: http:"
)
# It contacts no other site, which would learn who looks at the document, and when.
OFFLINE_POLICY: Final = (
    "sandbox; default-src 'none'; img-src data:; font-src data:; style-src 'unsafe-inline' data:; "
    "form-action 'none'; base-uri 'none'"
)
