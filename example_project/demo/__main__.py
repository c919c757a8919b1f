"""``python -m example_project.demo``: make documents from end to end, say how it went, clean up."""

import sys

from example_project.demo.processes import (
    LOGS,
    Processes,
    argument_parser,
    main,
    make_fresh,
    start_site,
)

# Seconds before the deadline at which the wait for documents ends, to say what is missing.
MARGIN = 3


def demo() -> None:
    """Start the site, make the documents, stop the site."""
    parser = argument_parser(__doc__, port=0)
    parser.add_argument("--deadline", type=float, default=90, help="seconds for everything")
    options = parser.parse_args()
    make_fresh()
    LOGS.mkdir(parents=True)
    with Processes(options.deadline) as processes:
        start_site(
            processes, port=options.port, sandbox_port=options.sandbox_port, delay=options.delay
        )
        timeout = f"--timeout={max(1, processes.remaining - MARGIN)}"
        processes.run("demo", "-m", "django", "demo_documents", timeout)


if __name__ == "__main__":
    sys.exit(main(demo))
