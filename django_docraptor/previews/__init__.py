"""Internal. Previews: documents of sample objects, while their template is edited.

No HTTP responses here: see ``views.previews``. Nothing is sent, and what hooks and templates write
to the database is rolled back.

``catalogue``  the document classes of the project
``samples``    the objects that a document class is previewed with
``rendering``  the HTML of a sample, and its problems
``pages``      a page of this site, for documents that are made of one
``selection``  the sample and the parameters that a URL selects
``failures``   what went wrong, and where
``files``      the PDF or spreadsheet, by the sandbox's renderer
``loading``    what a browser loads with the HTML: its base, and other sites
``digests``    whether a preview has changed
``access_log`` requests for that, in the log of ``runserver``
"""
